package peer

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/estorajed/estorajed/internal/peer/wire"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
)

// A talk is the serving end of one node's stream of small operations.
type talk struct {
	*server
	from   *wire.Hello
	stream grpc.BidiStreamingServer[wire.Batch, wire.Batch]
	ctx    context.Context // of the operations; ends with the stream
	box    *outbox         // of answers
	works  sync.WaitGroup  // operations

	mu      sync.Mutex // guards the fields below
	running map[uint64]context.CancelFunc
	stops   bool          // nothing is begun any more
	broken  chan struct{} // closed once cause is set
	cause   error         // why the stream is given up
}

// Talk serves until the caller goes, or this node stops.
func (s *server) Talk(stream grpc.BidiStreamingServer[wire.Batch, wire.Batch]) error {
	t := &talk{
		server: s, from: caller(stream.Context()), stream: stream, box: newOutbox(),
		running: map[uint64]context.CancelFunc{}, broken: make(chan struct{}),
	}
	var cancel context.CancelFunc
	t.ctx, cancel = context.WithCancel(stream.Context())
	s.enter(t)
	defer s.leave(t)
	said := make(chan error, 1)
	t.server.works.Go(func() { said <- t.box.pump(t.ctx.Done(), t.send) })
	err := t.converse()
	t.stop()
	if err != nil {
		cancel() // who has gone needs no answers
		t.box.close()
	}
	t.works.Wait()
	t.box.seal()
	if failed := <-said; err == nil {
		err = failed
	}
	cancel()
	return err
}

// enter counts the talk in, and ends those of earlier lives of its node: they are dead, or should be.
func (s *server) enter(t *talk) {
	p := s.peers
	p.mu.Lock()
	defer p.mu.Unlock()
	for other := range p.talks {
		if other.from.GetNode() == t.from.GetNode() && other.from.GetStart() < t.from.GetStart() {
			other.giveUp(&refusal{ReasonStale, "a later life of " + ring.NodeID(t.from.GetNode()).String() + " is heard of"})
		}
	}
	p.talks[t] = true
}

func (s *server) leave(t *talk) {
	s.peers.mu.Lock()
	defer s.peers.mu.Unlock()
	delete(s.peers.talks, t)
}

// giveUp ends the talk for that reason.
func (t *talk) giveUp(cause error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cause == nil {
		t.cause = cause
		close(t.broken)
	}
}

func (t *talk) send(b *wire.Batch) error {
	for _, e := range b.GetEnvelopes() {
		t.peers.config.Events.message(kindOf(e), true)
	}
	return t.stream.Send(b)
}

// converse begins what comes, until the caller says that nothing more will: nil.
func (t *talk) converse() error {
	heard := make(chan error, 1)
	t.server.works.Go(func() { heard <- t.listen() })
	draining := t.peers.draining
	for {
		select {
		case err := <-heard:
			return err
		case <-t.broken:
			return t.cause
		case <-draining:
			draining = nil
			t.stop()
			t.box.announce()
		}
	}
}

// stop has nothing begun any more.
func (t *talk) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stops = true
}

func (t *talk) listen() error {
	for {
		batch, err := t.stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if n := len(batch.GetEnvelopes()); n > batchEnvelopes {
			return &refusal{ReasonMalformed, fmt.Sprintf("a batch of %d envelopes; at most %d are allowed", n, batchEnvelopes)}
		}
		for _, e := range batch.GetEnvelopes() {
			t.begin(e)
		}
		if err := t.patient(); err != nil {
			return err
		}
	}
}

// patient reads no further while the caller does not take its answers. Otherwise it would not even be possible to refuse.
func (t *talk) patient() error {
	for {
		if n, _ := t.box.waiting(); n < answersMax {
			return nil
		}
		select {
		case <-time.After(watchTick):
		case <-t.ctx.Done():
			return t.ctx.Err()
		}
	}
}

// begin has one operation worked on.
func (t *talk) begin(e *wire.Envelope) {
	known := e.GetKind() > wire.Kind_NONE && e.GetKind() <= wire.Kind_CANCEL
	if known {
		t.peers.config.Events.message(kindOf(e), false)
	}
	if e.GetKind() == wire.Kind_CANCEL {
		t.mu.Lock()
		cancel := t.running[e.GetId()]
		t.mu.Unlock()
		if cancel != nil {
			cancel()
		}
		return
	}
	w := &work{talk: t, envelope: e}
	w.ctx, w.cancel = t.context(e)
	if err := t.count(w); err != nil {
		w.cancel()
		w.refuse(err)
		return
	}
	go w.run()
}

// context is that of an operation.
func (t *talk) context(e *wire.Envelope) (context.Context, context.CancelFunc) {
	ctx := t.ctx
	if e.GetTraceparent() != "" {
		ctx = t.peers.extract(ctx, e.GetTraceparent())
	}
	if e.GetTimeoutMicros() == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Duration(min(e.GetTimeoutMicros(), uint64(timeoutMost.Microseconds())))*time.Microsecond)
}

// count lets an operation in, unless there are too many or the node stops.
func (t *talk) count(w *work) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	id := w.envelope.GetId()
	switch {
	case t.stops:
		return register.ErrStopped
	case len(t.running) >= handlersMax:
		return register.ErrOverload
	case t.running[id] != nil:
		return broken("two operations under one id")
	}
	t.running[id] = w.cancel
	t.works.Add(1)
	return nil
}
