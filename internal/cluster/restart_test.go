package cluster_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sys/unix"

	"github.com/estorajed/estorajed/internal/ring"
)

// running founds a cluster and runs all its nodes.
func running(t *testing.T, n int) []*node {
	t.Helper()
	nodes := newNodes(t, n)
	found(t, nodes)
	for _, n := range nodes {
		n.run()
	}
	connected(t, nodes...)
	return nodes
}

// restart starts a node again with what it remembers.
func (n *node) restart() {
	n.t.Helper()
	n.mustStart()
	n.run()
}

// etcd is a client of the voters, as any program could be one.
func etcd(t *testing.T, nodes []*node) *clientv3.Client {
	t.Helper()
	var urls []string
	for _, n := range nodes {
		urls = append(urls, "http://"+net.JoinHostPort(n.host, strconv.Itoa(n.config.ClientPort)))
	}
	c, err := clientv3.New(clientv3.Config{Endpoints: urls})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestNothingIsLostByRestarts(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 3} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			t.Parallel()
			nodes := running(t, n)
			before := *nodes[0].known
			for _, n := range nodes {
				n.stop()
			}
			for i := range nodes { // in the opposite order
				n := nodes[len(nodes)-1-i]
				n.config.Changed, n.seen = n.changed, nil
				n.restart()
			}
			connected(t, nodes...)
			for _, n := range nodes {
				until(t, n.name+" sees every start", func() bool {
					v, _ := n.last()
					for _, m := range v.Members {
						if m.Start != 2 {
							return false
						}
					}
					return len(v.Members) == len(nodes)
				})
				v, _ := n.last()
				if v.Settings != before.Settings || v.TableRevision != before.TableRevision || v.Table.Epoch != 1 {
					t.Errorf("%s sees %+v, revision %d, after the restart", n.name, v.Settings, v.TableRevision)
				}
				for i, m := range v.Members {
					if m.Node != before.Members[i].Node || m.Name != before.Members[i].Name {
						t.Errorf("%s sees %s as %v; it was %s", n.name, m.Name, m.Node, before.Members[i].Name)
					}
				}
			}
		})
	}
}

func TestAStartNeedsNobody(t *testing.T) {
	t.Parallel()
	nodes := running(t, 3)
	for _, n := range nodes {
		n.stop()
	}
	alone := nodes[1]
	began := time.Now()
	alone.restart()
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the start took %v", took)
	}
	until(t, "it says that it is not connected", func() bool { return alone.running.Status().LastError != nil })
	s := alone.running.Status()
	if s.Connected || s.HasLeader || !s.Votes || s.Epoch != 1 || s.Members != 3 || s.Primary+s.Replicas != 16 {
		t.Errorf("alone its status is %+v", s)
	}
	began = time.Now()
	alone.stop()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the stop without a quorum took %v", took)
	}
	alone.restart()
	nodes[2].restart()
	connected(t, alone, nodes[2])
	nodes[0].restart()
	connected(t, nodes...)
}

func TestChangesAreSeenByAll(t *testing.T) {
	t.Parallel()
	nodes := running(t, 4)
	client := etcd(t, nodes[:3])
	next := &ring.Table{Epoch: 2, Sets: nodes[0].known.Table.Sets}
	value, err := next.Encode()
	if err != nil {
		t.Fatal(err)
	}
	r, err := client.Put(t.Context(), "/estorajed/agreed/ring", string(value))
	if err != nil {
		t.Fatal(err)
	}
	sees := func(n *node, epoch uint64) {
		until(t, fmt.Sprintf("%s sees epoch %d", n.name, epoch), func() bool {
			v, _ := n.last()
			return v.Table != nil && v.Table.Epoch == epoch
		})
	}
	for _, n := range nodes {
		sees(n, 2)
		if v, _ := n.last(); v.TableRevision != r.Header.Revision {
			t.Errorf("%s has the table of revision %d, want %d", n.name, v.TableRevision, r.Header.Revision)
		}
	}

	// A node that was away finds what was changed and compacted meanwhile.
	away := nodes[3]
	away.stop()
	next.Epoch = 3
	if value, err = next.Encode(); err != nil {
		t.Fatal(err)
	}
	if r, err = client.Put(t.Context(), "/estorajed/agreed/ring", string(value)); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Compact(t.Context(), r.Header.Revision); err != nil {
		t.Fatal(err)
	}
	away.restart()
	sees(away, 3)

	// A table never goes back.
	next.Epoch = 1
	if value, err = next.Encode(); err != nil {
		t.Fatal(err)
	}
	if _, err = client.Put(t.Context(), "/estorajed/agreed/ring", string(value)); err != nil {
		t.Fatal(err)
	}
	until(t, "somebody complains", func() bool { return away.running.Status().LastError != nil })
	if v, _ := away.last(); v.Table.Epoch != 3 {
		t.Errorf("%s went back to epoch %d", away.name, v.Table.Epoch)
	}
}

func TestTheOthersGoOnWithoutAVoter(t *testing.T) {
	t.Parallel()
	nodes := running(t, 5)
	nodes[0].stop()
	nodes[3].stop()
	nodes[1].config.Self.Zone = "moved"
	nodes[1].stop()
	nodes[1].restart()
	rest := []*node{nodes[1], nodes[2], nodes[4]}
	connected(t, rest...)
	for _, n := range rest {
		until(t, n.name+" sees that "+nodes[1].name+" was started again", func() bool {
			v, _ := n.last()
			return len(v.Members) == 5 && v.Members[nodes[1].self.Node-1].Start == 2
		})
		until(t, n.name+" sees who is there", func() bool {
			s := n.running.Status()
			well := 0
			for _, v := range s.Voters {
				if v.Healthy {
					well++
				}
			}
			return well == 3 && len(s.Voters) == 5 && s.Leader != ""
		})
	}
}

func TestAVoterMayMove(t *testing.T) {
	t.Parallel()
	for _, n := range []int{2, 3} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			t.Parallel()
			nodes := running(t, n)
			moving := nodes[n-1]
			moving.stop()
			ports := freePorts(t, moving.host, 2)
			moving.config.ClientPort, moving.config.PeerPort = ports[0], ports[1]
			for i := range moving.config.Initial {
				if moving.config.Initial[i].Name == moving.name {
					moving.config.Initial[i].Port = ports[1]
				}
			}
			moving.restart()
			connected(t, nodes...)
			for _, other := range nodes {
				until(t, other.name+" finds it at its new place", func() bool {
					v, _ := other.last()
					healthy := 0
					for _, v := range other.running.Status().Voters {
						if v.Healthy {
							healthy++
						}
					}
					return healthy == n && len(v.Members) == n && v.Members[moving.self.Node-1].EtcdClientPort == ports[0]
				})
			}
			client, want := etcd(t, nodes), "http://"+net.JoinHostPort(moving.host, strconv.Itoa(ports[1]))
			until(t, "the other voters look for it there", func() bool {
				list, err := client.MemberList(t.Context())
				if err != nil {
					return false
				}
				for _, m := range list.Members {
					if m.Name == moving.name {
						return m.PeerURLs[0] == want
					}
				}
				return false
			})
		})
	}
}

func TestAnotherClustersEtcdAtAVotersAddressIsLeftAlone(t *testing.T) {
	t.Parallel()
	nodes := running(t, 3)
	nodes[1].stop()
	stranger := newNodes(t, 1)[0] // a new cluster of one node, in the place of node_2
	stranger.host = nodes[1].host
	stranger.config.Wanted.Cluster = strings.Repeat("e", 32)
	stranger.config.Bind, stranger.config.Host = nodes[1].host, nodes[1].host
	stranger.config.ClientPort, stranger.config.PeerPort = nodes[1].config.ClientPort, nodes[1].config.PeerPort
	found(t, []*node{stranger})
	stranger.run()
	connected(t, stranger)

	nodes[0].stop()
	nodes[0].restart()
	for _, n := range []*node{nodes[0], nodes[2]} {
		until(t, n.name+" sees its own cluster's changes", func() bool {
			v, _ := n.last()
			return len(v.Members) == 3 && v.Members[nodes[0].self.Node-1].Start == 2
		})
		until(t, n.name+" sees two voters well", func() bool {
			var well strings.Builder
			for _, v := range n.running.Status().Voters {
				if v.Healthy {
					well.WriteString(v.Name)
				}
			}
			return well.String() == "node_1node_3" && n.running.Status().Connected
		})
	}
	if v, _ := stranger.last(); len(v.Members) != 1 {
		t.Errorf("the stranger has %d members", len(v.Members))
	}
}

func TestTheSignOfLifeGoesWithTheNode(t *testing.T) {
	t.Parallel()
	nodes := running(t, 1)
	client := etcd(t, nodes)
	alive := func() string {
		r, err := client.Get(t.Context(), "/estorajed/alive/node_1")
		if err != nil || len(r.Kvs) == 0 {
			return ""
		}
		return string(r.Kvs[0].Value)
	}
	until(t, "node_1 is alive", func() bool { return alive() == "1" })
	if left := nodes[0].running.Status().Lease; left <= 0 || left > 10*time.Second {
		t.Errorf("the lease has %v left", left)
	}
	nodes[0].end()
	if err := <-nodes[0].ended; err != nil {
		t.Error(err)
	}
	nodes[0].end = nil
	if got := alive(); got != "" {
		t.Errorf("after a clean end it is alive: %q", got)
	}
}

func TestAFailureOfEtcdDoesNotEndTheNode(t *testing.T) {
	t.Parallel()
	nodes := running(t, 3)
	broken := nodes[0]
	breakLog(t, broken.config.Dir)
	client := etcd(t, nodes[1:])
	until(t, "it notices", func() bool {
		_, err := client.Put(t.Context(), "/elsewhere", "x") // something for the log to write
		return err == nil && broken.running.Status().Fatal != nil
	})
	s := broken.running.Status()
	if s.Votes || !strings.Contains(s.Fatal.Error(), "failed to save") {
		t.Errorf("its status is %+v", s)
	}
	broken.mu.Lock()
	if broken.fatal == nil {
		t.Error("nobody was told")
	}
	broken.mu.Unlock()

	// It goes on as a client of the others.
	nodes[1].stop()
	nodes[1].restart()
	until(t, "it sees that node_2 was started again", func() bool {
		v, _ := broken.last()
		return len(v.Members) == 3 && v.Members[nodes[1].self.Node-1].Start == 2
	})
}

// breakLog makes every further write to the log of an etcd of this process fail.
func breakLog(t *testing.T, dir string) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, entry := range fds {
		name, err := os.Readlink(filepath.Join("/proc/self/fd", entry.Name()))
		if err != nil || !strings.HasPrefix(name, dir) || !strings.HasSuffix(name, ".wal") {
			continue
		}
		fd, err := strconv.Atoi(entry.Name())
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Dup3(int(null.Fd()), fd, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
	}
}

func TestABrokenEtcdDoesNotKeepTheNodeFromItsStart(t *testing.T) {
	t.Parallel()
	nodes := running(t, 3)
	broken := nodes[2]
	broken.stop()
	logs, err := filepath.Glob(filepath.Join(broken.config.Dir, "member", "wal", "*.wal"))
	if err != nil || len(logs) == 0 {
		t.Fatal(logs, err)
	}
	for _, name := range logs {
		if err := os.WriteFile(name, []byte(strings.Repeat("rotten", 1000)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	broken.restart()
	connected(t, broken)
	until(t, "it tells of the failure", func() bool { return broken.running.Status().Fatal != nil })
	t.Log(broken.running.Status().Fatal)
	until(t, "its port is free, so that nobody waits for answers", func() bool {
		conn, err := net.Dial("tcp", net.JoinHostPort(broken.host, strconv.Itoa(broken.config.PeerPort)))
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
}

func TestAVoterWithoutItsFilesGoesOnWithoutAVote(t *testing.T) {
	t.Parallel()
	nodes := running(t, 3)
	lost := nodes[0]
	lost.stop()
	if err := os.RemoveAll(lost.config.Dir); err != nil {
		t.Fatal(err)
	}
	lost.restart()
	connected(t, lost)
	if s := lost.running.Status(); s.Votes || s.Fatal == nil {
		t.Errorf("its status is %+v", s)
	}
}
