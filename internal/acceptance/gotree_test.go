package acceptance

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	treeConns    = 16
	treeFilesMin = 10_000
	treePatience = 3 * time.Minute // for each part of the test; all of it takes well under two
)

// A source is one file of a real directory tree: its path is the key, its content the value.
type source struct {
	key   string
	size  int64
	sum   [sha256.Size]byte
	acked atomic.Bool // its write was acknowledged
}

// TestGoSourceTree loads the source of Go itself with 16 connections, while the daemon is killed three times; deletes half; kills once
// more; and compares what is left first over HTTP, then in the stopped daemon's data directory with standard tools.
func TestGoSourceTree(t *testing.T) {
	root := goSource(t)
	files := readTree(t, root)
	s := newSubject(t, t.TempDir())
	s.start()
	c := newClient(s.Daemon, treeConns)

	loadWithKills(t, s, c, root, files, 3)
	var missing []*source
	for _, f := range files {
		if !f.acked.Load() {
			missing = append(missing, f)
		}
	}
	t.Logf("%d files, %d of them unacknowledged at the kills", len(files), len(missing))
	inParallel(t, files, func(ctx context.Context, f *source) error { return verify(ctx, c, f, !f.acked.Load()) })
	inParallel(t, missing, func(ctx context.Context, f *source) error { return load(ctx, c, root, f) })

	kept, deleted := split(files)
	inParallel(t, deleted, func(ctx context.Context, f *source) error { return remove(ctx, c, f) })
	s.Kill()
	s.start()
	inParallel(t, kept, func(ctx context.Context, f *source) error { return verify(ctx, c, f, false) })
	inParallel(t, deleted, func(ctx context.Context, f *source) error { return gone(ctx, c, f) })

	s.stop()
	compareWithTools(t, s.DataPath, root, kept)
}

// goSource is the folder of Go's own source.
func goSource(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.EvalSymlinks(filepath.Join(strings.TrimSpace(string(out)), "src"))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// readTree finds all regular files below root, in the order of their paths, with their checksums.
func readTree(t *testing.T, root string) []*source {
	t.Helper()
	var files []*source
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		key, err := filepath.Rel(root, path)
		files = append(files, &source{key: key, size: int64(len(content)), sum: sha256.Sum256(content)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < treeFilesMin {
		t.Fatalf("%s holds %d files, want at least %d", root, len(files), treeFilesMin)
	}
	return files
}

// loadWithKills writes all files once, and kills and restarts the daemon when each further share of them is acknowledged.
// A file whose write failed stays unacknowledged; its client goes on with the next one when the daemon serves again.
func loadWithKills(t *testing.T, s subject, c client, root string, files []*source, kills int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), treePatience)
	defer cancel()
	var next, acked atomic.Int64
	var wg sync.WaitGroup
	for range treeConns {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(files)) && ctx.Err() == nil; i = next.Add(1) - 1 {
				if load(ctx, c, root, files[i]) != nil {
					_ = s.Ready(ctx) // if it never is again, the test ends by ctx
					continue
				}
				acked.Add(1)
			}
		})
	}
	for kill := range kills {
		share := int64(len(files) * (kill + 1) / (kills + 1))
		if err := Await(ctx, func() error {
			if n := acked.Load(); n < share {
				return fmt.Errorf("%d files acknowledged", n)
			}
			return nil
		}); err != nil {
			t.Fatalf("before kill %d: %v", kill+1, err)
		}
		s.Kill()
		s.start()
	}
	wg.Wait()
	if ctx.Err() != nil {
		t.Fatalf("%d of %d files acknowledged within %v", acked.Load(), len(files), treePatience)
	}
}

// inParallel does something with each file over treeConns connections and fails the test with what went wrong.
func inParallel(t *testing.T, files []*source, do func(context.Context, *source) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), treePatience)
	defer cancel()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range treeConns {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(files)); i = next.Add(1) - 1 {
				if err := do(ctx, files[i]); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// load writes a file as it lies on the disk.
func load(ctx context.Context, c client, root string, f *source) error {
	content, err := os.ReadFile(filepath.Join(root, f.key))
	if err != nil {
		return err
	}
	got, err := c.do(ctx, http.MethodPost, f.key, bytes.NewReader(content))
	if err != nil {
		return err
	}
	if got.status != http.StatusCreated && got.status != http.StatusOK {
		return &loadError{f.key, got}
	}
	f.acked.Store(true)
	return nil
}

// verify compares a key with its file; it may be absent only if its write was never acknowledged.
func verify(ctx context.Context, c client, f *source, maybeAbsent bool) error {
	got, err := c.get(ctx, f.key)
	if err != nil {
		return err
	}
	if maybeAbsent && got.status == http.StatusNotFound {
		return nil
	}
	if got.status != http.StatusOK || sha256.Sum256(got.body) != f.sum {
		return fmt.Errorf("read %s: %d with %d bytes, %x; want %d bytes, %x",
			f.key, got.status, len(got.body), sha256.Sum256(got.body), f.size, f.sum)
	}
	return nil
}

func remove(ctx context.Context, c client, f *source) error {
	got, err := c.delete(ctx, f.key)
	if err != nil {
		return err
	}
	if got.status != http.StatusNoContent {
		return fmt.Errorf("delete %s: %s", f.key, got)
	}
	return nil
}

func gone(ctx context.Context, c client, f *source) error {
	got, err := c.get(ctx, f.key)
	if err != nil {
		return err
	}
	if got.status != http.StatusNotFound || len(got.body) != 0 {
		return fmt.Errorf("read deleted %s: %d with %d bytes, want an empty 404", f.key, got.status, len(got.body))
	}
	return nil
}

// split gives every other file to each half; empty ones are among both.
func split(files []*source) (kept, deleted []*source) {
	var keptEmpty bool
	for i, f := range files {
		if i%2 == 0 || f.size == 0 && !keptEmpty {
			kept = append(kept, f)
			keptEmpty = keptEmpty || f.size == 0
			continue
		}
		deleted = append(deleted, f)
	}
	return kept, deleted
}
