package coordinator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
)

// stage takes in the body before the write takes the key's turn: a slow upload holds up nobody. A value that fits into its record comes
// back inline; a longer one is on stable storage at a majority of the replicas.
func (c *Coordinator) stage(ctx context.Context, k key.Key, set ring.Set, body io.Reader, size int64) (register.Value, error) {
	if body == nil {
		return register.Value{}, nil
	}
	id, err := c.clock.Stamp(ctx, 0)
	if err != nil {
		return register.Value{}, err
	}
	if c.mine(set) {
		return c.local.Stage(ctx, id, body, size)
	}
	if size > register.InlineMax {
		return c.spread(ctx, k, set, id, body, size)
	}
	if size >= 0 {
		return c.inline(ctx, id, body, size)
	}
	head, err := io.ReadAll(io.LimitReader(body, register.InlineMax+1))
	if err != nil {
		return register.Value{}, fmt.Errorf("read the body: %w", err)
	}
	if len(head) > register.InlineMax {
		return c.spread(ctx, k, set, id, io.MultiReader(bytes.NewReader(head), body), -1)
	}
	return c.inline(ctx, id, bytes.NewReader(head), int64(len(head)))
}

var errLonger = errors.New("the body is longer than was said")

// inline takes in a short value; nothing of it is on any disk.
func (c *Coordinator) inline(ctx context.Context, id register.Stamp, body io.Reader, size int64) (register.Value, error) {
	value, err := c.local.Stage(ctx, id, body, size)
	if err == nil && !value.Stage.IsZero() {
		c.local.Unstage(value)
		return register.Value{}, errLonger
	}
	return value, err
}

// unstage gives up what was staged for a write that is over. If that may have been spent, the accepts that are still on their way are let
// arrive first; what they have made use of is no stage any more.
func (c *Coordinator) unstage(set ring.Set, value register.Value, spent bool) {
	switch {
	case value.Stage.IsZero():
	case c.mine(set):
		if !spent {
			c.local.Unstage(value)
		}
	case spent:
		time.AfterFunc(2*c.patience, func() {
			for node := range set.Members() {
				if r := c.at(node); r != nil && c.up(node) {
					r.Unstage(value)
				}
			}
		})
	default:
		for node := range set.Members() {
			if r := c.at(node); r != nil && c.up(node) {
				c.stragglers.Go(func() { r.Unstage(value) })
			}
		}
	}
}
