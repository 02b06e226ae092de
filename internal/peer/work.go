package peer

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/estorajed/estorajed/internal/peer/wire"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
)

// A work is one small operation of another node that is worked on here.
type work struct {
	*talk
	envelope *wire.Envelope
	ctx      context.Context
	cancel   context.CancelFunc
}

// run does it and leaves the answer in the outbox.
func (w *work) run() {
	defer w.works.Done()
	answer, err := w.do()
	cancelled := errors.Is(w.ctx.Err(), context.Canceled)
	w.cancel()
	w.mu.Lock()
	delete(w.running, w.envelope.GetId())
	w.mu.Unlock()
	if errors.Is(err, errBroken) {
		w.giveUp(&refusal{ReasonMalformed, err.Error()})
		return
	}
	if cancelled || w.envelope.GetKind() == wire.Kind_UNSTAGE {
		return // nobody waits for it
	}
	if err != nil {
		answer = &wire.Envelope{Fault: encodeFault(err)}
	}
	w.answer(answer)
}

func (w *work) answer(a *wire.Envelope) {
	a.Id, a.Kind = w.envelope.GetId(), w.envelope.GetKind()
	w.box.force(&item{envelope: a})
}

// refuse answers what was not begun.
func (w *work) refuse(err error) {
	if err == register.ErrOverload {
		w.peers.config.Events.overloaded(ring.NodeID(w.from.GetNode()))
	}
	e := w.envelope
	switch {
	case errors.Is(err, errBroken):
		w.giveUp(&refusal{ReasonMalformed, err.Error()})
		return
	case e.GetKind() == wire.Kind_UNSTAGE:
		return
	case e.GetKind() == wire.Kind_CARRY:
		w.answer(&wire.Envelope{Report: encodeReport(&register.Report{Err: err})})
		return
	case e.GetKind() == wire.Kind_ASK && e.GetAsk().GetPhase() == uint32(register.Accept):
		err = &register.NothingError{Cause: err}
	}
	w.answer(&wire.Envelope{Fault: encodeFault(err)})
}

// do has this node answer the envelope.
func (w *work) do() (*wire.Envelope, error) {
	e, local := w.envelope, w.peers.config.Local
	switch e.GetKind() {
	case wire.Kind_UNSTAGE:
		v, err := decodeValue(e.GetUnstage())
		if err == nil {
			local.Unstage(v)
		}
		return nil, err
	case wire.Kind_TABLE:
		return &wire.Envelope{Table: local.Table()}, nil
	case wire.Kind_ASK, wire.Kind_READ, wire.Kind_CARRY, wire.Kind_GET:
	default:
		return nil, fmt.Errorf("operations of kind %d are not known to %v", e.GetKind(), w.peers.config.Node)
	}
	k, err := decodeKey(e.GetKey())
	if err != nil {
		return nil, err
	}
	switch e.GetKind() {
	case wire.Kind_ASK:
		m, err := decodeAsk(e.GetAsk(), w.peers.config.Node)
		if err != nil {
			return nil, err
		}
		a, err := local.Ask(w.ctx, k, m)
		if err != nil {
			return nil, err
		}
		return &wire.Envelope{Answer: encodeAnswer(&a)}, nil
	case wire.Kind_CARRY:
		o, err := decodeOrder(e.GetOrder())
		if err != nil {
			return nil, err
		}
		r := register.Report{Err: errOtherLife}
		if e.GetOrder().GetStart() == w.peers.config.Start {
			r = local.Carry(w.ctx, k, o)
		}
		return &wire.Envelope{Report: encodeReport(&r)}, nil
	case wire.Kind_GET:
		return w.copied(local.Get(w.ctx, k))
	}
	return w.copied(local.Read(w.ctx, k))
}

// copied answers with a record and, if it is short and there is room, its value. Others are fetched.
func (w *work) copied(rec register.Record, body io.ReadSeekCloser, err error) (*wire.Envelope, error) {
	if err != nil {
		return nil, err
	}
	if body != nil {
		defer body.Close()
	}
	if !rec.Present() {
		return &wire.Envelope{Copy: &wire.Copy{Record: encodeRecord(&rec)}}, nil
	}
	if body == nil {
		return nil, fmt.Errorf("%v gave a value's record without its bytes", w.peers.config.Node)
	}
	_, waiting := w.box.waiting()
	if rec.Value.Length > register.InlineMax || waiting > answersBytes {
		return &wire.Envelope{Copy: &wire.Copy{Long: true}}, nil
	}
	if rec.Value.Inline == nil {
		rec.Value.Inline = make([]byte, rec.Value.Length)
		if _, err := io.ReadFull(body, rec.Value.Inline); err != nil {
			return nil, fmt.Errorf("read the value at %v: %w", w.peers.config.Node, err)
		}
	}
	rec.Value.Stage = register.Stamp{}
	return &wire.Envelope{Copy: &wire.Copy{Record: encodeRecord(&rec)}}, nil
}
