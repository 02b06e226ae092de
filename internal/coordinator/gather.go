package coordinator

import (
	"context"
	"time"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
)

// gather asks several replicas, or one elsewhere, until the operation wants something else.
func (r *carriage) gather(ctx context.Context, out []register.Message, now time.Time) error {
	f := r.open(ctx)
	round, phase := out[0].Round, out[0].Phase
	r.dispatch(ctx, out, now)
	limit := roundLimit
	if len(f.held) > 0 {
		limit = hedgeDelay
	}
	pace, agreed := f.after(limit), true
	for r.op.Awaits(round) {
		select {
		case answered := <-f.replies:
			r.deliver(ctx, answered)
			agreed = agreed && answered.agrees(round)
			if len(f.held) > 0 && r.op.Awaits(round) && (!agreed || !f.waits(round)) {
				r.release(ctx)
				pace = f.after(roundLimit)
			}
		case <-pace:
			r.late(round, now)
			if len(f.held) == 0 {
				r.op.Timeout()
				continue
			}
			r.release(ctx)
			pace = f.after(roundLimit - hedgeDelay)
		case <-r.expired():
			r.late(round, now)
			r.op.Expire()
		case <-r.cancelled(ctx):
			return ctx.Err()
		}
	}
	if r.op.Idle() && phase == register.Look && agreed {
		r.release(ctx) // the states differ; who is asked now may decide it before another round begins
	}
	f.held = f.held[:0]
	return nil
}

// late notes who has not answered yet in that round, which began before: they are asked last for a while.
func (r *carriage) late(round uint32, before time.Time) {
	for i := range r.fan.heard {
		if h := &r.fan.heard[i]; h.waiting && h.round == round {
			h.late = true
			r.slow.mark(h.node, before.Add(slowFor))
		}
	}
}

// dispatch sends the messages of a phase, or holds them back, and has those fail at once whose replica is known to be down.
func (r *carriage) dispatch(ctx context.Context, out []register.Message, now time.Time) {
	var order, down [membersMax]uint8
	n, downs := r.rank(out, now, &order, &down)
	round, accept := out[0].Round, out[0].Phase == register.Accept
	if downs > 0 && !accept {
		if r.fail(ctx, out, down[:downs]); !r.op.Awaits(round) {
			return // the others cannot make up a quorum
		}
	}
	votes := r.set.Votes()
	first := r.op.Rounds() == 1 && !accept
	for _, i := range order[:n] {
		if first && votes.Verdict() == ring.Won {
			r.fan.held = append(r.fan.held, out[i])
			continue
		}
		votes.Ack(out[i].To)
		r.send(ctx, out[i])
	}
	if downs > 0 && accept { // an accept goes to all who can have it, whatever that comes to
		r.fail(ctx, out, down[:downs])
	}
}

// fail has messages fail whose replicas are down. Stepping the operation may make out its own again.
func (r *carriage) fail(ctx context.Context, out []register.Message, down []uint8) {
	gone := make([]register.Message, len(down))
	for j, i := range down {
		gone[j] = out[i]
	}
	for _, m := range gone {
		r.note(hearing{node: m.To, round: m.Round, waiting: true})
		r.deliver(ctx, reply{message: m, err: register.ErrUnreachable})
	}
}

// rank gives the places in out of those who are worth asking, in the order in which to ask them: this node, then those that were not slow
// lately, then the others; and of those who are not.
func (r *carriage) rank(out []register.Message, now time.Time, order, down *[membersMax]uint8) (n, downs int) {
	var tardy [membersMax]uint8
	slow := 0
	for i := range out {
		switch node := out[i].To; {
		case node == r.node:
			copy(order[1:n+1], order[:n])
			order[0] = uint8(i)
			n++
		case !r.up(node):
			down[downs] = uint8(i)
			downs++
		case r.slow.is(node, now):
			tardy[slow] = uint8(i)
			slow++
		default:
			order[n] = uint8(i)
			n++
		}
	}
	copy(order[n:], tardy[:slow])
	return n + slow, downs
}

// release sends what was held back.
func (r *carriage) release(ctx context.Context) {
	for _, m := range r.fan.held {
		if r.events.Hedged != nil {
			r.events.Hedged(ctx, m.To)
		}
		r.send(ctx, m)
	}
	r.fan.held = r.fan.held[:0]
}

// send puts a message on its way. This node's own replica is asked the same way: its disk may be the slow one.
func (r *carriage) send(ctx context.Context, m register.Message) {
	r.note(hearing{node: m.To, round: m.Round, waiting: true})
	f, opens := r.fan, r.opens && m.To == r.node && m.Phase == register.Look
	c, k := r.Coordinator, r.k
	c.stragglers.Go(func() { c.ask(ctx, k, m, f, opens) })
}

// ask carries one message there and back. An accept goes to its replica even if others have decided the operation meanwhile.
func (c *Coordinator) ask(ctx context.Context, k key.Key, m register.Message, f *fan, opens bool) {
	asking := f.asking
	if m.Phase == register.Accept {
		var enough context.CancelFunc
		asking, enough = context.WithTimeout(context.WithoutCancel(ctx), c.patience)
		defer enough()
	}
	answered := reply{message: m, err: register.ErrUnreachable}
	if opens {
		answered.answer, answered.body, answered.err = c.local.Open(ctx, k, m)
	} else if replica := c.at(m.To); replica != nil {
		answered.answer, answered.err = replica.Ask(asking, k, m)
	}
	select {
	case f.replies <- answered:
	case <-f.asking.Done():
		if answered.body != nil {
			answered.body.Close()
		}
	}
}
