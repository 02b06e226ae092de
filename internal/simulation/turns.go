package simulation

// A turn is a key that a node is writing, and who waits for it there.
type turn struct {
	queue []*waiter
}

type waiter struct {
	begin func(leave func())
	gone  bool
}

// takeTurn lets the writes of one coordinator upon one key go one after the other; who waits too long gives up.
func (w *world) takeTurn(n *node, b *book, begin func(leave func()), giveUp func()) {
	leave := func() { w.leaveTurn(n, b) }
	t := n.turns[b]
	if t == nil {
		n.turns[b] = &turn{}
		begin(leave)
		return
	}
	mine := &waiter{begin: begin}
	t.queue = append(t.queue, mine)
	w.on(n, patience, func() {
		if !mine.gone {
			mine.gone = true
			giveUp()
		}
	})
}

func (w *world) leaveTurn(n *node, b *book) {
	t := n.turns[b]
	for len(t.queue) > 0 {
		next := t.queue[0]
		t.queue = t.queue[1:]
		if !next.gone {
			next.gone = true
			next.begin(func() { w.leaveTurn(n, b) })
			return
		}
	}
	delete(n.turns, b)
}
