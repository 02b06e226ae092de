// Package coordinator carries one client operation to its outcome.
//
// What an operation does is decided by the pure register.Operation; which replicas it is about, by the ring; what a replica answers, by
// the replica. This room only keeps them going: it takes the key's place from one table, has the value's bytes staged before
// anything else, takes the key's turn, sends what the operation wants sent, hands it the answers, and tells it when time is up.
//
// An operation whose only replica is this node runs on its caller's goroutine from end to end. A read of such a key needs no operation
// at all: what is durable in the only copy is chosen.
package coordinator

import (
	"context"
	"errors"
	"io"
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
)

// Replica is one holder of keys, be it in this process or elsewhere. It is safe for concurrent use.
type Replica interface {
	// Ask gives the answer to one message about k. An error says that there is none; *register.NothingError that, besides, the
	// record of an accept was not and will not be written there.
	Ask(ctx context.Context, k key.Key, m register.Message) (register.Answer, error)
	// Read gives the replica's own copy and, if it is Present, its bytes; the caller closes body.
	Read(ctx context.Context, k key.Key) (rec register.Record, body io.ReadSeekCloser, err error)
	// Stage takes a value's bytes off body, under id. size is the expected length, or -1.
	Stage(ctx context.Context, id register.Stamp, body io.Reader, size int64) (register.Value, error)
	// Unstage gives up a staged value that was not accepted.
	Unstage(v register.Value)
}

// Clock draws this node's stamps: above the given time, and below the durable ceiling.
type Clock interface {
	Stamp(ctx context.Context, above register.Time) (register.Stamp, error)
}

// Config is what a coordinator is made of.
type Config struct {
	Node       ring.NodeID                            // this node's number
	Local      Replica                                // this node's
	Peer       func(node ring.NodeID) Replica         // another node's; nil: not known. Needed once a set names others
	Clock      Clock                                  // this node's
	Table      func() *ring.Table                     // the newest that this node knows
	Hash       func(k key.Key) uint64                 // with the cluster's seed
	Jitter     func(most time.Duration) time.Duration // a random part of a pause; nil: a fair one
	Operations int                                    // limit; 0: OperationsMax
	Patience   time.Duration                          // 0: Patience
	Events     Events
}

// A Coordinator runs the operations of this node. It is safe for concurrent use.
type Coordinator struct {
	node     ring.NodeID
	local    Replica
	peer     func(ring.NodeID) Replica // may be nil
	clock    Clock
	table    func() *ring.Table
	hash     func(key.Key) uint64
	jitter   func(time.Duration) time.Duration
	limit    int64
	patience time.Duration
	events   Events

	running    atomic.Int64 // operations under way; at most limit
	turns      turns
	stragglers sync.WaitGroup // messages that are still on their way
}

// New makes a coordinator; it starts nothing.
func New(c Config) *Coordinator {
	if c.Operations == 0 {
		c.Operations = OperationsMax
	}
	if c.Patience == 0 {
		c.Patience = Patience
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
		jitter:   c.Jitter,
		limit:    int64(c.Operations),
		patience: c.Patience,
		events:   c.Events,
		turns:    turns{queues: map[key.Key][]chan struct{}{}},
	}
}

// Write makes the change and returns when it is durable at a majority of the key's replicas, or refused, or given up. body holds
// the value's bytes, size of them or -1 if unknown; it is nil for a tombstone.
//
// If ctx ends before an accept was sent, nothing has happened and the error is that of ctx; afterwards Write waits for the outcome.
// Errors: as of register.Operation.Outcome; register.ErrFull, ErrFailed, ErrOverload, ErrStopped, each of them only if
// nothing was written and none will be; what body gave (wrapped).
func (c *Coordinator) Write(ctx context.Context, k key.Key, change register.Change, body io.Reader, size int64) (register.Outcome, error) {
	if err := c.admit(ctx); err != nil {
		return register.Outcome{}, err
	}
	defer c.running.Add(-1)
	value, err := c.stage(ctx, k, body, size)
	if err != nil {
		return register.Outcome{}, err
	}
	outcome, spent, err := c.change(ctx, k, change, value)
	if !spent {
		c.local.Unstage(value)
	}
	return outcome, err
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

var errSpread = errors.New("a value of this size cannot be spread over several replicas yet")

// stage takes in the body before the write takes the key's turn: a slow upload holds up nobody.
func (c *Coordinator) stage(ctx context.Context, k key.Key, body io.Reader, size int64) (register.Value, error) {
	if body == nil {
		return register.Value{}, nil
	}
	id, err := c.clock.Stamp(ctx, 0)
	if err != nil {
		return register.Value{}, err
	}
	value, err := c.local.Stage(ctx, id, body, size)
	if err != nil {
		return register.Value{}, err
	}
	if _, set := c.place(k); value.Inline == nil && value.Length > 0 && !c.mine(set) {
		c.local.Unstage(value) // a long value's bytes are here only
		return register.Value{}, errSpread
	}
	return value, nil
}

// change carries a write with a staged value to its outcome, in the key's turn. spent tells whether the value counts, or may.
func (c *Coordinator) change(ctx context.Context, k key.Key, change register.Change, value register.Value) (_ register.Outcome, spent bool, _ error) {
	if err := c.take(ctx, k); err != nil {
		return register.Outcome{}, false, err
	}
	defer c.turns.leave(k)
	id, err := c.clock.Stamp(ctx, 0)
	if err != nil {
		return register.Outcome{}, false, err
	}
	op := register.NewWrite(change, value, register.Entry{Operation: id})
	if err := c.carry(ctx, k, op); err != nil {
		return register.Outcome{}, false, err
	}
	outcome, err := op.Outcome()
	if unknown, is := errors.AsType[*register.UnknownError](err); is && c.events.Unknown != nil {
		c.events.Unknown(ctx, unknown)
	}
	spent = op.Sent() && !errors.Is(err, register.ErrPrecondition)
	return outcome, spent, c.explain(k, err)
}

func (c *Coordinator) take(ctx context.Context, k key.Key) error {
	began := time.Now()
	waited, err := c.turns.take(ctx, k, c.patience)
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
	if c.peer == nil {
		return nil
	}
	return c.peer(node)
}

// explain puts into an operation's error what only the shell knows.
func (c *Coordinator) explain(k key.Key, err error) error {
	quorum, is := errors.AsType[*register.QuorumError](err)
	if !is {
		return err
	}
	p, set := c.place(k)
	quorum.Partition, quorum.RetryAfter = p, retryAfter
	if quorum.Replicas == 0 {
		for range set.Members() {
			quorum.Replicas++
		}
	}
	return err
}

// Status tells how things stand.
func (c *Coordinator) Status() Status {
	keys, waiting := c.turns.status()
	return Status{Operations: int(c.running.Load()), Limit: int(c.limit), Turns: keys, Waiting: waiting}
}

// Wait returns when no message of an operation that is over is on its way any more; each is within Patience.
func (c *Coordinator) Wait() { c.stragglers.Wait() }
