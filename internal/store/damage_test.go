package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
)

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
		if err := s.Put(t.Context(), k, rec); !errors.Is(err, register.ErrNoBytes) {
			t.Errorf("%d bytes: a put of a version whose bytes are not here: %v", n, err)
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
