package coordinator_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/estorajed/estorajed/internal/coordinator"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/replica/replicatest"
)

func staged(c *cluster) (n int) {
	for _, m := range c.nodes {
		n += m.store.Staged()
	}
	return n
}

func TestALongValueEntersAnywhere(t *testing.T) {
	value := strings.Repeat("a long value ", 100_000)
	for _, size := range []int64{-1, int64(len(value))} {
		for entry := range 5 {
			synctest.Test(t, func(t *testing.T) {
				c := newWideCluster(t, 5, 3, nil)
				m := c.nodes[entry]
				if _, err := m.Write(t.Context(), "k", put, strings.NewReader(value), size); err != nil {
					t.Fatal(err)
				}
				if n := c.nodes[3].store.Calls("Stage") + c.nodes[4].store.Calls("Stage"); n > 0 {
					t.Errorf("from n%d: staged at a node without a copy", entry+1)
				}
				time.Sleep(time.Minute)
				for _, m := range c.nodes {
					m.expect(t, "k", value)
				}
				if n := staged(c); n > 0 {
					t.Errorf("from n%d: %d values are still staged", entry+1, n)
				}
			})
		}
	}
}

func TestTheLengthOfABodyIsFoundOut(t *testing.T) {
	c := newWideCluster(t, 4, 3, nil)
	for _, n := range []int{0, 1, register.InlineMax - 1, register.InlineMax, register.InlineMax + 1, 5 * register.InlineMax} {
		value := strings.Repeat("x", n)
		for _, size := range []int64{-1, int64(n)} {
			if _, err := c.nodes[3].Write(t.Context(), "k", put, strings.NewReader(value), size); err != nil {
				t.Fatalf("%d bytes, said to be %d: %v", n, size, err)
			}
			c.nodes[1].expect(t, "k", value)
		}
	}
}

func TestWhatWasSpreadInVainIsGivenUpEverywhere(t *testing.T) {
	long := bytes.Repeat([]byte("x"), 5*register.InlineMax)
	broken := errors.New("the digest does not match")
	for _, tc := range []struct {
		name string
		body io.Reader
		size int64
		is   error
	}{
		{"the condition does not hold", bytes.NewReader(long), int64(len(long)), register.ErrPrecondition},
		{"the body breaks off", io.MultiReader(bytes.NewReader(long), errReader{broken}), -1, broken},
		{"the body is shorter than was said", bytes.NewReader(long), int64(len(long)) + 1, io.ErrUnexpectedEOF},
		{"the body is longer than was said", bytes.NewReader(long), int64(len(long)) - 1, io.ErrUnexpectedEOF},
		{"the body says that its end came too early", io.MultiReader(bytes.NewReader(long), errReader{io.ErrUnexpectedEOF}), -1, io.ErrUnexpectedEOF},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newWideCluster(t, 5, 3, nil)
				m := c.nodes[4]
				m.mustPut(t, "k", "there")
				if _, err := m.Write(t.Context(), "k", putAbsent, tc.body, tc.size); !errors.Is(err, tc.is) {
					t.Errorf("error %v", err)
				}
				synctest.Wait()
				if n := staged(c); n > 0 {
					t.Errorf("%d values are still staged", n)
				}
				m.expect(t, "k", "there")
			})
		})
	}
}

// stagingAs makes each Stage at node i do that first.
func stagingAs(i int, do func(ctx context.Context) error) func(int, *coordinator.Config, *replicatest.Store) {
	return func(n int, _ *coordinator.Config, s *replicatest.Store) {
		s.Before = func(ctx context.Context, c replicatest.Call) error {
			if c.Method == "Stage" && n >= i {
				return do(ctx)
			}
			return nil
		}
	}
}

func TestAMinorityNeedNotStage(t *testing.T) {
	long := strings.Repeat("a long value ", 100_000)
	stall := func(d time.Duration) func(context.Context) error {
		return func(context.Context) error { time.Sleep(d); return nil }
	}
	full := func(context.Context) error { return register.ErrFull }
	for _, tc := range []struct {
		name   string
		change func(int, *coordinator.Config, *replicatest.Store)
		after  func(c *cluster)
		value  string
		most   time.Duration
	}{
		{"that is full", stagingAs(2, full), nil, long, 0},
		{"that is known as down", nil, func(c *cluster) { c.nodes[2].known.Store(true) }, long, 0},
		{"that refuses", nil, func(c *cluster) { c.nodes[2].down.Store(true) }, long, 0},
		{"that stalls while the body is read", stagingAs(2, stall(time.Minute)), nil, long, 2 * time.Second},
		{"that stalls at the end of the body", stagingAs(2, stall(time.Minute)), nil, long[:3*register.InlineMax], 250 * time.Millisecond},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newWideCluster(t, 4, 3, tc.change)
				if tc.after != nil {
					tc.after(c)
				}
				began := time.Now()
				c.nodes[3].mustPut(t, "k", tc.value)
				if took := time.Since(began); took > tc.most {
					t.Errorf("it took %v", took)
				}
				c.nodes[1].expect(t, "k", tc.value)
				time.Sleep(2 * time.Minute)
				if n := staged(c); n > 0 {
					t.Errorf("%d values are still staged", n)
				}
			})
		})
	}
}

func TestAMajorityMustStage(t *testing.T) {
	long := strings.Repeat("a long value ", 100_000)
	failed := errors.New("something else")
	for _, tc := range []struct {
		name string
		err  error
		is   error
		text string
	}{
		{"two are full", register.ErrFull, register.ErrFull, "1 of 3 replicas answered (n2 has a full disk, n3 has a full disk); nothing was written"},
		{"two fail", failed, failed, "(n2 failed: something else, n3 failed: something else); nothing was written"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newWideCluster(t, 4, 3, stagingAs(1, func(context.Context) error { return tc.err }))
				_, err := c.nodes[3].put(t.Context(), "k", long)
				var quorum *register.QuorumError
				if !errors.As(err, &quorum) || !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.text) {
					t.Errorf("error %v", err)
				}
				synctest.Wait()
				if n := staged(c); n > 0 {
					t.Errorf("%d values are still staged", n)
				}
			})
		})
	}
	t.Run("two are known as down, and the body is not even read", func(t *testing.T) {
		c := newWideCluster(t, 4, 3, nil)
		c.nodes[0].known.Store(true)
		c.nodes[1].known.Store(true)
		var quorum *register.QuorumError
		_, err := c.nodes[3].Write(t.Context(), "k", put, errReader{failed}, int64(len(long)))
		if !errors.As(err, &quorum) {
			t.Errorf("error %v", err)
		}
	})
}

func TestAnUploadThatIsCutOffLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newWideCluster(t, 4, 3, stagingAs(1, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.nodes[3].put(ctx, "k", strings.Repeat("a long value ", 100_000)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		synctest.Wait()
		if n := staged(c); n > 0 {
			t.Errorf("%d values are still staged", n)
		}
	})
}

// Its coordinator dies; the stages are used by the one that takes over.
func TestALongWritesTakeoverUsesTheSameStages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		long := strings.Repeat("a long value ", 100_000)
		c := newWideCluster(t, 5, 3, nil)
		c.nodes[0].fatal = func(m register.Message) bool { return m.Phase == register.Accept }
		c.nodes[4].mustPut(t, "k", long)
		synctest.Wait()
		for _, m := range c.nodes[1:3] {
			rec, body, err := m.Replica.Read(t.Context(), "k")
			if err != nil || body == nil || rec.Value.Length != int64(len(long)) {
				t.Errorf("n%d: %+v, %v", m.id, rec, err)
			}
		}
		c.nodes[3].expect(t, "k", long)
	})
}
