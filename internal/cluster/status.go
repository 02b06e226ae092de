package cluster

import (
	"slices"
	"time"

	"github.com/estorajed/estorajed/internal/ring"
)

// A Status says how this node's part in the agreement stands, as far as it was looked at within the last seconds. To ask costs nothing.
type Status struct {
	Votes     bool    // this node runs an etcd, which has not failed
	Voters    []Voter // by name
	HasLeader bool
	Leader    string // name; "" if there is none
	Term      uint64
	Revision  int64
	Size      int64 // of etcd's file, in bytes: this node's own, else that of a voter

	Connected     bool // all that is agreed upon was read, and changes are being watched
	WatchRestarts uint64
	LastError     error         // why it is not connected; nil while it is
	Fatal         error         // why this node's etcd is over; nil while it is not
	Lease         time.Duration // until the sign of life goes away; 0 if there is none

	Members  int
	Epoch    uint64 // of the ring table that this node goes by; 0 before the first
	Primary  int    // partitions in which this node comes first
	Replicas int    // partitions of which it holds a further copy
}

// known is what a Cluster keeps of itself between changes.
type known struct {
	view          View
	revision      int64 // of the newest key that Changed was told of
	keys          int   // and how many there were
	connected     bool
	watchRestarts uint64
	lastError     error
	fatal         error
	leaseEnd      time.Time
	leaseless     bool // told of already
	replicas      int
	primary       int
}

// Status tells how it stands.
func (c *Cluster) Status() Status {
	s := Status{}
	s.Voters, s.Term, s.Revision, s.Size = c.sight.last()
	for _, v := range s.Voters {
		if v.Leader {
			s.HasLeader, s.Leader = true, v.Name
		}
		s.HasLeader = s.HasLeader || v.Healthy
	}
	if etcd := c.server.running(); etcd != nil {
		s.Votes = true
		s.Size = etcd.Server.Backend().Size()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	k := &c.known
	s.Connected, s.WatchRestarts, s.LastError, s.Fatal = k.connected, k.watchRestarts, k.lastError, k.fatal
	s.Lease = max(0, time.Until(k.leaseEnd))
	s.Members = len(k.view.Members)
	if t := k.view.Table; t != nil {
		s.Epoch, s.Primary, s.Replicas = t.Epoch, k.primary, k.replicas
	}
	return s
}

func (c *Cluster) view() View {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known.view
}

// adopt takes a view over.
func (c *Cluster) adopt(v View) {
	var self ring.NodeID
	for _, m := range v.Members {
		if m.Name == c.config.Name {
			self = m.Node
		}
	}
	primary, replicas := held(v.Table, self)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known.view, c.known.primary, c.known.replicas = v, primary, replicas
}

// held counts the partitions in which a node comes first, and the others that it holds.
func held(t *ring.Table, node ring.NodeID) (primary, replicas int) {
	if t == nil {
		return 0, 0
	}
	for _, s := range t.Sets {
		switch {
		case len(s.Current) > 0 && s.Current[0] == node:
			primary++
		case slices.Contains(slices.Collect(s.Members()), node):
			replicas++
		}
	}
	return primary, replicas
}

// news tells whether a board differs from the last one that was told of.
func (c *Cluster) news(revision int64, keys int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known.revision == revision && c.known.keys == keys {
		return false
	}
	c.known.revision, c.known.keys = revision, keys
	return true
}

// connected notes that all was read and is being watched.
func (c *Cluster) connected() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known.connected, c.known.lastError = true, nil
}

// lost notes that the watch broke, or could not be begun. It is told of once, until it works again.
func (c *Cluster) lost(cause error) {
	c.mu.Lock()
	broke := c.known.connected
	first := c.known.lastError == nil
	c.known.connected, c.known.lastError = false, cause
	if broke {
		c.known.watchRestarts++
	}
	c.mu.Unlock()
	if first && c.config.Events.WatchLost != nil {
		c.config.Events.WatchLost(cause)
	}
}

// fail notes that this node's etcd is over.
func (c *Cluster) fail(cause error) {
	c.mu.Lock()
	c.known.fatal = cause
	c.mu.Unlock()
	if c.config.Events.Fatal != nil {
		c.config.Events.Fatal(cause)
	}
}

func (c *Cluster) leaseHeld(until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known.leaseEnd, c.known.leaseless = until, false
}

// leaseLost is told of once, until there is a lease again.
func (c *Cluster) leaseLost(cause error) {
	c.mu.Lock()
	first := !c.known.leaseless
	c.known.leaseless = true
	c.mu.Unlock()
	if first && c.config.Events.LeaseLost != nil {
		c.config.Events.LeaseLost(cause)
	}
}
