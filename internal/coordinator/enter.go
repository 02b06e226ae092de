package coordinator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
)

// Write makes the change and returns when it is durable at a majority of the key's replicas, or refused, or given up. body holds
// the value's bytes, size of them or -1 if unknown; it is nil for a tombstone.
//
// If ctx ends before an accept was sent, nothing has happened and the error is that of ctx; once an accept was sent, or the write was handed
// to another node, Write waits for the outcome.
// Errors: as of register.Operation.Outcome; register.ErrFull, ErrFailed, ErrOverload, ErrStopped, each of them only if
// nothing was written and none will be; what body gave (wrapped).
func (c *Coordinator) Write(ctx context.Context, k key.Key, change register.Change, body io.Reader, size int64) (register.Outcome, error) {
	if err := c.admit(ctx); err != nil {
		return register.Outcome{}, err
	}
	defer c.running.Add(-1)
	_, set := c.place(k)
	value, err := c.stage(ctx, k, set, body, size)
	if err != nil {
		return register.Outcome{}, err
	}
	var report register.Report
	if c.mine(set) {
		order := register.Order{Change: change, Value: value}
		report = c.coordinate(ctx, k, order, c.patience, time.Now().Add(c.patience))
	} else {
		report = c.pass(ctx, k, set, change, value)
	}
	unknown, is := errors.AsType[*register.UnknownError](report.Err)
	if is && c.events.Unknown != nil {
		c.events.Unknown(ctx, unknown)
	}
	spent := report.Err == nil || is || report.Sent && !errors.Is(report.Err, register.ErrPrecondition)
	c.unstage(set, value, spent)
	return report.Outcome, report.Err
}

// Why another node is not waited for any longer.
var (
	ErrLate = errors.New("no answer in time")
	ErrLost = errors.New("the connection to the coordinator was lost")
)

// A passage is a write at the node where it entered, on its way from coordinator to coordinator: the shell of a register.Passage.
type passage struct {
	*Coordinator
	*register.Passage
	k      key.Key
	set    ring.Set
	change register.Change
	value  register.Value
	until  time.Time      // no turn begins after
	now    register.Stamp // drawn for the turn: its ballots lie above

	turnsOf []ring.NodeID // who had the turns
	quorums int           // turns that ended for want of a quorum
	latest  error         // why the latest turn ended without a result
	cause   error         // why the write was not made; the best that was said
	unknown error         // why it is unknown what became of it

	// Made when somebody works on the write elsewhere.
	reports  chan handed     // one of each turn at most
	carrying context.Context // ends with the passage
	over     context.CancelFunc
}

// handed is what came back from a coordinator: a report, or why there is none.
type handed struct {
	turn   int
	report register.Report
	err    error
}

// pass finds the write a coordinator, and another one if that does not bring it to its end.
func (c *Coordinator) pass(ctx context.Context, k key.Key, set ring.Set, change register.Change, value register.Value) register.Report {
	id, err := c.clock.Stamp(ctx, 0)
	if err != nil {
		return register.Report{Err: err}
	}
	p := &passage{
		Coordinator: c, Passage: register.NewPassage(id), k: k, set: set, change: change, value: value,
		until: time.Now().Add(c.patience), now: id,
	}
	defer p.close()
	for !p.Decided() {
		to, ok := p.next(ctx)
		if !ok {
			p.giveUp(ctx)
			break
		}
		if err := p.draw(ctx); err != nil {
			p.GiveUp(err)
			break
		}
		p.tell(ctx, to)
		p.turnsOf = append(p.turnsOf, to)
		if to == c.node {
			p.here(ctx)
		} else {
			p.there(ctx, to)
		}
	}
	return p.Report()
}

// next chooses who has the next turn: the first live replica in preference order; later this node, if it has a copy, as it waits for
// nobody's report then; then the other live ones; and as the last resort this node without a copy.
func (p *passage) next(ctx context.Context) (ring.NodeID, bool) {
	if p.Turns() >= turnsMax || p.quorums > 1 || ctx.Err() != nil || !time.Now().Before(p.until) {
		return 0, false
	}
	if p.Turns() > 0 && p.set.Holds(p.node) && p.fresh(p.node) {
		return p.node, true
	}
	for node := range p.set.Members() {
		if p.fresh(node) && p.ready(node) {
			return node, true
		}
	}
	return p.node, p.fresh(p.node)
}

// fresh tells whether the node has not had a turn yet.
func (p *passage) fresh(node ring.NodeID) bool { return !slices.Contains(p.turnsOf, node) }

// draw moves the clock past what earlier coordinators may still use.
func (p *passage) draw(ctx context.Context) (err error) {
	if p.Turns() > 0 {
		p.now, err = p.clock.Stamp(ctx, p.Passed())
	}
	return err
}

// tell reports who has the turn now.
func (p *passage) tell(ctx context.Context, to ring.NodeID) {
	if n := len(p.turnsOf); n > 0 {
		if p.events.TakenOver != nil {
			p.events.TakenOver(ctx, p.turnsOf[n-1], to, p.latest)
		}
		return
	}
	if to != p.node && p.events.Forwarded != nil {
		reason := ReasonPreferred
		if !p.set.Holds(p.node) {
			reason = ReasonNoCopy
		}
		p.events.Forwarded(ctx, to, reason)
	}
}

// here coordinates the write at this node. While an earlier coordinator is still at work, its report is waited for as well.
func (p *passage) here(ctx context.Context) {
	turn, entry := p.Hand(register.Stamp{})
	order := register.Order{Entry: entry, Change: p.change, Value: p.value}
	if p.reports == nil {
		p.heed(handed{turn, p.coordinate(ctx, p.k, order, time.Until(p.until), p.until), nil})
		return
	}
	p.stragglers.Go(func() {
		p.reports <- handed{turn, p.coordinate(p.carrying, p.k, order, time.Until(p.until), p.until), nil}
	})
	p.await(turn, 0)
}

// there hands the write to another node and waits for its report, for a while. It is not called back if ctx ends meanwhile: nobody could
// tell whether that came in time.
func (p *passage) there(ctx context.Context, to ring.NodeID) {
	patience := max(min(turnPatience, time.Until(p.until)), time.Millisecond) // 0 would be for ever
	turn, entry := p.Hand(register.LastBallot(p.now.Time.Add(patience)))
	order := register.Order{Entry: entry, Change: p.change, Value: p.value, Clock: p.now.Time}
	peer := p.peer(to)
	if peer == nil {
		p.heed(handed{turn, register.Report{Err: register.ErrUnreachable}, nil})
		return
	}
	if p.reports == nil {
		p.reports = make(chan handed, turnsMax)
		p.carrying, p.over = context.WithTimeout(context.WithoutCancel(ctx), p.patience)
	}
	p.stragglers.Go(func() {
		report, err := peer.Carry(p.carrying, p.k, order)
		p.reports <- handed{turn, report, err}
	})
	p.await(turn, patience)
}

// await takes in reports until the write is decided or the turn is over: by its report, or, if patience is not 0, by that.
func (p *passage) await(turn int, patience time.Duration) {
	var late <-chan time.Time
	if patience > 0 {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		late = timer.C
	}
	for !p.Decided() {
		select {
		case h := <-p.reports:
			p.heed(h)
			if h.turn == turn {
				return
			}
		case <-late:
			p.overdue(fmt.Errorf("%w: %s has said nothing for %v", ErrLate, p.name(p.turnsOf[turn-1]), patience.Round(time.Millisecond)))
			return
		}
	}
}

// heed takes in what came back from a coordinator.
func (p *passage) heed(h handed) {
	current := h.turn == p.Turns()
	if h.err != nil {
		if current {
			p.overdue(fmt.Errorf("%w: %s: %w", ErrLost, p.name(p.turnsOf[h.turn-1]), h.err))
		}
		return
	}
	_ = p.clock.Merge(h.report.Clock) // one that is too far ahead is not followed
	if errors.Is(h.report.Err, context.Canceled) && p.turnsOf[h.turn-1] != p.node {
		h.report.Err = register.ErrStopped // nobody here has called it back
	}
	p.Answer(h.turn, h.report)
	if p.Decided() || !current {
		return
	}
	p.latest = h.report.Err
	if _, unknown := errors.AsType[*register.UnknownError](p.latest); unknown || h.report.Sent {
		p.unknown = p.latest
		return
	}
	quorum, is := errors.AsType[*register.QuorumError](p.latest)
	lacking := is && quorum.Answered < quorum.Replicas // and not for want of time
	if lacking {
		p.quorums++
	}
	if lacking || p.quorums == 0 {
		p.cause = p.latest
	}
	if errors.Is(p.latest, register.ErrOverload) && !p.Sent() {
		p.GiveUp(p.latest) // another coordinator would only add to that
	}
}

func (p *passage) overdue(cause error) {
	p.Overdue()
	p.unknown, p.latest = cause, cause
}

// giveUp ends the passage for the best cause there is.
func (p *passage) giveUp(ctx context.Context) {
	for len(p.reports) > 0 {
		p.heed(<-p.reports)
	}
	cause := p.cause
	switch {
	case p.Sent() && p.unknown != nil:
		cause = p.unknown
	case ctx.Err() != nil:
		cause = ctx.Err()
	case cause == nil, p.quorums == 0 && errors.Is(cause, register.ErrUnreachable):
		cause = p.lacking(p.k, p.set, register.ErrUnreachable, nil)
	}
	p.GiveUp(cause)
}

// close lets go of the coordinators that are still at work: those who have not sent an accept stop.
func (p *passage) close() {
	if p.over != nil {
		p.over()
	}
}
