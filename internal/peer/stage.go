package peer

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"

	"github.com/estorajed/estorajed/internal/peer/wire"
	"github.com/estorajed/estorajed/internal/register"
)

// Stage has the peer take in a value, under id; size is its length, or -1. body is read as fast as the peer takes it, a piece at a time.
// Errors: what body gave; register.ErrFull, ErrFailed and what else the peer's replica gave; *DownError; ctx's.
func (p *Peer) Stage(ctx context.Context, id register.Stamp, body io.Reader, size int64) (register.Value, error) {
	s, err := p.open()
	if err != nil {
		return register.Value{}, fmt.Errorf("stage at %v: %w", p.node, err)
	}
	defer s.shut()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	u := &upload{session: s, ctx: ctx, dog: newWatchdog(p.peers.stall, func() { cancel(errStalled) })}
	p.peers.config.Events.message(KindStage, true)
	v, err := u.run(id, body, size)
	if err != nil {
		return register.Value{}, fmt.Errorf("stage at %v: %w", p.node, err)
	}
	p.peers.config.Events.message(KindStage, false)
	return v, nil
}

// An upload is one value on its way to a peer.
type upload struct {
	session *session
	ctx     context.Context
	dog     *watchdog
	stream  grpc.ClientStreamingClient[wire.Upload, wire.Staged]
}

func (u *upload) run(id register.Stamp, body io.Reader, size int64) (v register.Value, err error) {
	u.stream, err = u.session.values.Stage(u.session.greet(u.ctx, u.session.hello.GetStart()))
	if err != nil {
		return v, u.session.cutOff(u.ctx, err)
	}
	buffer := pieces.Get().(*[pieceBytes]byte)
	defer pieces.Put(buffer)
	next := &wire.Upload{Staging: &wire.Staging{
		Time: uint64(id.Time), Node: uint32(id.Node), Size: size, Traceparent: u.session.peer.peers.inject(u.ctx),
	}}
	for {
		n, end, err := fill(body, buffer[:])
		if err != nil {
			return v, err // and the peer hears that the stream is cut, not that it ends
		}
		next.Piece = buffer[:n]
		if err := u.dog.during(func() error { return u.stream.Send(next) }); err != nil || end {
			return u.close(err)
		}
		next = &wire.Upload{}
	}
}

// close waits for the peer's word. failed is what sending gave: io.EOF if the word is there already.
func (u *upload) close(failed error) (v register.Value, err error) {
	if failed != nil && !errors.Is(failed, io.EOF) {
		return v, u.session.cutOff(u.ctx, failed)
	}
	var staged *wire.Staged
	err = u.dog.during(func() (err error) {
		staged, err = u.stream.CloseAndRecv()
		return err
	})
	if err != nil {
		return v, u.session.cutOff(u.ctx, err)
	}
	if staged.GetFault() != nil {
		return v, decodeFault(staged.GetFault())
	}
	return decodeValue(staged.GetValue())
}

// fill reads until b is full or r ends. An end that r calls unexpected is an error, not an end.
func fill(r io.Reader, b []byte) (n int, end bool, err error) {
	for n < len(b) && err == nil {
		var m int
		m, err = r.Read(b[n:])
		n += m
	}
	if err == io.EOF {
		return n, true, nil
	}
	return n, false, err
}

// Stage takes in a value for this node's replica.
func (s *server) Stage(stream grpc.ClientStreamingServer[wire.Upload, wire.Staged]) error {
	return s.stallable(func(dog *watchdog) error {
		body := &staging{stream: stream, dog: dog}
		if err := body.more(); err != nil {
			return err
		}
		first := body.piece.GetStaging()
		if first == nil {
			return &refusal{ReasonMalformed, "a value without a name"}
		}
		s.peers.config.Events.message(KindStage, false)
		ctx := stream.Context()
		if first.GetTraceparent() != "" {
			ctx = s.peers.extract(ctx, first.GetTraceparent())
		}
		v, err := s.peers.config.Local.Stage(ctx, stamp(first.GetTime(), first.GetNode()), body, first.GetSize())
		if body.cut != nil {
			return body.cut // nobody is there to be told
		}
		s.peers.config.Events.message(KindStage, true)
		if err != nil {
			return stream.SendAndClose(&wire.Staged{Fault: encodeFault(err)})
		}
		return stream.SendAndClose(&wire.Staged{Value: encodeValue(&v)})
	})
}

// A staging is a value that comes off a stream.
type staging struct {
	stream grpc.ClientStreamingServer[wire.Upload, wire.Staged]
	dog    *watchdog
	piece  *wire.Upload
	rest   []byte // of the piece
	cut    error  // the stream broke off
}

func (b *staging) more() (err error) {
	err = b.dog.during(func() error {
		b.piece, err = b.stream.Recv()
		return err
	})
	b.rest = b.piece.GetPiece()
	return err
}

func (b *staging) Read(to []byte) (int, error) {
	for len(b.rest) == 0 {
		if b.cut != nil {
			return 0, b.cut
		}
		if err := b.more(); err == io.EOF {
			return 0, io.EOF
		} else if err != nil {
			b.cut = err
		}
	}
	n := copy(to, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}
