package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
)

// put hands the message's record to the store.
func (r *Replica) put(ctx context.Context, k key.Key, q *register.Request) error {
	err := r.store.Put(ctx, k, *q.Message.Record)
	if errors.Is(err, register.ErrNoBytes) && r.fetch != nil {
		err = r.putFetched(ctx, k, *q.Message.Record, q.Message.Sources, err)
	}
	if err == nil {
		q.Stored()
		return nil
	}
	if nothing, is := errors.AsType[*register.NothingError](err); is {
		return nothing
	}
	if untouched(err) {
		return &register.NothingError{Cause: err}
	}
	return bare(err)
}

// untouched tells whether an error of Store.Put says for certain that nothing was written.
func untouched(err error) bool {
	if _, unknown := errors.AsType[*register.UnknownError](err); unknown {
		return false
	}
	for _, certain := range []error{register.ErrFull, register.ErrFailed, register.ErrStopped, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, certain) {
			return true
		}
	}
	return false
}

// bare is an error of the store without the word that its outcome is unknown: whether an operation's is, the operation knows.
func bare(err error) error {
	if unknown, is := errors.AsType[*register.UnknownError](err); is {
		return unknown.Cause
	}
	return err
}

// putFetched puts a record once more, with the bytes that another replica has; lacking is what the store said without them. The key's
// turn is taken meanwhile: whoever wants a promise of this replica asks another one too.
func (r *Replica) putFetched(ctx context.Context, k key.Key, rec register.Record, sources []ring.NodeID, lacking error) error {
	err := lacking
	for _, from := range sources {
		if from == r.node {
			continue
		}
		began := time.Now()
		value, cause := r.bytesFrom(ctx, from, k, &rec)
		if r.events.Fetched != nil {
			r.events.Fetched(ctx, from, rec.Value.Length, time.Since(began), cause)
		}
		if cause != nil {
			err = fmt.Errorf("%w; from %v: %w", err, from, cause)
			continue
		}
		rec.Value = value
		if err = r.store.Put(ctx, k, rec); err != nil {
			r.store.Unstage(value)
		}
		return err
	}
	return &register.NothingError{Cause: err}
}

// bytesFrom takes in the bytes of rec's value from another replica: what comes must be of that very version and sum.
func (r *Replica) bytesFrom(ctx context.Context, from ring.NodeID, k key.Key, rec *register.Record) (register.Value, error) {
	there, body, err := r.fetch(ctx, from, k, rec.Version)
	if body != nil {
		defer body.Close()
	}
	if err != nil {
		return register.Value{}, err
	}
	if there.Version != rec.Version || body == nil {
		return register.Value{}, fmt.Errorf("its copy is of version %v", there.Version)
	}
	value, err := r.takeIn(ctx, rec, body)
	if err != nil {
		return register.Value{}, err
	}
	if value.Length != rec.Value.Length || value.Sum != rec.Value.Sum {
		r.store.Unstage(value)
		return register.Value{}, fmt.Errorf("%w: %d bytes of sum %x came for %d of sum %x", errOther, value.Length, value.Sum, rec.Value.Length, rec.Value.Sum)
	}
	return value, nil
}

var errOther = errors.New("these are not the bytes of that version")

// takeIn reads as much as the record says that there is, and one byte more to see that it is all. A long value is staged under the
// record's ballot, which nobody else stages under.
func (r *Replica) takeIn(ctx context.Context, rec *register.Record, body io.Reader) (register.Value, error) {
	body = io.LimitReader(body, rec.Value.Length+1)
	if rec.Value.Length > register.InlineMax {
		return r.store.Stage(ctx, rec.Ballot, body, rec.Value.Length)
	}
	b, err := io.ReadAll(body)
	if err != nil {
		return register.Value{}, err
	}
	return register.Value{Length: int64(len(b)), Sum: xxhash.Sum64(b), Inline: slices.Clip(b)}, nil
}
