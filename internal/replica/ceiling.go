package replica

import (
	"context"
	"fmt"
	"time"

	"github.com/estorajed/estorajed/internal/register"
)

// Run raises the ceiling ahead of need and lets the floor rise, until ctx ends. Without it the replica works, but each
// ceiling is waited for and promises are forgotten late.
func (r *Replica) Run(ctx context.Context) error {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
			r.beat(ctx)
		}
	}
}

func (r *Replica) beat(ctx context.Context) {
	r.mu.Lock()
	now := r.clock.Time(time.Now())
	r.acceptor.Tick(now)
	covered := r.acceptor.Covers(now.Add(reserve))
	r.mu.Unlock()
	if covered || !r.active.Swap(false) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, raiseLimit)
	defer cancel()
	_ = r.raise(ctx, now.Add(reserve), false) // reported as an event; who needs the ceiling will try again
}

// Stamp draws a stamp of this node's own, above the given time and all that this node drew or heard of. It waits until the
// durable ceiling lies above it. Errors: *register.SkewError; what the store or ctx gave.
func (r *Replica) Stamp(ctx context.Context, above register.Time) (register.Stamp, error) {
	r.rely()
	r.mu.Lock()
	wall := time.Now()
	if err := r.clock.Merge(above, wall); err != nil {
		r.mu.Unlock()
		return register.Stamp{}, err
	}
	s := r.clock.Now(wall)
	covered := r.acceptor.Covers(s.Time)
	r.mu.Unlock()
	if !covered {
		if err := r.raise(ctx, s.Time, true); err != nil {
			return register.Stamp{}, err
		}
	}
	return s, nil
}

// rely notes that the ceiling is in use, so that Run keeps it ahead.
func (r *Replica) rely() {
	if !r.active.Load() { // most often it is known, and the cache line stays shared
		r.active.Store(true)
	}
}

// Merge takes note of a hybrid time that came with a message, and refuses one that is too far ahead: *register.SkewError.
func (r *Replica) Merge(heard register.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.clock.Merge(heard, time.Now())
}

// raise makes a ceiling above t durable. One caller at a time does it, the others find it done.
func (r *Replica) raise(ctx context.Context, t register.Time, asked bool) error {
	select {
	case r.raising <- struct{}{}:
		defer func() { <-r.raising }()
	case <-ctx.Done():
		return ctx.Err()
	}
	r.mu.Lock()
	covered := r.acceptor.Covers(t)
	ceiling := max(t, r.clock.Time(time.Now())).Add(ahead)
	r.mu.Unlock()
	if covered {
		return nil
	}
	began := time.Now()
	err := r.store.RaiseCeiling(ctx, ceiling)
	if r.events.Raised != nil {
		r.events.Raised(ceiling, time.Since(began), asked, err)
	}
	if err != nil {
		return fmt.Errorf("raise the promise ceiling: %w", bare(err))
	}
	r.mu.Lock()
	r.acceptor.Raised(ceiling)
	r.mu.Unlock()
	return nil
}
