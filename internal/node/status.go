package node

import (
	"github.com/estorajed/estorajed/internal/api"
	"github.com/estorajed/estorajed/internal/key"
)

// A Status is the answer of /_cluster_status.
type Status struct {
	Cluster    string   `json:"cluster"`
	Epoch      uint64   `json:"epoch"`
	Partitions int      `json:"partitions"`
	Replicas   int      `json:"replicas"` // of each partition, as there are nodes to hold them
	Members    []Member `json:"members"`
}

// A Member is what a Status says of one node.
type Member struct {
	api.Node
	State   string  `json:"state"`
	Ready   bool    `json:"ready"`
	Reason  string  `json:"reason,omitempty"` // why it is not ready
	Weight  float64 `json:"weight"`
	Zone    string  `json:"zone,omitempty"`
	Version string  `json:"version"`
	Start   uint64  `json:"start"` // how often it was started with its data directory

	Partitions int   `json:"partitions"` // that it holds
	Keys       int64 `json:"keys"`
	Tombstones int64 `json:"tombstones"`
	Bytes      int64 `json:"bytes"`
	FreeBytes  int64 `json:"free_bytes"`
	SizeBytes  int64 `json:"size_bytes"`
}

func (n *Node) self() api.Node {
	return api.Node{ID: n.identity.Node, Name: n.identity.Name, Address: n.Address()}
}

// nodes are those that serve the API now.
func (n *Node) nodes() []api.Node {
	if n.ready() != nil {
		return []api.Node{}
	}
	return []api.Node{n.self()}
}

func (n *Node) placement(k key.Key) api.Placement {
	_, p := n.locate(k)
	return api.Placement{Partition: p, Epoch: n.table.Epoch, Replicas: []api.Node{n.self()}}
}

func (n *Node) status() Status {
	at := n.store.Status()
	state, _ := n.scraped()
	m := Member{
		Node: n.self(), State: state, Ready: true, Weight: n.config.Weight, Zone: n.config.Zone,
		Version: n.config.Version, Start: n.identity.Start, Partitions: len(n.table.Sets),
		Keys: at.Keys, Tombstones: at.Tombstones, Bytes: at.Bytes, FreeBytes: at.Usage.Free, SizeBytes: at.Usage.Size,
	}
	if err := n.ready(); err != nil {
		m.Ready, m.Reason = false, err.Error()
	}
	return Status{
		Cluster: n.identity.Cluster, Epoch: n.table.Epoch, Partitions: len(n.table.Sets),
		Replicas: len(n.table.Sets[0].Current), Members: []Member{m},
	}
}
