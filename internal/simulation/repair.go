package simulation

import (
	"math/bits"
	"time"

	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
)

// A stand-in for the repairer that is to come: it looks at all copies of a key, and teaches those that lag behind a state that is known to
// be chosen. What is not known to be chosen it settles, by a read. It may stall between the one and the other.

// backgroundMax is how often anything of that kind comes in one run.
const backgroundMax = 150

// background has repairers, epochs and damage come now and then.
func (w *world) background() {
	every := func(d time.Duration, do func()) {
		if d == 0 {
			return
		}
		left := backgroundMax
		var again func()
		again = func() {
			if !w.well && left > 0 {
				left--
				do()
				w.after(d/2+w.upTo(d), again)
			}
		}
		w.after(w.upTo(d), again)
	}
	every(w.p.epochs, w.newEpoch)
	every(w.p.repairs, func() {
		if n := of(w.r, w.nodes...); n.up {
			w.queue.push(event{at: w.now, node: n, life: anyLife, do: func() { w.repair(n, of(w.r, w.books...)) }})
		}
	})
	if w.p.damages > 0 {
		every(30*time.Millisecond, func() {
			if w.chance(w.p.damages) {
				b := of(w.r, w.books...)
				w.rot(w.node(of(w.r, b.members...)), b)
			}
		})
	}
}

func (w *world) repair(n *node, b *book) {
	w.counts.Repairs++
	evidence := n.clock.Time(w.wall(n))
	epoch := w.epoch[n.table-1][b.part]
	shown := make(map[ring.NodeID]register.Record)
	decided := false
	decide := func() {
		if decided {
			return
		}
		decided = true
		rec, sources, chosen := agreed(b, shown)
		if !chosen {
			if len(shown) > len(b.members)/2 {
				w.readAt(n, b, 1, func(seen) {})
			}
			return
		}
		if rec.Ballot.IsZero() {
			return
		}
		d := time.Duration(0)
		if w.chance(w.p.repairStall) {
			d = w.upTo(2 * w.p.stall)
		}
		w.on(n, d, func() {
			w.teach(n, b, register.Message{Epoch: epoch, Phase: register.Learn, Record: rec, Evidence: evidence, Sources: sources}, shown)
		})
	}
	back := w.back(n)
	for _, id := range b.members {
		to := w.node(id)
		w.send(n, to, func() {
			w.ask(to, b, register.Message{To: id, Epoch: epoch, Phase: register.Look}, func(a register.Answer, err error) {
				if err != nil || a.Reply != register.Shown {
					return
				}
				a.Record.Value.Inline, a.Record.Value.Stage = nil, register.Stamp{}
				back(to, func() {
					shown[id] = a.Record
					if len(shown) == len(b.members) {
						decide()
					}
				})
			})
		}, nil)
	}
	w.on(n, w.between(5*time.Millisecond, 100*time.Millisecond), decide)
}

// agreed finds the state that a majority shows, and who shows it.
func agreed(b *book, shown map[ring.NodeID]register.Record) (rec *register.Record, sources []ring.NodeID, chosen bool) {
	for _, id := range b.members {
		r, ok := shown[id]
		if !ok {
			continue
		}
		var same uint16
		sources = sources[:0]
		for _, other := range b.members {
			if s, ok := shown[other]; ok && s.Ballot == r.Ballot {
				same |= 1 << other
				sources = append(sources, other)
			}
		}
		if bits.OnesCount16(same) > len(b.members)/2 {
			return &r, sources, true
		}
	}
	return nil, nil, false
}

// teach tells those that lag behind, and now and then one that does not.
func (w *world) teach(n *node, b *book, m register.Message, shown map[ring.NodeID]register.Record) {
	for _, id := range b.members {
		if r, ok := shown[id]; ok && !r.Ballot.Less(m.Record.Ballot) && w.percent(80) {
			continue
		}
		to, m := w.node(id), m
		m.To = id
		w.counts.Lessons++
		w.send(n, to, func() { w.ask(to, b, m, func(register.Answer, error) {}) }, nil)
	}
}
