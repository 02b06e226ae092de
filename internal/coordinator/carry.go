package coordinator

import (
	"context"
	"time"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
)

// A carriage is one operation on its way to its outcome.
type carriage struct {
	*Coordinator
	k     key.Key
	op    *register.Operation
	until time.Time // its time is up then, if it asks others than this node
	opens bool      // a read: its look at this node's copy opens the value as well

	set ring.Set // of the round under way
	fan *fan     // made when it first asks others
}

// carry steps the operation until it is decided. The error is that of ctx, or why no ballot could be drawn, and says
// that nothing has happened; what has is the operation's to tell.
func (r *carriage) carry(ctx context.Context) error {
	for !r.op.Decided() {
		if err := r.begin(ctx); err != nil {
			if !r.op.Sent() {
				return err
			}
			r.op.Expire() // it goes no further, and knows whether its outcome is known
		}
		if err := r.exchange(ctx); err != nil {
			return err
		}
	}
	r.account()
	return nil
}

// exchange goes through the round, phase after phase, until it is over or ctx ends before an accept.
func (r *carriage) exchange(ctx context.Context) error {
	for !r.op.Decided() && !r.op.Idle() {
		if !r.op.Sent() && ctx.Err() != nil {
			return ctx.Err()
		}
		if err := r.phase(ctx, r.op.Outbox()); err != nil {
			return err
		}
	}
	return nil
}

// begin pauses, then begins a round if one is due.
func (r *carriage) begin(ctx context.Context) error {
	if !r.op.Idle() {
		return nil
	}
	if pause := r.jitter(r.op.Pause()); r.op.Rounds() > 0 {
		if r.events.Retry != nil {
			r.events.Retry(ctx, r.op.Rounds()+1, pause)
		}
		if err := r.pause(ctx, pause); err != nil || !r.op.Idle() {
			return err
		}
	}
	// An operation counts with one table from its first message to its last, unless a replica found that table outdated: each round
	// takes the newest, so that the next one gets further.
	_, r.set = r.place(r.k)
	var ballot register.Stamp
	if r.op.NeedsBallot() {
		var err error
		if ballot, err = r.clock.Stamp(ctx, r.op.Rests().Time); err != nil {
			return err
		}
	}
	r.op.Begin(r.set, ballot)
	return nil
}

// pause lets the time pass, or ends early when a late answer decides the operation.
func (r *carriage) pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for r.op.Idle() {
		select {
		case <-timer.C:
			return nil
		case answered := <-r.replies():
			r.deliver(ctx, answered)
		case <-r.expired():
			r.op.Expire()
		case <-r.cancelled(ctx):
			return ctx.Err()
		}
	}
	return nil
}

// phase sends the messages and hands over the answers until the operation wants something else.
func (r *carriage) phase(ctx context.Context, out []register.Message) error {
	began, phase, quorums := time.Now(), r.op.Phase(), r.op.Quorums()
	if r.op.Settles() && r.events.Settle != nil {
		r.events.Settle(ctx, out[0].Record.Version)
	}
	if m := out[0]; len(out) == 1 && m.To == r.node && !r.opens {
		answer, err := r.local.Ask(ctx, r.k, m)
		r.deliver(ctx, reply{message: m, answer: answer, err: err})
		if r.op.Awaits(m.Round) {
			r.op.Timeout() // the answer answers something else
		}
	} else if err := r.gather(ctx, out, began); err != nil {
		return err
	}
	if r.op.Quorums() > quorums && r.events.Quorum != nil {
		r.events.Quorum(ctx, phase, time.Since(began))
	}
	return nil
}

// deliver hands the operation what became of a message.
func (r *carriage) deliver(ctx context.Context, d reply) {
	m := &d.message
	r.keep(&d)
	if d.err != nil {
		if r.events.Silent != nil {
			r.events.Silent(ctx, m.To, m.Phase, d.err)
		}
		r.op.Fail(m.To, m.Round, d.err)
		return
	}
	if m.To != r.node {
		_ = r.clock.Merge(max(d.answer.Record.Ballot.Time, d.answer.Rests.Time)) // one that is too far ahead is not followed
	}
	switch {
	case d.answer.Reply == register.Refused && r.events.Conflict != nil:
		r.events.Conflict(ctx, m.To, m.Phase, d.answer.Rests)
	case d.answer.Reply == register.Stale && d.answer.Epoch > m.Epoch:
		r.behind(d.answer.Epoch)
	}
	r.op.Deliver(m.To, m.Round, d.answer)
}

// cancelled fires when ctx ends, as long as that ends the operation: once an accept was sent its outcome is waited for.
func (r *carriage) cancelled(ctx context.Context) <-chan struct{} {
	if r.op.Sent() {
		return nil
	}
	return ctx.Done()
}
