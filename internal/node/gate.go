package node

import (
	"context"
	"errors"
	"io"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
)

// A gate stands before the coordinator: the API is open before the node knows which cluster it belongs to, so that it can say what it
// waits for, and keys are refused until there is a coordinator. A node that comes back into its cluster has one at once, but for some
// moments no peers; what is asked then waits for them, as a balancer may not have noticed that the node was away.
type gate struct{ *Node }

func (g gate) Write(ctx context.Context, k key.Key, change register.Change, body io.Reader, size int64) (register.Outcome, error) {
	parts, err := g.open(ctx)
	if err != nil {
		return register.Outcome{}, err
	}
	return parts.coord.Write(ctx, k, change, body, size)
}

func (g gate) Read(ctx context.Context, k key.Key, eventual bool) (register.Record, io.ReadSeekCloser, error) {
	parts, err := g.open(ctx)
	if err != nil {
		return register.Record{}, nil, err
	}
	return parts.coord.Read(ctx, k, eventual)
}

func (g gate) open(ctx context.Context) (*parts, error) {
	parts := g.parts.Load()
	if parts == nil {
		return nil, g.early()
	}
	select {
	case <-g.acquainted:
		return parts, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (g gate) early() error { return &register.NotReadyError{Why: g.waiting()} }

// writable tells why a value of that size would be refused now, or nil.
func (n *Node) writable(size int64) error {
	parts := n.parts.Load()
	if parts == nil {
		return gate{n}.early()
	}
	err := parts.store.Writable(size)
	if errors.Is(err, register.ErrFull) && len(n.view.Load().Members) > 1 {
		return nil // others may have room: the write's own round decides
	}
	return err
}
