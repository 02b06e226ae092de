package coordinator

import (
	"context"
	"io"
	"time"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
)

// Carry coordinates a write that entered at another node: it is the far side of Peer.Carry. It waits for the key's turn only as long as a
// ballot can still be had below the order's last. Once it has sent an accept it goes on to the outcome even if ctx ends.
func (c *Coordinator) Carry(ctx context.Context, k key.Key, o register.Order) register.Report {
	if err := c.clock.Merge(o.Clock); err != nil {
		return register.Report{Err: err}
	}
	if err := c.admit(ctx); err != nil {
		return register.Report{Err: err}
	}
	defer c.running.Add(-1)
	turn := c.patience
	if !o.Entry.Last.IsZero() {
		now, err := c.clock.Stamp(ctx, 0)
		if err != nil {
			return register.Report{Err: err}
		}
		turn = min(turn, o.Entry.Last.Time.Wall().Sub(now.Time.Wall())-roundTime)
	}
	return c.coordinate(ctx, k, o, max(turn, 0), time.Now().Add(c.patience))
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
