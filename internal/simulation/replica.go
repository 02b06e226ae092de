package simulation

import (
	"errors"
	"io"
	"time"

	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
)

// The shell around the acceptors of a node: what package replica does with goroutines, and its peers with messages.

// Limits of a replica.
const (
	fetchLimit = 500 * time.Millisecond // for the bytes of a value from one other replica
	waitingMax = 16                     // requests that wait for one key's turn
)

// ask has a node answer a message; reply may never be called, and is not once the node has crashed.
func (w *world) ask(n *node, b *book, m register.Message, reply func(register.Answer, error)) {
	have := w.epoch[n.table-1][b.part]
	w.answersIn(n, b.part, have)
	if m.Epoch != have {
		w.counts.Stale++
		if m.Epoch > have {
			w.learn(n)
		}
		reply(register.Answer{Reply: register.Stale, Epoch: have}, nil)
		return
	}
	if err := n.clock.Merge(m.Time(), w.wall(n)); err != nil {
		w.counts.fault(skewRefused)
		reply(register.Answer{}, err)
		return
	}
	q := n.acceptor.Begin(string(b.key), m)
	w.carry(n, b, &q, reply)
}

// carry takes a request through its steps.
func (w *world) carry(n *node, b *book, q *register.Request, reply func(register.Answer, error)) {
	next := func() { w.carry(n, b, q, reply) }
	switch q.Step() {
	case register.Done:
		answer := q.Answer()
		if answer.Reply == register.Promised {
			w.delicate(n)
		}
		w.logf("  %v: %v of %s at %v is %v, shows %v", n.id, q.Message.Phase, b.key, ballot(&q.Message), answer.Reply, answer.Record.Ballot)
		reply(answer, nil)
		w.wake(n, b)
	case register.AwaitTurn:
		if len(n.awaiting[b]) >= waitingMax {
			w.giveUp(n, b, q, &register.NothingError{Cause: register.ErrOverload}, reply)
			return
		}
		n.awaiting[b] = append(n.awaiting[b], next)
	case register.RaiseCeiling:
		w.raise(n, q.Message.Time(), func(err error) {
			if err != nil {
				w.giveUp(n, b, q, &register.NothingError{Cause: err}, reply)
				return
			}
			next()
		})
	case register.LoadRecord:
		if w.r.IntN(4) > 0 {
			w.load(n, b, q, reply)
			return
		}
		w.on(n, w.upTo(time.Millisecond), func() { w.load(n, b, q, reply) })
	case register.StoreRecord:
		w.put(n, b, q, *q.Message.Record, reply)
		w.delicate(n)
	}
}

func ballot(m *register.Message) register.Stamp {
	if m.Record != nil {
		return m.Record.Ballot
	}
	return m.Ballot
}

// wake lets those who wait for a key's turn ask again.
func (w *world) wake(n *node, b *book) {
	waiting := n.awaiting[b]
	delete(n.awaiting, b)
	for _, ask := range waiting {
		ask()
	}
}

// giveUp ends a request without an answer.
func (w *world) giveUp(n *node, b *book, q *register.Request, err error, reply func(register.Answer, error)) {
	if n.disk.Crashed() {
		return
	}
	w.logf("  %v: no answer to %v of %s: %v", n.id, q.Message.Phase, b.key, err)
	q.Fail()
	reply(register.Answer{}, err)
	w.wake(n, b)
}

func (w *world) load(n *node, b *book, q *register.Request, reply func(register.Answer, error)) {
	newest, err := n.store.Head(b.key)
	if n.disk.Crashed() {
		return
	}
	if err == nil {
		w.shows(n, b, &newest)
		q.Loaded(newest)
		w.carry(n, b, q, reply)
		return
	}
	if damage, is := errors.AsType[*register.DamageError](err); is {
		w.counts.DamageMet++
		w.rots(n, b, damage)
		if !q.Unreadable() {
			reply(register.Answer{}, err)
			w.wake(n, b)
			return
		}
		w.carry(n, b, q, reply)
		return
	}
	w.giveUp(n, b, q, &register.NothingError{Cause: err}, reply)
}

// put hands a record to the store, and sees to its bytes if they are not here.
func (w *world) put(n *node, b *book, q *register.Request, rec register.Record, reply func(register.Answer, error)) {
	w.submitted(n, b, &rec)
	n.store.Put(b.key, rec, func(err error) {
		if n.disk.Crashed() {
			return
		}
		if err == nil {
			w.durable(n, b, q.Message.Record)
			q.Stored()
			w.carry(n, b, q, reply)
			return
		}
		nothing, is := errors.AsType[*register.NothingError](err)
		if is && rec.Present() && rec.Value.Inline == nil && len(q.Message.Sources) > 0 {
			w.fetch(n, b, q.Message.Sources, rec.Version, func(bytes []byte) {
				if bytes == nil {
					w.giveUp(n, b, q, &register.NothingError{Cause: register.ErrNoBytes}, reply)
					return
				}
				rec.Value.Inline, rec.Value.Stage = bytes, register.Stamp{}
				w.put(n, b, q, rec, reply)
			})
			return
		}
		if is {
			w.giveUp(n, b, q, nothing, reply)
			return
		}
		w.giveUp(n, b, q, errDisk, reply)
	})
	w.journal(n)
}

// fetch asks the sources, one after the other, for the bytes of a version; nil if none gives them.
func (w *world) fetch(n *node, b *book, sources []ring.NodeID, version register.Stamp, then func([]byte)) {
	if len(sources) == 0 {
		then(nil)
		return
	}
	w.counts.Fetches++
	source, over := w.node(sources[0]), false
	end := func(bytes []byte) {
		if over {
			return
		}
		over = true
		if bytes == nil {
			w.fetch(n, b, sources[1:], version, then)
			return
		}
		then(bytes)
	}
	back := w.back(n)
	w.on(n, fetchLimit, func() { end(nil) })
	w.send(n, source, func() {
		bytes, rec, err := w.readBytes(source, b)
		if source.disk.Crashed() {
			return
		}
		if err != nil || rec.Version != version {
			bytes = nil
		}
		back(source, func() { end(bytes) })
	}, func() { end(nil) })
}

// readBytes reads a node's own copy. The bytes of a value are never nil.
func (w *world) readBytes(n *node, b *book) ([]byte, register.Record, error) {
	rec, body, err := n.store.Read(b.key)
	if err != nil || body == nil {
		if damage, is := errors.AsType[*register.DamageError](err); is && !n.disk.Crashed() {
			w.rots(n, b, damage)
		}
		return nil, rec, err
	}
	bytes, err := io.ReadAll(body)
	body.Close()
	if err != nil {
		return nil, rec, err
	}
	if !n.disk.Crashed() {
		w.serves(n, b, &rec, bytes)
	}
	return bytes, rec, nil
}
