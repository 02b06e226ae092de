package coordinator

import (
	"context"
	"time"

	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
)

// Events are the facts that a coordinator reports while it works. A nil func is silent. They are called on the goroutine of the
// operation, outside of all locks: they must be quick. The context is the operation's.
type Events struct {
	// Overloaded: an operation was turned away; where is "operations", or "turn" if too many wait for this key or it
	// waited for its turn for too long.
	Overloaded func(ctx context.Context, where string)
	// Waited: a write had to wait for others of this node upon its key.
	Waited func(ctx context.Context, took time.Duration)
	// Forwarded: this node has another one coordinate the operation; reason is one of Reasons.
	Forwarded func(ctx context.Context, to ring.NodeID, reason string)
	// TakenOver: the coordinator did not bring the operation to its end, for that cause, and another one, or this node, goes on with it.
	TakenOver func(ctx context.Context, from, to ring.NodeID, cause error)
	// Hedged: a replica is asked beyond the nearest majority, as that is late, or did not agree.
	Hedged func(ctx context.Context, to ring.NodeID)
	// Quorum: enough replicas have answered in that phase of a round; took is since the phase began.
	Quorum func(ctx context.Context, phase register.Phase, took time.Duration)
	// Conflict: a replica refused, as it has seen a higher ballot.
	Conflict func(ctx context.Context, from ring.NodeID, phase register.Phase, rests register.Stamp)
	// Silent: a replica gave no answer.
	Silent func(ctx context.Context, from ring.NodeID, phase register.Phase, cause error)
	// Retry: the round came to nothing, or a read found differing states; another round begins after the pause.
	Retry func(ctx context.Context, round int, pause time.Duration)
	// Settle: the operation proposes a state anew that it found unsettled, its own earlier attempt's or another's.
	Settle func(ctx context.Context, version register.Stamp)
	// Unknown: a write ended and nobody can tell whether it was, or will be, applied.
	Unknown func(ctx context.Context, cause error)
}

// The reasons that Forwarded names.
const (
	ReasonNoCopy    = "no_copy"   // this node has no copy of the key
	ReasonPreferred = "preferred" // another replica comes first in the key's preference order
)

// Status is what a coordinator can say of itself at one moment.
type Status struct {
	Operations int // under way, waiting ones included; staging counts, sending a value to its reader does not
	Limit      int // on Operations
	Turns      int // keys that are being written
	Waiting    int // writes that wait for their key's turn
}
