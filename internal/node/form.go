package node

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/estorajed/estorajed/internal/cluster"
	"github.com/estorajed/estorajed/internal/ring"
)

// etcdFolder is the part of the data directory that is etcd's.
const etcdFolder = "etcd"

// recall gives the cluster as the data directory remembers it; nil if this node has not been in one.
func (n *Node) recall() (*cluster.View, error) {
	if n.identity.Node == 0 {
		return nil, nil
	}
	known, err := n.config.Directory.Recall()
	if err != nil || known == nil {
		return nil, err
	}
	if known.Settings.Cluster != n.identity.Cluster {
		return nil, &DirectoryError{n.config.Directory.Path, fmt.Sprintf(
			"is of cluster %s, but its file %s of cluster %s: restore the directory from one backup, or give an empty one",
			n.identity.Cluster, viewName, known.Settings.Cluster,
		)}
	}
	return known, n.compare(known)
}

// compare holds -initialCluster against the cluster that the directory belongs to. Names that have gone missing from the list are of no
// consequence; a new one would wait for ever.
func (n *Node) compare(known *cluster.View) error {
	for _, i := range n.config.InitialCluster {
		if !slices.ContainsFunc(known.Members, func(m cluster.Member) bool { return m.Name == i.Name }) {
			return &DirectoryError{n.config.Directory.Path, fmt.Sprintf(
				"is of a cluster without %q, which -initialCluster names: a cluster that is formed cannot take in nodes yet, so leave that name out, or give empty directories to all",
				i.Name,
			)}
		}
	}
	if given := len(n.config.InitialCluster); given > 0 && given < len(known.Members) {
		n.logger.Warn("-initialCluster names fewer nodes than the cluster has; it goes by what its directory says", "given", given, "members", len(known.Members))
	}
	return nil
}

func (n *Node) startCluster(ctx context.Context, known *cluster.View) (*cluster.Cluster, error) {
	c, s := n.config, n.config.Settings
	return cluster.Start(ctx, cluster.Config{
		Name: s.Name, Dir: filepath.Join(c.Directory.Path, etcdFolder), Bind: c.Bind, Host: c.Host, ClientPort: c.EtcdClientPort, PeerPort: c.EtcdPeerPort,
		Initial: c.InitialCluster, Known: known, Changed: n.changed, Self: n.self(), Events: n.observer.ClusterEvents(),
		Wanted: cluster.Settings{
			Cluster: n.identity.Cluster, HashSeed: n.identity.HashSeed,
			Partitions: s.Partitions, Replicas: s.Replicas, MaxVoters: s.MaxVoters,
		},
	})
}

// self is this node as the cluster's other members are to know it.
func (n *Node) self() cluster.Member {
	c := n.config
	return cluster.Member{
		Node: n.identity.Node, Name: n.identity.Name, Directory: n.identity.Directory,
		Host: c.Host, Port: portOf(n.listener), PeerPort: portOf(n.peerListener), EtcdClientPort: c.EtcdClientPort,
		Zone: c.Zone, Weight: c.Weight, Version: c.Version, Start: n.identity.Start,
	}
}

// form waits until this node is a member of a cluster that has a table, then builds all parts.
func (n *Node) form(ctx context.Context) error {
	n.logger.Info("forming the cluster", "name", n.identity.Name, "nodes", max(1, len(n.config.InitialCluster)))
	view, self, err := n.cluster.Form(ctx)
	if err != nil {
		return err
	}
	if err := n.config.Directory.Joined(view.Settings, self.Node); err != nil {
		return err
	}
	if err := n.config.Directory.Remember(&view); err != nil {
		return &DirectoryError{n.config.Directory.Path, "cannot be written: " + reason(err) + ": make room, or let this user write there"}
	}
	return n.build(&view)
}

// changed takes in what the cluster has become: first on disk, then in memory, so that after a restart the node knows no less.
func (n *Node) changed(v cluster.View) {
	if err := n.adopt(&v); err != nil {
		n.logger.Error("the change of the cluster cannot be written down, so this node goes on with what it knew", "error", err)
	}
}

func (n *Node) adopt(v *cluster.View) error {
	n.adopting.Lock()
	defer n.adopting.Unlock()
	was := n.view.Load()
	if was == nil {
		return nil // it is still being formed
	}
	if v.Table.Epoch < was.Table.Epoch {
		v.Table, v.TableRevision = was.Table, was.TableRevision
	}
	if err := n.config.Directory.Remember(v); err != nil {
		return err
	}
	n.view.Store(v)
	if v.Table.Epoch > was.Table.Epoch {
		n.logger.Info("ring changed", "epoch", v.Table.Epoch, "was", was.Table.Epoch)
	}
	return nil
}

var errNoTable = errors.New("no peer gave a newer table")

// behind begins to fetch the ring's table from a peer, as somebody spoke of a newer epoch. Etcd tells of it too, but may be late.
func (n *Node) behind(epoch uint64) {
	if epoch <= n.table().Epoch || n.catching.Swap(true) {
		return
	}
	n.errands.Go(func() {
		defer n.catching.Store(false)
		if err := n.catchUp(); err != nil {
			n.logger.Warn("a newer ring table could not be fetched", "epoch", epoch, "error", err)
		}
	})
}

// catchUpLimit bounds the time for fetching a table from one peer.
const catchUpLimit = time.Second

func (n *Node) catchUp() error {
	was := n.view.Load()
	for _, m := range was.Members {
		if m.Node == n.identity.Node {
			continue
		}
		p := n.parts.Load().peers.To(m.Node)
		if p == nil || !p.Up() {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), catchUpLimit)
		b, err := p.Table(ctx)
		cancel()
		if err != nil {
			continue
		}
		table, err := ring.Decode(b)
		if err != nil || table.Epoch <= was.Table.Epoch {
			continue
		}
		newer := *was
		newer.Table = table
		return n.adopt(&newer)
	}
	return errNoTable
}
