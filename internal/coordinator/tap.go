package coordinator

import (
	"context"
	"errors"
	"io"

	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
)

// A tap is where one replica takes the body from.
type tap struct {
	*spread
	node ring.NodeID
	more chan struct{} // one place: another chunk was written, or the end is known

	at     int // chunk, of all that were written
	offset int // within it
	left   bool
	done   bool // Stage has returned
	value  register.Value
	err    error
}

// fill has one replica stage what comes out of its tap.
func (c *Coordinator) fill(ctx context.Context, t *tap, size int64) {
	replica := c.at(t.node)
	if replica == nil {
		t.finish(register.Value{}, register.ErrUnreachable)
		return
	}
	value, err := replica.Stage(ctx, t.id, t, size)
	if unwanted := t.finish(value, err); unwanted && err == nil {
		replica.Unstage(value)
	}
}

// finish notes what Stage gave. It tells whether nobody wants that any more.
func (t *tap) finish(value register.Value, err error) (unwanted bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	unwanted = t.left || t.over
	t.done, t.left, t.value = true, true, value
	if t.err == nil {
		t.err = err
	}
	if err != nil {
		t.votes.Refuse(t.node)
	}
	signal(t.moved)
	return unwanted
}

// staged tells whether the replica holds the value for a write that will not come.
func (t *tap) staged() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.done && t.err == nil
}

// Read gives the body's next bytes, once they are there.
func (t *tap) Read(p []byte) (int, error) {
	for {
		t.mu.Lock()
		n, ok, err := t.next(p)
		t.mu.Unlock()
		if ok {
			return n, err
		}
		<-t.more
	}
}

var errBehind = errors.New("too slow for the others, and left behind")

// next copies under the lock: a tap that was left behind must not touch a chunk that is being written anew.
func (t *tap) next(p []byte) (n int, ok bool, err error) {
	switch {
	case t.left && t.end != nil && t.end != io.EOF:
		return 0, true, t.end
	case t.left:
		return 0, true, errBehind
	case t.at < t.written:
		slot := t.at % windowChunks
		n = copy(p, t.window[slot][t.offset:t.lengths[slot]])
		if t.offset += n; t.offset == t.lengths[slot] {
			t.at, t.offset = t.at+1, 0
			signal(t.moved)
		}
		return n, true, nil
	case t.end != nil:
		return 0, true, t.end
	}
	return 0, false, nil
}

// full tells whether the tap keeps the window from moving on.
func (t *tap) full() bool { return !t.left && t.written-t.at >= windowChunks }

// busy tells whether the tap's replica is still staging.
func (t *tap) busy() bool { return !t.left }
