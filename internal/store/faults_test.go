package store

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/store/vfs"
)

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
	if end := s.m.current().end; end > s.cfg.segmentSize() || b > 200 {
		t.Errorf("%d removals made a segment of %d bytes, where %d bytes of disk were taken for it", b, end, s.cfg.segmentSize())
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
