package simulation

import (
	"slices"
	"time"

	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
)

// patience is how long a coordinator works on an operation, as in package coordinator.
const patience = 5 * time.Second

// A carriage is one operation on its way to its outcome, at its coordinator: what package coordinator does on the caller's goroutine.
type carriage struct {
	*world
	n       *node
	b       *book
	op      *register.Operation
	resting bool // a round is about to begin
	over    bool
	failed  error // why no ballot could be drawn: nothing has happened
	done    func()
}

// carryOut runs an operation until it is decided, or given up; done hears of it unless the node crashes before.
func (w *world) carryOut(n *node, b *book, op *register.Operation, done func()) *carriage {
	c := &carriage{world: w, n: n, b: b, op: op, done: done}
	w.on(n, patience, c.expire)
	c.step()
	return c
}

// expire ends the operation.
func (c *carriage) expire() {
	if !c.over {
		c.op.Expire()
		c.step()
	}
}

// step does what the operation wants.
func (c *carriage) step() {
	if c.over {
		return
	}
	if c.op.Decided() {
		c.over = true
		c.done()
		return
	}
	if c.op.Idle() && !c.resting {
		c.resting = true
		c.on(c.n, c.upTo(c.op.Pause()), c.begin)
	}
	if out := c.op.Outbox(); len(out) > 0 {
		c.phase(out)
	}
}

// begin begins a round, unless a late answer has decided the operation meanwhile.
func (c *carriage) begin() {
	c.resting = false
	if c.over || c.op.Decided() || !c.op.Idle() {
		c.step()
		return
	}
	if !c.op.NeedsBallot() {
		c.op.Begin(c.set(), register.Stamp{})
		c.step()
		return
	}
	c.resting = true
	c.stamp(c.n, c.op.Rests().Time, func(ballot register.Stamp, err error) {
		c.resting = false
		switch {
		case c.over || c.op.Decided() || !c.op.Idle():
		case err != nil && !c.op.Sent():
			c.failed = err
			c.over = true
			c.done()
			return
		case err != nil:
			c.op.Expire()
		default:
			c.op.Begin(c.set(), ballot)
		}
		c.step()
	})
}

// set is who holds the key, as the coordinator's table says.
func (c *carriage) set() ring.Set {
	return ring.Set{Epoch: c.epoch[c.n.table-1][c.b.part], Current: c.b.members}
}

// phase sends the messages of one phase.
func (c *carriage) phase(out []register.Message) {
	round := out[0].Round
	c.on(c.n, c.p.roundLimit, func() {
		if c.op.Awaits(round) {
			c.op.Timeout()
			c.step()
		}
	})
	if c.op.Settles() {
		c.counts.Settles++
	}
	out = slices.Clone(out)
	if out[0].Phase == register.Accept {
		c.logf("%v proposes for %s %v: version %v, a %v, operation %v", c.n.id, c.b.key, out[0].Record.Ballot, out[0].Record.Version, out[0].Record.Kind, out[0].Record.Operation)
		c.delicate(c.n)
		if c.chance(c.p.cut) {
			out = c.cutShort(out)
		}
	}
	for _, m := range out {
		c.ask(m)
	}
}

// cutShort has the coordinator crash or stall amid the sending of accepts: some go out, some much later, or never.
func (c *carriage) cutShort(out []register.Message) []register.Message {
	c.r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	now := c.r.IntN(len(out))
	if c.percent(50) {
		c.on(c.n, 0, func() {
			if !c.well {
				c.counts.fault(crashAmid)
				c.down(c.n)
			}
		})
		return out[:now]
	}
	c.counts.fault(stallAmid)
	c.stallFor(c.n, c.between(c.p.stall/4, c.p.stall))
	for _, m := range out[now:] {
		c.on(c.n, 0, func() { c.ask(m) }) // when it goes on
	}
	return out[:now]
}

// ask sends one message and has its answer delivered.
func (c *carriage) ask(m register.Message) {
	to, back := c.node(m.To), c.back(c.n)
	c.send(c.n, to, func() {
		c.world.ask(to, c.b, m, func(a register.Answer, err error) {
			if to != c.n {
				onTheWire(&m, &a)
			}
			back(to, func() { c.deliver(m, a, err) })
		})
	}, func() { c.deliver(m, register.Answer{}, errUnreachable) })
}

// onTheWire leaves out of an answer what replicas do not send each other: the bytes of values, and of what is only looked at all but
// its place and kind.
func onTheWire(m *register.Message, a *register.Answer) {
	a.Record.Value.Inline, a.Record.Value.Stage = nil, register.Stamp{}
	if m.Phase == register.Look {
		a.Record = register.Record{Ballot: a.Record.Ballot, Version: a.Record.Version, Kind: a.Record.Kind}
	}
}

func (c *carriage) deliver(m register.Message, a register.Answer, err error) {
	if c.over {
		return
	}
	if err == nil && a.Reply == register.Refused {
		c.counts.Conflicts++
		err = c.n.clock.Merge(a.Rests.Time, c.wall(c.n)) // a refusal from too far ahead is none: no ballot could lie above it
	}
	if a.Reply == register.Stale && a.Epoch > c.set().Epoch {
		c.learn(c.n)
	}
	if err != nil {
		c.op.Fail(m.To, m.Round, err)
	} else {
		c.op.Deliver(m.To, m.Round, a)
	}
	c.step()
}
