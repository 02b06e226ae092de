package simulation

import (
	"slices"
	"time"
)

// The ring's table: who holds which partition. In this version sets do not move, but tables with a new epoch come, as if a move had been
// cancelled, and nodes hear of them late.

// newEpoch publishes a table in which one partition's set is of a new epoch.
func (w *world) newEpoch() {
	if len(w.epoch) > epochsMax {
		return
	}
	next := w.epoch[len(w.epoch)-1]
	next[w.r.IntN(partCount)] = uint64(len(w.epoch) + 1)
	w.epoch = append(w.epoch, next)
	w.counts.fault(epochChanged)
	w.logf("epoch %d: sets stand since %v", len(w.epoch), next)
	for _, n := range w.nodes {
		if w.percent(40) { // the others have to be told by somebody who knows
			w.queue.push(event{at: w.now + w.upTo(300*time.Millisecond), node: n, life: anyLife, do: func() { w.learn(n) }})
		}
	}
}

// learn has a node fetch the newest table. It is on its disk before the node answers with it.
func (w *world) learn(n *node) {
	if n.learning || n.table == len(w.epoch) {
		return
	}
	n.learning = true
	w.on(n, w.upTo(20*time.Millisecond), func() {
		if w.chance(100) { // who was asked did not answer
			n.learning = false
			return
		}
		newest := len(w.epoch)
		w.on(n, w.upTo(3*time.Millisecond), func() {
			n.kept = newest
			w.delicate(n)
			n.table, n.learning = newest, false
			w.logf("%v serves with epoch %d", n.id, newest)
		})
	})
}

// answersIn checks that no node goes back to an older epoch of a partition's set.
func (w *world) answersIn(n *node, part int, epoch uint64) {
	if epoch < n.answered[part] {
		w.fail("%v answers in epoch %d of partition %d; it had answered in %d before", n.id, epoch, part, n.answered[part])
	}
	n.answered[part] = epoch
}

// replicates tells whether a node has a copy of a key.
func (w *world) replicates(n *node, b *book) bool { return slices.Contains(w.parts[b.part], n.id) }
