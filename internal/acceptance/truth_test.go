package acceptance

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// atOnce is within which all nodes know what became of one of them. It leaves room for a busy machine: the nodes' own limit is 800 ms.
const atOnce = time.Second

// within is eventually for what a promise is made about: the time counts from now.
func within(t testing.TB, limit time.Duration, try func() error) {
	t.Helper()
	began := time.Now()
	eventually(t, outagePatience, try)
	if took := time.Since(began); took > limit {
		t.Errorf("it took %v, want at most %v", took, limit)
	}
}

// names is nil if the i-th node counts d among those that serve, or does not, as wanted.
func (c crew) names(i int, d *Daemon, want bool) error {
	found, err := c.discovered(c.t.Context(), i)
	if err != nil {
		return err
	}
	var list struct{ Nodes []struct{ Address string } }
	if err := c.ask(c.t.Context(), i, "_nodes_discovery", &list); err != nil {
		return err
	}
	inList := false
	for _, n := range list.Nodes {
		inList = inList || n.Address == d.Address()
	}
	if plain := slices.Contains(found, d.Address()); plain != want || inList != want {
		return fmt.Errorf("%s names %v, and as JSON %v", NodeName(i), found, list)
	}
	return nil
}

// acquainted waits until each node counts all among those that serve.
func (c crew) acquainted() {
	c.t.Helper()
	for i := range c.Nodes {
		for _, d := range c.Nodes {
			eventually(c.t, outagePatience, func() error { return c.names(i, d, true) })
		}
	}
}

// says is nil if /_cluster_status of the i-th node gives another that state.
func (c crew) says(i, other int, state string) error {
	s, err := c.status(c.t.Context(), i)
	if err != nil {
		return err
	}
	for _, m := range s.Members {
		if m.Name == NodeName(other) && m.State == state && m.Ready == (state == "serving") {
			return nil
		}
	}
	return fmt.Errorf("%s says %+v, want %s %s", NodeName(i), s.Members, NodeName(other), state)
}

func TestNodesTellTheTruthAboutEachOther(t *testing.T) {
	c := startCrew(t, 3)
	var ids []string
	for i := range 3 {
		s, err := c.status(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, s.Cluster)
		held, first := 0, 0
		for _, m := range s.Members {
			held += m.Partitions
			first += m.Primary
		}
		if s.Node != NodeName(i) || s.Epoch == 0 || len(s.Members) != 3 || held != 3*1024 || first != 1024 {
			t.Errorf("%s says %+v", NodeName(i), s)
		}
		for other := range 3 {
			within(t, atOnce, func() error { return c.names(i, c.Nodes[other], true) })
			within(t, atOnce, func() error { return c.says(i, other, "serving") })
		}
	}
	if ids[0] == "" || ids[0] != ids[1] || ids[1] != ids[2] {
		t.Errorf("the nodes name their cluster %q", ids)
	}
	t.Run("where keys are", func(t *testing.T) {
		for n := range 20 {
			key := fmt.Sprint("key ", n, "/%2f")
			holders := c.holders(0, key)
			if len(holders) != 3 || !slices.Equal(holders, c.holders(1, key)) || !slices.Equal(holders, c.holders(2, key)) {
				t.Errorf("%q is at %v; the others say %v, %v", key, holders, c.holders(1, key), c.holders(2, key))
			}
		}
	})
	for _, tc := range []struct {
		name string
		away func(int)
		back func(int)
	}{
		{"killed", func(i int) { c.Nodes[i].Kill() }, func(i int) { c.node(i).start() }},
		{"stopped", func(i int) { c.signal(i, syscall.SIGSTOP) }, func(i int) { c.signal(i, syscall.SIGCONT) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := crew{c.Cluster, t}
			gone := time.Now()
			tc.away(2)
			for i := range 2 {
				eventually(t, outagePatience, func() error { return c.names(i, c.Nodes[2], false) })
				eventually(t, outagePatience, func() error { return c.says(i, 2, "down") })
			}
			if took := time.Since(gone); took > atOnce {
				t.Errorf("it was noticed after %v, want %v", took, atOnce)
			}
			for i := range 2 {
				for _, path := range []string{"_health", "_ready"} {
					mustAnswer(t, http.StatusOK)(c.client(i, 1).get(t.Context(), path))
				}
			}
			tc.back(2)
			for i := range 3 {
				eventually(t, outagePatience, func() error { return c.names(i, c.Nodes[2], true) })
				eventually(t, outagePatience, func() error { return c.says(i, 2, "serving") })
			}
		})
	}
}

// TestANodeThatWaitsForOthersSaysSo starts two of three: there is no cluster yet, and each says for whom it waits.
func TestANodeThatWaitsForOthersSaysSo(t *testing.T) {
	c := newCrew(t, 3)
	for i := range 2 {
		if err := c.Nodes[i].Launch(); err != nil {
			t.Fatal(err)
		}
	}
	var said string
	for i := range 2 {
		eventually(t, formPatience, func() error { return notReady(c.node(i), &said)() })
		eventually(t, formPatience, func() error {
			if err := notReady(c.node(i), &said)(); err != nil {
				return err
			}
			if !strings.Contains(said, NodeName(2)) {
				return fmt.Errorf("/_ready of %s says %q, want it to name node_3", NodeName(i), said)
			}
			return nil
		})
		mustAnswer(t, http.StatusOK)(c.client(i, 1).get(t.Context(), "_health"))
		got := mustAnswer(t, http.StatusServiceUnavailable)(c.client(i, 1).put(t.Context(), "key", "value"))
		if !got.untouched() || got.header.Get("Retry-After") == "" {
			t.Errorf("a write before there is a cluster: %s", got)
		}
	}
	if err := c.Nodes[2].Launch(); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		eventually(t, formPatience, func() error { return c.Nodes[i].Ready(t.Context()) })
	}
}
