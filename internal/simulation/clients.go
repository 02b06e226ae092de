package simulation

import (
	"errors"
	"slices"
	"time"

	"github.com/estorajed/estorajed/internal/register"
)

// client does so many operations, one after the other.
func (w *world) client(c, left int) {
	if left == 0 {
		w.busy--
		return
	}
	w.after(w.upTo(w.p.think), func() {
		n := of(w.r, w.nodes...)
		for i := 0; i < 20 && !n.up; i++ {
			n = of(w.r, w.nodes...)
		}
		b := w.books[w.r.IntN(w.p.keys)]
		k := of(w.r, w.p.kinds...)
		if !n.up {
			w.counts.NoNode++
			w.after(20*time.Millisecond, func() { w.client(c, left) })
			return
		}
		waits := true
		a := w.act(c, b, k, func() {
			if waits {
				waits = false
				w.client(c, left-1)
			}
		})
		w.after(w.p.patience+w.upTo(time.Second), func() { // the client hangs up; the write may go on
			if waits {
				waits = false
				a.late = true
				w.counts.HungUp++
				w.client(c, left-1)
			}
		})
		w.begin(n, a)
	})
}

// act notes that a client begins something; then is called when it is told what came of it.
func (w *world) act(client int, b *book, k kind, then func()) *act {
	a := &act{client: client, book: b, kind: k, began: w.tick(), before: b.told, then: then}
	w.history = append(w.history, a)
	return a
}

// begin brings a client's wish to a node.
func (w *world) begin(n *node, a *act) {
	b := a.book
	if a.kind == read {
		w.get(n, b, func(s seen) { w.toldRead(a, s) })
		return
	}
	change, content := register.Change{Kind: register.Data}, ""
	if a.kind == del || a.kind == delIfMatch {
		change.Kind = register.Tombstone
	} else {
		a.value, content = b.newValue(w)
	}
	switch a.kind {
	case putIfAbsent:
		change.Condition.IfNoneMatch = register.Tags{Sent: true, Any: true}
	case putIfMatch, delIfMatch:
		change.Condition.IfMatch = w.expects(a)
	}
	w.enter(n, a, change, content)
}

// expects draws the version that must be there: most often the newest that any client knows of.
func (w *world) expects(a *act) register.Tags {
	b := a.book
	if len(b.known) == 0 || w.percent(5) {
		a.expected = -1
		return register.Tags{Sent: true, Versions: []register.Stamp{{Time: 1, Node: 1}}}
	}
	i := len(b.known) - 1
	if w.percent(20) {
		i = w.r.IntN(i + 1)
	}
	v := b.known[i]
	a.expected = w.entries[b.made[v].Operation].value
	return register.Tags{Sent: true, Versions: []register.Stamp{v}}
}

// knows notes a version that a client was told of as a value's. A value is never seen under two versions.
func (w *world) knows(a *act, version register.Stamp, value int32) {
	b := a.book
	if other, ok := b.versions[value]; ok && other != version {
		w.fail("%s: value %d is seen under versions %v and %v", b.key, value, other, version)
	}
	b.versions[value] = version
	if !slices.Contains(b.known, version) {
		b.known = append(b.known, version)
	}
}

// ends notes what the client was told.
func (a *act) ends(w *world, r result) {
	a.ended, a.result = w.tick(), r
	w.logf("client %d: %v, version %v", a.client, a, a.version)
	w.counts.act(w, a)
	a.then()
}

// nothing: the client is told that nothing has happened.
func (a *act) nothing(w *world, why string) {
	w.logf("client %d is told that nothing happened: %s", a.client, why)
	a.ends(w, nothing)
}

func (w *world) toldRead(a *act, s seen) {
	if !s.ok {
		a.ends(w, nothing)
		return
	}
	a.version = s.version
	w.tells(a.book, a.before, s.version, "read")
	if s.present {
		a.got = w.entries[a.book.made[s.version].Operation].value
		if s.content != a.book.values[a.got] {
			w.fail("%s: a read of version %v gives the bytes of another", a.book.key, s.version)
		}
		w.knows(a, s.version, a.got)
	}
	a.ends(w, done)
}

// told is the end of a write: what its entry node says.
func (w *world) told(e *entry, r register.Report) {
	a, b := e.a, e.b
	a.version = r.Outcome.Version
	_, unknown := errors.AsType[*register.UnknownError](r.Err)
	switch {
	case unknown:
		w.counts.Lost += count(r.Lost)
		a.ends(w, open)
	case r.Err == nil && r.Changed:
		w.succeeded(e, r)
	case r.Err == nil:
		w.promiseNothing(b, e.id, "nothing to delete")
		w.tells(b, a.before, a.version, "delete of nothing")
		a.ends(w, absent)
	case errors.Is(r.Err, register.ErrPrecondition):
		w.promiseNothing(b, e.id, "refused")
		w.tells(b, a.before, a.version, "refusal")
		a.ends(w, refused)
	default:
		w.promiseNothing(b, e.id, r.Err.Error())
		a.nothing(w, r.Err.Error())
	}
}

func (w *world) succeeded(e *entry, r register.Report) {
	a, b := e.a, e.b
	if m := b.made[a.version]; m == nil || m.Operation != e.id {
		w.fail("%s: operation %v is told of version %v, which is another's", b.key, e.id, a.version)
		return
	}
	w.tells(b, a.before, a.version, a.kind.String())
	a.replaced, a.exact = r.Outcome.Replaced, e.p.Turns() == 1
	if a.kind != del && a.kind != delIfMatch {
		w.knows(a, a.version, a.value)
	}
	a.ends(w, done)
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// coldWrites puts the cold keys once, before anything goes wrong.
func (w *world) coldWrites() {
	w.well = true
	left := w.p.cold
	for _, b := range w.books {
		if b.cold {
			w.begin(of(w.r, w.nodes...), w.act(50, b, put, func() { left-- }))
		}
	}
	w.until(func() bool { return left == 0 })
	w.well = false
}

// lookAround reads every key at every node; all of it must succeed.
func (w *world) lookAround(when string) {
	if w.broken != "" {
		return
	}
	left, limit := 0, w.now+lookLimit
	for _, b := range w.books {
		for _, n := range w.nodes {
			left++
			a := w.act(51+int(n.id), b, read, func() { left-- })
			a.final = true
			w.queue.push(event{at: w.now, node: n, life: anyLife, do: func() { w.lookAt(n, a, limit) }})
		}
	}
	w.until(func() bool { return left == 0 || w.now > limit+getLimit*forwards*2 })
	if left > 0 {
		w.fail("%s %d of %d reads have not ended", when, left, len(w.books)*len(w.nodes))
	}
}

// lookAt reads a key until the read succeeds.
func (w *world) lookAt(n *node, a *act, limit time.Duration) {
	w.get(n, a.book, func(s seen) {
		if !s.ok && w.now < limit {
			w.counts.Relooks++
			w.on(n, 100*time.Millisecond, func() { w.lookAt(n, a, limit) })
			return
		}
		if !s.ok && !n.wild {
			w.fail("%v cannot read %s though all faults are over", n.id, a.book.key)
		}
		w.toldRead(a, s)
	})
}
