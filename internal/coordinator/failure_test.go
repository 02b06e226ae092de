package coordinator_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/estorajed/estorajed/internal/coordinator"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/replica/replicatest"
	"github.com/estorajed/estorajed/internal/ring"
)

func TestTheOnlyStoresErrorIsTheWrites(t *testing.T) {
	long := bytes.Repeat([]byte("x"), 2*register.InlineMax)
	for _, tc := range []struct {
		fault   error
		is      error
		unknown bool
	}{
		{register.ErrFull, register.ErrFull, false},
		{register.ErrStopped, register.ErrStopped, false},
		{register.ErrFailed, register.ErrFailed, false},
		{&register.UnknownError{Cause: register.ErrFailed}, register.ErrFailed, true},
		{io.ErrShortWrite, io.ErrShortWrite, true},
	} {
		t.Run(fmt.Sprint(tc.fault), func(t *testing.T) {
			var fault error
			c := newCluster(t, 1, func(_ int, _ *coordinator.Config, s *replicatest.Store) {
				s.Before = func(_ context.Context, c replicatest.Call) error {
					if c.Method == "Put" {
						return fault
					}
					return nil
				}
			})
			m := c.nodes[0]
			m.mustPut(t, "k", "old")
			fault = tc.fault
			_, err := m.Write(t.Context(), "k", put, bytes.NewReader(long), -1)
			var unknown *register.UnknownError
			if !errors.Is(err, tc.is) || errors.As(err, &unknown) != tc.unknown {
				t.Errorf("error %v, unknown %v", err, unknown != nil)
			}
			if strings.Count(err.Error(), "outcome unknown") > 1 || strings.Count(err.Error(), "nothing was written") > 1 {
				t.Errorf("the error repeats itself: %v", err)
			}
			if staged := m.store.Staged(); (staged > 0) != tc.unknown {
				t.Errorf("%d values staged; they are kept only while the outcome is unknown", staged)
			}
			fault = nil
			m.expect(t, "k", "old")
			m.mustPut(t, "k", "new")
			m.expect(t, "k", "new")
		})
	}
}

func TestCancelledBeforeTheAcceptNothingHappens(t *testing.T) {
	for _, n := range []int{1, 3} {
		for _, method := range []string{"Stage", "Head"} {
			ctx, cancel := context.WithCancel(t.Context())
			c := newCluster(t, n, func(_ int, _ *coordinator.Config, s *replicatest.Store) {
				s.Before = func(_ context.Context, c replicatest.Call) error {
					if c.Method == method {
						cancel()
					}
					return nil
				}
			})
			if _, err := c.nodes[0].put(ctx, "k", "value"); !errors.Is(err, context.Canceled) {
				t.Errorf("%d nodes, cancelled in %s: %v", n, method, err)
			}
			for _, m := range c.nodes {
				if puts := m.store.Calls("Put"); puts != 0 {
					t.Errorf("%d nodes, cancelled in %s: %d records were put", n, method, puts)
				}
			}
			if s := c.nodes[0].Coordinator.Status(); s.Operations != 0 || s.Turns != 0 {
				t.Errorf("%d nodes, cancelled in %s: status %+v", n, method, s)
			}
		}
	}
}

func TestCancelledAfterTheAcceptItWaitsForTheOutcome(t *testing.T) {
	for _, n := range []int{1, 3} {
		ctx, cancel := context.WithCancel(t.Context())
		c := newCluster(t, n, func(_ int, _ *coordinator.Config, s *replicatest.Store) {
			s.Before = func(_ context.Context, c replicatest.Call) error {
				if c.Method == "Put" {
					cancel()
				}
				return nil
			}
		})
		if _, err := c.nodes[0].put(ctx, "k", "value"); err != nil {
			t.Errorf("%d nodes: %v", n, err)
		}
		c.nodes[0].expect(t, "k", "value")
	}
}

func TestWhenAcceptsAreLostTheOutcomeIsUnknownInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var unknown, silent int
		c := newCluster(t, 3, func(_ int, config *coordinator.Config, _ *replicatest.Store) {
			config.Events.Unknown = func(context.Context, error) { unknown++ }
			config.Events.Silent = func(context.Context, ring.NodeID, register.Phase, error) { silent++ }
		})
		for _, m := range c.nodes[1:] {
			m.lost = func(m register.Message) bool { return m.Phase == register.Accept }
			m.deaf.Store(true)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		began := time.Now()
		_, err := c.nodes[0].put(ctx, "k", "value")
		var outcome *register.UnknownError
		if !errors.As(err, &outcome) || unknown != 1 {
			t.Errorf("error %v, %d events", err, unknown)
		}
		if took := time.Since(began); took > coordinator.Patience+time.Second {
			t.Errorf("it took %v", took)
		}
		for _, m := range c.nodes {
			m.deaf.Store(false)
		}
		c.nodes[2].down.Store(true)
		c.nodes[1].expect(t, "k", "value") // it had landed at one, and a read settles it
	})
}

func TestAQuorumThatIsSilentIsGivenUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3, nil)
		for _, m := range c.nodes[1:] {
			m.deaf.Store(true)
		}
		began := time.Now()
		_, err := c.nodes[0].put(t.Context(), "k", "value")
		var quorum *register.QuorumError
		if !errors.As(err, &quorum) || quorum.Answered != 1 {
			t.Errorf("write: %v", err)
		}
		if _, _, err = c.nodes[0].Coordinator.Read(t.Context(), "k", false); !errors.As(err, &quorum) {
			t.Errorf("read: %v", err)
		}
		if took := time.Since(began); took > 2*coordinator.Patience+time.Second {
			t.Errorf("they took %v", took)
		}
		if puts := c.nodes[0].store.Calls("Put"); puts != 0 {
			t.Errorf("%d records were put", puts)
		}
	})
}

func TestOneSilentReplicaCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3, nil)
		c.nodes[2].deaf.Store(true)
		began := time.Now()
		c.nodes[0].mustPut(t, "k", "value")
		c.nodes[1].expect(t, "k", "value")
		if took := time.Since(began); took > 0 {
			t.Errorf("they took %v", took)
		}
	})
}

func TestADamagedOnlyCopyAnswersNothingUntilItIsWrittenAnew(t *testing.T) {
	c := newCluster(t, 1, nil)
	m := c.nodes[0]
	first := m.mustPut(t, "k", "old")
	m.store.Damage("k")
	var damage *register.DamageError
	if _, _, err := m.Coordinator.Read(t.Context(), "k", false); !errors.As(err, &damage) {
		t.Errorf("read: %v", err)
	}
	if _, err := m.Write(t.Context(), "k", putAbsent, strings.NewReader("new"), 3); !errors.As(err, &damage) {
		t.Errorf("write with a condition: %v", err)
	}
	o := m.mustPut(t, "k", "new")
	if !o.Replaced || !first.Version.Less(o.Version) {
		t.Errorf("outcome %+v after %+v", o, first)
	}
	m.expect(t, "k", "new")
	m.store.Damage("k")
	if o, err := m.Write(t.Context(), "k", del, nil, -1); err != nil || !o.Replaced {
		t.Errorf("delete: %+v, %v", o, err)
	}
	m.expect(t, "k", "")
}

func TestAReplicaOfAnotherEpochIsAskedAgainWithTheNewTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c *cluster
		old := &ring.Table{Epoch: 9, Sets: []ring.Set{{Epoch: 9, Current: []ring.NodeID{1, 2, 3}}}}
		c = newCluster(t, 3, func(_ int, config *coordinator.Config, _ *replicatest.Store) {
			config.Table = func() *ring.Table { return old }
			config.Events.Retry = func(context.Context, int, time.Duration) { old = c.table }
		})
		c.nodes[0].mustPut(t, "k", "value")
		c.nodes[1].expect(t, "k", "value")
	})
}
