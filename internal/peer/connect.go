package peer

import (
	"context"
	"errors"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/estorajed/estorajed/internal/peer/wire"
	"github.com/estorajed/estorajed/internal/ring"
)

// connect makes a session, within limit.
func (p *Peer) connect(ctx context.Context, limit time.Duration) (_ *session, err error) {
	address, known := p.peers.config.Address(p.node)
	if !known {
		return nil, errors.New("it is not a member any more")
	}
	s := &session{peer: p, box: newOutbox(), over: make(chan struct{}), quiet: make(chan struct{}, 1), calls: map[uint64]*call{}}
	for _, conn := range []**grpc.ClientConn{&s.conn, &s.bulk} {
		if *conn, err = grpc.NewClient("passthrough:///"+address, p.peers.dialOptions()...); err != nil {
			return nil, err // and nothing was begun
		}
	}
	s.ctx, s.cancel = context.WithCancel(ctx)
	slow := time.AfterFunc(limit, s.cancel)
	defer func() {
		if err == nil && !slow.Stop() {
			err = context.DeadlineExceeded
		}
		if err != nil {
			slow.Stop()
			s.close()
		}
	}()
	client := wire.NewPeerClient(s.conn)
	if s.talk, err = client.Talk(s.greeted(0)); err != nil {
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
	s.pulse, err = client.Pulse(s.greeted(s.hello.GetStart()))
	s.values = wire.NewPeerClient(s.bulk)
	s.bulk.Connect()
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
