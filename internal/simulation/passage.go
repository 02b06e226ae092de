package simulation

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
)

// handed names a hand-over: at a node it is begun at most once, and only in the life that it names.
type handed struct {
	operation register.Stamp
	turn      int
	life      int
}

// An entry is a write at the node where it entered the cluster, from the stamp that names it to the word that its client gets.
type entry struct {
	*world
	n        *node
	b        *book
	a        *act
	change   register.Change
	value    register.Value
	id       register.Stamp
	p        *register.Passage
	tried    []ring.NodeID // this write's coordinators so far
	waiting  bool          // for the report of the latest
	own      *carriage     // if this node itself has the turn
	deadline time.Duration
	last     error // why the latest coordinator gave up
}

var (
	errTurns = errors.New("there is nobody left to turn to")
	errTime  = errors.New("there is no time left")
)

// enter takes a write in at a node.
func (w *world) enter(n *node, a *act, change register.Change, content string) {
	w.stamp(n, 0, func(id register.Stamp, err error) {
		if err != nil {
			a.nothing(w, "no stamp")
			return
		}
		e := &entry{world: w, n: n, b: a.book, a: a, change: change, id: id, deadline: w.now + patience + w.upTo(time.Second)}
		w.entries[id] = a
		w.logf("%v enters at %v as %v", a, n.id, id)
		if change.Kind == register.Tombstone {
			e.begin()
			return
		}
		e.value = valueOf(content)
		if w.chance(w.p.staged) && content != "" {
			e.stage(content)
			return
		}
		e.value.Inline = []byte(content)
		e.begin()
	})
}

// stage has the bytes of a value put down at a majority of the replicas before the write begins.
func (e *entry) stage(content string) {
	e.counts.Staged++
	e.value.Stage = e.id
	acks, need := map[ring.NodeID]bool{}, len(e.b.members)/2+1
	begun := false
	back := e.back(e.n)
	for _, id := range e.b.members {
		to := e.node(id)
		e.send(e.n, to, func() {
			_, err := to.store.Stage(e.id, strings.NewReader(content))
			if err != nil {
				return
			}
			back(to, func() {
				acks[id] = true
				if len(acks) == need && !begun {
					begun = true
					e.begin()
				}
			})
		}, nil)
	}
	e.on(e.n, 2*time.Second, func() {
		if !begun {
			begun = true
			e.promiseNothing(e.b, e.id, "its bytes could not be staged")
			e.a.nothing(e.world, "not staged")
		}
	})
}

// begin begins the passage.
func (e *entry) begin() {
	e.p = register.NewPassage(e.id)
	e.on(e.n, e.deadline-e.now, e.timeUp)
	e.hand()
}

// timeUp ends the passage as the write has taken too long.
func (e *entry) timeUp() {
	if e.p.Decided() {
		return
	}
	if e.own != nil {
		e.own.expire() // it reports
	} else if e.waiting {
		e.p.Overdue()
		e.waiting = false
	}
	e.p.GiveUp(errTime)
	e.finish()
}

// hand gives the write to the next coordinator.
func (e *entry) hand() {
	if e.p.Decided() {
		return
	}
	if e.p.Turns() >= e.world.p.turns {
		cause := e.last
		if cause == nil {
			cause = errTurns
		}
		e.p.GiveUp(cause)
		e.finish()
		return
	}
	// Every later ballot lies above all earlier ones.
	if err := e.n.clock.Merge(e.p.Passed(), e.wall(e.n)); err != nil {
		e.p.GiveUp(err)
		e.finish()
		return
	}
	to := e.choose()
	e.tried = append(e.tried, to.id)
	e.counts.Turns++
	if e.p.Turns() > 0 {
		e.counts.Takeovers++
	}
	e.waiting = true
	if to == e.n {
		e.workMyself()
		return
	}
	e.handTo(to)
}

// choose prefers the first replica that seems to live, and who has not had a turn.
func (e *entry) choose() *node {
	if e.percent(e.world.p.away) {
		return of(e.r, e.nodes...)
	}
	for _, id := range e.b.members {
		seemsUp := e.node(id).up != (!e.well && e.percent(5))
		if !slices.Contains(e.tried, id) && seemsUp {
			return e.node(id)
		}
	}
	return e.n
}

func (e *entry) workMyself() {
	turn, named := e.p.Hand(register.Stamp{})
	e.logf("%v works itself on %v, turn %d", e.n.id, e.id, turn)
	e.takeTurn(e.n, e.b, func(leave func()) {
		if e.p.Decided() {
			leave()
			return
		}
		e.own = e.coordinate(e.n, e.b, register.Order{Entry: named, Change: e.change, Value: e.value}, func(r register.Report) {
			leave()
			e.own = nil
			e.answer(turn, r)
		})
	}, func() { e.answer(turn, register.Report{Err: register.ErrOverload}) })
}

func (e *entry) handTo(to *node) {
	wait := e.between(e.world.p.wait/2, e.world.p.wait)
	if e.world.p.turns == 1 {
		wait = patience // nobody else to turn to
	}
	now := e.n.clock.Time(e.wall(e.n))
	turn, named := e.p.Hand(register.LastBallot(now.Add(wait)))
	order := register.Order{Entry: named, Change: e.change, Value: e.value, Clock: now}
	name := handed{e.id, turn, to.life}
	e.logf("%v hands %v to %v, turn %d, last ballot %v, taker %v", e.n.id, e.id, to.id, turn, named.Last.Time, named.Taker)
	back := e.back(e.n)
	report := func(r register.Report) { back(to, func() { e.answer(turn, r) }) }
	e.send(e.n, to, func() { e.take(to, e.b, name, order, report) }, func() {
		e.answer(turn, register.Report{Err: errUnreachable})
	})
	e.on(e.n, wait, func() {
		if e.p.Turns() == turn && e.waiting && !e.p.Decided() {
			e.waiting = false
			e.counts.Overdue++
			e.p.Overdue()
			e.hand()
		}
	})
}

// answer takes in a coordinator's report.
func (e *entry) answer(turn int, r register.Report) {
	if e.p.Decided() {
		return
	}
	e.logf("%v hears of %v, turn %d: changed %v, sent %v, lost %v, version %v, %v", e.n.id, e.id, turn, r.Changed, r.Sent, r.Lost, r.Outcome.Version, r.Err)
	e.p.Answer(turn, r)
	if e.p.Decided() {
		e.finish()
		return
	}
	if turn == e.p.Turns() && e.waiting {
		e.waiting = false
		e.last = r.Err
		e.on(e.n, e.upTo(5*time.Millisecond), e.hand)
	}
}

// finish tells the client.
func (e *entry) finish() {
	e.told(e, e.p.Report())
}

// take begins a write that was handed to this node, at most once.
func (w *world) take(n *node, b *book, name handed, order register.Order, report func(register.Report)) {
	if name.life != n.life || n.begun[name] {
		w.counts.fault(handOverRepeated)
		return
	}
	n.begun[name] = true
	if err := n.clock.Merge(order.Clock, w.wall(n)); err != nil {
		w.counts.fault(skewRefused)
		report(register.Report{Err: err})
		return
	}
	w.takeTurn(n, b, func(leave func()) {
		w.coordinate(n, b, order, func(r register.Report) {
			leave()
			report(r)
		})
	}, func() { report(register.Report{Err: register.ErrOverload}) })
}

// coordinate works on a write in its turn.
func (w *world) coordinate(n *node, b *book, order register.Order, report func(register.Report)) *carriage {
	op := register.NewWrite(order.Change, order.Value, order.Entry)
	var c *carriage
	c = w.carryOut(n, b, op, func() {
		if c != nil && c.failed != nil {
			report(register.Report{Err: c.failed, Sent: op.Sent()})
			return
		}
		report(op.Report())
	})
	return c
}
