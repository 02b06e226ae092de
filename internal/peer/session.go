package peer

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/estorajed/estorajed/internal/peer/wire"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
)

// A session is one connection to one life of another node, from the handshake to the first thing that goes wrong. It is never revived.
type session struct {
	peer   *Peer
	hello  *wire.Hello // the other node's
	conn   *grpc.ClientConn
	client wire.PeerClient
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

// A call is an operation that waits for its answer.
type call struct {
	item
	done chan result // capacity 1
}

type result struct {
	answer *wire.Envelope
	err    error
}

// connect makes a session, within limit.
func (p *Peer) connect(ctx context.Context, limit time.Duration) (_ *session, err error) {
	address, known := p.peers.config.Address(p.node)
	if !known {
		return nil, errors.New("it is not a member any more")
	}
	conn, err := grpc.NewClient("passthrough:///"+address, p.peers.dialOptions()...)
	if err != nil {
		return nil, err
	}
	s := &session{peer: p, conn: conn, box: newOutbox(), over: make(chan struct{}), quiet: make(chan struct{}, 1), calls: map[uint64]*call{}}
	s.ctx, s.cancel = context.WithCancel(ctx)
	slow := time.AfterFunc(limit, s.cancel)
	defer func() {
		if err == nil && !slow.Stop() {
			err = context.DeadlineExceeded
		}
		if err != nil {
			slow.Stop()
			s.cancel()
			conn.Close()
		}
	}()
	s.client = wire.NewPeerClient(conn)
	if s.talk, err = s.client.Talk(s.greeted(0)); err != nil {
		return nil, err
	}
	header, err := s.talk.Header()
	if err == nil && len(header.Get(helloKey)) == 0 {
		_, err = s.talk.Recv() // there is nothing but an error to be had
	}
	if err != nil {
		return nil, err
	}
	if s.hello, err = p.meet(header); err != nil {
		return nil, err
	}
	s.learn(s.hello.GetState())
	s.pulse, err = s.client.Pulse(s.greeted(s.hello.GetStart()))
	return s, err
}

// greeted is the session's context with the Hello that each of its streams begins with.
func (s *session) greeted(life uint64) context.Context { return s.greet(s.ctx, life) }

func (s *session) greet(ctx context.Context, life uint64) context.Context {
	return metadata.NewOutgoingContext(ctx, greeting(s.peer.peers.hello(s.peer.node, life)))
}

// meet judges the Hello of whoever has answered.
func (p *Peer) meet(header metadata.MD) (*wire.Hello, error) {
	h, err := greeted(header)
	if err == nil {
		err = p.peers.admit(h)
	}
	if node := ring.NodeID(h.GetNode()); err == nil && node != p.node {
		err = &refusal{ReasonAddressee, "at the address of " + p.node.String() + " answers " + node.String()}
	}
	if err != nil {
		p.peers.refused(err, p.node.String())
	}
	return h, err
}

// run keeps a session up until ctx ends.
func (p *Peer) run(ctx context.Context) {
	pause, limit := retryFirst, attemptFirst
	for ctx.Err() == nil {
		s, err := p.connect(ctx, limit)
		if err == nil {
			p.stand(s)
			if s.serve() > retryMost {
				pause = retryFirst
			}
			limit = attemptFirst
		} else if ctx.Err() == nil {
			p.fail(err)
			limit = min(2*limit, attemptMost)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, retryMost)
	}
	was := *p.standing.Load()
	was.session, was.cause = nil, errClosed
	p.standing.Store(&was)
}

// stand begins to use a session.
func (p *Peer) stand(s *session) {
	was, now := p.standing.Load(), time.Now()
	p.standing.Store(&standing{session: s, since: now, start: s.hello.GetStart(), release: s.hello.GetRelease()})
	if up := p.peers.config.Events.Up; up != nil {
		up(p.node, s.hello.GetStart(), now.Sub(was.since))
	}
}

// fail notes why there is no session.
func (p *Peer) fail(err error) {
	was := *p.standing.Load()
	was.cause = plain(err)
	p.standing.Store(&was)
	if failed := p.peers.config.Events.Failed; failed != nil {
		failed(p.node, was.cause)
	}
}

// plain is an error of gRPC without what it says of itself.
func plain(err error) error {
	st, is := status.FromError(err)
	switch {
	case !is:
		return err
	case st.Code() == codes.Canceled || st.Code() == codes.DeadlineExceeded:
		return errors.New("no answer in time")
	}
	text := st.Message()
	if _, dialing, cut := strings.Cut(text, "Error while dialing: "); cut {
		text = strings.TrimSuffix(dialing, `"`)
	}
	return errors.New(text)
}

// serve works until the session has ended, leaves nothing behind, and tells how long that was.
func (s *session) serve() time.Duration {
	began := time.Now()
	var all sync.WaitGroup
	all.Go(s.speak)
	all.Go(s.listen)
	all.Go(s.feel)
	s.watch()
	s.cancel()
	s.conn.Close()
	all.Wait()
	return time.Since(began)
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

func (s *session) deliver(e *wire.Envelope) {
	s.mu.Lock()
	c := s.calls[e.GetId()]
	delete(s.calls, e.GetId())
	s.mu.Unlock()
	if c == nil {
		return // nobody waits for it any more
	}
	s.peer.peers.config.Events.message(kindOf(c.envelope), false)
	c.done <- result{answer: e}
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

// do has an operation done and waits for its answer. sent tells whether it may have been begun; without an error it was.
func (s *session) do(ctx context.Context, e *wire.Envelope) (answer *wire.Envelope, sent bool, err error) {
	c := &call{item: item{envelope: e}, done: make(chan result, 1)}
	c.deadline, _ = ctx.Deadline()
	if err = s.enter(c); err == nil {
		if err = s.box.push(&c.item); err != nil && !s.leave(c) {
			err = (<-c.done).err // the session ended at the same moment
		}
	}
	if err != nil {
		if err == register.ErrOverload {
			s.peer.peers.config.Events.overloaded(s.peer.node)
		}
		return nil, false, err
	}
	select {
	case r := <-c.done:
		return r.answer, !isUnsent(r.err), r.err
	case <-ctx.Done():
	}
	if !s.leave(c) {
		r := <-c.done // it came at the same moment
		return r.answer, !isUnsent(r.err), r.err
	}
	if sent = s.box.withdraw(&c.item); sent {
		_ = s.box.push(&item{envelope: &wire.Envelope{Id: e.GetId(), Kind: wire.Kind_CANCEL}})
	}
	return nil, sent, ctx.Err()
}

func isUnsent(err error) bool { return errors.Is(err, register.ErrUnreachable) }

// enter gives the call its id, unless the session has ended or too much is pending.
func (s *session) enter(c *call) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.ending; e != nil {
		return &DownError{Node: s.peer.node, Since: e.since, Cause: e.cause, Unsent: true}
	}
	if len(s.calls) >= pendingMax {
		return register.ErrOverload
	}
	s.last++
	c.envelope.Id = s.last
	s.calls[s.last] = c
	return nil
}

// leave takes the call back; false if its result is there, or on its way.
func (s *session) leave(c *call) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls[c.envelope.GetId()] != c {
		return false
	}
	delete(s.calls, c.envelope.GetId())
	return true
}
