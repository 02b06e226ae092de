package coordinator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
)

// Read gives the key's state and, if it is Present, its bytes from the start; the caller closes body, and keeps ctx until then. With
// eventual, one replica's copy is enough, which may be outdated. Errors: *register.DamageError, register.ErrOverload,
// *register.QuorumError, ctx's.
func (c *Coordinator) Read(ctx context.Context, k key.Key, eventual bool) (register.Record, io.ReadSeekCloser, error) {
	if err := c.admit(ctx); err != nil {
		return register.Record{}, nil, err
	}
	defer c.running.Add(-1)
	_, set := c.place(k)
	switch {
	case c.mine(set):
		return c.local.Read(ctx, k)
	case eventual:
		return c.any(ctx, k, set)
	case set.Holds(c.node):
		return c.read(ctx, k, set)
	}
	return c.forward(ctx, k, set)
}

// forward has a replica coordinate the read, the first live one in preference order that does; at last this node itself.
func (c *Coordinator) forward(ctx context.Context, k key.Key, set ring.Set) (register.Record, io.ReadSeekCloser, error) {
	asked, until := ring.NodeID(0), time.Now().Add(c.patience)
	var cause error
	for node := range set.Members() {
		if !c.ready(node) || !time.Now().Before(until) {
			continue
		}
		c.told(ctx, asked, node, cause)
		asked = node
		rec, body, err := c.fetch(ctx, k, node, Peer.Get)
		if err == nil {
			return rec, c.resuming(ctx, k, set, node, &rec, body), nil
		}
		if ctx.Err() != nil {
			return register.Record{}, nil, ctx.Err()
		}
		cause = err
	}
	c.told(ctx, asked, c.node, cause)
	return c.read(ctx, k, set)
}

// told reports who is asked for a read now, and after whom.
func (c *Coordinator) told(ctx context.Context, from, to ring.NodeID, cause error) {
	switch {
	case from != 0 && c.events.TakenOver != nil:
		c.events.TakenOver(ctx, from, to, cause)
	case from == 0 && to != c.node && c.events.Forwarded != nil:
		c.events.Forwarded(ctx, to, ReasonNoCopy)
	}
}

// read coordinates a linearizable read here.
//
// If this node has a copy, its look opens that: the record and its bytes are one read of the store, and the record is the look's
// own answer. That is sound as the copy passes the replica's rules like any answer, durable and with a floor taken after it, and within
// the operation, after its round began; and the bytes are those of the very record that is counted. If a majority shows the same
// ballot they are sent as they are; if not, or if the copy is damaged, they come from a replica that showed the version that was chosen.
func (c *Coordinator) read(ctx context.Context, k key.Key, set ring.Set) (register.Record, io.ReadSeekCloser, error) {
	until := time.Now().Add(c.patience)
	var cause error
	for range fetchesMax {
		r := carriage{Coordinator: c, k: k, op: register.NewRead(), until: until, opens: set.Holds(c.node)}
		rec, body, err := r.read(ctx)
		if cause = err; !errors.Is(err, errMoved) {
			return rec, body, err
		}
	}
	return register.Record{}, nil, c.lacking(k, set, cause, nil)
}

var errMoved = errors.New("the value that was found is nowhere to be had: it is being replaced faster than it can be read, or cannot be read")

// read carries the operation and finds the bytes of the state that it gives, or errMoved.
func (r *carriage) read(ctx context.Context) (register.Record, io.ReadSeekCloser, error) {
	defer r.close()
	if err := r.carry(ctx); err != nil {
		return register.Record{}, nil, err
	}
	state, err := r.op.State()
	if err != nil || !state.Present() {
		return state, nil, err
	}
	if own := &r.fan.own; own.body != nil && own.record.Version == state.Version {
		body := own.body
		own.body = nil
		return own.record, r.resuming(ctx, r.k, r.set, r.node, &own.record, body), nil
	}
	return r.elsewhere(ctx, state.Version)
}

// elsewhere looks for the bytes of a version at those who showed it, then at the others.
func (r *carriage) elsewhere(ctx context.Context, version register.Stamp) (register.Record, io.ReadSeekCloser, error) {
	missing := errMoved
	for _, showed := range [...]bool{true, false} {
		for node := range r.set.Members() {
			if r.showed(node, version) != showed || !r.up(node) {
				continue
			}
			rec, body, err := r.fetch(ctx, r.k, node, Peer.Read)
			if err == nil && rec.Version == version && body != nil {
				return rec, r.resuming(ctx, r.k, r.set, node, &rec, body), nil
			}
			if body != nil {
				body.Close()
			}
			if ctx.Err() != nil {
				return register.Record{}, nil, ctx.Err()
			}
			if err != nil {
				missing = fmt.Errorf("%w: %s: %w", errMoved, r.name(node), err)
			}
		}
	}
	return register.Record{}, nil, missing
}

// showed tells whether the replica showed that version, or accepted it.
func (r *carriage) showed(node ring.NodeID, version register.Stamp) bool {
	for _, h := range r.fan.heard {
		if h.node == node {
			return h.err == nil && h.version == version
		}
	}
	return false
}

// any gives whichever copy can be had: this node's own, then those of the live ones, then the others'.
func (c *Coordinator) any(ctx context.Context, k key.Key, set ring.Set) (register.Record, io.ReadSeekCloser, error) {
	var heard []hearing
	var cause error
	try := func(node ring.NodeID) (rec register.Record, body io.ReadSeekCloser, ok bool) {
		rec, body, err := c.fetch(ctx, k, node, Peer.Read)
		if err != nil {
			heard, cause = append(heard, hearing{node: node, err: err}), err
		}
		return rec, body, err == nil
	}
	if set.Holds(c.node) {
		if rec, body, ok := try(c.node); ok {
			return rec, c.resuming(ctx, k, set, c.node, &rec, body), nil
		}
	}
	for _, up := range [...]bool{true, false} {
		for node := range set.Members() {
			if node == c.node || c.up(node) != up || ctx.Err() != nil {
				continue
			}
			c.told(ctx, 0, node, nil)
			if rec, body, ok := try(node); ok {
				return rec, c.resuming(ctx, k, set, node, &rec, body), nil
			}
		}
	}
	if ctx.Err() != nil {
		return register.Record{}, nil, ctx.Err()
	}
	return register.Record{}, nil, c.lacking(k, set, cause, heard)
}

// fetch gets a record and its bytes from a node, which has a while to begin its answer. The bytes may take as long as ctx lets them.
func (c *Coordinator) fetch(ctx context.Context, k key.Key, node ring.NodeID, from func(Peer, context.Context, key.Key) (register.Record, io.ReadSeekCloser, error)) (register.Record, io.ReadSeekCloser, error) {
	if node == c.node {
		return c.local.Read(ctx, k)
	}
	peer := c.peer(node)
	if peer == nil {
		return register.Record{}, nil, register.ErrUnreachable
	}
	asking, cancel := context.WithCancelCause(ctx)
	late := time.AfterFunc(askPatience, func() { cancel(context.DeadlineExceeded) })
	rec, body, err := from(peer, asking, k)
	if !late.Stop() && err == nil {
		err = context.DeadlineExceeded // it came with the very last moment, and is cut off
	}
	_ = c.clock.Merge(rec.Ballot.Time) // what a client is shown lies before what it does next; a time that is too far ahead is not followed
	if err != nil || body == nil {
		if body != nil {
			body.Close()
		}
		if context.Cause(asking) == context.DeadlineExceeded {
			err = ErrLate
		}
		cancel(nil)
		return rec, nil, err
	}
	return rec, &lasting{body, cancel}, nil
}

// A lasting body keeps its context until it is closed.
type lasting struct {
	io.ReadSeekCloser
	cancel context.CancelCauseFunc
}

func (l *lasting) Close() error {
	defer l.cancel(nil)
	return l.ReadSeekCloser.Close()
}
