package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"go.uber.org/goleak"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/store/disk"
	"github.com/estorajed/estorajed/internal/store/disktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running is a store with its Run.
type running struct {
	*Store
	t    *testing.T
	stop func()
}

func start(t *testing.T, c Config) *running {
	t.Helper()
	if c.Partitions == 0 {
		c.Partitions, c.Locate = simPartitions, simLocate
	}
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	r := &running{Store: s, t: t}
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

func onDisk(t *testing.T, dir string) *disk.FS {
	t.Helper()
	d, err := disk.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func simulated(t *testing.T) *disktest.Disk {
	t.Helper()
	return disktest.New(rand.New(rand.NewPCG(1, 2)))
}

// put stages and puts a value, as a replica does.
func (r *running) put(k key.Key, ballot uint64, value []byte) error {
	b := register.Stamp{Time: register.Time(ballot), Node: 1}
	v, err := r.Stage(context.Background(), b, bytes.NewReader(value), int64(len(value)))
	if err != nil {
		return err
	}
	return r.Put(context.Background(), k, register.Record{Ballot: b, Version: b, Operation: b, Kind: register.Data, Value: v})
}

func (r *running) remove(k key.Key, ballot uint64) error {
	b := register.Stamp{Time: register.Time(ballot), Node: 1}
	return r.Put(context.Background(), k, register.Record{Ballot: b, Version: b, Operation: b, Kind: register.Tombstone})
}

func (r *running) mustPut(k key.Key, ballot uint64, value []byte) {
	r.t.Helper()
	if err := r.put(k, ballot, value); err != nil {
		r.t.Fatalf("put %q: %v", k, err)
	}
}

func (r *running) get(k key.Key) (register.Record, []byte, error) {
	rec, body, err := r.Read(context.Background(), k)
	if err != nil || body == nil {
		return rec, nil, err
	}
	b, err := io.ReadAll(body)
	return rec, b, errors.Join(err, body.Close())
}

func (r *running) mustGet(k key.Key, want []byte) {
	r.t.Helper()
	rec, got, err := r.get(k)
	if err != nil || !rec.Present() || !bytes.Equal(got, want) {
		r.t.Fatalf("get %q: %v with %d bytes, %v; want %d bytes", k, rec.Kind, len(got), err, len(want))
	}
}

// until polls for a state.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20s: %s", what)
		}
	}
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7 >> 3)
	}
	return b
}

func TestValuesOfAllSizesSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	sizes := []int{0, 1, register.InlineMax - 1, register.InlineMax, register.InlineMax + 1, 3*blockSize + 5, 2 << 20}
	s := start(t, Config{FS: onDisk(t, dir)})
	for i, n := range sizes {
		k := key.Key(fmt.Sprintf("size/%d", n))
		s.mustPut(k, uint64(i+1), pattern(n))
		s.mustGet(k, pattern(n))
	}
	s.stop()
	s = start(t, Config{FS: onDisk(t, dir)})
	for _, n := range sizes {
		s.mustGet(key.Key(fmt.Sprintf("size/%d", n)), pattern(n))
	}
	if st := s.Status(); st.Keys != int64(len(sizes)) || st.JournalEntries != 0 {
		t.Errorf("after a clean stop there are %d keys and %d journal entries, want %d and 0", st.Keys, st.JournalEntries, len(sizes))
	}
}

func TestBodiesLongerOrShorterThanAnnouncedAreTakenWhole(t *testing.T) {
	s := start(t, Config{FS: simulated(t)})
	for _, tc := range []struct{ announced, actual int }{
		{10, 20}, {10, register.InlineMax + 10}, {100_000, 5}, {-1, 70_000}, {0, 1}, {register.InlineMax, register.InlineMax + 1}, {1 << 20, 100_000},
	} {
		id := register.Stamp{Time: register.Time(tc.announced + 2), Node: 9}
		v, err := s.Stage(t.Context(), id, bytes.NewReader(pattern(tc.actual)), int64(tc.announced))
		if err != nil || v.Length != int64(tc.actual) || v.Sum != xxhash.Sum64(pattern(tc.actual)) {
			t.Errorf("announced %d, came %d: staged %d bytes, %v", tc.announced, tc.actual, v.Length, err)
		}
		if (v.Inline != nil) != (tc.actual <= register.InlineMax) {
			t.Errorf("announced %d, came %d: inline is %v", tc.announced, tc.actual, v.Inline != nil)
		}
		s.Unstage(v)
	}
	if left := s.Status().Staged; left != 0 {
		t.Errorf("%d values are still staged", left)
	}
}

func TestABodyThatBreaksOffLeavesNothing(t *testing.T) {
	d := simulated(t)
	s := start(t, Config{FS: d})
	for _, n := range []int{0, 100, 200_000} {
		broken := io.MultiReader(bytes.NewReader(pattern(n)), &failing{io.ErrUnexpectedEOF})
		_, err := s.Stage(t.Context(), register.Stamp{Time: 5, Node: 1}, broken, -1)
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("after %d bytes: %v, want the reader's error", n, err)
		}
	}
	if names, _ := d.List(stagingDir); len(names) != 0 || s.Status().Staged != 0 {
		t.Errorf("left behind: %v", names)
	}
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

// Readers and the one writer of each key agree all the time: cache, memory and files show one history.
func TestReadersSeeEachKeyGrow(t *testing.T) {
	s := start(t, Config{FS: onDisk(t, t.TempDir()), SegmentBytes: 256 << 10, SegmentEntries: 500, CacheBytes: 64 << 10})
	const keys, writes = 24, 150
	var acked [keys]atomic.Uint64
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for i := range keys {
		writers.Go(func() {
			k := key.Key(fmt.Sprintf("k%d", i))
			for b := uint64(1); b <= writes; b++ {
				write := func() error { return s.put(k, b, fmt.Appendf(nil, "%d|%s", b, strings.Repeat("x", int(b*37%3000)))) }
				if b%11 == 0 {
					write = func() error { return s.remove(k, b) }
				}
				if err := write(); err != nil {
					t.Errorf("write %s at %d: %v", k, b, err)
					return
				}
				acked[i].Store(b)
			}
		})
	}
	for range 4 {
		readers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				i := n % keys
				least := acked[i].Load()
				rec, value, err := s.get(key.Key(fmt.Sprintf("k%d", i)))
				switch {
				case err != nil:
					t.Errorf("get k%d: %v", i, err)
				case uint64(rec.Ballot.Time) < least:
					t.Errorf("k%d shows ballot %d after %d was acknowledged", i, rec.Ballot.Time, least)
				case rec.Present() && !bytes.HasPrefix(value, fmt.Appendf(nil, "%d|", rec.Ballot.Time)):
					t.Errorf("k%d shows another value with ballot %d", i, rec.Ballot.Time)
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
}

// slowFile holds up syncs until the gate opens.
