package coordinator

import (
	"context"
	"errors"
	"time"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
)

var errUnknownNode = errors.New("this node knows no way to it")

// A carriage is one operation on its way to its outcome.
type carriage struct {
	*Coordinator
	k  key.Key
	op *register.Operation

	// Of an operation that asks others than this node; made when it first does.
	replies chan reply         // answers, also those to rounds that are over
	asking  context.Context    // ends with the operation: of questions that nobody waits for then
	over    context.CancelFunc // ends asking
	expire  *time.Timer        // its time is up
}

// A reply is what became of one message.
type reply struct {
	message register.Message
	answer  register.Answer
	err     error
}

// carry steps the operation until it is decided. The error is that of ctx, or why no ballot could be drawn, and says
// that nothing has happened; what has is the operation's to tell.
func (c *Coordinator) carry(ctx context.Context, k key.Key, op *register.Operation) error {
	r := carriage{Coordinator: c, k: k, op: op}
	defer r.close()
	for !op.Decided() {
		if err := r.begin(ctx); err != nil {
			if !op.Sent() {
				return err
			}
			op.Expire() // it goes no further, and knows whether its outcome is known
		}
		if err := r.exchange(ctx); err != nil {
			return err
		}
	}
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

// close lets go of the messages that are still on their way.
func (r *carriage) close() {
	if r.replies != nil {
		r.over()
		r.expire.Stop()
	}
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
	_, set := r.place(r.k)
	var ballot register.Stamp
	if r.op.NeedsBallot() {
		var err error
		if ballot, err = r.clock.Stamp(ctx, r.op.Rests().Time); err != nil {
			return err
		}
	}
	r.op.Begin(set, ballot)
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
		case answered := <-r.replies:
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
	if m := out[0]; len(out) == 1 && m.To == r.node {
		answer, err := r.local.Ask(ctx, r.k, m)
		r.deliver(ctx, reply{m, answer, err})
		if r.op.Awaits(m.Round) {
			r.op.Timeout() // the answer answers something else
		}
	} else if err := r.gather(ctx, out); err != nil {
		return err
	}
	if r.op.Quorums() > quorums && r.events.Quorum != nil {
		r.events.Quorum(ctx, phase, time.Since(began))
	}
	return nil
}

// gather asks several replicas, or one elsewhere.
func (r *carriage) gather(ctx context.Context, out []register.Message) error {
	if r.replies == nil {
		r.replies = make(chan reply)
		r.asking, r.over = context.WithCancel(context.WithoutCancel(ctx))
		r.expire = time.NewTimer(r.patience)
	}
	round := out[0].Round
	for _, m := range out {
		r.stragglers.Go(func() { r.ask(ctx, m) })
	}
	limit := time.NewTimer(roundLimit)
	defer limit.Stop()
	for r.op.Awaits(round) {
		select {
		case answered := <-r.replies:
			r.deliver(ctx, answered)
		case <-limit.C:
			r.op.Timeout()
		case <-r.expired():
			r.op.Expire()
		case <-r.cancelled(ctx):
			return ctx.Err()
		}
	}
	return nil
}

// ask carries one message there and back. An accept goes to its replica even if others have decided the operation meanwhile.
func (r *carriage) ask(ctx context.Context, m register.Message) {
	asking := r.asking
	if m.Phase == register.Accept {
		asking = context.WithoutCancel(ctx)
	}
	asking, enough := context.WithTimeout(asking, r.patience)
	defer enough()
	answered := reply{message: m, err: errUnknownNode}
	if replica := r.at(m.To); replica != nil {
		answered.answer, answered.err = replica.Ask(asking, r.k, m)
	}
	select {
	case r.replies <- answered:
	case <-r.asking.Done():
	}
}

func (r *carriage) deliver(ctx context.Context, d reply) {
	if d.err != nil {
		if r.events.Silent != nil {
			r.events.Silent(ctx, d.message.To, d.message.Phase, d.err)
		}
		r.op.Fail(d.message.To, d.message.Round, d.err)
		return
	}
	if d.answer.Reply == register.Refused && r.events.Conflict != nil {
		r.events.Conflict(ctx, d.message.To, d.message.Phase, d.answer.Rests)
	}
	r.op.Deliver(d.message.To, d.message.Round, d.answer)
}

// expired fires when the operation's time is up; an operation that asked nobody but this node has no such limit.
func (r *carriage) expired() <-chan time.Time {
	if r.expire == nil {
		return nil
	}
	return r.expire.C
}

// cancelled fires when ctx ends, as long as that ends the operation: once an accept was sent its outcome is waited for.
func (r *carriage) cancelled(ctx context.Context) <-chan struct{} {
	if r.op.Sent() {
		return nil
	}
	return ctx.Done()
}
