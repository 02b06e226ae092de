package peer

import (
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// What Stage and Fetch have in common: a value on a stream of its own, cut off when it comes to a standstill.

var errStalled = errors.New("no progress was made for too long")

// A watchdog bites unless it is called off in time.
type watchdog struct {
	timer *time.Timer
	limit time.Duration
}

func newWatchdog(limit time.Duration, bite func()) *watchdog {
	w := &watchdog{timer: time.AfterFunc(limit, bite), limit: limit}
	w.timer.Stop()
	return w
}

// during does what may stall.
func (w *watchdog) during(do func() error) error {
	w.timer.Reset(w.limit)
	defer w.timer.Stop()
	return do()
}

// cutOff is why a stream of the session ended with err before its time; ctx is what it ran under.
func (s *session) cutOff(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if s.ended() {
		return s.failure(false)
	}
	if status.Code(err) == codes.Unavailable { // the session is about to hear of it
		return &DownError{Node: s.peer.node, Since: time.Now(), Cause: plain(err)}
	}
	return plain(err)
}

// stallable does a stream's work, which ends with the stream, and lets the stream end when it stalls: that alone frees who waits for it.
func (s *server) stallable(work func(*watchdog) error) error {
	stalled := make(chan struct{})
	dog := newWatchdog(s.peers.stall, func() { close(stalled) })
	done := make(chan error, 1)
	s.works.Go(func() { done <- work(dog) })
	select {
	case err := <-done:
		return err
	case <-stalled:
		return status.Error(codes.DeadlineExceeded, errStalled.Error())
	}
}

// pieces are buffers of pieceBytes.
var pieces = sync.Pool{New: func() any { return new([pieceBytes]byte) }}
