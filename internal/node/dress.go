package node

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/estorajed/estorajed/internal/api"
	"github.com/estorajed/estorajed/internal/cluster"
	"github.com/estorajed/estorajed/internal/coordinator"
	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/observe"
	"github.com/estorajed/estorajed/internal/peer"
	"github.com/estorajed/estorajed/internal/replica"
	"github.com/estorajed/estorajed/internal/ring"
	"github.com/estorajed/estorajed/internal/store"
	"github.com/estorajed/estorajed/internal/telemetry"
)

// The parts are what a node has once it knows its cluster.
type parts struct {
	store   *store.Store
	replica *replica.Replica
	coord   *coordinator.Coordinator
	peers   *peer.Peers
	dressed sync.Map // of ring.NodeID: the way to that node as a coordinator.Peer, made once
}

// observe makes what all parts are dressed with.
func (n *Node) observe() {
	n.observer = observe.New(observe.Config{
		Metrics: n.config.Metrics, Tracer: n.tracer, Logger: n.logger, Hash: n.hash,
		Name: n.identity.Name, NameOf: n.nameOf,
	})
	n.observer.Scrape(observe.Status{Node: n.scraped})
}

// serveHTTP builds the API, which is there before the parts are.
func (n *Node) serveHTTP() (*api.Server, error) {
	o := n.observer
	return api.New(api.Config{
		Keys: o.Keys(gate{n}), MaxValueSize: n.config.MaxValueSize, Writable: n.writable,
		Events: o.Requests(), Trace: observe.Trace, Hop: o.Hop,
		Health: func() error { return nil }, Ready: n.ready, Metrics: n.config.Metrics.Handler(),
		Limits: api.Limits{Connections: connections()},
		Nodes:  n.nodes, Locate: n.placement, Status: func() any { return n.status() },
	})
}

// build makes the parts from the bottom up, each with its decorator: the whole stack in one place. It may be called once.
func (n *Node) build(view *cluster.View) (err error) {
	n.hashSeed.Store(view.Settings.HashSeed)
	n.view.Store(view)
	o, p := n.observer, &parts{}
	p.store, err = store.Open(store.Config{
		FS: n.fs, SyncEach: n.fs.SyncEach(), Existing: n.identity.LaidOut, Partitions: len(view.Table.Sets), Locate: n.locate, Events: o.StoreEvents(),
	})
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w: let this user read and write all below it (chown -R)", err)
	}
	if err != nil {
		return &DirectoryError{n.config.Directory.Path, "cannot be recovered: " + err.Error()}
	}
	if err := n.config.Directory.LaidOut(); err != nil {
		return err
	}
	p.replica = replica.New(replica.Config{
		Node: n.identity.Node, Store: o.Store(p.store), Events: o.ReplicaEvents(), Fetch: n.fetch, Behind: n.behind,
		Epoch: func(k key.Key) uint64 { _, at := n.locate(k); return n.table().Sets[at].Epoch },
	})
	p.coord = coordinator.New(coordinator.Config{
		Node: n.identity.Node, Local: p.replica, Clock: p.replica, Peer: n.peerAt, Behind: n.behind,
		Table: n.table, Hash: n.hash, Name: n.nameOf, Events: o.CoordinatorEvents(n.identity.Node),
	})
	p.peers = peer.New(peer.Config{
		Cluster: view.Settings.Cluster, Node: n.identity.Node, Name: n.identity.Name, Version: n.config.Version, Start: n.identity.Start,
		Address: n.peerAddress, Local: o.Local(local{p.replica, p.coord, n}), Heard: n.heard, Started: n.started, Events: o.PeerEvents(), Inject: observe.Inject, Extract: o.Extract,
	})
	o.Scrape(observe.Status{
		Store: p.store.Status, Replica: p.replica.Status, Coordinator: p.coord.Status, Cluster: n.cluster.Status, Peers: p.peers.Status,
	})
	n.parts.Store(p)
	return nil
}

// member finds a node among those that are known.
func (n *Node) member(id ring.NodeID) (cluster.Member, bool) {
	if view := n.view.Load(); view != nil {
		for _, m := range view.Members {
			if m.Node == id {
				return m, true
			}
		}
	}
	return cluster.Member{}, false
}

// started is the latest life of a member that etcd told of, 0 if none.
func (n *Node) started(id ring.NodeID) uint64 {
	m, _ := n.member(id)
	return m.Start
}

func (n *Node) nameOf(id ring.NodeID) string {
	if m, known := n.member(id); known {
		return m.Name
	}
	return id.String()
}

// connectionsMax are open at the same time, if there are descriptors for them.
const connectionsMax = 4096

// connections leaves half of the process' descriptors for files.
func connections() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return connectionsMax
	}
	return max(1, int(min(limit.Cur/2, connectionsMax)))
}

// scraped is the node's state as /metrics shows it.
func (n *Node) scraped() (state string, ready bool) {
	at := int(n.state.Load())
	if parts := n.parts.Load(); at == telemetry.StateServing && parts.store.Status().Failed != nil {
		at = telemetry.StateReadOnly
	}
	return telemetry.States.Values[at], n.ready() == nil
}
