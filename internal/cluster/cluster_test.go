package cluster_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/estorajed/estorajed/internal/cluster"
	"github.com/estorajed/estorajed/internal/ring"
)

// TestMain lets more tests run at once than there are processors: most of the time they wait for an election, or for nothing to come.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "12"); err != nil {
		panic(err)
	}
	m.Run()
}

// patience is for a busy machine; what is waited for takes a second or two.
const patience = 90 * time.Second

// A node is one node of a test's cluster: what it is started with, what its data directory remembers, and what runs of it.
type node struct {
	t         *testing.T
	name      string
	host      string
	config    cluster.Config
	directory string
	starts    uint64
	known     *cluster.View
	self      cluster.Member

	running *cluster.Cluster
	end     context.CancelFunc
	ended   chan error

	mu     sync.Mutex
	seen   []cluster.View
	logged []string
	fatal  error
}

// newNodes makes so many nodes, which know of each other.
func newNodes(t *testing.T, n int) []*node {
	t.Helper()
	nodes := make([]*node, n)
	var initial []cluster.Initial
	for i := range nodes {
		host := fmt.Sprintf("127.0.0.%d", i+1)
		name := fmt.Sprintf("node_%d", i+1)
		ports := freePorts(t, host, 2)
		nodes[i] = &node{t: t, name: name, host: host, directory: strings.Repeat(strconv.Itoa(i+1), 32), config: cluster.Config{
			Name: name, Bind: host, Host: host, ClientPort: ports[0], PeerPort: ports[1], Dir: filepath.Join(t.TempDir(), "etcd"),
		}}
		initial = append(initial, cluster.Initial{Name: name, Host: host, Port: ports[1]})
	}
	for i, n := range nodes {
		if len(nodes) > 1 {
			n.config.Initial = append(slices.Clone(initial[i:]), initial[:i]...) // the order is nobody's business
		}
		n.config.Wanted = cluster.Settings{Cluster: strings.Repeat(strconv.Itoa(i), 32), HashSeed: uint64(i), Partitions: 16, Replicas: 3, MaxVoters: 5}
		n.config.Changed = n.changed
		n.config.Events = cluster.Events{
			Log: func(level, message string, fields []any) {
				n.mu.Lock()
				defer n.mu.Unlock()
				n.logged = append(n.logged, fmt.Sprintln(level, message, fields))
			},
			Fatal: func(err error) {
				n.mu.Lock()
				defer n.mu.Unlock()
				n.fatal = err
			},
		}
	}
	t.Cleanup(func() {
		for _, n := range nodes {
			if t.Failed() && n.running != nil {
				t.Logf("%s: %q, %+v", n.name, n.running.Waiting(), n.running.Status())
			}
		}
		var all sync.WaitGroup
		for _, n := range nodes {
			all.Go(n.stop)
		}
		all.Wait()
		if t.Failed() {
			for _, n := range nodes {
				t.Logf("%s:\n%s", n.name, strings.Join(n.logged, ""))
			}
		}
	})
	return nodes
}

// Ports are taken one after the other, below those that the system gives to outgoing connections, so that a node finds its own free again.
const (
	portsFrom = 12000
	portsTo   = 32000
)

var lastPort atomic.Int64

func freePorts(t *testing.T, host string, n int) (ports []int) {
	t.Helper()
	lastPort.CompareAndSwap(0, portsFrom+rand.Int64N(portsTo-portsFrom))
	for len(ports) < n {
		port := portsFrom + int(lastPort.Add(1)-portsFrom)%(portsTo-portsFrom)
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if err == nil {
			l.Close()
			ports = append(ports, port)
		}
	}
	return ports
}

func (n *node) changed(v cluster.View) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.seen = append(n.seen, v)
}

// last is the newest view that Run told of.
func (n *node) last() (v cluster.View, told int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.seen) == 0 {
		return cluster.View{}, 0
	}
	return n.seen[len(n.seen)-1], len(n.seen)
}

// start starts the node, as its directory says.
func (n *node) start() error {
	n.starts++
	c := n.config
	c.Known = n.known
	c.Self = n.self
	c.Self.Name, c.Self.Directory, c.Self.Start = n.name, n.directory, n.starts
	c.Self.Host, c.Self.EtcdClientPort, c.Self.Weight, c.Self.Version = n.host, c.ClientPort, 1, "test"
	running, err := cluster.Start(n.t.Context(), c)
	if err != nil {
		return err
	}
	n.running = running
	return nil
}

func (n *node) mustStart() {
	n.t.Helper()
	if err := n.start(); err != nil {
		n.t.Fatalf("%s: %v", n.name, err)
	}
}

// form takes part in the founding, and remembers what came of it.
func (n *node) form(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	running := n.running
	view, self, err := running.Form(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w (%s)", n.name, err, running.Waiting())
	}
	n.known, n.self = &view, self
	return nil
}

func (n *node) run() {
	ctx, cancel := context.WithCancel(context.Background())
	n.end, n.ended = cancel, make(chan error, 1)
	go func() { n.ended <- n.running.Run(ctx) }()
}

// stop ends the node, if it runs, and tells how Run ended.
func (n *node) stop() {
	if n.running == nil {
		return
	}
	if n.end != nil {
		n.end()
		if err := <-n.ended; err != nil {
			n.t.Errorf("%s: Run: %v", n.name, err)
		}
		n.end = nil
	}
	n.running.Stop()
	n.running = nil
}

// found starts all nodes and forms the cluster.
func found(t *testing.T, nodes []*node) {
	t.Helper()
	errs := make(chan error, len(nodes))
	for _, n := range nodes {
		n.mustStart()
		go func() { errs <- n.form(t.Context()) }()
	}
	for range nodes {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

// until polls.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		tick := time.NewTimer(20 * time.Millisecond)
		<-tick.C
	}
}

// connected waits until a node's Run sees what all agree on.
func connected(t *testing.T, nodes ...*node) {
	t.Helper()
	for _, n := range nodes {
		until(t, n.name+" is connected", func() bool { return n.running.Status().Connected })
	}
}

func TestAClusterForms(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ nodes, voters int }{{1, 1}, {2, 2}, {3, 3}, {5, 5}, {7, 5}} {
		t.Run(strconv.Itoa(tc.nodes), func(t *testing.T) {
			t.Parallel()
			nodes := newNodes(t, tc.nodes)
			found(t, nodes)
			voters := 0
			given := map[ring.NodeID]bool{}
			for _, n := range nodes {
				if n.known.Settings != nodes[0].known.Settings || len(n.known.Members) != tc.nodes {
					t.Errorf("%s agrees to %+v with %d members", n.name, n.known.Settings, len(n.known.Members))
				}
				if n.known.Table.Epoch != 1 || n.known.TableRevision != nodes[0].known.TableRevision || len(n.known.Table.Sets) != 16 {
					t.Errorf("%s has the table of epoch %d, revision %d", n.name, n.known.Table.Epoch, n.known.TableRevision)
				}
				if given[n.self.Node] || n.self.Node < 1 || int(n.self.Node) > tc.nodes {
					t.Errorf("%s got the number %v", n.name, n.self.Node)
				}
				given[n.self.Node] = true
				if n.running.Status().Votes {
					voters++
				}
			}
			if voters != tc.voters {
				t.Errorf("%d voters, want %d", voters, tc.voters)
			}
		})
	}
}

func TestAStopLeavesNothingBehind(t *testing.T) {
	before := goleak.IgnoreCurrent()
	nodes := newNodes(t, 3)
	found(t, nodes)
	for _, n := range nodes {
		n.run()
	}
	connected(t, nodes...)
	for _, n := range nodes {
		n.stop()
	}
	goleak.VerifyNone(t, before, // but for connections between etcds, which etcd leaves idle
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
		goleak.IgnoreAnyFunction("net/http.(*conn).serve"), goleak.IgnoreAnyFunction("net/http.(*connReader).backgroundRead"))
}
