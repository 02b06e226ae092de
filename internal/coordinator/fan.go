package coordinator

import (
	"context"
	"io"
	"time"

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

// after is the phase's timer, set anew.
func (f *fan) after(d time.Duration) <-chan time.Time {
	if f.pace == nil {
		f.pace = time.NewTimer(d)
	} else {
		f.pace.Reset(d)
	}
	return f.pace.C
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
