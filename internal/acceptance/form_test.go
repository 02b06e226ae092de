package acceptance

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestClustersFormInAnyOrder starts clusters of all sizes in any order, writes through each node, and reads all of it from each node:
// then, and after all were stopped and started again in another order.
func TestClustersFormInAnyOrder(t *testing.T) {
	seed := newSeed(t)
	rng := rand.New(rand.NewPCG(seed, seed))
	for _, n := range []int{1, 2, 3, 5, 7} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			c := newCrew(t, n)
			order := rng.Perm(n)
			t.Logf("started in the order %v", order)
			c.start(order)
			values := map[string]string{}
			for i := range n {
				for j := range 10 {
					key := fmt.Sprintf("written/%d/%d", i, j)
					values[key] = "the value of " + key
					mustAnswer(t, http.StatusCreated)(c.client(i, 1).put(t.Context(), key, values[key]))
				}
			}
			mustAnswer(t, http.StatusNoContent)(c.client(0, 1).delete(t.Context(), "written/0/0"))
			delete(values, "written/0/0")
			c.readsEverywhere(values, "written/0/0")
			c.hasVoters(min(n, 5))

			c.stop()
			order = rng.Perm(n)
			t.Logf("started again in the order %v", order)
			c.start(order)
			c.readsEverywhere(values, "written/0/0")
			status, err := c.status(t.Context(), n-1)
			if err != nil {
				t.Fatal(err)
			}
			if len(status.Members) != n || status.Replicas != min(n, 3) {
				t.Errorf("%d nodes say they are %d, with %d replicas", n, len(status.Members), status.Replicas)
			}
		})
	}
}

// readsEverywhere demands that each node gives all values, and 404 for what was deleted.
func (c crew) readsEverywhere(values map[string]string, deleted ...string) {
	t := c.t.(*testing.T)
	t.Helper()
	for i := range c.Nodes {
		reader := c.client(i, 1)
		for key, value := range values {
			if got := mustAnswer(t, http.StatusOK)(reader.get(t.Context(), key)); string(got.body) != value {
				t.Errorf("%s reads %s as %q", NodeName(i), key, got.body)
			}
		}
		for _, key := range deleted {
			mustAnswer(t, http.StatusNotFound)(reader.get(t.Context(), key))
		}
	}
}

// hasVoters waits until that many nodes vote in etcd, all of them healthy, under one leader.
func (c crew) hasVoters(want int) {
	c.t.Helper()
	eventually(c.t, formPatience, func() error {
		s, err := c.status(c.t.Context(), 0)
		if err != nil {
			return err
		}
		healthy, leaders := 0, 0
		for _, v := range s.Etcd.Voters {
			if v.Healthy {
				healthy++
			}
			if v.Leader {
				leaders++
			}
		}
		if len(s.Etcd.Voters) != want || healthy != want || leaders != 1 || !s.Etcd.HasLeader {
			return fmt.Errorf("etcd of %d nodes: %+v, want %d voters", len(c.Nodes), s.Etcd, want)
		}
		return nil
	})
}

func TestWhoDoesNotFitIntoTheClusterIsToldSo(t *testing.T) {
	c := startCrew(t, 3)
	mustAnswer(t, http.StatusCreated)(c.client(0, 1).put(t.Context(), "key", "value"))
	third := c.Nodes[2]
	third.Kill()
	flags, data := third.Flags, third.DataPath
	initial := InitialCluster(third.Ports, 3)
	wiped := filepath.Join(t.TempDir(), "wiped")

	for _, tc := range []struct {
		name  string
		flags []string
		data  string
		want  []string
	}{
		{"a list that does not name this node", []string{"-name=node_4", "-initialCluster=" + initial}, wiped, []string{"-initialCluster", "node_4"}},
		{"https", []string{"-name=node_3", "-initialCluster=" + strings.ReplaceAll(initial, "http:", "https:")}, wiped, []string{"https://", "http://"}},
		{"another number of replicas", append(slices.Clone(flags), "-replicas=2"), data, []string{"-replicas", "2", "3"}},
		{"another number of partitions", append(slices.Clone(flags), "-partitions=64"), data, []string{"-partitions", "64", "1024"}},
		{"another number of voters", append(slices.Clone(flags), "-max-voters=1"), data, []string{"-max-voters", "1", "5"}},
		{"another name", append(slices.Clone(flags), "-name=node_2"), data, []string{"node_2", "node_3"}},
		{"a wiped node with its old command", flags, wiped, []string{"node_3"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			third.Flags, third.DataPath = tc.flags, tc.data
			if err := refusal(subject{third, t}, tc.want); err != nil {
				t.Error(err)
			}
			if err := os.RemoveAll(wiped); err != nil {
				t.Error(err)
			}
		})
	}
	third.Flags, third.DataPath = flags, data
	c.node(2).start()
	c.readsEverywhere(map[string]string{"key": "value"})
}
