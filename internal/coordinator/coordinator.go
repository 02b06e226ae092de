// Package coordinator carries one client operation to its outcome.
//
// What an operation does is decided by the pure register.Operation; which replicas it is about, by the ring; what a replica answers, by
// the replica. This room only keeps them going: it takes the key's place from one table, has the value's bytes staged before
// anything else, takes the key's turn, sends what the operation wants sent, hands it the answers, and tells it when time is up.
//
// An operation whose only replica is this node runs on its caller's goroutine from end to end. A read of such a key needs no operation
// at all: what is durable in the only copy is chosen.
//
// # Forwarding
//
// A request may enter the cluster at any node. A write goes to the first live replica in the key's preference order, so that one
// node coordinates a hot key: its writes then take turns there instead of duelling as rounds. A read is coordinated where it entered if
// that node has a copy, else at a live replica. It is one hop at most: Carry and Get, the far side of these, never forward again.
//
// # Takeover
//
// The node where a write entered, and not its coordinator, answers for the outcome (register.Passage). It hands the write over with a last
// ballot, and waits for a while. If no report comes, or the connection is lost, it moves its clock past that ballot and hands the write to
// the next coordinator, most often itself, who looks for what the earlier one may have done before it does anything. So the death of a
// coordinator costs a pause, not an unknown outcome. The earlier ones are still listened to: a success counts from whoever tells it.
//
// # The nearest majority
//
// Questions (look, prepare) go to as many replicas as make a majority: this node, then those that were not slow lately. The others are
// asked only if an answer is late (a hedge: Dean and Barroso, 'The Tail at Scale', 2013), missing, or not what the others say. Accepts go
// to all. A replica that is known to be down is not asked and not waited for.
//
// # Long values
//
// A value that is too long to travel in its record is staged at all replicas at once while it is read, through one bounded window; a
// replica that does not keep up is left behind as long as a majority remains. When its write is over, the stages that it did not
// use are given up.
package coordinator

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
)

// Limits of a coordinator.
const (
	OperationsMax = 16 << 10        // under way at a time, if the configuration does not say
	Patience      = 5 * time.Second // for an operation, once its body is staged, if the configuration does not say
	roundLimit    = 1 * time.Second // for one phase of a round, before another is begun
	retryAfter    = 2 * time.Second // what clients are told to wait where a quorum is missing
	fetchesMax    = 4               // reads begun anew as the state was replaced before its bytes were fetched

	turnPatience = 2 * time.Second        // for one distant coordinator's report, before another one takes over
	turnsMax     = 4                      // coordinators that one write may have
	roundTime    = 250 * time.Millisecond // that a write needs at least, once it has the key's turn at a distant coordinator
	askPatience  = 2 * time.Second        // for another node to begin its answer to a read, before the next is asked

	hedgeDelay = 20 * time.Millisecond // for the nearest majority, before the others are asked, too
	slowFor    = 1 * time.Second       // that a replica which was late is asked after the others
)

// Config is what a coordinator is made of.
type Config struct {
	Node       ring.NodeID                            // this node's number
	Local      Local                                  // this node's replica
	Peer       func(node ring.NodeID) Peer            // another node; nil: not known. Needed once a set names others
	Clock      Clock                                  // this node's
	Table      func() *ring.Table                     // the newest that this node knows
	Hash       func(k key.Key) uint64                 // with the cluster's seed
	Name       func(node ring.NodeID) string          // for people; nil: the number
	Behind     func(epoch uint64)                     // told that a replica knows the ring of a newer epoch; quick; nil: nobody is
	Jitter     func(most time.Duration) time.Duration // a random part of a pause; nil: a fair one
	Operations int                                    // limit; 0: OperationsMax
	Patience   time.Duration                          // 0: Patience
	Events     Events
}

// A Coordinator runs the operations of this node. It is safe for concurrent use.
type Coordinator struct {
	node     ring.NodeID
	local    Local
	peer     func(ring.NodeID) Peer // never nil
	clock    Clock
	table    func() *ring.Table
	hash     func(key.Key) uint64
	name     func(ring.NodeID) string
	behind   func(uint64) // never nil
	jitter   func(time.Duration) time.Duration
	limit    int64
	patience time.Duration
	events   Events

	running    atomic.Int64 // operations under way; at most limit
	turns      turns
	slow       slow
	stragglers sync.WaitGroup // what is still on its way
}

// New makes a coordinator; it starts nothing.
func New(c Config) *Coordinator {
	if c.Operations == 0 {
		c.Operations = OperationsMax
	}
	if c.Patience == 0 {
		c.Patience = Patience
	}
	if c.Peer == nil {
		c.Peer = func(ring.NodeID) Peer { return nil }
	}
	if c.Name == nil {
		c.Name = ring.NodeID.String
	}
	if c.Behind == nil {
		c.Behind = func(uint64) {}
	}
	if c.Jitter == nil {
		c.Jitter = func(most time.Duration) time.Duration { return rand.N(most + 1) }
	}
	return &Coordinator{
		node:     c.Node,
		local:    c.Local,
		peer:     c.Peer,
		clock:    c.Clock,
		table:    c.Table,
		hash:     c.Hash,
		name:     c.Name,
		behind:   c.Behind,
		jitter:   c.Jitter,
		limit:    int64(c.Operations),
		patience: c.Patience,
		events:   c.Events,
		turns:    turns{queues: map[key.Key][]chan struct{}{}},
	}
}

// admit counts an operation in, unless there are too many.
func (c *Coordinator) admit(ctx context.Context) error {
	if c.running.Add(1) > c.limit {
		c.running.Add(-1)
		return c.overload(ctx, "operations")
	}
	return nil
}

func (c *Coordinator) overload(ctx context.Context, where string) error {
	if c.events.Overloaded != nil {
		c.events.Overloaded(ctx, where)
	}
	return register.ErrOverload
}

// coordinate carries a write with a staged value to its outcome here, in the key's turn, that it waits for so long at most. An entry
// without an operation is of a write that nobody else will take over: its stamp is drawn in the turn.
func (c *Coordinator) coordinate(ctx context.Context, k key.Key, o register.Order, turn time.Duration, until time.Time) register.Report {
	if err := c.take(ctx, k, turn); err != nil {
		return register.Report{Err: err}
	}
	defer c.turns.leave(k)
	if o.Entry.Operation.IsZero() {
		id, err := c.clock.Stamp(ctx, 0)
		if err != nil {
			return register.Report{Err: err}
		}
		o.Entry.Operation = id
	}
	op := register.NewWrite(o.Change, o.Value, o.Entry)
	r := carriage{Coordinator: c, k: k, op: op, until: until}
	defer r.close()
	if err := r.carry(ctx); err != nil {
		return register.Report{Err: err}
	}
	return op.Report()
}

func (c *Coordinator) take(ctx context.Context, k key.Key, patience time.Duration) error {
	began := time.Now()
	waited, err := c.turns.take(ctx, k, patience)
	if waited && c.events.Waited != nil {
		c.events.Waited(ctx, time.Since(began))
	}
	if errors.Is(err, register.ErrOverload) {
		return c.overload(ctx, "turn")
	}
	return err
}

// place is the key's partition and who holds it, as the newest table says.
func (c *Coordinator) place(k key.Key) (int, ring.Set) {
	t := c.table()
	p := ring.Partition(c.hash(k), len(t.Sets))
	return p, t.Sets[p]
}

// mine tells whether this node's is the only copy.
func (c *Coordinator) mine(set ring.Set) bool {
	return register.Alone(set) && set.Current[0] == c.node
}

// at is the replica on a node, nil if there is no way to it.
func (c *Coordinator) at(node ring.NodeID) Replica {
	if node == c.node {
		return c.local
	}
	if p := c.peer(node); p != nil {
		return p
	}
	return nil
}

// up tells whether it is worth asking that node.
func (c *Coordinator) up(node ring.NodeID) bool {
	if node == c.node {
		return true
	}
	p := c.peer(node)
	return p != nil && p.Up()
}

// ready tells whether that node may be handed requests.
func (c *Coordinator) ready(node ring.NodeID) bool {
	if node == c.node {
		return true
	}
	p := c.peer(node)
	return p != nil && p.Up() && p.Ready()
}

// Status tells how things stand.
func (c *Coordinator) Status() Status {
	keys, waiting := c.turns.status()
	return Status{Operations: int(c.running.Load()), Limit: int(c.limit), Turns: keys, Waiting: waiting}
}

// Wait returns when nothing of an operation that is over is on its way any more; each thing is within Patience.
func (c *Coordinator) Wait() { c.stragglers.Wait() }
