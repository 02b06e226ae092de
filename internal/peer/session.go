package peer

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/estorajed/estorajed/internal/peer/wire"
	"github.com/estorajed/estorajed/internal/register"
)

// A session is the way to one life of another node, from the handshake to the first thing that goes wrong. It is never revived. It has two
// connections: what is small, and heartbeats first of all, does not stand in line behind long values in the kernel.
type session struct {
	peer   *Peer
	hello  *wire.Hello      // the other node's
	conn   *grpc.ClientConn // of talk and pulse
	bulk   *grpc.ClientConn // of long values; comes back by itself
	values wire.PeerClient  // over bulk
	talk   wire.Peer_TalkClient
	pulse  wire.Peer_PulseClient
	box    *outbox
	ctx    context.Context // of its streams
	cancel context.CancelFunc
	over   chan struct{} // closed when it has ended

	rtt    atomic.Int64 // nanoseconds, smoothed
	ready  atomic.Bool
	named  atomic.Value // string: its state
	epoch  atomic.Uint64
	heard  atomic.Bool // something came since the watch last looked
	beaten sentTimes

	quiet chan struct{} // capacity 1: there is no value on its way any more

	mu      sync.Mutex // guards the fields below
	calls   map[uint64]*call
	last    uint64 // id that was given
	streams int    // values on their way
	ending  *ending
}

// An ending is why a session takes no more calls.
type ending struct {
	reason string
	cause  error
	since  time.Time
}

// serve works until the session has ended, leaves nothing behind, and tells how long that was.
func (s *session) serve() time.Duration {
	began := time.Now()
	var all sync.WaitGroup
	all.Go(s.speak)
	all.Go(s.listen)
	all.Go(s.feel)
	s.watch()
	s.close()
	all.Wait()
	return time.Since(began)
}

// close ends all streams.
func (s *session) close() {
	s.cancel()
	s.conn.Close()
	s.bulk.Close()
}

// speak sends what callers want sent.
func (s *session) speak() {
	err := s.box.pump(s.over, func(b *wire.Batch) error {
		for _, e := range b.GetEnvelopes() {
			s.peer.peers.config.Events.message(kindOf(e), true)
		}
		return s.talk.Send(b)
	})
	if err == nil {
		_ = s.talk.CloseSend() // the error is the stream's, and listen meets it
	}
}

// listen hands the answers out.
func (s *session) listen() {
	for {
		batch, err := s.talk.Recv()
		if err != nil {
			if err == io.EOF && s.ended() {
				s.calm()
			}
			s.end(DownBroken, plain(err))
			return
		}
		s.heard.Store(true)
		for _, e := range batch.GetEnvelopes() {
			s.deliver(e)
		}
		if batch.GetClosing() {
			s.retire()
		}
	}
}

// calm waits until no value is on its way any more: a node that stops goes on giving and taking those, for a time that it bounds itself.
func (s *session) calm() {
	for {
		if _, streams := s.underWay(); streams == 0 {
			return
		}
		select {
		case <-s.quiet:
		case <-s.over:
			return
		case <-s.ctx.Done():
			return
		}
	}
}

// open counts a stream in, on the session that stands.
func (p *Peer) open() (*session, error) {
	st := p.standing.Load()
	if st.session == nil {
		return nil, st.down(p.node)
	}
	s := st.session
	s.mu.Lock()
	e, full := s.ending, s.streams >= streamsMax
	if e == nil && !full {
		s.streams++
	}
	s.mu.Unlock()
	switch {
	case e != nil:
		return nil, &DownError{Node: p.node, Since: e.since, Cause: e.cause, Unsent: true}
	case full:
		p.peers.config.Events.overloaded(p.node)
		return nil, register.ErrOverload
	}
	return s, nil
}

// shut counts a stream out.
func (s *session) shut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams--; s.streams == 0 {
		select {
		case s.quiet <- struct{}{}:
		default:
		}
	}
}

var (
	errStops  = errors.New("it is stopping")
	errSilent = errors.New("nothing was heard of it for " + DownAfter.String())
)

// retire ends the session for new calls, as the other node begins nothing more; what it has begun it will still answer.
func (s *session) retire() {
	if s.conclude(DownStopped, errStops) {
		s.box.close()
		s.drop(false)
	}
}

// end ends the session: all that is pending fails.
func (s *session) end(reason string, cause error) {
	s.conclude(reason, cause)
	s.box.close()
	s.drop(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.over:
	default:
		close(s.over)
	}
}

// conclude lets no more calls in, and says so; only the first time.
func (s *session) conclude(reason string, cause error) bool {
	s.mu.Lock()
	first := s.ending == nil
	if first {
		s.ending = &ending{reason, cause, time.Now()}
	}
	s.mu.Unlock()
	if !first {
		return false
	}
	p := s.peer
	p.standing.Store(&standing{
		since: s.ending.since, cause: cause, start: s.hello.GetStart(), release: s.hello.GetRelease(), epoch: s.epoch.Load(),
	})
	if down := p.peers.config.Events.Down; down != nil && p.peers.running.Err() == nil {
		down(p.node, reason, cause)
	}
	return true
}

// drop fails the calls that were not sent, and if so asked the others too. The outbox is closed.
func (s *session) drop(others bool) {
	s.mu.Lock()
	var dropped []*call
	for id, c := range s.calls {
		if taken := s.box.withdraw(&c.item); !taken || others {
			dropped = append(dropped, c)
			delete(s.calls, id)
		}
	}
	s.mu.Unlock()
	for _, c := range dropped {
		c.done <- result{err: s.failure(!c.taken)}
	}
}

// failure is the error of a call, or stream, that the session's end cut off.
func (s *session) failure(unsent bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &DownError{Node: s.peer.node, Since: s.ending.since, Cause: s.ending.cause, Unsent: unsent}
}

// ended tells whether the session takes no more calls.
func (s *session) ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ending != nil
}

// underWay is how many calls wait for their answer, and how many values are on their way.
func (s *session) underWay() (calls, streams int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls), s.streams
}
