package acceptance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// formPatience is how long nodes may take to be one cluster, on a busy machine.
const formPatience = time.Minute

// A crew is a cluster whose failures fail the test.
type crew struct {
	*Cluster
	t testing.TB
}

// newCrew describes a cluster of its own for t; it starts nothing. All is killed when t ends, and the logs printed if t failed.
func newCrew(t testing.TB, n int, flags ...string) crew {
	t.Helper()
	c, err := NewCluster(binary, t.TempDir(), n, append([]string{"-drain-delay=0s"}, flags...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Kill()
		for i, d := range c.Nodes {
			if t.Failed() {
				t.Logf("the log of %s ends with:\n%s", NodeName(i), d.LogTail())
			}
		}
	})
	return crew{c, t}
}

// startCrew gives one that serves.
func startCrew(t testing.TB, n int, flags ...string) crew {
	t.Helper()
	c := newCrew(t, n, flags...)
	c.start(nil)
	return c
}

// start launches all nodes in that order and returns when all serve.
func (c crew) start(order []int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), formPatience)
	defer cancel()
	if err := c.Start(ctx, order); err != nil {
		c.t.Fatal(err)
	}
}

// launch starts the i-th node and does not wait for it.
func (c crew) launch(i int) {
	c.t.Helper()
	if err := c.Nodes[i].Launch(); err != nil {
		c.t.Fatal(err)
	}
}

// stop ends all nodes in the proper way.
func (c crew) stop() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	if err := c.Stop(ctx); err != nil {
		c.t.Fatal(err)
	}
}

// node is the i-th node by itself.
func (c crew) node(i int) subject { return subject{c.Nodes[i], c.t} }

// client speaks to the i-th node.
func (c crew) client(i, conns int) client { return newClient(c.Nodes[i], conns) }

// clients speak to each node.
func (c crew) clients(conns int) (list []client) {
	for _, d := range c.Nodes {
		list = append(list, newClient(d, conns))
	}
	return list
}

// balanced is a balancer in front of the cluster.
func (c crew) balanced() *Balancer {
	c.t.Helper()
	return balance(c.t, c.Addresses())
}

// signal sends a signal to the i-th node.
func (c crew) signal(i int, s syscall.Signal) {
	c.t.Helper()
	if err := c.Nodes[i].Signal(s); err != nil {
		c.t.Fatalf("signal %v to %s: %v", s, NodeName(i), err)
	}
}

// A clusterStatus is what /_cluster_status says, as far as the tests ask.
type clusterStatus struct {
	Cluster  string
	Node     string
	Epoch    uint64
	Replicas int
	Members  []struct {
		Name, Address, State, Reason string
		Ready                        bool
		Start                        uint64
		Partitions, Primary          int
	}
	Etcd struct {
		Voters []struct {
			Name    string
			Healthy bool
			Leader  bool
		}
		HasLeader bool `json:"has_leader"`
	}
}

// status asks the i-th node how the cluster is.
func (c crew) status(ctx context.Context, i int) (s clusterStatus, err error) {
	err = c.ask(ctx, i, "_cluster_status", &s)
	return s, err
}

// ask reads the JSON of an endpoint.
func (c crew) ask(ctx context.Context, i int, path string, into any) error {
	got, err := c.client(i, 0).get(ctx, path)
	if err != nil {
		return err
	}
	if got.status != http.StatusOK {
		return fmt.Errorf("/%s of %s: %s", path, NodeName(i), got)
	}
	return json.Unmarshal(got.body, into)
}

// discovered are the addresses that the i-th node names as those that serve.
func (c crew) discovered(ctx context.Context, i int) ([]string, error) {
	got, err := c.client(i, 0).get(ctx, "_nodes_discovery_plain")
	if err != nil {
		return nil, err
	}
	return strings.Fields(string(got.body)), nil
}

// A placement is what /_nodes/{key} says.
type placement struct {
	Partition int
	Epoch     uint64
	Replicas  []struct{ Name, Address string }
}

// holders are the names of a key's replicas in the order of preference.
func (c crew) holders(i int, key string) (names []string) {
	c.t.Helper()
	var p placement
	if err := c.ask(context.Background(), i, "_nodes/"+key, &p); err != nil {
		c.t.Fatal(err)
	}
	for _, r := range p.Replicas {
		names = append(names, r.Name)
	}
	return names
}

// outside is the index of the first node that does not hold the key.
func (c crew) outside(key string) int {
	c.t.Helper()
	holders := c.holders(0, key)
	for i := range c.Nodes {
		if !slices.Contains(holders, NodeName(i)) {
			return i
		}
	}
	c.t.Fatalf("all nodes hold %q", key)
	return 0
}
