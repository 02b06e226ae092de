package replica

import (
	"context"
	"time"

	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
)

// Events are the facts that a replica reports while it works. A nil func is silent. They are called on the goroutine that
// answers, outside of the replica's lock: they must be quick.
type Events struct {
	// Refused: a prepare, accept or learn was refused, as a higher ballot or the floor stands in its way.
	Refused func(ctx context.Context, phase register.Phase, rests register.Stamp)
	// Stale: a message of another epoch than the one in which this node holds the key.
	Stale func(ctx context.Context, have, got uint64)
	// Waited: a request had to wait for others of its key, that read the disk or were being made durable.
	Waited func(ctx context.Context, phase register.Phase, took time.Duration)
	// Fetched: the bytes of a value were taken from another node's copy, as the one here is of another version; or could not be.
	Fetched func(ctx context.Context, from ring.NodeID, length int64, took time.Duration, err error)
	// Anew: a damaged copy, the only one, gives way to a write that does not look at it.
	Anew func(ctx context.Context, damage *register.DamageError)
	// Raised: a higher promise ceiling was made durable, or could not be. asked tells whether somebody had to wait for it.
	Raised func(ceiling register.Time, took time.Duration, asked bool, err error)
}

// Status is what a replica can say of itself at one moment; it costs one lock.
type Status struct {
	Clock    register.Time // hybrid time now
	Ahead    time.Duration // of the hybrid clock before the wall clock
	Floor    register.Time
	Ceiling  register.Time
	Promises int // keys of which more is remembered than the disk tells
	Waiting  int // requests that wait for their key's turn
}
