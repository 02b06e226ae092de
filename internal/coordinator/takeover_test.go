package coordinator_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/estorajed/estorajed/internal/coordinator"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/replica/replicatest"
	"github.com/estorajed/estorajed/internal/ring"
)

// hops notes who was given operations that entered at one node.
type hops struct {
	mu    sync.Mutex
	steps []string
}

func (h *hops) add(step string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.steps = append(h.steps, step)
}

func (h *hops) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.steps, ", ")
}

// watched notes the hops of node i.
func (h *hops) watched(i int) func(int, *coordinator.Config, *replicatest.Store) {
	return func(n int, config *coordinator.Config, _ *replicatest.Store) {
		if n != i {
			return
		}
		config.Events.Forwarded = func(_ context.Context, to ring.NodeID, reason string) { h.add(reason + " " + to.String()) }
		config.Events.TakenOver = func(_ context.Context, from, to ring.NodeID, _ error) {
			h.add(from.String() + " to " + to.String())
		}
	}
}

func TestAWriteGoesToTheFirstLiveReplica(t *testing.T) {
	for _, tc := range []struct {
		name           string
		nodes, entry   int
		down           []int // known as down
		refusing       []int // not known as down
		want           string
		wantRead       string
		coordinatesPut int // node whose turns are taken
	}{
		{"which is this node", 3, 0, nil, nil, "", "", 0},
		{"which is another one", 3, 2, nil, nil, "preferred n1", "", 0},
		{"from a node without a copy", 5, 4, nil, nil, "no_copy n1", "no_copy n1", 0},
		{"past one that is known as down", 5, 3, []int{0}, nil, "no_copy n2", "no_copy n2", 1},
		{"past one that is down", 5, 3, nil, []int{0}, "no_copy n1, n1 to n2", "no_copy n1, n1 to n2", 1},
		{"to itself before the next one", 3, 2, nil, []int{0}, "preferred n1, n1 to n3", "", 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var h hops
				c := newWideCluster(t, tc.nodes, 3, h.watched(tc.entry))
				for _, i := range tc.down {
					c.nodes[i].known.Store(true)
					c.nodes[i].down.Store(true)
				}
				for _, i := range tc.refusing {
					c.nodes[i].down.Store(true)
				}
				began := time.Now()
				entry := c.nodes[tc.entry]
				entry.mustPut(t, "k", "value")
				if h.String() != tc.want {
					t.Errorf("write: %q, want %q", h.String(), tc.want)
				}
				h.steps = nil
				entry.expect(t, "k", "value")
				if h.String() != tc.wantRead {
					t.Errorf("read: %q, want %q", h.String(), tc.wantRead)
				}
				if took := time.Since(began); took > 0 {
					t.Errorf("they took %v", took)
				}
				if c.nodes[4%tc.nodes].store.Calls("Put") > 0 && tc.nodes > 3 {
					t.Error("a node that holds no copy was written to")
				}
			})
		})
	}
}

// A coordinator dies before or amid its accepts; the node where the write entered brings it to its end, once.
func TestADyingCoordinatorsWriteIsTakenOver(t *testing.T) {
	phase := func(p register.Phase, to ring.NodeID) func(register.Message) bool {
		return func(m register.Message) bool { return m.Phase == p && (to == 0 || m.To == to) }
	}
	for _, tc := range []struct {
		name   string
		fatal  func(register.Message) bool
		change register.Change
		before string
		after  string
		is     error
	}{
		{"before it prepares", phase(register.Prepare, 0), put, "", "new", nil},
		{"before it sends an accept", phase(register.Accept, 0), put, "old", "new", nil},
		{"after it has sent an accept to itself", phase(register.Accept, 2), put, "old", "new", nil},
		{"after it has sent an accept of a delete", phase(register.Accept, 2), del, "old", "", nil},
		{"after it has sent an accept of a put-if-absent", phase(register.Accept, 3), putAbsent, "", "new", nil},
		{"before it refuses", phase(register.Prepare, 0), putAbsent, "old", "old", register.ErrPrecondition},
	} {
		for _, entry := range []int{2, 4} {
			t.Run(tc.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := newWideCluster(t, 5, 3, nil)
					if tc.before != "" {
						c.nodes[0].mustPut(t, "k", tc.before)
						synctest.Wait()
					}
					c.nodes[0].fatal = tc.fatal
					var body *strings.Reader
					size := int64(0)
					if tc.change.Kind == register.Data {
						body, size = strings.NewReader("new"), 3
					}
					began := time.Now()
					outcome, err := write(t.Context(), c.nodes[entry], tc.change, body, size)
					if !errors.Is(err, tc.is) || tc.is == nil && err != nil {
						t.Fatalf("%+v, %v", outcome, err)
					}
					if took := time.Since(began); took > 100*time.Millisecond {
						t.Errorf("it took %v although the connection was lost at once", took)
					}
					c.nodes[entry].expect(t, "k", tc.after)
					if tc.is == nil && outcome.Version.IsZero() {
						t.Errorf("outcome %+v", outcome)
					}
				})
			})
		}
	}
}

func write(ctx context.Context, m *member, change register.Change, body *strings.Reader, size int64) (register.Outcome, error) {
	if body == nil {
		return m.Write(ctx, "k", change, nil, 0)
	}
	return m.Write(ctx, "k", change, body, size)
}

// An earlier coordinator is slow, not dead: its write landed, and the one that takes over finds that.
func TestASlowCoordinatorsWriteIsAppliedOnce(t *testing.T) {
	for _, change := range []register.Change{put, putAbsent} {
		synctest.Test(t, func(t *testing.T) {
			var h hops
			c := newCluster(t, 3, h.watched(1))
			c.nodes[0].mute = 4 * time.Second
			began := time.Now()
			outcome, err := write(t.Context(), c.nodes[1], change, strings.NewReader("new"), 3)
			if err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took < 2*time.Second || took > 3*time.Second {
				t.Errorf("it took %v", took)
			}
			if h.String() != "preferred n1, n1 to n2" {
				t.Errorf("hops %q", h.String())
			}
			rec := c.nodes[2].expect(t, "k", "new")
			if rec.Version != outcome.Version || rec.History[0].Operation == rec.Operation {
				t.Errorf("record %+v after %+v", rec, outcome)
			}
		})
	}
}

// An earlier coordinator stalls between its prepare and its accept, and goes on when another one has done its work.
func TestAStalledCoordinatorUndoesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stalled atomic.Bool
		c := newCluster(t, 3, func(i int, config *coordinator.Config, _ *replicatest.Store) {
			if i == 0 {
				config.Events.Quorum = func(_ context.Context, p register.Phase, _ time.Duration) {
					if p == register.Prepare && !stalled.Swap(true) {
						time.Sleep(3 * time.Second)
					}
				}
			}
		})
		first, err := write(t.Context(), c.nodes[1], put, strings.NewReader("first"), 5)
		if err != nil {
			t.Fatal(err)
		}
		c.nodes[2].expect(t, "k", "first")
		second, err := c.nodes[1].Write(t.Context(), "k", del, nil, 0)
		if err != nil || !second.Replaced {
			t.Fatalf("%+v after %+v, %v", second, first, err)
		}
		time.Sleep(10 * time.Second)
		for _, m := range c.nodes {
			m.expect(t, "k", "")
		}
	})
}

func TestALateSuccessOfAnEarlierCoordinatorCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3, nil)
		c.nodes[0].mute = 3 * time.Second
		local := c.nodes[1]
		local.fatal = func(register.Message) bool { return true } // it reaches no replica, not even its own
		began := time.Now()
		outcome, err := local.put(t.Context(), "k", "new")
		if err != nil || time.Since(began) != 3*time.Second {
			t.Errorf("after %v: %+v, %v", time.Since(began), outcome, err)
		}
	})
}

func TestTheOutcomeIsUnknownOnlyIfItIs(t *testing.T) {
	for _, tc := range []struct {
		name    string
		prepare func(c *cluster)
		unknown bool
	}{
		{"nobody was reached", func(c *cluster) {
			for _, m := range c.nodes[:3] {
				m.down.Store(true)
			}
		}, false},
		{"all are known as down", func(c *cluster) {
			for _, m := range c.nodes[:3] {
				m.known.Store(true)
			}
		}, false},
		{"the coordinator says that it was not made", func(c *cluster) {
			c.nodes[1].down.Store(true)
			c.nodes[2].down.Store(true)
		}, false},
		{"the coordinator died, and nobody else is there to look", func(c *cluster) {
			c.nodes[0].fatal = func(m register.Message) bool { return m.Phase == register.Accept && m.To == 2 }
			c.nodes[1].fatal = func(m register.Message) bool { return true }
			c.nodes[2].known.Store(true)
			c.nodes[2].down.Store(true)
		}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newWideCluster(t, 4, 3, nil)
				tc.prepare(c)
				began := time.Now()
				_, err := c.nodes[3].put(t.Context(), "k", "value")
				var unknown *register.UnknownError
				var quorum *register.QuorumError
				if errors.As(err, &unknown) != tc.unknown || !tc.unknown && !errors.As(err, &quorum) {
					t.Errorf("error %v", err)
				}
				if tc.unknown && strings.Contains(err.Error(), "nothing was written") {
					t.Errorf("it says two things: %v", err)
				}
				if took := time.Since(began); took > coordinator.Patience || !tc.unknown && took > 0 {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

func TestWithoutAMajorityTheReasonIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newWideCluster(t, 4, 3, nil)
		c.nodes[0].mustPut(t, "k", "value")
		synctest.Wait()
		c.nodes[1].known.Store(true)
		c.nodes[1].down.Store(true)
		c.nodes[2].down.Store(true)
		for _, entry := range []int{0, 3} {
			m := c.nodes[entry]
			began := time.Now()
			_, err := m.put(t.Context(), "k", "new")
			_, _, readErr := m.Coordinator.Read(t.Context(), "k", false)
			for _, err := range []error{err, readErr} {
				var quorum *register.QuorumError
				if !errors.As(err, &quorum) || quorum.RetryAfter == 0 {
					t.Fatalf("from n%d: %v", entry+1, err)
				}
				const want = "no quorum for partition 0: 1 of 3 replicas answered (n2 down for 40s, n3 down for 40s); nothing was written"
				if err.Error() != want {
					t.Errorf("from n%d: %v\nwant: %v", entry+1, err, want)
				}
			}
			if took := time.Since(began); took > 100*time.Millisecond {
				t.Errorf("it took %v", took)
			}
			rec, body, err := m.Coordinator.Read(t.Context(), "k", true)
			if err != nil || body == nil || !rec.Present() {
				t.Errorf("eventual read from n%d: %+v, %v", entry+1, rec, err)
			}
		}
	})
}

func TestAnOverloadedCoordinatorIsTheClientsToWaitFor(t *testing.T) {
	c := newCluster(t, 3, func(i int, config *coordinator.Config, _ *replicatest.Store) {
		if i == 0 {
			config.Operations = -1
		}
	})
	if _, err := c.nodes[1].put(t.Context(), "k", "value"); !errors.Is(err, register.ErrOverload) {
		t.Errorf("error %v", err)
	}
	if n := c.nodes[1].store.Calls("Head"); n > 0 {
		t.Errorf("%d replicas were asked", n)
	}
}

func TestAClientThatLeavesCallsNobodyBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3, nil)
		c.nodes[0].mute = time.Second
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := c.nodes[1].put(ctx, "k", "value"); err != nil {
			t.Errorf("a write that was handed over and made: %v", err)
		}
		c.nodes[0].down.Store(true)
		ctx, cancel = context.WithCancel(t.Context())
		cancel()
		if _, err := c.nodes[1].put(ctx, "k", "another"); !errors.Is(err, context.Canceled) {
			t.Errorf("a write that was not begun: %v", err)
		}
		c.nodes[2].expect(t, "k", "value")
	})
}

// Each of some clients counts up by If-Match, at whichever node, while hand-overs, reports and accepts are lost, and coordinators
// stall: no count is lost, none is made twice, and none that was made is refused.
func TestACountUnderFaultsIsMadeAtMostOnce(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			const clients, each = 4, 12
			c := newWideCluster(t, 5, 3, nil)
			c.nodes[0].mustPut(t, "n", "0")
			synctest.Wait()
			for i, m := range c.nodes {
				m.luck = &luck{Rand: rand.New(rand.NewPCG(seed, uint64(i)))}
			}
			var done, unknown, refused atomic.Int64
			var wg sync.WaitGroup
			for i := range clients {
				wg.Go(func() {
					for range each {
						switch err := c.nodes[(int(seed)+i)%5].countUp(t, "n"); {
						case err == nil:
							done.Add(1)
						case errors.Is(err, register.ErrPrecondition):
							refused.Add(1)
						default:
							unknown.Add(1)
						}
					}
				})
			}
			wg.Wait()
			time.Sleep(time.Minute) // all who were slow have ended
			for _, m := range c.nodes {
				m.luck.over.Store(true)
			}
			n := c.nodes[0].number(t, "n")
			t.Logf("seed %d: %d after %d done, %d refused, %d unknown", seed, n, done.Load(), refused.Load(), unknown.Load())
			if n < done.Load() || n > done.Load()+unknown.Load() || done.Load() == 0 {
				t.Errorf("seed %d: the number is %d after %d successes and %d unknown outcomes", seed, n, done.Load(), unknown.Load())
			}
		})
	}
}

func TestAWriteOfAnOldOrderIsNotBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3, nil)
		m := c.nodes[0]
		now, err := m.Stamp(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		value := register.Value{Length: 1, Inline: []byte("v")}
		order := register.Order{Change: put, Value: value, Clock: now.Time, Entry: register.Entry{
			Operation: register.Stamp{Time: now.Time, Node: 2}, Last: register.LastBallot(now.Time.Add(time.Second)),
		}}
		time.Sleep(2 * time.Second)
		if r := m.Carry(t.Context(), "k", order); r.Err == nil || r.Sent {
			t.Errorf("report %+v", r)
		}
		ahead := order
		ahead.Clock = ahead.Clock.Add(2 * register.MaxAhead)
		var skew *register.SkewError
		if r := m.Carry(t.Context(), "k", ahead); !errors.As(r.Err, &skew) {
			t.Errorf("report %+v", r)
		}
		m.expect(t, "k", "")
	})
}
