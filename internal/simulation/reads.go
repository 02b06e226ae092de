package simulation

import (
	"time"

	"github.com/estorajed/estorajed/internal/register"
)

// Limits of reads, as in package coordinator.
const (
	fetchesMax = 4               // reads begun anew as the state was replaced before its bytes were fetched
	forwards   = 3               // replicas that a read is forwarded to, one after the other
	getLimit   = 2 * time.Second // for one of these
)

// A seen is what a read found; ok is false if it found out nothing.
type seen struct {
	version register.Stamp
	present bool
	content string
	ok      bool
}

// get has a read coordinated where the key is: here, or at a replica.
func (w *world) get(n *node, b *book, then func(seen)) {
	if w.replicates(n, b) {
		w.readAt(n, b, fetchesMax, then)
		return
	}
	w.forward(n, b, forwards, then)
}

func (w *world) forward(n *node, b *book, left int, then func(seen)) {
	if left == 0 {
		then(seen{})
		return
	}
	to := w.node(of(w.r, b.members...))
	for range len(b.members) {
		if to.up {
			break
		}
		to = w.node(of(w.r, b.members...))
	}
	over := false
	end := func(s seen) {
		if over {
			return
		}
		over = true
		if !s.ok {
			w.forward(n, b, left-1, then)
			return
		}
		then(s)
	}
	back := w.back(n)
	w.on(n, getLimit, func() { end(seen{}) })
	w.send(n, to, func() {
		w.readAt(to, b, fetchesMax, func(s seen) { back(to, func() { end(s) }) })
	}, func() { end(seen{}) })
}

// readAt coordinates a read at a replica.
func (w *world) readAt(n *node, b *book, left int, then func(seen)) {
	if len(b.members) == 1 { // what is durable in the only copy is chosen
		bytes, rec, err := w.readBytes(n, b)
		if n.disk.Crashed() {
			return
		}
		then(seen{rec.Version, rec.Present(), string(bytes), err == nil})
		return
	}
	if left == 0 {
		then(seen{})
		return
	}
	op := register.NewRead()
	var c *carriage
	c = w.carryOut(n, b, op, func() {
		state, err := op.State()
		if err != nil || c != nil && c.failed != nil {
			then(seen{})
			return
		}
		if !state.Present() {
			then(seen{version: state.Version, ok: true})
			return
		}
		sources := append(b.members[:0:0], b.members...)
		for i := range sources {
			if sources[i] == n.id {
				sources[0], sources[i] = sources[i], sources[0]
			}
		}
		w.fetch(n, b, sources, state.Version, func(bytes []byte) {
			if bytes == nil {
				w.readAt(n, b, left-1, then) // it was replaced meanwhile
				return
			}
			then(seen{state.Version, true, string(bytes), true})
		})
	})
}
