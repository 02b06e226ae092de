package coordinator

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
)

// turnMax is how many writes may wait for one key's turn.
const turnMax = 1024

// turns lets the writes of this node upon one key go one after the other, in the order in which they came: they would only get in
// each other's way as rounds. Other nodes may still write the same key; that is what the rounds are for.
type turns struct {
	mu      sync.Mutex                  // guards the fields below
	queues  map[key.Key][]chan struct{} // a key that is being written: who waits for it, first come first
	waiting int
}

// take waits for k's turn, for so long at most. If the error is nil the turn is the caller's, who gives it back by leave.
// Errors: register.ErrOverload; ctx's.
func (t *turns) take(ctx context.Context, k key.Key, patience time.Duration) (waited bool, err error) {
	mine, err := t.queue(k)
	if mine == nil {
		return false, err
	}
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-mine:
		return true, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-limit.C:
		err = register.ErrOverload
	}
	t.forgo(k, mine)
	return true, err
}

// queue takes the turn if it is free (nil, nil), else a place among those who wait.
func (t *turns) queue(k key.Key) (chan struct{}, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	queue, taken := t.queues[k]
	if !taken {
		t.queues[k] = nil
		return nil, nil
	}
	if len(queue) >= turnMax {
		return nil, register.ErrOverload
	}
	mine := make(chan struct{})
	t.queues[k] = append(queue, mine)
	t.waiting++
	return mine, nil
}

// leave hands the turn to who waits for it first.
func (t *turns) leave(k key.Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	queue := t.queues[k]
	if len(queue) == 0 {
		delete(t.queues, k)
		return
	}
	close(queue[0])
	t.queues[k] = queue[1:]
	t.waiting--
}

// forgo gives up a place in the queue, or the turn if it came at this very moment.
func (t *turns) forgo(k key.Key, mine chan struct{}) {
	t.mu.Lock()
	i := slices.Index(t.queues[k], mine)
	if i >= 0 {
		t.queues[k] = slices.Delete(t.queues[k], i, i+1)
		t.waiting--
	}
	t.mu.Unlock()
	if i < 0 {
		t.leave(k)
	}
}

func (t *turns) status() (keys, waiting int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.queues), t.waiting
}
