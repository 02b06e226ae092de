package coordinator

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
)

// Carry coordinates a write that entered at another node: it is the far side of Peer.Carry. It waits for the key's turn only as long as a
// ballot can still be had below the order's last. Once it has sent an accept it goes on to the outcome even if ctx ends.
func (c *Coordinator) Carry(ctx context.Context, k key.Key, o register.Order) register.Report {
	report := c.obey(ctx, k, o)
	if now, err := c.clock.Stamp(ctx, 0); err == nil {
		report.Clock = now.Time
	}
	return report
}

// errPassed says that there is too little time until the order's last ballot: it was on its way for too long, or the clocks are far
// apart. The report tells this node's, so that the entry node's next order will do.
var errPassed = errors.New("the order had run out, or nearly, when it came")

func (c *Coordinator) obey(ctx context.Context, k key.Key, o register.Order) register.Report {
	if err := c.clock.Merge(o.Clock); err != nil {
		return register.Report{Err: err}
	}
	if err := c.admit(ctx); err != nil {
		return register.Report{Err: err}
	}
	defer c.running.Add(-1)
	until := time.Now().Add(c.patience)
	if o.Entry.Last.IsZero() {
		return c.coordinate(ctx, k, o, c.patience, until)
	}
	now, err := c.clock.Stamp(ctx, 0)
	if err != nil {
		return register.Report{Err: err}
	}
	last := o.Entry.Last.Time.Wall()
	given, left := last.Sub(o.Clock.Wall()), last.Sub(now.Time.Wall())
	if o.Entry.Last.Less(now) {
		return register.Report{Err: c.passed(k)}
	}
	report := c.coordinate(ctx, k, o, max(min(c.patience, left-roundTime), 0), until)
	if errors.Is(report.Err, register.ErrOverload) && left < given/2 {
		report.Err = c.passed(k) // it has not waited for its turn as long as it was meant to
	}
	return report
}

// passed is errPassed in the form in which a coordinator says that it sent nothing.
func (c *Coordinator) passed(k key.Key) error {
	partition, set := c.place(k)
	n := len(slices.Collect(set.Members()))
	return &register.QuorumError{Partition: partition, Answered: n, Replicas: n, RetryAfter: retryAfter, Cause: errPassed}
}

// Get coordinates a linearizable read that entered at another node: it is the far side of Peer.Get. Errors as of Read.
func (c *Coordinator) Get(ctx context.Context, k key.Key) (register.Record, io.ReadSeekCloser, error) {
	if err := c.admit(ctx); err != nil {
		return register.Record{}, nil, err
	}
	defer c.running.Add(-1)
	_, set := c.place(k)
	if c.mine(set) {
		return c.local.Read(ctx, k)
	}
	return c.read(ctx, k, set)
}
