package peer

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/peer/wire"
	"github.com/estorajed/estorajed/internal/register"
)

// do has one operation done at the peer. Errors: *DownError, register.ErrOverload, ctx's, what the peer answered; unless sent, nothing was
// begun there.
func (p *Peer) do(ctx context.Context, e *wire.Envelope) (answer *wire.Envelope, sent bool, err error) {
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	st := p.standing.Load()
	if st.session == nil {
		return nil, false, st.down(p.node)
	}
	e.Traceparent = p.peers.inject(ctx)
	if answer, sent, err = st.session.do(ctx, e); err != nil {
		return nil, sent, err
	}
	return answer, true, decodeFault(answer.GetFault())
}

// Ask gives the peer's answer to one message about k. Errors say that there is none: *register.NothingError that, besides, the record
// of an accept is not and will not be written there; *DownError; register.ErrOverload; ctx's; what the peer's replica gave.
func (p *Peer) Ask(ctx context.Context, k key.Key, m register.Message) (register.Answer, error) {
	answer, sent, err := p.do(ctx, &wire.Envelope{Kind: wire.Kind_ASK, Key: []byte(k), Ask: encodeAsk(&m)})
	if err != nil {
		if m.Phase == register.Accept && !sent {
			err = &register.NothingError{Cause: err}
		}
		return register.Answer{}, fmt.Errorf("%v at %v: %w", m.Phase, p.node, err)
	}
	a, err := decodeAnswer(answer.GetAnswer())
	if err != nil {
		return register.Answer{}, p.misread(err)
	}
	return a, nil
}

// misread reports an answer that cannot be understood.
func (p *Peer) misread(err error) error {
	p.peers.refused(&refusal{ReasonMalformed, err.Error()}, p.node.String())
	return fmt.Errorf("answer of %v: %w", p.node, err)
}

// Read gives the peer's own copy and, if it is Present, its bytes; the caller closes body, which does not depend on ctx.
func (p *Peer) Read(ctx context.Context, k key.Key) (register.Record, io.ReadSeekCloser, error) {
	return p.copied(ctx, k, wire.Kind_READ)
}

// Get has a linearizable read coordinated at the peer; else it is as Read.
func (p *Peer) Get(ctx context.Context, k key.Key) (register.Record, io.ReadSeekCloser, error) {
	return p.copied(ctx, k, wire.Kind_GET)
}

func (p *Peer) copied(ctx context.Context, k key.Key, how wire.Kind) (register.Record, io.ReadSeekCloser, error) {
	answer, _, err := p.do(ctx, &wire.Envelope{Kind: how, Key: []byte(k)})
	if err != nil {
		return register.Record{}, nil, fmt.Errorf("read at %v: %w", p.node, err)
	}
	if answer.GetCopy().GetLong() {
		return p.fetch(ctx, k, how == wire.Kind_GET)
	}
	return p.whole(answer.GetCopy())
}

// whole gives a copy whose value, if there is one, came with it.
func (p *Peer) whole(c *wire.Copy) (register.Record, io.ReadSeekCloser, error) {
	rec, err := decodeRecord(c.GetRecord())
	if err == nil && rec.Present() && rec.Value.Inline == nil {
		err = broken("a value's record without its bytes")
	}
	if err != nil {
		return register.Record{}, nil, p.misread(err)
	}
	if !rec.Present() {
		return *rec, nil, nil
	}
	body := &memory{}
	body.Reset(rec.Value.Inline)
	return *rec, body, nil
}

// memory is a value that came in one piece.
type memory struct{ bytes.Reader }

func (*memory) Close() error { return nil }

// Unstage has a staged value given up, if the peer can be told.
func (p *Peer) Unstage(v register.Value) {
	if s := p.standing.Load().session; s != nil && v.Inline == nil && !v.Stage.IsZero() {
		_ = s.box.push(&item{envelope: &wire.Envelope{Id: s.number(), Kind: wire.Kind_UNSTAGE, Unstage: encodeValue(&v)}})
	}
}

// Carry hands a write over and returns the coordinator's report. One that is not Sent and whose Err is a register.ErrUnreachable,
// ErrOverload or ErrStopped says that it surely was not begun. An error says that no report came: it may have been begun, and may
// still be going on.
func (p *Peer) Carry(ctx context.Context, k key.Key, o register.Order) (register.Report, error) {
	answer, sent, err := p.carry(ctx, k, &o)
	switch {
	case err == nil:
		return decodeReport(answer.GetReport()), nil
	case sent:
		return register.Report{}, fmt.Errorf("carry at %v: %w", p.node, err)
	case ctx.Err() != nil:
		err = &unbegunError{err}
	}
	return register.Report{Err: fmt.Errorf("carry at %v: %w", p.node, err)}, nil
}

func (p *Peer) carry(ctx context.Context, k key.Key, o *register.Order) (*wire.Envelope, bool, error) {
	// The session may be another one by the time that the envelope leaves, but then its node sees that it was meant for an earlier life.
	life := p.standing.Load().start
	answer, sent, err := p.do(ctx, &wire.Envelope{Kind: wire.Kind_CARRY, Key: []byte(k), Order: encodeOrder(o, life)})
	if err == nil && answer.GetReport() == nil {
		err = p.misread(broken("an answer without a report"))
	}
	return answer, sent, err
}

// Table gives the peer's ring table in its encoded form.
func (p *Peer) Table(ctx context.Context) ([]byte, error) {
	answer, _, err := p.do(ctx, &wire.Envelope{Kind: wire.Kind_TABLE})
	if err != nil {
		return nil, fmt.Errorf("ring table of %v: %w", p.node, err)
	}
	return answer.GetTable(), nil
}
