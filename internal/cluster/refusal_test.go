package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/estorajed/estorajed/internal/cluster"
)

// refused holds an error to one line that says so.
func refused(t *testing.T, err error, want string) {
	t.Helper()
	var refusal *cluster.RefusalError
	if !errors.As(err, &refusal) || !strings.Contains(refusal.What, want) || strings.Contains(refusal.What, "\n") {
		t.Errorf("refusal is %v, want one line with %q", err, want)
	}
}

// wiped is the node with an empty data directory.
func (n *node) wiped() {
	n.t.Helper()
	n.stop()
	if err := os.RemoveAll(n.config.Dir); err != nil {
		n.t.Fatal(err)
	}
	n.known, n.self, n.starts, n.directory = nil, cluster.Member{}, 0, strings.Repeat("f", 32)
}

func TestAWipedNodeIsRefused(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		which int
	}{{"voter", 0}, {"no voter", 3}} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			nodes := running(t, 4)
			w := nodes[tc.which]
			w.wiped()
			w.mustStart()
			refused(t, w.form(t.Context()), "knows "+w.name+" with another data directory")
			if w.starts = 1; tc.which == 0 && w.running.Status().Votes {
				t.Error("its etcd was started")
			}
		})
	}
}

func TestAWipedVoterDoesNotVoteBeforeItIsToldApart(t *testing.T) {
	t.Parallel()
	nodes := running(t, 3)
	for _, n := range nodes {
		n.stop()
	}
	w := nodes[0]
	w.wiped()
	w.mustStart()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.form(ctx) }()
	until(t, "it waits for the others", func() bool {
		return strings.Contains(w.running.Waiting(), "node_2 (") && strings.Contains(w.running.Waiting(), "node_3 (")
	})
	if _, err := os.Stat(w.config.Dir); err == nil {
		t.Error("its etcd was started before anybody was heard")
	}
	nodes[1].restart() // without a quorum, but it knows
	refused(t, <-ended, "knows node_1 with another data directory")
	cancel()
}

func TestARefusalThatOnlyEtcdKnowsOf(t *testing.T) {
	t.Parallel()
	nodes := running(t, 3)
	w := nodes[0]
	w.stop()
	w.directory = strings.Repeat("f", 32) // etcd's files are its own, the rest is another's
	w.known, w.self = nil, cluster.Member{}
	w.mustStart()
	refused(t, w.form(t.Context()), "knows node_1 with another data directory")
}

func TestAnOlderCopyOfTheDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	nodes := running(t, 1)
	nodes[0].stop()
	nodes[0].restart()
	connected(t, nodes...)
	nodes[0].stop()
	nodes[0].starts = 0
	nodes[0].restart()
	until(t, "Run ends", func() bool { return len(nodes[0].ended) == 1 })
	refused(t, <-nodes[0].ended, "is an older copy")
	nodes[0].end()
	nodes[0].end = nil
}

func TestOtherFlagsAreRefused(t *testing.T) {
	t.Parallel()
	nodes := newNodes(t, 4)
	nodes[3].config.Wanted.Partitions = 32
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 3)
	for _, n := range nodes {
		n.mustStart()
	}
	for _, n := range nodes[:3] {
		go func() { ended <- n.form(ctx) }()
	}
	refused(t, nodes[3].form(ctx), "-partitions is 32 here, but 16 in the cluster")
	until(t, "node_1 waits for node_4 only", func() bool { return nodes[0].running.Waiting() == "waiting for node_4 to register" })
	nodes[3].config.Wanted.Partitions = 16 // corrected, and started again
	nodes[3].stop()
	nodes[3].mustStart()
	if err := nodes[3].form(ctx); err != nil {
		t.Error(err)
	}
	for range 3 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	nodes[3].stop()
	nodes[3].config.Wanted.Replicas = 2
	refused(t, nodes[3].start(), "-replicas is 2 here, but 3 in the cluster")
	cancel()
}

func TestOtherListsAreTold(t *testing.T) {
	t.Parallel()
	nodes := newNodes(t, 3)
	without := func(list []cluster.Initial, name string) (rest []cluster.Initial) {
		for _, i := range list {
			if i.Name != name {
				rest = append(rest, i)
			}
		}
		return rest
	}
	full := nodes[1].config.Initial
	nodes[1].config.Initial = without(full, "node_3")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 3)
	begin := func(n *node) {
		n.mustStart()
		go func() { ended <- n.form(ctx) }()
	}
	for _, n := range nodes {
		begin(n)
	}
	until(t, "node_1 says what is wrong with node_2", func() bool {
		return strings.Contains(nodes[0].running.Waiting(), "node_2 (") && strings.Contains(nodes[0].running.Waiting(), "started with another -initialCluster (it lacks node_3=")
	})
	until(t, "node_2 says what is wrong with node_1", func() bool {
		return strings.Contains(nodes[1].running.Waiting(), "node_1 (") && strings.Contains(nodes[1].running.Waiting(), "started with another -initialCluster (it has node_3=")
	})
	cancel()
	for range 3 {
		<-ended
	}
	for _, n := range nodes {
		n.stop()
	}
}

func TestANodeThatIsInNobodysListIsRefused(t *testing.T) {
	t.Parallel()
	nodes := running(t, 3)
	more := newNodes(t, 1)[0]
	more.name, more.config.Name = "node_9", "node_9"
	more.config.Initial = append(nodes[0].config.Initial, cluster.Initial{Name: "node_9", Host: more.host, Port: more.config.PeerPort})
	more.mustStart()
	refused(t, more.form(t.Context()), "-initialCluster is not the list that this cluster was created with (it has node_9)")
}

func TestWhatStartCanTellByItself(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		change func(*cluster.Config)
		want   string
	}{
		{"not in its own list", func(c *cluster.Config) { c.Initial = []cluster.Initial{{Name: "b", Host: "h", Port: 1}} }, `-initialCluster does not name this node, "node_1"`},
		{"two ports for one thing", func(c *cluster.Config) {
			c.Initial = []cluster.Initial{{Name: "node_1", Host: "h", Port: 1}}
		}, "-initialCluster gives node_1 the port 1, but -etcd-peer-port is"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := newNodes(t, 1)[0]
			tc.change(&n.config)
			refused(t, n.start(), tc.want)
		})
	}
}

func TestABusyPortIsNamed(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		flag string
		port func(*cluster.Config) int
	}{
		{"-etcd-peer-port", func(c *cluster.Config) int { return c.PeerPort }},
		{"-etcd-client-port", func(c *cluster.Config) int { return c.ClientPort }},
	} {
		t.Run(tc.flag, func(t *testing.T) {
			n := newNodes(t, 1)[0]
			port := tc.port(&n.config)
			l, err := net.Listen("tcp", net.JoinHostPort(n.host, strconv.Itoa(port)))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			err = n.start()
			if want := fmt.Sprintf("%s %d is in use on 127.0.0.1: stop what listens there, or give another %s", tc.flag, port, tc.flag); err == nil || err.Error() != want {
				t.Errorf("error is %v, want %s", err, want)
			}
		})
	}
}

func TestANodeThatWasAloneBringsItsNumberAndCluster(t *testing.T) {
	t.Parallel()
	n := newNodes(t, 1)[0]
	n.self.Node = 1
	n.mustStart()
	if err := n.form(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n.self.Node != 1 || n.known.Settings != n.config.Wanted {
		t.Errorf("it became %v of %s", n.self.Node, n.known.Settings.Cluster)
	}
}

func TestALonerCannotEnterAnotherCluster(t *testing.T) {
	t.Parallel()
	nodes := newNodes(t, 4)
	nodes[3].self.Node = 1
	for _, n := range nodes {
		n.mustStart()
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 3)
	for _, n := range nodes[:3] {
		go func() { ended <- n.form(ctx) }()
	}
	until(t, "the others have begun", func() bool { return nodes[0].running.Waiting() == "waiting for node_4 to register" })
	refused(t, nodes[3].form(ctx), "the data directory of node_4 belongs to the cluster")
	cancel()
	for range 3 {
		<-ended
	}
}
