package simulation

import (
	"errors"
	"time"
)

// nodesMax is the most nodes of a run.
const nodesMax = 7

var errUnreachable = errors.New("the node cannot be reached")

// send has do happen at another node, some time: it may be lost, late, doubled and overtaken. refused, if there is one, happens at the
// sender instead when it learns that there is nobody to take the message; it need not learn that.
func (w *world) send(from, to *node, do, refused func()) {
	if from == to {
		w.on(from, w.upTo(50*time.Microsecond), do)
		return
	}
	if refused != nil && !to.up && w.percent(60) {
		w.counts.fault(unreachable)
		w.on(from, w.upTo(time.Millisecond), refused)
		return
	}
	if from.deaf[to.id] {
		w.counts.fault(messageCut)
		return
	}
	if w.chance(w.p.drop) {
		w.counts.fault(messageLost)
		return
	}
	w.deliver(from, to, do)
	if w.chance(w.p.twice) {
		w.counts.fault(messageDoubled)
		w.deliver(from, to, do)
	}
}

// back gives a way for answers to this life of a node: a later one knows nothing of the question.
func (w *world) back(to *node) func(from *node, do func()) {
	life := to.life
	return func(from *node, do func()) {
		w.send(from, to, func() {
			if to.life == life {
				do()
			}
		}, nil)
	}
}

func (w *world) deliver(from, to *node, do func()) {
	d := 100*time.Microsecond + w.upTo(2*time.Millisecond)
	if from.slow[to.id] && !w.well {
		d += w.upTo(150 * time.Millisecond)
	}
	if w.chance(w.p.late) {
		w.counts.fault(messageLate)
		d += w.upTo(w.p.lateMost)
	}
	if w.p.gossip {
		heard, tell := from.clock.Time(w.wall(from)), do
		do = func() {
			_ = to.clock.Merge(heard, w.wall(to)) // who is too far ahead is judged by what the message itself names
			tell()
		}
	}
	w.queue.push(event{at: w.now + d, node: to, life: anyLife, do: do})
}
