// Package replica answers for the copies of keys that this node holds.
//
// A key is a register that several replicas keep (package register). This room is one of them: it carries each question of a coordinator,
// be it in this process or elsewhere, through the acceptor's rules, and does what they say to the store below. What it answers is on
// stable storage. It has no rules of its own: who may promise or accept what, and who must wait for whom, is decided in
// register, so that a simulation runs the same decisions without these goroutines, this clock and this disk.
//
// Messages about a state that others found name it without its value's bytes. Most often the copy here is of that version; if not, the
// bytes are fetched from a replica that showed it, checked, and kept.
//
// It also keeps the node's hybrid clock, for the ceiling that bounds promises bounds the node's own ballots as well. The ceiling is kept
// a few seconds ahead of the clock by Run, so that requests rarely wait for it; a node that is asked nothing writes nothing.
package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
)

// Limits of a replica.
const (
	waitingMax = 16 << 10         // requests that wait for their key's turn
	ahead      = 6 * time.Second  // of the clock, when the ceiling is raised
	reserve    = 3 * time.Second  // of it left when Run raises it anew
	heartbeat  = 1 * time.Second  // of Run
	raiseLimit = 10 * time.Second // for one raise of the ceiling by Run
)

// Config is what a replica is made of.
type Config struct {
	Node  ring.NodeID // this node's number
	Store Store
	// Epoch tells since which epoch the set of the key's partition stands, in the ring as this node knows it.
	Epoch func(k key.Key) uint64
	// Behind is told that somebody knows the ring of a newer epoch than this node does; it must be quick. nil: nobody is.
	Behind func(epoch uint64)
	// Fetch gives the copy of k on another node, if it is of that version, and its bytes; the caller closes body. nil: there is no way.
	Fetch  func(ctx context.Context, from ring.NodeID, k key.Key, version register.Stamp) (rec register.Record, body io.ReadCloser, err error)
	Events Events
}

// A Replica is this node's acceptors. It is safe for concurrent use.
type Replica struct {
	node   ring.NodeID
	store  Store
	epoch  func(key.Key) uint64
	behind func(uint64) // never nil
	fetch  func(context.Context, ring.NodeID, key.Key, register.Stamp) (register.Record, io.ReadCloser, error)
	events Events

	active  atomic.Bool   // the ceiling was relied on since Run last looked
	raising chan struct{} // holds the right to raise the ceiling; capacity 1

	mu       sync.Mutex // guards the fields below; never held during I/O
	clock    register.Clock
	acceptor *register.Acceptor
	turns    map[key.Key]chan struct{} // keys that somebody waits for; closed when the turn is over
	waiting  int                       // at most waitingMax
}

// New makes the replica of a node that has just started: its clock and floor begin at the durable ceiling.
func New(c Config) *Replica {
	ceiling := c.Store.Ceiling()
	if c.Behind == nil {
		c.Behind = func(uint64) {}
	}
	return &Replica{
		node:     c.Node,
		store:    c.Store,
		epoch:    c.Epoch,
		behind:   c.Behind,
		fetch:    c.Fetch,
		events:   c.Events,
		raising:  make(chan struct{}, 1),
		clock:    register.NewClock(c.Node, ceiling),
		acceptor: register.NewAcceptor(ceiling),
		turns:    map[key.Key]chan struct{}{},
	}
}

// Ask answers one message about k. It returns when the answer is final and durable; ctx can end the wait for it, but not
// an accept that has been handed to the store. Errors say that there is no answer: *register.DamageError; register.ErrOverload;
// *register.SkewError; *register.NothingError if it is certain that no record was written; what the store or ctx gave.
func (r *Replica) Ask(ctx context.Context, k key.Key, m register.Message) (register.Answer, error) {
	return r.ask(ctx, k, m, nil)
}

// Open answers a Look, as Ask does, and gives the bytes of the very record that it shows if that is Present; the caller closes body.
// The record passes the same rules: it is durable, and the floor that goes with it was taken after it was read.
func (r *Replica) Open(ctx context.Context, k key.Key, m register.Message) (a register.Answer, body io.ReadSeekCloser, err error) {
	a, err = r.ask(ctx, k, m, &body)
	return a, body, err
}

// ask answers a message. If it loads the key's record, and body is not nil, the record's bytes go there.
func (r *Replica) ask(ctx context.Context, k key.Key, m register.Message, body *io.ReadSeekCloser) (register.Answer, error) {
	if have := r.epoch(k); m.Epoch != have {
		if r.events.Stale != nil {
			r.events.Stale(ctx, have, m.Epoch)
		}
		if m.Epoch > have {
			r.behind(m.Epoch)
		}
		return register.Answer{Reply: register.Stale, Epoch: have}, nil
	}
	if err := r.Merge(m.Time()); err != nil {
		return register.Answer{}, err
	}
	r.rely()
	q := r.acceptor.Begin(string(k), m)
	if err := r.carry(ctx, k, &q, body); err != nil {
		return register.Answer{}, fmt.Errorf("%v at %v: %w", m.Phase, r.node, err)
	}
	answer := q.Answer()
	if answer.Reply == register.Refused && r.events.Refused != nil {
		r.events.Refused(ctx, m.Phase, answer.Rests)
	}
	return answer, nil
}

// carry takes the request through its steps.
func (r *Replica) carry(ctx context.Context, k key.Key, q *register.Request, body *io.ReadSeekCloser) error {
	for {
		step, turn := r.step(k, q)
		var err error
		switch step {
		case register.Done:
			return nil
		case register.AwaitTurn:
			err = r.await(ctx, q.Message.Phase, turn)
		case register.RaiseCeiling:
			err = r.raise(ctx, q.Message.Time(), true)
		case register.LoadRecord:
			err = r.load(ctx, k, q, body)
		case register.StoreRecord:
			err = r.put(ctx, k, q)
		}
		if err != nil {
			r.giveUp(k, q)
			if q.Message.Phase == register.Accept && step != register.StoreRecord {
				err = &register.NothingError{Cause: err} // the store has not heard of it
			}
			return err
		}
	}
}

// step asks the rules what to do next; turn is closed when the turn to wait for is over, nil if there are too many who wait.
func (r *Replica) step(k key.Key, q *register.Request) (step register.Step, turn chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	step = q.Step()
	switch step {
	case register.Done:
		r.wake(k)
	case register.AwaitTurn:
		if r.waiting >= waitingMax {
			return step, nil
		}
		r.waiting++
		if turn = r.turns[k]; turn == nil {
			turn = make(chan struct{})
			r.turns[k] = turn
		}
	}
	return step, turn
}

func (r *Replica) giveUp(k key.Key, q *register.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	q.Fail()
	r.wake(k)
}

// wake lets all who wait for k's turn ask again. They are few: a coordinator has one question about a key at a time.
func (r *Replica) wake(k key.Key) {
	if turn := r.turns[k]; turn != nil {
		delete(r.turns, k)
		close(turn)
	}
}

func (r *Replica) await(ctx context.Context, phase register.Phase, turn chan struct{}) error {
	if turn == nil {
		return register.ErrOverload
	}
	began := time.Now()
	var err error
	select {
	case <-turn:
	case <-ctx.Done():
		err = ctx.Err()
	}
	r.mu.Lock()
	r.waiting--
	r.mu.Unlock()
	if r.events.Waited != nil {
		r.events.Waited(ctx, phase, time.Since(began))
	}
	return err
}

func (r *Replica) load(ctx context.Context, k key.Key, q *register.Request, body *io.ReadSeekCloser) error {
	var newest register.Record
	var err error
	if body == nil {
		newest, err = r.store.Head(ctx, k)
	} else {
		newest, *body, err = r.store.Read(ctx, k)
	}
	if err == nil {
		q.Loaded(newest)
		return nil
	}
	damage, is := errors.AsType[*register.DamageError](err)
	if !is || !q.Unreadable() {
		return err
	}
	if r.events.Anew != nil {
		r.events.Anew(ctx, damage)
	}
	return nil
}

// Read gives this node's newest durable copy of k and, if it is Present, its bytes; the caller closes body. It proves nothing
// about other copies. Errors: *register.DamageError.
func (r *Replica) Read(ctx context.Context, k key.Key) (rec register.Record, body io.ReadSeekCloser, err error) {
	return r.store.Read(ctx, k)
}

// Stage takes a value's bytes off body, ahead of the write that will name them by id, a stamp of its own. size is the expected
// length, or -1. Errors: register.ErrFull, register.ErrFailed, what body gave.
func (r *Replica) Stage(ctx context.Context, id register.Stamp, body io.Reader, size int64) (register.Value, error) {
	return r.store.Stage(ctx, id, body, size)
}

// Unstage gives up a staged value; a no-op if it was accepted.
func (r *Replica) Unstage(v register.Value) { r.store.Unstage(v) }

// Status tells how things stand.
func (r *Replica) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	wall := time.Now()
	now := r.clock.Time(wall)
	return Status{
		Clock:    now,
		Ahead:    max(now.Wall().Sub(wall), 0),
		Floor:    r.acceptor.Floor(),
		Ceiling:  r.acceptor.Ceiling(),
		Promises: r.acceptor.Promises(),
		Waiting:  r.waiting,
	}
}
