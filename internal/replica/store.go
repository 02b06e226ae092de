package replica

import (
	"context"
	"io"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
)

// Store is what a replica needs of this node's disk. All of it is safe for concurrent use.
type Store interface {
	// Head gives the newest record of k that is durable here; its Value.Inline may be nil. The zero Record: none.
	// Errors: *register.DamageError.
	Head(ctx context.Context, k key.Key) (register.Record, error)
	// Read is Head together with the value's bytes; the caller closes body. body is nil unless rec.Present().
	Read(ctx context.Context, k key.Key) (rec register.Record, body io.ReadSeekCloser, err error)
	// Stage takes a value's bytes off body before anybody knows whether they will count. Values of up to register.InlineMax come
	// back inline; longer ones are on disk, synced, under id. size is the expected length, or -1.
	// Errors: register.ErrFull, register.ErrFailed, whatever body gives (wrapped with %w).
	Stage(ctx context.Context, id register.Stamp, body io.Reader, size int64) (register.Value, error)
	// Unstage gives up a staged value that was not (or not surely) accepted; a no-op for inline ones and for values that were accepted.
	Unstage(v register.Value)
	// Put makes rec the only version of its key; it returns when that is on stable storage. The caller sees to it that ballots of
	// one key rise. If rec's value is neither inline nor staged, the copy here must be of the same version, and its bytes are kept; if
	// it is not, the error is a *register.NothingError for register.ErrNoBytes.
	// It does not give up on ctx once the record is queued. Errors that say that nothing was written: register.ErrFull,
	// register.ErrFailed, register.ErrStopped, ctx's. All others leave it open, *register.UnknownError for one: a sync failed.
	Put(ctx context.Context, k key.Key, rec register.Record) error
	// Ceiling is the durable promise ceiling; RaiseCeiling makes a higher one durable before it returns.
	Ceiling() register.Time
	RaiseCeiling(ctx context.Context, t register.Time) error
}
