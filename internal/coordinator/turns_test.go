package coordinator_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/estorajed/estorajed/internal/coordinator"
	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/replica/replicatest"
	"github.com/estorajed/estorajed/internal/ring"
)

// slowly makes each Put take d.
func slowly(d time.Duration) func(int, *coordinator.Config, *replicatest.Store) {
	return func(_ int, _ *coordinator.Config, s *replicatest.Store) {
		s.Before = func(_ context.Context, c replicatest.Call) error {
			if c.Method == "Put" {
				time.Sleep(d)
			}
			return nil
		}
	}
}

func TestWritesOfOneKeyTakeTurnsAndOthersDoNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1, slowly(10*time.Millisecond))
		m := c.nodes[0]
		m.mustPut(t, "warm", "")
		began := time.Now()
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() { m.mustPut(t, "hot", "x") })
		}
		for i := range 5 {
			wg.Go(func() { m.mustPut(t, key.Key(fmt.Sprint(i)), "x") })
		}
		synctest.Wait()
		if s := m.Coordinator.Status(); s.Operations != 10 || s.Turns != 6 || s.Waiting != 4 {
			t.Errorf("status %+v", s)
		}
		wg.Wait()
		if took := time.Since(began); took != 50*time.Millisecond {
			t.Errorf("it took %v, want the time of the 5 writes of the hot key", took)
		}
	})
}

func TestTurnsComeInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1, slowly(10*time.Millisecond))
		m := c.nodes[0]
		var wg sync.WaitGroup
		var last atomic.Int32
		for i := range int32(10) {
			wg.Go(func() {
				m.mustPut(t, "k", fmt.Sprint(i))
				if was := last.Swap(i); was > i {
					t.Errorf("%d was written after %d", i, was)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		m.expect(t, "k", "9")
	})
}

func TestWaitingForATurnHasItsLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var overloaded atomic.Int32
		c := newCluster(t, 1, func(i int, config *coordinator.Config, s *replicatest.Store) {
			slowly(time.Minute)(i, config, s)
			config.Events.Overloaded = func(_ context.Context, where string) {
				if where == "turn" {
					overloaded.Add(1)
				}
			}
		})
		m := c.nodes[0]
		var wg sync.WaitGroup
		wg.Go(func() { m.mustPut(t, "k", "first") })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := m.put(ctx, "k", "cancelled"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("cancelled: %v", err)
		}
		began := time.Now()
		if _, err := m.put(t.Context(), "k", "impatient"); !errors.Is(err, register.ErrOverload) || time.Since(began) != coordinator.Patience {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		var turnedAway int32
		for range 1100 {
			wg.Go(func() {
				if _, err := m.put(t.Context(), "k", "one of many"); errors.Is(err, register.ErrOverload) {
					atomic.AddInt32(&turnedAway, 1)
				}
			})
		}
		synctest.Wait()
		if n := atomic.LoadInt32(&turnedAway); n != 1100-1024 {
			t.Errorf("%d of 1100 were turned away at once", n)
		}
		wg.Wait()
		if s := m.Coordinator.Status(); s.Waiting != 0 || s.Turns != 0 || s.Operations != 0 {
			t.Errorf("status %+v", s)
		}
		if n := overloaded.Load(); n != 1101 {
			t.Errorf("%d events", n)
		}
		m.expect(t, "k", "first")
	})
}

func TestASlowUploadHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1, nil)
		m := c.nodes[0]
		reader, writer := io.Pipe()
		ended := make(chan error)
		go func() {
			_, err := m.Write(t.Context(), "k", put, reader, -1)
			ended <- err
		}()
		_, _ = io.WriteString(writer, "slow ")
		m.mustPut(t, "k", "fast")
		m.expect(t, "k", "fast")
		_, _ = io.WriteString(writer, "upload")
		writer.Close()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		m.expect(t, "k", "slow upload")
	})
}

func TestTooManyOperationsAreTurnedAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1, func(_ int, config *coordinator.Config, _ *replicatest.Store) { config.Operations = 2 })
		m := c.nodes[0]
		reader, writer := io.Pipe()
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { _, _ = m.Write(t.Context(), "k", put, reader, -1) })
		}
		synctest.Wait()
		if _, err := m.put(t.Context(), "other", "x"); !errors.Is(err, register.ErrOverload) {
			t.Errorf("write: %v", err)
		}
		if _, _, err := m.Coordinator.Read(t.Context(), "other", false); !errors.Is(err, register.ErrOverload) {
			t.Errorf("read: %v", err)
		}
		writer.Close()
		wg.Wait()
		m.mustPut(t, "other", "x")
	})
}

// Each of many clients counts up by If-Match, at whichever node: no count is lost and none is made twice.
func TestConcurrentConditionalWritesLoseNothing(t *testing.T) {
	for _, nodes := range []int{1, 3} {
		t.Run(fmt.Sprint(nodes, " nodes"), func(t *testing.T) {
			const clients, each = 6, 15
			var conflicts, retries, settles, quorums atomic.Int64
			c := newCluster(t, nodes, func(_ int, config *coordinator.Config, _ *replicatest.Store) {
				config.Events = coordinator.Events{
					Conflict: func(context.Context, ring.NodeID, register.Phase, register.Stamp) { conflicts.Add(1) },
					Retry:    func(context.Context, int, time.Duration) { retries.Add(1) },
					Settle:   func(context.Context, register.Stamp) { settles.Add(1) },
					Quorum:   func(context.Context, register.Phase, time.Duration) { quorums.Add(1) },
				}
			})
			c.nodes[0].mustPut(t, "n", "0")
			var done, unknown atomic.Int64
			var wg sync.WaitGroup
			for i := range clients {
				wg.Go(func() {
					for range each {
						switch err := c.nodes[i%nodes].countUp(t, "n"); {
						case err == nil:
							done.Add(1)
						case !errors.Is(err, register.ErrPrecondition):
							unknown.Add(1)
						}
					}
				})
			}
			wg.Wait()
			n := c.nodes[0].number(t, "n")
			if n < done.Load() || n > done.Load()+unknown.Load() || nodes == 1 && unknown.Load() > 0 {
				t.Errorf("the number is %d after %d successes and %d unknown outcomes", n, done.Load(), unknown.Load())
			}
			if nodes == 1 && conflicts.Load()+retries.Load()+settles.Load() > 0 {
				t.Errorf("the writes of one node got in each other's way: %d conflicts", conflicts.Load())
			}
			if quorums.Load() < 2*done.Load() {
				t.Errorf("%d quorums for %d writes", quorums.Load(), done.Load())
			}
			t.Logf("%d done, %d unknown; %d conflicts, %d retries, %d settles, %d quorums",
				done.Load(), unknown.Load(), conflicts.Load(), retries.Load(), settles.Load(), quorums.Load())
		})
	}
}

// read gives the number at k, and its version.
func (m *member) read(t *testing.T, k key.Key) (int64, register.Stamp) {
	rec, body, err := m.Coordinator.Read(t.Context(), k, false)
	if err != nil || body == nil {
		t.Errorf("read: %+v, %v", rec, err)
		return 0, register.Stamp{}
	}
	defer body.Close()
	b, err := io.ReadAll(body)
	if err != nil {
		t.Error(err)
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		t.Error(err)
	}
	return n, rec.Version
}

func (m *member) number(t *testing.T, k key.Key) int64 {
	n, _ := m.read(t, k)
	return n
}

// countUp adds one to the number at k, if nobody else does meanwhile.
func (m *member) countUp(t *testing.T, k key.Key) error {
	n, version := m.read(t, k)
	change := put
	change.Condition.IfMatch = register.Tags{Sent: true, Versions: []register.Stamp{version}}
	_, err := m.Write(t.Context(), k, change, strings.NewReader(strconv.FormatInt(n+1, 10)), -1)
	var unknown *register.UnknownError
	if err != nil && !errors.Is(err, register.ErrPrecondition) && !errors.As(err, &unknown) {
		t.Errorf("write: %v", err)
	}
	return err
}

func TestOfManyWhoPutIfAbsentOneWins(t *testing.T) {
	for _, nodes := range []int{1, 3} {
		c := newCluster(t, nodes, nil)
		for round := range 10 {
			k := key.Key(fmt.Sprint("k", round))
			var won atomic.Int32
			var winner atomic.Value
			var wg sync.WaitGroup
			for i := range 8 {
				wg.Go(func() {
					value := fmt.Sprint(i)
					_, err := c.nodes[i%nodes].Write(t.Context(), k, putAbsent, strings.NewReader(value), -1)
					if err == nil {
						won.Add(1)
						winner.Store(value)
					} else if !errors.Is(err, register.ErrPrecondition) {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if won.Load() != 1 {
				t.Fatalf("%d nodes, %q: %d have won", nodes, k, won.Load())
			}
			c.nodes[0].expect(t, k, winner.Load().(string))
		}
	}
}
