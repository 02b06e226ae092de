package cluster

import (
	"context"
	"fmt"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A gate stands before all that clients ask of this node's etcd. Once it is shut, nobody is let in, streams end, and those inside are waited
// for: etcd itself would wait for clients to end their watches, which they never do. And a panic inside ends the etcd, not the process.
type gate struct {
	streams    context.Context // ends when the gate is shut
	endStreams context.CancelFunc
	panicked   func(error)

	mu     sync.Mutex
	isShut bool
	inside sync.WaitGroup // grows only while the gate is open
}

func newGate(panicked func(error)) *gate {
	g := &gate{panicked: panicked}
	g.streams, g.endStreams = context.WithCancel(context.Background())
	return g
}

// options have etcd's server ask the gate.
func (g *gate) options() []grpc.ServerOption {
	return []grpc.ServerOption{grpc.ChainUnaryInterceptor(g.call), grpc.ChainStreamInterceptor(g.stream)}
}

// shut lets nobody in any more. What it returns is closed when nobody is inside.
func (g *gate) shut() <-chan struct{} {
	g.mu.Lock()
	g.isShut = true
	g.mu.Unlock()
	g.endStreams()
	empty := make(chan struct{})
	go func() {
		g.inside.Wait()
		close(empty)
	}()
	return empty
}

// enter refuses in a way that makes clients ask another voter.
func (g *gate) enter() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.isShut {
		return status.Error(codes.Unavailable, "etcdserver: this voter is stopping")
	}
	g.inside.Add(1)
	return nil
}

// leave ends a call. A panic becomes its error.
func (g *gate) leave(err *error) {
	if cause := recover(); cause != nil {
		*err = status.Errorf(codes.Unavailable, "etcdserver: panic: %v", cause)
		g.panicked(fmt.Errorf("etcd panicked: %v", cause))
	}
	g.inside.Done()
}

func (g *gate) call(ctx context.Context, request any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (response any, err error) {
	if err := g.enter(); err != nil {
		return nil, err
	}
	defer g.leave(&err)
	return next(ctx, request)
}

func (g *gate) stream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	if err := g.enter(); err != nil {
		return err
	}
	defer g.leave(&err)
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	defer context.AfterFunc(g.streams, cancel)()
	return next(srv, boundStream{stream, ctx})
}

// A boundStream ends when the gate is shut.
type boundStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s boundStream) Context() context.Context { return s.ctx }
