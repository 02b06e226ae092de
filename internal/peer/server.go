package peer

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/estorajed/estorajed/internal/peer/wire"
	"github.com/estorajed/estorajed/internal/ring"
)

// A server answers other nodes.
type server struct {
	wire.UnsafePeerServer
	peers *Peers
	works sync.WaitGroup // of streams, which may outlive what gRPC knows of them
}

// Serve answers other nodes until ctx ends. Then it begins nothing more and tells its callers so, answers what it has begun, for a bounded
// time, and returns. It may be called once, and closes l.
func (p *Peers) Serve(ctx context.Context, l net.Listener) error {
	s := &server{peers: p}
	options := append(p.serverOptions(), grpc.StreamInterceptor(s.admit))
	g := grpc.NewServer(options...)
	g.RegisterService(&wire.Peer_ServiceDesc, s)
	stopped := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		defer close(stopped)
		close(p.draining)
		late := time.AfterFunc(p.drain, g.Stop)
		defer late.Stop()
		g.GracefulStop()
	})
	err := g.Serve(&listener{l, p})
	if cancel() {
		g.Stop()
	} else {
		<-stopped
		err = nil
	}
	s.works.Wait()
	return err
}

func (p *Peers) serverOptions() []grpc.ServerOption {
	options := []grpc.ServerOption{
		grpc.Creds(serverCredentials()),
		grpc.MaxRecvMsgSize(frameMax), grpc.MaxSendMsgSize(frameMax), grpc.MaxHeaderListSize(2 * helloMax),
		grpc.StaticStreamWindowSize(streamWindow), grpc.StaticConnWindowSize(connectionAhead),
		grpc.MaxConcurrentStreams(2 * streamsMax), grpc.ConnectionTimeout(greetLimit),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: answerLimit, Timeout: answerLimit}),
		grpc.WaitForHandlers(true),
	}
	if frame := p.config.Events.Frame; frame != nil {
		options = append(options, grpc.StatsHandler(frames{frame}))
	}
	return options
}

func (p *Peers) dialOptions() []grpc.DialOption {
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(clientCredentials()), grpc.WithContextDialer(dial), grpc.WithNoProxy(),
		grpc.WithDisableRetry(), grpc.WithDisableServiceConfig(), grpc.WithDisableHealthCheck(), grpc.WithIdleTimeout(0),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{BaseDelay: retryFirst, Multiplier: 2, MaxDelay: retryMost}, MinConnectTimeout: attemptMost,
		}),
		grpc.WithStaticStreamWindowSize(streamWindow), grpc.WithStaticConnWindowSize(connectionAhead), grpc.WithMaxHeaderListSize(2 * helloMax),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(frameMax), grpc.MaxCallSendMsgSize(frameMax)),
	}
	if frame := p.config.Events.Frame; frame != nil {
		options = append(options, grpc.WithStatsHandler(frames{frame}))
	}
	return options
}

// admit lets a stream in, if it begins with the right Hello.
func (s *server) admit(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	header, _ := metadata.FromIncomingContext(stream.Context())
	h, err := greeted(header)
	if err == nil {
		err = s.peers.admit(h)
	}
	if err == nil {
		err = s.peers.addressed(h)
	}
	if err != nil {
		s.peers.refused(err, remote(stream.Context()))
		return err
	}
	select {
	case <-s.peers.draining:
		return status.Error(codes.Unavailable, errStops.Error())
	default:
	}
	if info.FullMethod == wire.Peer_Talk_FullMethodName {
		answer := s.peers.hello(0, 0)
		answer.State = s.peers.state()
		if err := stream.SendHeader(greeting(answer)); err != nil {
			return err
		}
	}
	err = handler(srv, &admitted{stream, context.WithValue(stream.Context(), callerKey{}, h)})
	if st := status.Code(err); st == codes.ResourceExhausted {
		s.peers.refused(&refusal{ReasonOversized, plain(err).Error()}, remote(stream.Context()))
	} else if st == codes.Internal {
		s.peers.refused(&refusal{ReasonMalformed, plain(err).Error()}, remote(stream.Context()))
	} else if r, is := errors.AsType[*refusal](err); is {
		s.peers.refused(r, ring.NodeID(h.GetNode()).String())
	}
	return err
}

// An admitted stream knows its caller.
type admitted struct {
	grpc.ServerStream
	ctx context.Context
}

func (a *admitted) Context() context.Context { return a.ctx }

type callerKey struct{}

// caller is the Hello with which the stream began.
func caller(ctx context.Context) *wire.Hello {
	h, _ := ctx.Value(callerKey{}).(*wire.Hello)
	return h
}

// remote is the address of the other end, for the operator.
func remote(ctx context.Context) string {
	if p, known := peer.FromContext(ctx); known {
		return p.Addr.String()
	}
	return "unknown"
}
