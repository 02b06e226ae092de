package store

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/store/vfs"
)

// hooked runs something between two calls to the disk of one operation: the moment in which another one may do all its work.
type hooked struct {
	vfs.FS
	before atomic.Pointer[func(op, name string)]
}

func (h *hooked) run(op, name string) {
	if f := h.before.Load(); f != nil {
		(*f)(op, name)
	}
}

func (h *hooked) Open(name string) (vfs.File, error) {
	h.run("open", name)
	f, err := h.FS.Open(name)
	if err == nil {
		h.run("opened", name)
	}
	return f, err
}

func (h *hooked) Rename(from, to string) error {
	h.run("rename", to)
	return h.FS.Rename(from, to)
}

// once runs do the first time that op is called on a name with that ending.
func (h *hooked) once(op, ending string, do func()) {
	var first sync.Once
	f := func(o, name string) {
		if o == op && strings.HasSuffix(name, ending) {
			first.Do(func() {
				h.before.Store(nil)
				do()
			})
		}
	}
	h.before.Store(&f)
}

// A record that moves from one place to the other between two looks is not missed.
func TestAReadDoesNotMissARecordThatMoves(t *testing.T) {
	fs := &hooked{FS: simulated(t)}
	s := start(t, Config{FS: fs, CacheBytes: -1})
	if err := s.remove("k", 1); err != nil {
		t.Fatal(err)
	}
	filed := func() bool { return s.Status().Pending == 0 }
	until(t, "the tombstone is filed", filed)
	fs.once("open", deletedDir+"/k-k", func() {
		s.mustPut("k", 2, []byte("v"))
		until(t, "the value is filed", filed)
	})
	s.mustGet("k", []byte("v"))
}

// What a slow reader has in hand when a newer record becomes durable is neither kept in the cache nor as a head.
func TestWhatBecameStaleIsNotRemembered(t *testing.T) {
	fs := &hooked{FS: simulated(t)}
	s := start(t, Config{FS: fs})
	filed := func() bool { return s.Status().Pending == 0 }
	for b, look := range map[uint64]func(){
		10: func() { _, _, _ = s.get("k") },
		20: func() { _, _ = s.Head(t.Context(), "k") },
	} {
		s.mustPut("k", b, []byte("old"))
		until(t, "the old value is filed", filed)
		s.cache.InvalidateAll()
		s.mu.Lock()
		clear(s.stripes[:])
		s.mu.Unlock()
		fs.once("opened", "/k-k", func() {
			s.mustPut("k", b+1, []byte("new"))
			until(t, "the new value is filed", filed)
		})
		look()
		s.mustGet("k", []byte("new"))
		if rec, err := s.Head(t.Context(), "k"); err != nil || rec.Ballot.Time != register.Time(b+1) {
			t.Errorf("the head is of ballot %v, %v; want %d", rec.Ballot, err, b+1)
		}
	}
}

func TestALargeValueReplacesACachedSmallOne(t *testing.T) {
	s := start(t, Config{FS: simulated(t)})
	s.mustPut("k", 1, []byte("small"))
	until(t, "the file is written", func() bool { return s.Status().Pending == 0 })
	s.mustGet("k", []byte("small"))
	s.mustGet("k", []byte("small"))
	s.mustPut("k", 2, pattern(200_000))
	s.mustGet("k", pattern(200_000))
	if err := s.remove("k", 3); err != nil {
		t.Fatal(err)
	}
	if rec, _, err := s.get("k"); err != nil || rec.Kind != register.Tombstone {
		t.Errorf("after the removal: %v, %v", rec.Kind, err)
	}
}

func TestARefusedLargeValueLeavesNothingBehind(t *testing.T) {
	d := simulated(t)
	s := start(t, Config{FS: d})
	b := register.Stamp{Time: 5, Node: 1}
	v, err := s.Stage(t.Context(), b, bytes.NewReader(pattern(200_000)), -1)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.m.sealed = true // no room in the journal, and why is known
	s.stalled = register.ErrFull
	s.mu.Unlock()
	err = s.Put(t.Context(), "k", register.Record{Ballot: b, Version: b, Operation: b, Kind: register.Data, Value: v})
	var nothing *register.NothingError
	if !errors.As(err, &nothing) {
		t.Errorf("got %v, want a NothingError", err)
	}
	if names, _ := d.List(stagingDir); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
	s.mu.Lock()
	s.m.sealed, s.stalled = false, nil
	s.mu.Unlock()
}

func TestADiscardDoesNotTripOverAFileThatIsJustBeingWritten(t *testing.T) {
	fs := &hooked{FS: simulated(t)}
	s := start(t, Config{FS: fs})
	k := key.Key("key/1")
	_, part := simLocate(k)
	fs.once("rename", "/k-key%2F1", func() { // its temporary file is in the folder that goes
		if err := s.Discard(t.Context(), part); err != nil {
			t.Error(err)
		}
		s.remindAll()
		until(t, "the sweep has met the file", func() bool {
			s.mu.RLock()
			defer s.mu.RUnlock()
			return s.m.failed != nil || len(s.m.sweeps) == 0 || s.m.filing == 1
		})
	})
	s.mustPut(k, 1, []byte("v"))
	until(t, "all is swept", func() bool {
		s.mu.RLock()
		defer s.mu.RUnlock()
		return len(s.m.slots) == 0 && len(s.m.sweeps) == 0
	})
	if err := s.Status().Failed; err != nil {
		t.Errorf("the store failed: %v", err)
	}
	if rec, _, err := s.get(k); err != nil || rec.Kind != register.None {
		t.Errorf("after the discard: %v, %v", rec.Kind, err)
	}
}

func TestAFailureAnswersAllWhoWait(t *testing.T) {
	d := simulated(t)
	s := start(t, Config{FS: d})
	gate := make(chan struct{})
	slow := &slowFS{FS: d, gate: gate}
	s.mu.Lock()
	for id, f := range s.journal {
		s.journal[id] = &slowFile{File: f, fs: slow}
	}
	s.mu.Unlock()
	results := make(chan error, 10)
	for i := range 10 {
		go func() { results <- s.put(key.Key("k"+string(rune('0'+i))), 1, []byte("v")) }()
		until(t, "it waits: the first in a batch, the others behind it", func() bool {
			s.mu.RLock()
			defer s.mu.RUnlock()
			return s.m.flight != nil && len(s.m.slots) == i+1
		})
	}
	d.Inject(func(op, _ string) error {
		if op == "sync" {
			return errors.New("injected")
		}
		return nil
	})
	close(gate)
	unknown, nothing := 0, 0
	for range 10 {
		err := <-results
		var u *register.UnknownError
		var n *register.NothingError
		switch {
		case errors.As(err, &u):
			unknown++
		case errors.As(err, &n) && errors.Is(err, register.ErrFailed):
			nothing++
		default:
			t.Errorf("a writer got %v", err)
		}
	}
	if unknown != 1 || nothing != 9 {
		t.Errorf("%d writers were told that nothing is known, %d that nothing was written; want 1 and 9", unknown, nothing)
	}
}

func TestAValueOfUnknownLengthTakesNoMoreMemoryThanItHas(t *testing.T) {
	s := start(t, Config{FS: simulated(t)})
	for _, n := range []int{0, 10, 5000, register.InlineMax} {
		v, err := s.Stage(t.Context(), register.Stamp{Time: 1, Node: 1}, bytes.NewReader(pattern(n)), -1)
		if err != nil || len(v.Inline) != n || cap(v.Inline) > n+n/4+64 {
			t.Errorf("%d bytes hold room for %d, %v", n, cap(v.Inline), err)
		}
	}
}

func TestAPartOfTheStoreThatVanishedIsNoticed(t *testing.T) {
	filled := func(t *testing.T) vfs.FS {
		d := simulated(t)
		s := start(t, Config{FS: d})
		s.mustPut("k", 1, []byte("v"))
		s.stop()
		return d
	}
	var remove func(t *testing.T, d vfs.FS, dir string)
	remove = func(t *testing.T, d vfs.FS, dir string) {
		names, err := d.List(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if d.Remove(dir+"/"+name) != nil {
				remove(t, d, dir+"/"+name)
			}
		}
		if err := d.Remove(dir); err != nil {
			t.Fatal(err)
		}
	}
	for name, vanish := range map[string]func(t *testing.T, d vfs.FS){
		"the keys":    func(t *testing.T, d vfs.FS) { remove(t, d, keysDir) },
		"the journal": func(t *testing.T, d vfs.FS) { remove(t, d, journalDir) },
		"everything": func(t *testing.T, d vfs.FS) {
			remove(t, d, keysDir)
			remove(t, d, journalDir)
			if err := d.Remove(checkpointName); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := filled(t)
			vanish(t, d)
			for range 2 { // the first try must not hide it from the second
				_, err := Open(Config{FS: d, Partitions: simPartitions, Locate: simLocate, Existing: true})
				if !errors.Is(err, errMissing) {
					t.Errorf("opened: %v", err)
				}
			}
		})
	}
	t.Run("a segment in the middle", func(t *testing.T) {
		var damage *JournalError
		if err := consecutive([]uint64{3, 5}, 3); !errors.As(err, &damage) || damage.File != segmentName(4) {
			t.Errorf("segments 3 and 5: %v", err)
		}
		if err := consecutive(nil, 3); !errors.As(err, &damage) {
			t.Errorf("no segments: %v", err)
		}
		if err := consecutive([]uint64{3, 4}, 3); err != nil {
			t.Errorf("segments 3 and 4: %v", err)
		}
	})
}

// Entries are counted in by what they may take at most. Who was turned away on that count is called when it proves too high.
func TestWritersThatWereTurnedAwayAreCalled(t *testing.T) {
	s := start(t, Config{FS: simulated(t), SegmentBytes: 64 << 10, IdleCheckpoint: time.Hour})
	results := make(chan error, 300)
	for i := range cap(results) {
		go func() { results <- s.put(key.Key(fmt.Sprintf("k%d", i)), 1, []byte("v")) }()
	}
	late := time.After(20 * time.Second)
	for i := range cap(results) {
		select {
		case err := <-results:
			if err != nil {
				t.Fatal(err)
			}
		case <-late:
			t.Fatalf("only %d of %d writers were answered", i, cap(results))
		}
	}
}

func TestASealedStoreStopsAtOnce(t *testing.T) {
	d := simulated(t)
	start(t, Config{FS: d}).stop()
	d.Inject(func(op, _ string) error {
		if op == "allocate" {
			return syscall.ENOSPC
		}
		return nil
	})
	s := start(t, Config{FS: d})
	began := time.Now()
	s.stop()
	if took := time.Since(began); took > drainPatience/2 {
		t.Errorf("stopping with nothing to write took %v", took)
	}
}
