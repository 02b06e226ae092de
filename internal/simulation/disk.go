package simulation

import (
	"time"
)

// work is what a node's store was given to do and has not done yet: what the goroutines of store.Run would be at.
type work struct {
	journal bool // a batch is under way, or will be
	behind  bool // so is other work
	files   []func()
	step    func() bool
}

// journal sees to it that what is queued becomes durable.
func (w *world) journal(n *node) {
	if n.work.journal {
		return
	}
	n.work.journal = true
	w.on(n, w.upTo(200*time.Microsecond), func() { w.batch(n) })
}

func (w *world) batch(n *node) {
	do, ok := n.store.Batch()
	if !ok {
		n.work.journal = false
		return
	}
	d := w.upTo(w.p.sync)
	if w.chance(w.p.slowSync) {
		w.counts.fault(slowSync)
		d += w.upTo(w.p.syncLate)
	}
	w.on(n, d, func() {
		do()
		if n.up && !n.disk.Crashed() {
			w.behind(n)
			w.batch(n)
		}
	})
}

// behind sees to it that key files are written and the journal is dropped.
func (w *world) behind(n *node) {
	if n.work.behind {
		return
	}
	n.work.behind = true
	w.on(n, w.upTo(10*time.Millisecond), func() { w.workBehind(n) })
}

// workBehind takes a piece of work, or carries out one that was taken.
func (w *world) workBehind(n *node) {
	n.work.behind = false
	if w.pieceOfWork(n) && n.up && !n.disk.Crashed() {
		w.behind(n)
	}
}

func (w *world) pieceOfWork(n *node) bool {
	k := &n.work
	if w.chance(w.p.delicate) {
		n.disk.CrashAfter(1 + w.r.IntN(8))
	}
	if k.step == nil {
		k.step, _ = n.store.Checkpoint()
	}
	switch {
	case len(k.files) > 0 && (k.step == nil || w.percent(50)):
		i := w.r.IntN(len(k.files))
		do := k.files[i]
		k.files[i] = k.files[len(k.files)-1]
		k.files = k.files[:len(k.files)-1]
		do()
		return true
	case k.step != nil && w.percent(50):
		do := k.step
		k.step = nil
		if do() {
			w.counts.Checkpoints++
		}
		w.journal(n) // there may be room again
		return true
	}
	if do, ok := n.store.File(); ok {
		k.files = append(k.files, do)
		return true
	}
	return k.step != nil || n.store.Sweep()
}
