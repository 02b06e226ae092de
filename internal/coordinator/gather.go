package coordinator

import (
	"context"
	"io"
	"time"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
)

// membersMax is the most replicas that a set has while it is moving.
const membersMax = 2 * ring.ReplicasMax

// A fan is what an operation needs to ask others than this node.
type fan struct {
	replies chan reply         // answers, also those to rounds that are over
	asking  context.Context    // ends with the operation: of questions that nobody waits for then
	over    context.CancelFunc // ends asking
	expire  *time.Timer        // the operation's time is up
	pace    *time.Timer        // the phase's: hedge, then the limit of the round
	held    []register.Message // of the phase, for those who are asked only if need be
	heard   []hearing          // of each replica, the latest
	own     opened             // this node's copy, as it was last looked at

	heardIn [membersMax / 2]hearing // backs heard
}

// A reply is what became of one message.
type reply struct {
	message register.Message
	answer  register.Answer
	body    io.ReadSeekCloser // with the look at this node's copy
	err     error
}

// A hearing is what one replica has said to the latest message to it.
type hearing struct {
	node    ring.NodeID
	round   uint32
	waiting bool           // for its answer
	late    bool           // it was waited for in vain
	version register.Stamp // that it showed, or accepted
	err     error
}

// An opened is a record with its bytes.
type opened struct {
	record register.Record
	body   io.ReadSeekCloser // nil unless the record is Present
}

func (o *opened) close() {
	if o.body != nil {
		o.body.Close()
		o.body = nil
	}
}

// open makes the fan when it is first needed.
func (r *carriage) open(ctx context.Context) *fan {
	if r.fan == nil {
		f := &fan{replies: make(chan reply), expire: time.NewTimer(time.Until(r.until))}
		f.heard = f.heardIn[:0]
		f.asking, f.over = context.WithCancel(context.WithoutCancel(ctx))
		r.fan = f
	}
	return r.fan
}

// close lets go of the messages that are still on their way.
func (r *carriage) close() {
	if f := r.fan; f != nil {
		f.over()
		f.expire.Stop()
		f.own.close()
		if f.pace != nil {
			f.pace.Stop()
		}
	}
}

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

// agrees tells whether the answer is one that an undisturbed round of that number is made of.
func (d *reply) agrees(round uint32) bool {
	return d.message.Round != round || d.err == nil && (d.answer.Reply == register.Shown || d.answer.Reply == register.Promised)
}

// waits tells whether an answer of that round is still to come.
func (f *fan) waits(round uint32) bool {
	for i := range f.heard {
		if f.heard[i].waiting && f.heard[i].round == round {
			return true
		}
	}
	return false
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

// after is the phase's timer, set anew.
func (f *fan) after(d time.Duration) <-chan time.Time {
	if f.pace == nil {
		f.pace = time.NewTimer(d)
	} else {
		f.pace.Reset(d)
	}
	return f.pace.C
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

// note keeps what was heard of a replica in place of what was before.
func (r *carriage) note(h hearing) {
	for i := range r.fan.heard {
		if r.fan.heard[i].node == h.node {
			r.fan.heard[i] = h
			return
		}
	}
	r.fan.heard = append(r.fan.heard, h)
}

// keep notes a reply, and keeps the copy that came with it.
func (r *carriage) keep(d *reply) {
	f := r.fan
	if f == nil {
		return
	}
	if d.body != nil {
		f.own.close()
		f.own = opened{d.answer.Record, d.body}
	}
	for i := range f.heard {
		if h := &f.heard[i]; h.node == d.message.To && h.round == d.message.Round {
			h.waiting, h.late, h.err = false, false, d.err
			h.version = d.answer.Record.Version
			if d.answer.Reply == register.Accepted {
				h.version = d.message.Record.Version
			}
		}
	}
}

// replies gives answers that come in; nil of an operation that has asked nobody but this node.
func (r *carriage) replies() <-chan reply {
	if r.fan == nil {
		return nil
	}
	return r.fan.replies
}

// expired fires when the operation's time is up; an operation that asked nobody but this node has no such limit.
func (r *carriage) expired() <-chan time.Time {
	if r.fan == nil {
		return nil
	}
	return r.fan.expire.C
}
