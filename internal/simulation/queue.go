package simulation

import "time"

// An event is something that happens at a moment. If it happens at a node, it happens only while that life of the node goes on, and
// waits while the node is stalled; life anyLife is whichever the node lives by then.
type event struct {
	at   time.Duration
	seq  uint64 // of two at the same moment the one that was planned first comes first
	node *node
	life int
	do   func()
}

const anyLife = -1

func (e *event) before(o *event) bool { return e.at < o.at || e.at == o.at && e.seq < o.seq }

// A queue gives events in the order of their moments: a binary heap.
type queue struct {
	heap []event
	seq  uint64
}

func (q *queue) len() int { return len(q.heap) }

func (q *queue) push(e event) {
	q.seq++
	e.seq = q.seq
	h := append(q.heap, e)
	i := len(h) - 1
	for i > 0 {
		above := (i - 1) / 2
		if !e.before(&h[above]) {
			break
		}
		h[i] = h[above]
		i = above
	}
	h[i] = e
	q.heap = h
}

func (q *queue) pop() event {
	h := q.heap
	first, last := h[0], h[len(h)-1]
	h[len(h)-1] = event{}
	h = h[:len(h)-1]
	q.heap = h
	if len(h) == 0 {
		return first
	}
	i := 0
	for {
		below := 2*i + 1
		if below >= len(h) {
			break
		}
		if below+1 < len(h) && h[below+1].before(&h[below]) {
			below++
		}
		if !h[below].before(&last) {
			break
		}
		h[i] = h[below]
		i = below
	}
	h[i] = last
	return first
}
