package coordinator_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/estorajed/estorajed/internal/coordinator"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/replica/replicatest"
	"github.com/estorajed/estorajed/internal/ring"
)

// asked counts the messages that each node's replica gets.
func asked(c *cluster, phase register.Phase) []*atomic.Int32 {
	counts := make([]*atomic.Int32, len(c.nodes))
	for i, m := range c.nodes {
		counts[i] = new(atomic.Int32)
		m.lost = func(m register.Message) bool {
			if m.Phase == phase {
				counts[i].Add(1)
			}
			return false
		}
		m.deaf.Store(true)
	}
	return counts
}

func numbers(counts []*atomic.Int32) string {
	var s []string
	for _, n := range counts {
		s = append(s, fmt.Sprint(n.Load()))
	}
	return strings.Join(s, " ")
}

func TestQuestionsGoToTheNearestMajority(t *testing.T) {
	for _, tc := range []struct {
		name           string
		current, next  []ring.NodeID
		entry          int
		down           int // node, or -1
		looks, accepts string
	}{
		{"of three", []ring.NodeID{1, 2, 3}, nil, 0, -1, "1 1 0 0 0", "1 1 1 0 0"},
		{"of three, from the last", []ring.NodeID{2, 3, 1}, nil, 0, -1, "1 1 0 0 0", "1 1 1 0 0"},
		{"of three with one known as down", []ring.NodeID{1, 2, 3}, nil, 0, 1, "1 0 1 0 0", "1 0 1 0 0"},
		{"of five", []ring.NodeID{1, 2, 3, 4, 5}, nil, 0, -1, "1 1 1 0 0", "1 1 1 1 1"},
		{"of five with one known as down", []ring.NodeID{1, 2, 3, 4, 5}, nil, 0, 2, "1 1 0 1 0", "1 1 0 1 1"},
		{"of both sets while moving", []ring.NodeID{1, 2, 3}, []ring.NodeID{1, 2, 4}, 0, -1, "1 1 0 0 0", "1 1 1 1 0"},
		{"of both, from a joiner", []ring.NodeID{2, 3, 4}, []ring.NodeID{1, 3, 4}, 0, -1, "1 1 1 0 0", "1 1 1 1 0"},
		{"of one elsewhere", []ring.NodeID{2}, nil, 1, -1, "0 0 0 0 0", "0 1 0 0 0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, 5, nil)
				for p := range c.table.Sets {
					c.table.Sets[p] = ring.Set{Epoch: 1, Current: tc.current, Next: tc.next}
				}
				m := c.nodes[tc.entry]
				if tc.down >= 0 {
					c.nodes[tc.down].known.Store(true)
				}
				accepts := asked(c, register.Accept)
				if r := m.Carry(t.Context(), "k", order(t, m, "value")); r.Err != nil {
					t.Fatal(r.Err)
				}
				synctest.Wait()
				if got := numbers(accepts); got != tc.accepts {
					t.Errorf("accepts went to %s, want %s", got, tc.accepts)
				}
				looks := asked(c, register.Look)
				if rec, body, err := m.Get(t.Context(), "k"); err != nil || body == nil {
					t.Fatalf("%+v, %v", rec, err)
				}
				synctest.Wait()
				got := numbers(looks)
				if i := strings.Index(tc.looks, "1"); i >= 0 && tc.entry == 0 {
					got = "1" + got[1:] // the look at the own copy opens it
				}
				if got != tc.looks {
					t.Errorf("looks went to %s, want %s", got, tc.looks)
				}
				if n := m.store.Calls("Read"); n != 1 && tc.entry == 0 {
					t.Errorf("%d reads of the own copy", n)
				}
			})
		})
	}
}

// order is of a put that enters at m and that m coordinates.
func order(t *testing.T, m *member, value string) register.Order {
	id, err := m.Stamp(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	v, err := m.Stage(t.Context(), id, strings.NewReader(value), int64(len(value)))
	if err != nil {
		t.Fatal(err)
	}
	return register.Order{Entry: register.Entry{Operation: id}, Change: put, Value: v, Clock: id.Time}
}

func TestALateReplicaIsHedgedAndThenAskedLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hedged []ring.NodeID
		c := newCluster(t, 3, func(i int, config *coordinator.Config, _ *replicatest.Store) {
			if i == 0 {
				config.Events.Hedged = func(_ context.Context, to ring.NodeID) { hedged = append(hedged, to) }
			}
		})
		m := c.nodes[0]
		m.mustPut(t, "k", "value")
		synctest.Wait()
		c.nodes[1].deaf.Store(true)
		took := func() time.Duration {
			began := time.Now()
			m.expect(t, "k", "value")
			return time.Since(began)
		}
		if d := took(); d != 20*time.Millisecond || len(hedged) != 1 || hedged[0] != 3 {
			t.Errorf("it took %v, hedged to %v", d, hedged)
		}
		if d := took(); d != 0 || len(hedged) != 1 {
			t.Errorf("once it is known to be slow it took %v, hedged to %v", d, hedged)
		}
		began := time.Now()
		m.mustPut(t, "k", "value")
		if d := time.Since(began); d != 0 {
			t.Errorf("a write took %v", d)
		}
		time.Sleep(2 * time.Second)
		if d := took(); d != 20*time.Millisecond {
			t.Errorf("when it was tried again it took %v", d)
		}
	})
}

func TestAReplicaThatFailsIsReplacedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3, nil)
		c.nodes[0].mustPut(t, "k", "value")
		synctest.Wait()
		c.nodes[1].down.Store(true)
		began := time.Now()
		c.nodes[0].expect(t, "k", "value")
		c.nodes[0].mustPut(t, "k", "another")
		if took := time.Since(began); took > 0 {
			t.Errorf("they took %v", took)
		}
	})
}

// The nearest two differ; the third decides without a round.
func TestWhoDisagreesIsOutvoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var settles int
		c := newCluster(t, 3, func(_ int, config *coordinator.Config, _ *replicatest.Store) {
			config.Jitter = func(most time.Duration) time.Duration { return most }
			config.Events.Settle = func(context.Context, register.Stamp) { settles++ }
		})
		c.nodes[0].mustPut(t, "k", "old")
		synctest.Wait()
		c.nodes[1].down.Store(true)
		c.nodes[0].mustPut(t, "k", "new")
		synctest.Wait()
		c.nodes[1].down.Store(false)
		began := time.Now()
		for _, m := range c.nodes {
			m.expect(t, "k", "new")
		}
		if took := time.Since(began); took > 0 || settles > 0 {
			t.Errorf("they took %v and %d rounds", took, settles)
		}
	})
}

// What a dead coordinator's accept left at one replica is settled by a read, with its bytes, wherever it is read.
func TestASettledStateBringsItsBytes(t *testing.T) {
	for _, value := range []string{"", "short", strings.Repeat("long", register.InlineMax)} {
		for reader := range 3 {
			t.Run(fmt.Sprint(len(value), " bytes read at n", reader+1), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := newCluster(t, 3, nil)
					c.nodes[0].mustPut(t, "k", "old")
					synctest.Wait()
					c.nodes[1].down.Store(true)
					c.nodes[2].down.Store(true)
					m := c.nodes[0]
					o := order(t, m, value)
					id, _ := m.Stamp(t.Context(), 0)
					rec := register.Record{Ballot: id, Version: id, Operation: o.Entry.Operation, Kind: register.Data, Value: o.Value}
					if a, err := m.Ask(t.Context(), "k", register.Message{Phase: register.Accept, Epoch: 1, Record: &rec}); err != nil || a.Reply != register.Accepted {
						t.Fatalf("%+v, %v", a, err)
					}
					with, without := c.nodes[1], c.nodes[2]
					if reader == 2 {
						with, without = without, with
					}
					with.down.Store(false)
					without.known.Store(true)
					got := c.nodes[reader].expect(t, "k", value)
					if got.Version != id {
						t.Errorf("version %v, want %v", got.Version, id)
					}
					synctest.Wait()
					m.down.Store(true)
					m.known.Store(true)
					without.down.Store(false)
					without.known.Store(false)
					c.nodes[1].expect(t, "k", value)
					c.nodes[2].expect(t, "k", value)
					for _, m := range c.nodes {
						if n := m.store.Staged(); n > 0 {
							t.Errorf("n%d: %d values are still staged", m.id, n)
						}
					}
				})
			})
		}
	}
}

func TestANewerEpochIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told atomic.Uint64
		old := &ring.Table{Epoch: 9, Sets: []ring.Set{{Epoch: 0, Current: []ring.NodeID{1, 2, 3}}}}
		c := newCluster(t, 3, nil)
		fresh := c.table
		c = newCluster(t, 3, func(_ int, config *coordinator.Config, _ *replicatest.Store) {
			config.Table = func() *ring.Table { return old }
			config.Behind = func(epoch uint64) {
				told.Store(epoch)
				old = fresh
			}
		})
		c.nodes[0].mustPut(t, "k", "value")
		if told.Load() != 1 {
			t.Errorf("told %d", told.Load())
		}
	})
}

func TestADamagedCopyIsReadElsewhere(t *testing.T) {
	for _, n := range []int{10, 2 * register.InlineMax} {
		value := strings.Repeat("x", n)
		c := newCluster(t, 3, nil)
		m := c.nodes[0]
		m.mustPut(t, "k", value)
		within(t, "three copies", func() bool { return c.nodes[1].store.Calls("Put")+c.nodes[2].store.Calls("Put") == 2 })
		m.store.Damage("k")
		m.expect(t, "k", value)
		if rec, body, err := m.Coordinator.Read(t.Context(), "k", true); err != nil || body == nil {
			t.Errorf("eventual: %+v, %v", rec, err)
		}
		for _, m := range c.nodes {
			m.store.Damage("k")
		}
		var quorum *register.QuorumError
		if _, _, err := m.Coordinator.Read(t.Context(), "k", true); !errors.As(err, &quorum) || !strings.Contains(err.Error(), "n3 has a damaged copy: made so by the test") {
			t.Errorf("eventual, with all copies damaged: %v", err)
		}
		if _, _, err := m.Coordinator.Read(t.Context(), "k", false); !errors.As(err, &quorum) {
			t.Errorf("with all copies damaged: %v", err)
		}
	}
}
