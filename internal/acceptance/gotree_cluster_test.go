package acceptance

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

const treeFailures = 4 * treeConns

// TestGoSourceTreeThroughTheBalancer loads the source of Go itself through the balancer into three nodes, one of which is killed when a third
// is there and started again when two thirds are; compares every file at each node; deletes half; and compares both halves at each node.
func TestGoSourceTreeThroughTheBalancer(t *testing.T) {
	root := goSource(t)
	files := readTree(t, root)
	c := startCrew(t, 3)
	balanced := newClient(c.balanced(), treeConns)

	failed := loadThroughOutage(t, c, balanced, root, files, 2)
	t.Logf("%d files; requests that failed and were sent again: %v", len(files), failed)
	everywhere(t, c, files, func(ctx context.Context, at client, f *source) error { return verify(ctx, at, f, false) })

	kept, deleted := split(files)
	inParallel(t, deleted, func(ctx context.Context, f *source) error { return remove(ctx, balanced, f) })
	everywhere(t, c, kept, func(ctx context.Context, at client, f *source) error { return verify(ctx, at, f, false) })
	everywhere(t, c, deleted, gone)
}

// loadThroughOutage writes all files. The victim is killed when a third of them is acknowledged, and started again at two thirds. A write
// that fails is sent again; what failed is counted by its cause.
func loadThroughOutage(t *testing.T, c crew, through client, root string, files []*source, victim int) map[string]int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), treePatience)
	defer cancel()
	var acked atomic.Int64
	var mu sync.Mutex // guards causes
	causes := map[string]int{}
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		inParallel(t, files, func(ctx context.Context, f *source) error {
			for {
				err := load(ctx, through, root, f)
				if err == nil {
					acked.Add(1)
					return nil
				}
				if ctx.Err() != nil {
					return err
				}
				mu.Lock()
				causes[causeOfLoad(err)]++
				mu.Unlock()
			}
		})
	}()
	for _, step := range []struct {
		share int
		do    func()
	}{{len(files) / 3, c.Nodes[victim].Kill}, {2 * len(files) / 3, c.node(victim).start}} {
		if err := Await(ctx, func() error {
			if n := acked.Load(); n < int64(step.share) {
				return fmt.Errorf("%d of %d files acknowledged", n, len(files))
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		step.do()
	}
	<-loaded
	mu.Lock()
	defer mu.Unlock()
	failed := 0
	for _, n := range causes {
		failed += n
	}
	if failed > treeFailures { // those under way at the kill, and few more
		t.Errorf("%d requests failed: %v", failed, causes)
	}
	return causes
}

// A loadError is an answer that acknowledges nothing.
type loadError struct {
	key string
	got answer
}

func (e *loadError) Error() string { return fmt.Sprintf("write %s: %s", e.key, e.got) }

func causeOfLoad(err error) string {
	if e := (*loadError)(nil); errors.As(err, &e) {
		return causeOf(e.got, nil)
	}
	return causeOf(answer{}, err)
}

// everywhere does something with each file at each node.
func everywhere(t *testing.T, c crew, files []*source, do func(context.Context, client, *source) error) {
	t.Helper()
	for i, at := range c.clients(treeConns) {
		inParallel(t, files, func(ctx context.Context, f *source) error {
			if err := do(ctx, at, f); err != nil {
				return fmt.Errorf("at %s: %w", NodeName(i), err)
			}
			return nil
		})
	}
}
