package node

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/estorajed/estorajed/internal/api"
	"github.com/estorajed/estorajed/internal/coordinator"
	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/observe"
	"github.com/estorajed/estorajed/internal/replica"
	"github.com/estorajed/estorajed/internal/ring"
	"github.com/estorajed/estorajed/internal/store"
	"github.com/estorajed/estorajed/internal/telemetry"
)

// dress builds the parts from the bottom up, each with its decorator: the whole stack in one place.
func (n *Node) dress() (err error) {
	o := observe.New(observe.Config{
		Metrics: n.config.Metrics, Tracer: n.tracer, Logger: n.logger, Hash: n.hash,
		Node: n.identity.Node, NameOf: n.nameOf,
	})
	n.store, err = store.Open(store.Config{
		FS: n.fs, SyncEach: n.fs.SyncEach(), Existing: n.identity.LaidOut, Partitions: len(n.table.Sets), Locate: n.locate, Events: o.StoreEvents(),
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
	n.replica = replica.New(replica.Config{
		Node: n.identity.Node, Store: o.Store(n.store), Events: o.ReplicaEvents(),
		Epoch: func(k key.Key) uint64 { _, p := n.locate(k); return n.table.Sets[p].Epoch },
	})
	n.coord = coordinator.New(coordinator.Config{
		Node: n.identity.Node, Local: n.replica, Clock: n.replica,
		Table: func() *ring.Table { return n.table }, Hash: n.hash, Name: n.nameOf, Events: o.CoordinatorEvents(),
	})
	n.server, err = api.New(api.Config{
		Keys: o.Keys(n.coord), MaxValueSize: n.config.MaxValueSize, Writable: n.store.Writable,
		Events: o.Requests(), Trace: observe.Trace, Hop: o.Hop,
		Health: func() error { return nil }, Ready: n.ready, Metrics: n.config.Metrics.Handler(),
		Limits: api.Limits{Connections: connections()},
		Nodes:  n.nodes, Locate: n.placement, Status: func() any { return n.status() },
	})
	if err != nil {
		return err
	}
	o.Scrape(observe.Status{Store: n.store.Status, Replica: n.replica.Status, Coordinator: n.coord.Status, Node: n.scraped})
	return nil
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

// nameOf is a node's name, for people.
func (n *Node) nameOf(node ring.NodeID) string {
	if node == n.identity.Node {
		return n.identity.Name
	}
	return node.String()
}

// scraped is the node's state as /metrics shows it.
func (n *Node) scraped() (state string, ready bool) {
	at := int(n.state.Load())
	if at == telemetry.StateServing && n.store.Status().Failed != nil {
		at = telemetry.StateReadOnly
	}
	return telemetry.States.Values[at], n.ready() == nil
}
