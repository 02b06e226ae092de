package peer

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/peer/wire"
	"github.com/estorajed/estorajed/internal/register"
)

// fetch gives the peer's copy, or with coordinated the key's state, with its value on a stream. What the peer opened stays what it
// is, whatever is written meanwhile. ctx ends with the call; the body, when it is closed.
func (p *Peer) fetch(ctx context.Context, k key.Key, coordinated bool) (register.Record, io.ReadSeekCloser, error) {
	s, err := p.open()
	if err != nil {
		return register.Record{}, nil, fmt.Errorf("fetch from %v: %w", p.node, err)
	}
	f := &fetched{session: s}
	var cancel context.CancelCauseFunc
	f.ctx, cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	f.cancel = func() { cancel(nil); s.shut() }
	f.dog = newWatchdog(p.peers.stall, func() { cancel(errStalled) })
	stop := context.AfterFunc(ctx, func() { cancel(ctx.Err()) })
	p.peers.config.Events.message(KindFetch, true)
	rec, err := f.open(&wire.Wanted{Key: []byte(k), Coordinated: coordinated, Traceparent: p.peers.inject(ctx)})
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		f.cancel()
		return register.Record{}, nil, fmt.Errorf("fetch from %v: %w", p.node, err)
	}
	p.peers.config.Events.message(KindFetch, false)
	if !rec.Present() {
		f.cancel()
		return *rec, nil, nil
	}
	f.length = rec.Value.Length
	return *rec, f, nil
}

// A fetched value flows from a peer while it is read. Nothing flows before the first Read; after a Seek, from there on.
type fetched struct {
	session *session
	ctx     context.Context
	cancel  func()
	dog     *watchdog
	stream  grpc.BidiStreamingClient[wire.Wanted, wire.Given]
	length  int64
	at      int64  // of the next byte that Read gives
	flows   bool   // the peer was asked for what follows at
	number  uint32 // of that request: what came of earlier ones is let go
	rest    []byte // of the piece that came last
	err     error  // there will be no more
	closed  bool
}

func (f *fetched) open(what *wire.Wanted) (rec *register.Record, err error) {
	s := f.session
	if f.stream, err = s.values.Fetch(s.greet(f.ctx, s.hello.GetStart())); err != nil {
		return nil, s.cutOff(f.ctx, err)
	}
	var given *wire.Given
	err = f.dog.during(func() (err error) {
		if err = f.stream.Send(what); err == nil || errors.Is(err, io.EOF) {
			given, err = f.stream.Recv()
		}
		return err
	})
	if err != nil {
		return nil, s.cutOff(f.ctx, err)
	}
	if given.GetFault() != nil {
		return nil, decodeFault(given.GetFault())
	}
	if rec, err = decodeRecord(given.GetCopy().GetRecord()); err != nil {
		return nil, s.peer.misread(err)
	}
	return rec, nil
}

func (f *fetched) Read(b []byte) (int, error) {
	switch {
	case f.closed:
		return 0, errShut
	case f.err != nil:
		return 0, f.err
	case f.at >= f.length:
		return 0, io.EOF
	case len(b) == 0:
		return 0, nil
	}
	for len(f.rest) == 0 {
		if err := f.next(); err != nil {
			f.err = fmt.Errorf("value from %v, at byte %d of %d: %w", f.session.peer.node, f.at, f.length, err)
			return 0, f.err
		}
	}
	n := copy(b, f.rest)
	f.rest = f.rest[n:]
	f.at += int64(n)
	return n, nil
}

var errShut = errors.New("the value was closed")

// next waits for the next piece, and asks for it if nobody has.
func (f *fetched) next() error {
	return f.dog.during(func() error {
		if !f.flows {
			f.number++
			if err := f.stream.Send(&wire.Wanted{Number: f.number, Offset: f.at}); err != nil && !errors.Is(err, io.EOF) {
				return f.session.cutOff(f.ctx, err)
			}
			f.flows = true
		}
		given, err := f.stream.Recv()
		if err != nil {
			return f.session.cutOff(f.ctx, err)
		}
		if given.GetNumber() != f.number {
			return nil // asked for before a Seek
		}
		f.rest = given.GetPiece()
		switch {
		case given.GetFault() != nil:
			return decodeFault(given.GetFault())
		case len(f.rest) == 0:
			return io.ErrUnexpectedEOF
		case int64(len(f.rest)) > f.length-f.at:
			return f.session.peer.misread(broken("more bytes than the value has"))
		}
		return nil
	})
}

// Seek moves to another place. What is under way from the earlier one costs a window of bytes at most.
func (f *fetched) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.at
	case io.SeekEnd:
		offset += f.length
	}
	if offset < 0 {
		return f.at, errors.New("a place before the value's first byte")
	}
	if offset != f.at {
		f.at, f.rest, f.flows = offset, nil, false
	}
	return offset, nil
}

func (f *fetched) Close() error {
	if !f.closed {
		f.closed = true
		f.cancel()
	}
	return nil
}

// Fetch gives a value off this node's disk, or whichever it coordinates.
func (s *server) Fetch(stream grpc.BidiStreamingServer[wire.Wanted, wire.Given]) error {
	return s.stallable(func(dog *watchdog) error {
		var first *wire.Wanted
		err := dog.during(func() (err error) {
			first, err = stream.Recv()
			return err
		})
		if err != nil {
			return err
		}
		k, err := decodeKey(first.GetKey())
		if err != nil {
			return &refusal{ReasonMalformed, err.Error()}
		}
		s.peers.config.Events.message(KindFetch, false)
		ctx := stream.Context()
		if first.GetTraceparent() != "" {
			ctx = s.peers.extract(ctx, first.GetTraceparent())
		}
		read := s.peers.config.Local.Read
		if first.GetCoordinated() {
			read = s.peers.config.Local.Get
		}
		rec, body, err := read(ctx, k)
		if body != nil {
			defer body.Close()
		}
		s.peers.config.Events.message(KindFetch, true)
		if err != nil {
			return stream.Send(&wire.Given{Fault: encodeFault(err)})
		}
		rec.Value.Inline, rec.Value.Stage = nil, register.Stamp{}
		if err := stream.Send(&wire.Given{Copy: &wire.Copy{Record: encodeRecord(&rec)}}); err != nil || body == nil {
			return err
		}
		g := &giving{server: s, stream: stream, dog: dog, body: body, wanted: make(chan *wire.Wanted, 1)}
		s.works.Go(g.listen)
		return g.run()
	})
}

// A giving is a value on its way to another node.
type giving struct {
	*server
	stream grpc.BidiStreamingServer[wire.Wanted, wire.Given]
	dog    *watchdog
	body   io.ReadSeeker
	wanted chan *wire.Wanted // capacity 1: the latest request; closed when there will be none
}

// listen keeps the latest request at hand.
func (g *giving) listen() {
	defer close(g.wanted)
	for {
		w, err := g.stream.Recv()
		if err != nil {
			return
		}
		select {
		case <-g.wanted:
		default:
		}
		g.wanted <- w
	}
}

func (g *giving) run() error {
	for {
		var w *wire.Wanted
		var open bool
		_ = g.dog.during(func() error { w, open = <-g.wanted; return nil })
		if !open {
			return nil
		}
		if err := g.give(w); err != nil {
			return err
		}
	}
}

// give sends the value from the wanted place on, until it ends or something else is wanted.
func (g *giving) give(w *wire.Wanted) error {
	buffer := pieces.Get().(*[pieceBytes]byte)
	defer pieces.Put(buffer)
	_, err := g.body.Seek(w.GetOffset(), io.SeekStart)
	for end := false; !end && len(g.wanted) == 0; {
		given := &wire.Given{Number: w.GetNumber()}
		var n int
		if err == nil {
			n, end, err = fill(g.body, buffer[:])
		}
		given.Piece = buffer[:n]
		if err != nil && n == 0 {
			given.Fault, end = encodeFault(err), true
		}
		if failed := g.dog.during(func() error { return g.stream.Send(given) }); failed != nil {
			return failed
		}
	}
	return nil
}
