package node

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/estorajed/estorajed/internal/cluster"
)

// three describes a cluster of three nodes in this process, each on an address of its own.
func three(t *testing.T) (configs []func() Config) {
	var initial []cluster.Initial
	for i := range 3 {
		host := fmt.Sprintf("127.0.0.%d", i+1)
		initial = append(initial, cluster.Initial{Name: fmt.Sprintf("n%d", i+1), Host: host, Port: freePort(t, host)})
	}
	for _, self := range initial {
		dir := filepath.Join(t.TempDir(), self.Name)
		port, peerPort, clientPort := freePort(t, self.Host), freePort(t, self.Host), freePort(t, self.Host)
		configs = append(configs, func() Config {
			c := config(t, dir)
			c.Settings.Name, c.Host, c.Bind, c.InitialCluster = self.Name, self.Host, self.Host, initial
			c.Port, c.PeerPort, c.EtcdClientPort, c.EtcdPeerPort = port, peerPort, clientPort, self.Port
			return c
		})
	}
	return configs
}

// eventually waits until the node answers so.
func (s *serving) eventually(path string, status int, want string) {
	s.t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; {
		got, text := s.call("GET", path, "")
		if got == status && strings.Contains(text, want) {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: %d %q, want %d %q", path, got, text, status, want)
		}
	}
}

// knows waits until the node names these, and no others, as serving the API; they say so once in a heartbeat.
func (s *serving) knows(nodes ...*serving) {
	s.t.Helper()
	var want []string
	for _, n := range nodes {
		want = append(want, n.Address())
	}
	slices.Sort(want)
	for deadline := time.Now().Add(5 * time.Second); ; {
		_, plain := s.call("GET", "/_nodes_discovery_plain", "")
		got := strings.Fields(plain)
		slices.Sort(got)
		if slices.Equal(got, want) {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%q are named, want %q", got, want)
		}
	}
}

func TestThreeNodesAreOneStore(t *testing.T) {
	configs := three(t)
	first := serve(t, configs[2]())
	first.eventually("/_ready", 503, "waiting")
	first.expect("GET", "/k", "", 503, "nothing was begun")
	first.expect("GET", "/_health", "", 200, "")
	nodes := []*serving{serve(t, configs[0]()), serve(t, configs[1]()), first}
	for _, n := range nodes {
		n.ready()
	}
	nodes[2].knows(nodes...)
	for i, n := range nodes {
		n.expect("PUT", fmt.Sprintf("/k%d", i), fmt.Sprintf("v%d", i), 201, "")
	}
	for _, n := range nodes {
		for i := range nodes {
			n.expect("GET", fmt.Sprintf("/k%d", i), "", 200, fmt.Sprintf("v%d", i))
		}
		n.knows(nodes...)
	}
	if err := nodes[2].stop(); err != nil {
		t.Errorf("the third node ended with %v", err)
	}
	nodes[0].knows(nodes[:2]...)
	nodes[0].expect("PUT", "/k2", "w", 200, "")
	nodes[1].expect("DELETE", "/k1", "", 204, "")
	nodes[0].expect("GET", "/_cluster_status", "", 200, `"state":"down"`)
	nodes[2] = serve(t, configs[2]()).ready()
	nodes[2].expect("GET", "/k2", "", 200, "w")
	nodes[2].expect("GET", "/k1", "", 404, "")
}

func TestANodeThatLostItsDirectoryIsRefused(t *testing.T) {
	configs := three(t)
	var nodes []*serving
	for _, c := range configs {
		nodes = append(nodes, serve(t, c()))
	}
	for _, n := range nodes {
		n.ready()
	}
	if err := nodes[1].stop(); err != nil {
		t.Errorf("the second node ended with %v", err)
	}
	empty := configs[1]()
	empty.Directory.Release()
	var err error
	if empty.Directory, err = Take(filepath.Join(t.TempDir(), "empty")); err != nil {
		t.Fatal(err)
	}
	n, err := Open(t.Context(), empty)
	if err == nil {
		err = n.Run(t.Context())
	}
	if err == nil || !strings.Contains(err.Error(), "n2") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v, want one line about n2", err)
	}
}

func TestASettledIdentityIsNotReplaced(t *testing.T) {
	d, err := Take(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Release()
	if err := d.Begin(settings("n1")); err != nil {
		t.Fatal(err)
	}
	mine := cluster.Settings{Cluster: "a", HashSeed: 1}
	for range 2 {
		if err := d.Joined(mine, 1); err != nil {
			t.Fatal(err)
		}
	}
	for _, other := range []cluster.Settings{{Cluster: "b", HashSeed: 1}, {Cluster: "a", HashSeed: 2}} {
		if err := d.Joined(other, 1); err == nil || d.Identity.HashSeed != 1 || d.Identity.Cluster != "a" {
			t.Errorf("%+v took the place of %+v: %v", other, mine, err)
		}
	}
	if err := d.Joined(mine, 2); err == nil || d.Identity.Node != 1 {
		t.Errorf("the node became %v: %v", d.Identity.Node, err)
	}
}
