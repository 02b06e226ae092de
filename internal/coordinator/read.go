package coordinator

import (
	"context"
	"errors"
	"io"
	"slices"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
)

// Read gives the key's state and, if it is Present, its bytes from the start; the caller closes body. With eventual, one replica's copy
// is enough, which may be outdated. Errors: *register.DamageError, register.ErrOverload, *register.QuorumError, ctx's.
func (c *Coordinator) Read(ctx context.Context, k key.Key, eventual bool) (register.Record, io.ReadSeekCloser, error) {
	if err := c.admit(ctx); err != nil {
		return register.Record{}, nil, err
	}
	defer c.running.Add(-1)
	_, set := c.place(k)
	if c.mine(set) || eventual && set.Holds(c.node) {
		return c.local.Read(ctx, k)
	}
	if eventual {
		return c.any(ctx, k, set)
	}
	for range fetchesMax {
		op := register.NewRead()
		if err := c.carry(ctx, k, op); err != nil {
			return register.Record{}, nil, err
		}
		state, err := op.State()
		if err != nil || !state.Present() {
			return state, nil, c.explain(k, err)
		}
		if rec, body, ok := c.fetch(ctx, k, set, state.Version); ok {
			return rec, body, nil
		}
	}
	return register.Record{}, nil, c.explain(k, &register.QuorumError{Cause: errMoved})
}

var errMoved = errors.New("its value is being replaced faster than it can be read")

// any gives whichever copy can be had.
func (c *Coordinator) any(ctx context.Context, k key.Key, set ring.Set) (rec register.Record, body io.ReadSeekCloser, err error) {
	err = errUnknownNode
	for node := range set.Members() {
		if r := c.at(node); r != nil {
			if rec, body, err = r.Read(ctx, k); err == nil {
				return rec, body, nil
			}
		}
	}
	return register.Record{}, nil, c.explain(k, &register.QuorumError{Cause: err})
}

// fetch looks for a copy of that version, this node's own first.
func (c *Coordinator) fetch(ctx context.Context, k key.Key, set ring.Set, version register.Stamp) (register.Record, io.ReadSeekCloser, bool) {
	nodes := slices.Collect(set.Members())
	if i := slices.Index(nodes, c.node); i > 0 {
		nodes[0], nodes[i] = nodes[i], nodes[0]
	}
	for _, node := range nodes {
		r := c.at(node)
		if r == nil {
			continue
		}
		rec, body, err := r.Read(ctx, k)
		if err == nil && rec.Version == version && body != nil {
			return rec, body, true
		}
		if body != nil {
			body.Close()
		}
	}
	return register.Record{}, nil, false
}
