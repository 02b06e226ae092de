package node

import (
	"context"
	"io"

	"github.com/estorajed/estorajed/internal/coordinator"
	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/peer"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/replica"
	"github.com/estorajed/estorajed/internal/ring"
)

// local is what this node answers its peers with: its replica, its coordinator, and what it knows of the ring.
type local struct {
	*replica.Replica
	coord *coordinator.Coordinator
	node  *Node
}

func (l local) Carry(ctx context.Context, k key.Key, o register.Order) register.Report {
	return l.coord.Carry(ctx, k, o)
}

func (l local) Get(ctx context.Context, k key.Key) (register.Record, io.ReadSeekCloser, error) {
	return l.coord.Get(ctx, k)
}

func (l local) State() peer.State {
	name, ready := l.node.scraped()
	return peer.State{Name: name, Ready: ready, Epoch: l.node.table().Epoch, Clock: l.Replica.Status().Clock}
}

func (l local) Table() []byte {
	b, err := l.node.table().Encode()
	if err != nil {
		return nil // a table that this node lives by has a form
	}
	return b
}

// heard takes note of another node's clock. One that is too far ahead is not followed: its messages are refused, too.
func (n *Node) heard(clock register.Time) {
	if parts := n.parts.Load(); parts != nil {
		_ = parts.replica.Merge(clock)
	}
}

// peerAt is the way to another node, nil if it is no member.
func (n *Node) peerAt(id ring.NodeID) coordinator.Peer {
	parts := n.parts.Load()
	if parts == nil {
		return nil
	}
	if dressed, made := parts.dressed.Load(id); made {
		return dressed.(coordinator.Peer)
	}
	p := parts.peers.To(id)
	if p == nil {
		return nil
	}
	dressed, _ := parts.dressed.LoadOrStore(id, n.observer.Peer(p))
	return dressed.(coordinator.Peer)
}

// fetch reads the copy of a value at another node.
func (n *Node) fetch(ctx context.Context, from ring.NodeID, k key.Key, _ register.Stamp) (register.Record, io.ReadCloser, error) {
	p := n.peerAt(from)
	if p == nil {
		return register.Record{}, nil, register.ErrUnreachable
	}
	return p.Read(ctx, k)
}
