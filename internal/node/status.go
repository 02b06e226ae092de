package node

import (
	"cmp"
	"net"
	"strconv"
	"time"

	"github.com/estorajed/estorajed/internal/api"
	"github.com/estorajed/estorajed/internal/cluster"
	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/peer"
	"github.com/estorajed/estorajed/internal/ring"
)

// A Status is the answer of /_cluster_status: the cluster as this node sees it.
type Status struct {
	Cluster    string   `json:"cluster"`
	Node       string   `json:"node"` // who says all this
	Epoch      uint64   `json:"epoch"`
	Partitions int      `json:"partitions"`
	Replicas   int      `json:"replicas"` // of each partition, as there are nodes to hold them
	Waiting    string   `json:"waiting,omitempty"`
	Members    []Member `json:"members"`
	Moves      []string `json:"moves"` // of partitions, that are in progress
	Etcd       Etcd     `json:"etcd"`
}

// Etcd is how the agreement between the nodes stands.
type Etcd struct {
	Votes     bool    `json:"votes"` // this node does
	Voters    []Voter `json:"voters"`
	HasLeader bool    `json:"has_leader"`
	Connected bool    `json:"connected"` // changes of the cluster are heard of
	Trouble   string  `json:"trouble,omitempty"`
	Revision  int64   `json:"revision"`
	Bytes     int64   `json:"bytes"`
}

// A Voter is a node that runs a member of etcd.
type Voter struct {
	Name    string `json:"name"`
	Healthy bool   `json:"healthy"`
	Leader  bool   `json:"leader,omitempty"`
}

// A Member is what a Status says of one node.
type Member struct {
	api.Node
	State       string  `json:"state"` // as telemetry.States; or down
	Ready       bool    `json:"ready"`
	Reason      string  `json:"reason,omitempty"` // why it is not ready
	DownSeconds float64 `json:"down_seconds,omitempty"`
	Weight      float64 `json:"weight"`
	Zone        string  `json:"zone,omitempty"`
	Version     string  `json:"version"`
	Start       uint64  `json:"start"`           // how often it was started with its data directory
	Epoch       uint64  `json:"epoch,omitempty"` // of the ring that it goes by

	Partitions int      `json:"partitions"`        // that it holds
	Primary    int      `json:"primary"`           // of these, where it is first in the preference order
	Storage    *Storage `json:"storage,omitempty"` // of the node that says all this
}

// Storage is how a node's disk stands.
type Storage struct {
	Keys       int64 `json:"keys"`
	Tombstones int64 `json:"tombstones"`
	Bytes      int64 `json:"bytes"`
	FreeBytes  int64 `json:"free_bytes"`
	SizeBytes  int64 `json:"size_bytes"`
}

const (
	stateDown    = "down"
	stateUnknown = "unknown"
)

func addressed(m cluster.Member) api.Node {
	return api.Node{ID: m.Node, Name: m.Name, Address: net.JoinHostPort(m.Host, strconv.Itoa(m.Port))}
}

// peerAddress is where another member listens for its peers.
func (n *Node) peerAddress(id ring.NodeID) (hostPort string, known bool) {
	m, known := n.member(id)
	return net.JoinHostPort(m.Host, strconv.Itoa(m.PeerPort)), known
}

// nodes are those that serve the API now, as far as this node knows.
func (n *Node) nodes() []api.Node {
	list := []api.Node{}
	view, parts := n.view.Load(), n.parts.Load()
	if view == nil || parts == nil {
		return list
	}
	up := map[ring.NodeID]bool{n.identity.Node: n.ready() == nil}
	for _, p := range parts.peers.Status() {
		up[p.Node] = p.Up && p.Ready
	}
	for _, m := range view.Members {
		if up[m.Node] {
			list = append(list, addressed(m))
		}
	}
	return list
}

func (n *Node) placement(k key.Key) (api.Placement, error) {
	if n.parts.Load() == nil {
		return api.Placement{}, gate{n}.early()
	}
	_, at := n.locate(k)
	table := n.table()
	p := api.Placement{Partition: at, Epoch: table.Epoch, Replicas: []api.Node{}}
	for id := range table.Sets[at].Members() {
		node := api.Node{ID: id}
		if m, known := n.member(id); known {
			node = addressed(m)
		}
		p.Replicas = append(p.Replicas, node)
	}
	return p, nil
}

func (n *Node) status() Status {
	view, parts := n.view.Load(), n.parts.Load()
	s := Status{Node: n.identity.Name, Members: []Member{}, Moves: []string{}, Etcd: etcdOf(n.cluster.Status())}
	if view == nil || parts == nil {
		s.Waiting = n.waiting()
		self := n.self()
		s.Members = append(s.Members, n.describe(self))
		return s
	}
	s.Cluster, s.Epoch, s.Partitions, s.Replicas = view.Settings.Cluster, view.Table.Epoch, len(view.Table.Sets), len(view.Table.Sets[0].Current)
	peers := map[ring.NodeID]peer.Status{}
	for _, p := range parts.peers.Status() {
		peers[p.Node] = p
	}
	holds, leads := shares(view.Table)
	for _, m := range view.Members {
		member := n.describe(m)
		if m.Node != n.identity.Node {
			member.judge(peers[m.Node])
		}
		member.Partitions, member.Primary = holds[m.Node], leads[m.Node]
		s.Members = append(s.Members, member)
	}
	return s
}

func etcdOf(at cluster.Status) Etcd {
	e := Etcd{Votes: at.Votes, HasLeader: at.HasLeader, Connected: at.Connected, Voters: []Voter{}, Revision: at.Revision, Bytes: at.Size}
	for _, v := range at.Voters {
		e.Voters = append(e.Voters, Voter{Name: v.Name, Healthy: v.Healthy, Leader: v.Leader})
	}
	if err := cmp.Or(at.Fatal, at.LastError); err != nil {
		e.Trouble = err.Error()
	}
	return e
}

// shares counts the partitions that each node holds, and those where it is first.
func shares(t *ring.Table) (holds, leads map[ring.NodeID]int) {
	holds, leads = map[ring.NodeID]int{}, map[ring.NodeID]int{}
	for _, s := range t.Sets {
		for id := range s.Members() {
			holds[id]++
		}
		leads[s.Current[0]]++
	}
	return holds, leads
}

// describe tells of a member what is known without asking it; of this node, all.
func (n *Node) describe(m cluster.Member) Member {
	d := Member{Node: addressed(m), State: stateUnknown, Weight: m.Weight, Zone: m.Zone, Version: m.Version, Start: m.Start}
	if m.Name != n.identity.Name {
		return d
	}
	state, _ := n.scraped()
	d.State, d.Ready, d.Version, d.Start = state, true, n.config.Version, n.identity.Start
	if err := n.ready(); err != nil {
		d.Ready, d.Reason = false, err.Error()
	}
	if parts := n.parts.Load(); parts != nil {
		at := parts.store.Status()
		d.Epoch = n.table().Epoch
		d.Storage = &Storage{Keys: at.Keys, Tombstones: at.Tombstones, Bytes: at.Bytes, FreeBytes: at.Usage.Free, SizeBytes: at.Usage.Size}
	}
	return d
}

// judge tells of another member what is heard of it.
func (m *Member) judge(p peer.Status) {
	switch {
	case !p.Up:
		m.State, m.Reason = stateDown, "it is not heard of"
		if !p.Since.IsZero() {
			m.DownSeconds = time.Since(p.Since).Round(time.Millisecond).Seconds()
		}
	case !p.Ready:
		m.State, m.Reason = cmp.Or(p.State, stateUnknown), "it says that it is not ready"
	default:
		m.State, m.Ready = cmp.Or(p.State, stateUnknown), true
	}
	m.Epoch = p.Epoch
}
