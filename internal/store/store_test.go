package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"go.uber.org/goleak"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/store/disk"
	"github.com/estorajed/estorajed/internal/store/disktest"
	"github.com/estorajed/estorajed/internal/store/vfs"
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

func TestOneSyncServesAllWhoWait(t *testing.T) {
	d := simulated(t)
	gate := make(chan struct{})
	var syncs atomic.Int64
	s := start(t, Config{FS: d, SegmentBytes: 1 << 20})
	d.Inject(func(op, name string) error {
		if op == "sync" && strings.HasPrefix(name, journalDir) {
			syncs.Add(1)
		}
		return nil
	})
	slow := &slowFS{FS: d, gate: gate}
	s.mu.Lock()
	for id, f := range s.journal {
		s.journal[id] = &slowFile{File: f, fs: slow}
	}
	s.mu.Unlock()
	const writers = 64
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() { s.mustPut(key.Key(fmt.Sprintf("k%d", i)), 1, []byte("v")) })
	}
	until(t, "all writers wait", func() bool {
		s.mu.RLock()
		defer s.mu.RUnlock()
		return len(s.m.slots) == writers
	})
	close(gate)
	wg.Wait()
	if n := syncs.Load(); n > 2 {
		t.Errorf("%d writers took %d syncs, want 2: the first one's, and one for all who came meanwhile", writers, n)
	}
}

// slowFile holds up syncs until the gate opens.
type slowFS struct {
	vfs.FS
	gate chan struct{}
}

type slowFile struct {
	vfs.File
	fs *slowFS
}

func (f *slowFile) Sync() error {
	<-f.fs.gate
	return f.File.Sync()
}

func TestAFailedSyncEndsWritingForGood(t *testing.T) {
	for _, failing := range []string{journalDir, "."} {
		t.Run(failing, func(t *testing.T) {
			d := simulated(t)
			var reported atomic.Int64
			s := start(t, Config{FS: d, Events: Events{Failed: func(error) { reported.Add(1) }}})
			s.mustPut("before", 1, []byte("kept"))
			var first sync.Once
			d.Inject(func(op, name string) (err error) {
				if (op == "sync" || op == "syncall") && strings.HasPrefix(name, failing) {
					first.Do(func() { err = syscall.EIO }) // once: what is tried again would succeed, and lie
				}
				return err
			})
			if failing == journalDir {
				err := s.put("during", 2, []byte("lost"))
				var unknown *register.UnknownError
				if !errors.As(err, &unknown) || !errors.Is(err, register.ErrFailed) {
					t.Errorf("the write whose sync failed got %v, want an unknown outcome by ErrFailed", err)
				}
			} else {
				s.mu.Lock()
				s.m.askCheckpoint()
				s.mu.Unlock()
				s.remindAll()
			}
			until(t, "the store fails", func() bool { return s.Status().Failed != nil })
			d.Inject(nil)
			if err := s.put("after", 3, []byte("x")); !errors.Is(err, register.ErrFailed) {
				t.Errorf("a later write got %v, want ErrFailed", err)
			}
			s.mustGet("before", []byte("kept"))
			if rec, _, err := s.get("during"); err != nil || rec.Kind != register.None {
				t.Errorf("what was not made durable is shown: %v, %v", rec.Kind, err)
			}
			if reported.Load() != 1 {
				t.Errorf("the failure was reported %d times", reported.Load())
			}
		})
	}
}

func TestAFullDiskRefusesValuesAndTakesRemovals(t *testing.T) {
	d := simulated(t)
	s := start(t, Config{FS: d})
	s.mustPut("a", 1, []byte("v"))
	for _, tc := range []struct {
		name  string
		usage vfs.Usage
	}{
		{"no bytes", vfs.Usage{Size: 1 << 30, Free: 1 << 20, Inodes: 1 << 20, FreeInodes: 1 << 19}},
		{"no inodes", vfs.Usage{Size: 1 << 30, Free: 1 << 29, Inodes: 1 << 20, FreeInodes: 100}},
	} {
		d.SetUsage(tc.usage)
		if err := s.space.look(); err != nil {
			t.Fatal(err)
		}
		if err := s.put("b", 2, []byte("v")); !errors.Is(err, register.ErrFull) {
			t.Errorf("%s: a write got %v, want ErrFull", tc.name, err)
		}
		if err := s.put("big", 2, pattern(100_000)); !errors.Is(err, register.ErrFull) {
			t.Errorf("%s: a large write got %v, want ErrFull", tc.name, err)
		}
		if err := s.Writable(10); !errors.Is(err, register.ErrFull) {
			t.Errorf("%s: Writable says %v, want ErrFull", tc.name, err)
		}
		s.mustGet("a", []byte("v"))
		if err := s.remove("gone", 3); err != nil {
			t.Errorf("%s: a removal got %v", tc.name, err)
		}
	}
	d.SetUsage(vfs.Usage{Size: 1 << 30, Free: 1 << 29})
	s.mustPut("b", 4, []byte("v")) // by itself, without a look of ours
}

func TestFilesThatFindNoRoomAreTriedAgain(t *testing.T) {
	d := simulated(t)
	var refused atomic.Int64
	s := start(t, Config{FS: d})
	d.Inject(func(op, name string) error {
		if op == "create" && strings.HasPrefix(name, keysDir) {
			refused.Add(1)
			return syscall.ENOSPC
		}
		return nil
	})
	s.mustPut("a", 1, []byte("v"))
	s.mustGet("a", []byte("v"))
	until(t, "the file is refused", func() bool { return refused.Load() > 0 })
	d.Inject(nil)
	until(t, "the file is written", func() bool { return s.Status().Pending == 0 })
	s.mustGet("a", []byte("v"))
}

func TestDamageIsNeverServedAndGivesWayToANewWrite(t *testing.T) {
	for _, tc := range []struct {
		name   string
		size   int
		damage func(path string, size int64) error
	}{
		{"a byte of a small value", 1000, flip(10)},
		{"a byte of a large value", 300_000, flip(200_000)},
		{"a byte of the trailer", 1000, flip(1010)},
		{"a byte of the footer", 1000, flip(-40)},
		{"half of the file gone", 1000, func(path string, size int64) error { return os.Truncate(path, size/2) }},
		{"the file emptied", 1000, func(path string, _ int64) error { return os.Truncate(path, 0) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			s := start(t, Config{FS: onDisk(t, dir), CacheBytes: -1})
			s.mustPut("k", 1, pattern(tc.size))
			s.stop()
			var path string
			_ = filepath.WalkDir(filepath.Join(dir, keysDir), func(p string, e fs.DirEntry, _ error) error {
				if !e.IsDir() {
					path = p
				}
				return nil
			})
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := tc.damage(path, info.Size()); err != nil {
				t.Fatal(err)
			}
			var found atomic.Int64
			s = start(t, Config{FS: onDisk(t, dir), CacheBytes: -1, Events: Events{
				Damaged: func(context.Context, string, string, string) { found.Add(1) },
			}})
			for range 2 {
				_, got, err := s.get("k")
				var damage *register.DamageError
				if !errors.As(err, &damage) || !bytes.HasPrefix(pattern(tc.size), got) {
					t.Fatalf("got %d bytes and %v, want a DamageError", len(got), err)
				}
			}
			if found.Load() != 1 || s.Status().Damaged != 1 {
				t.Errorf("reported %d times, %d known, want 1 and 1", found.Load(), s.Status().Damaged)
			}
			s.mustPut("k", 2, []byte("anew"))
			s.mustGet("k", []byte("anew"))
			s.stop()
			aside, _ := os.ReadDir(filepath.Join(dir, quarantineDir))
			if len(aside) != 1 || !strings.HasSuffix(aside[0].Name(), ".value.k-k") {
				t.Errorf("in quarantine: %v, want the damaged file", aside)
			}
			if st := s.Status(); st.Damaged != 0 || st.Keys != 1 {
				t.Errorf("%d damaged files of %d keys, want 0 of 1", st.Damaged, st.Keys)
			}
		})
	}
}

func flip(at int64) func(string, int64) error {
	return func(path string, size int64) error {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		if at < 0 {
			at += size
		}
		b := make([]byte, 1)
		_, err = f.ReadAt(b, at)
		b[0] ^= 0x10
		_, err2 := f.WriteAt(b, at)
		return errors.Join(err, err2, f.Close())
	}
}

func TestARecordProposedAnewKeepsItsBytes(t *testing.T) {
	s := start(t, Config{FS: onDisk(t, t.TempDir())})
	for _, n := range []int{100, 200_000} {
		k := key.Key(fmt.Sprint(n))
		s.mustPut(k, 1, pattern(n))
		rec, err := s.Head(t.Context(), k)
		if err != nil {
			t.Fatal(err)
		}
		rec.Ballot.Time = 7
		rec.Value.Inline, rec.Value.Stage = nil, register.Stamp{}
		if err := s.Put(t.Context(), k, rec); err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		got, value, err := s.get(k)
		if err != nil || got.Ballot.Time != 7 || got.Version.Time != 1 || !bytes.Equal(value, pattern(n)) {
			t.Errorf("%d bytes: ballot %v, version %v, %d bytes, %v", n, got.Ballot, got.Version, len(value), err)
		}
		rec.Version.Time = 99
		if err := s.Put(t.Context(), k, rec); err == nil {
			t.Errorf("%d bytes: a version whose bytes are not here was accepted", n)
		}
	}
}

func TestADiscardedPartitionIsEmptyAndItsFolderGoes(t *testing.T) {
	d := simulated(t)
	s := start(t, Config{FS: d, CacheBytes: 1 << 20})
	for i := range 40 {
		k := key.Key(fmt.Sprintf("k%d", i))
		s.mustPut(k, 1, []byte("v"))
		s.mustGet(k, []byte("v"))
	}
	if err := s.Discard(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		k := key.Key(fmt.Sprintf("k%d", i))
		_, part := simLocate(k)
		rec, _, err := s.get(k)
		if err != nil || (rec.Kind == register.None) != (part == 2) {
			t.Errorf("%s of partition %d: %v, %v", k, part, rec.Kind, err)
		}
	}
	until(t, "the old folder is gone", func() bool {
		_, err := d.List(folderName(2, 1))
		return errors.Is(err, fs.ErrNotExist)
	})
}

func TestTheCeilingOutlivesRestarts(t *testing.T) {
	d := simulated(t)
	s := start(t, Config{FS: d})
	if err := s.RaiseCeiling(t.Context(), 77); err != nil {
		t.Fatal(err)
	}
	s.stop()
	if got := start(t, Config{FS: d}).Ceiling(); got != 77 {
		t.Errorf("the ceiling is %d, want 77", got)
	}
}

func TestADirectoryOfAnotherShapeIsRefused(t *testing.T) {
	d := simulated(t)
	start(t, Config{FS: d}).stop()
	_, err := Open(Config{FS: d, Partitions: 8, Locate: simLocate})
	if err == nil || !strings.Contains(err.Error(), "4 partitions, not 8") {
		t.Errorf("opened with another number of partitions: %v", err)
	}
	if err := d.Remove(checkpointName); err != nil {
		t.Fatal(err)
	}
	s := start(t, Config{FS: d}) // nothing was ever written: a first start that was cut short looks like this
	s.mustPut("k", 1, []byte("v"))
	s.stop()
	if err := d.Remove(checkpointName); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{FS: d, Partitions: simPartitions, Locate: simLocate}); !errors.Is(err, errMissing) {
		t.Errorf("opened keys without a checkpoint: %v", err)
	}
}

func TestAShortageOfDescriptorsPasses(t *testing.T) {
	d := simulated(t)
	s := start(t, Config{FS: d, CacheBytes: -1})
	s.mustPut("a", 1, []byte("v"))
	until(t, "the file is written", func() bool { return s.Status().Pending == 0 })
	d.Inject(func(op, name string) error {
		if op == "create" || op == "open" || op == "syncdir" {
			return syscall.EMFILE
		}
		return nil
	})
	if _, _, err := s.get("a"); !errors.Is(err, register.ErrOverload) {
		t.Errorf("a read without descriptors got %v, want ErrOverload", err)
	}
	if err := s.put("big", 2, pattern(100_000)); !errors.Is(err, register.ErrOverload) {
		t.Errorf("a large write without descriptors got %v, want ErrOverload", err)
	}
	s.mu.Lock()
	s.m.askCheckpoint()
	s.mu.Unlock()
	s.remindAll()
	until(t, "the checkpoint meets the shortage", func() bool {
		s.mu.RLock()
		defer s.mu.RUnlock()
		return s.stalled != nil
	})
	d.Inject(nil)
	s.mustPut("b", 3, []byte("v"))
	until(t, "all files are written", func() bool { return s.Status().Pending == 0 })
	s.mustGet("a", []byte("v"))
	if err := s.Status().Failed; err != nil {
		t.Errorf("the store failed for good: %v", err)
	}
}

func TestAJournalThatCannotBeEmptiedRefusesInsteadOfWaiting(t *testing.T) {
	d := simulated(t)
	s := start(t, Config{FS: d, SegmentBytes: 4 << 10})
	d.Inject(func(op, _ string) error {
		if op == "create" {
			return syscall.ENOSPC
		}
		return nil
	})
	b := uint64(1)
	until(t, "removals are refused", func() bool {
		b++
		return errors.Is(s.remove("k", b), register.ErrFull)
	})
	s.mu.RLock()
	if end := s.m.current().end; end > 4<<10+segmentSlack || b > 200 {
		t.Errorf("%d removals made a segment of %d bytes, where %d bytes of disk were taken for it", b, end, 4<<10+segmentSlack)
	}
	s.mu.RUnlock()
	d.Inject(nil)
	until(t, "removals are taken again", func() bool {
		b++
		return s.remove("k", b) == nil
	})
}

func TestAStoreStartsOnAFullDisk(t *testing.T) {
	d := simulated(t)
	s := start(t, Config{FS: d})
	s.mustPut("k", 1, []byte("v"))
	s.stop()
	d.Inject(func(op, _ string) error {
		if op == "allocate" {
			return syscall.ENOSPC
		}
		return nil
	})
	s = start(t, Config{FS: d})
	s.mustGet("k", []byte("v"))
	if err := s.put("k", 2, []byte("w")); !errors.Is(err, register.ErrFull) {
		t.Errorf("a write got %v, want ErrFull", err)
	}
	if err := s.remove("k", 3); !errors.Is(err, register.ErrFull) {
		t.Errorf("a removal got %v, want ErrFull", err)
	}
	d.Inject(nil)
	until(t, "writes are taken again", func() bool { return s.put("k", 4, []byte("w")) == nil })
	s.mustGet("k", []byte("w"))
	s.stop()
	s = start(t, Config{FS: d})
	s.mustGet("k", []byte("w"))
}
