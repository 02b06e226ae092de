package peer

import (
	"context"
	"errors"

	"github.com/estorajed/estorajed/internal/peer/wire"
	"github.com/estorajed/estorajed/internal/register"
)

// A call is an operation that waits for its answer.
type call struct {
	item
	done chan result // capacity 1
}

type result struct {
	answer *wire.Envelope
	err    error
}

// deliver hands an answer to who waits for it.
func (s *session) deliver(e *wire.Envelope) {
	s.mu.Lock()
	c := s.calls[e.GetId()]
	delete(s.calls, e.GetId())
	s.mu.Unlock()
	if c == nil {
		return // nobody waits for it any more
	}
	s.peer.peers.config.Events.message(kindOf(c.envelope), false)
	c.done <- result{answer: e}
}

// do has an operation done and waits for its answer. sent tells whether it may have been begun; without an error it was.
func (s *session) do(ctx context.Context, e *wire.Envelope) (answer *wire.Envelope, sent bool, err error) {
	c := &call{item: item{envelope: e}, done: make(chan result, 1)}
	c.deadline, _ = ctx.Deadline()
	if err = s.enter(c); err == nil {
		if err = s.box.push(&c.item); err != nil && !s.leave(c) {
			err = (<-c.done).err // the session ended at the same moment
		}
	}
	if err != nil {
		if err == register.ErrOverload {
			s.peer.peers.config.Events.overloaded(s.peer.node)
		}
		return nil, false, err
	}
	select {
	case r := <-c.done:
		return r.answer, !isUnsent(r.err), r.err
	case <-ctx.Done():
	}
	if !s.leave(c) {
		r := <-c.done // it came at the same moment
		return r.answer, !isUnsent(r.err), r.err
	}
	if sent = s.box.withdraw(&c.item); sent {
		_ = s.box.push(&item{envelope: &wire.Envelope{Id: e.GetId(), Kind: wire.Kind_CANCEL}})
	}
	return nil, sent, ctx.Err()
}

func isUnsent(err error) bool { return errors.Is(err, register.ErrUnreachable) }

// enter gives the call its id, unless the session has ended or too much is pending.
func (s *session) enter(c *call) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.ending; e != nil {
		return &DownError{Node: s.peer.node, Since: e.since, Cause: e.cause, Unsent: true}
	}
	if len(s.calls) >= pendingMax {
		return register.ErrOverload
	}
	s.last++
	c.envelope.Id = s.last
	s.calls[s.last] = c
	return nil
}

// number is an id for what is not answered.
func (s *session) number() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	return s.last
}

// leave takes the call back; false if its result is there, or on its way.
func (s *session) leave(c *call) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls[c.envelope.GetId()] != c {
		return false
	}
	delete(s.calls, c.envelope.GetId())
	return true
}
