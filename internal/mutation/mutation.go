// Package mutation makes mistakes on purpose, to see whether a test would notice them.
//
// A mutant is a test binary of the product's own code in which one place, or a few, read differently: the go command takes the changed file
// from an overlay. The product itself has no switch for it, and a mutant whose place is no longer there fails by name.
package mutation

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A Change makes a file read differently: New stands where Old stood, once.
type Change struct {
	File     string // below internal/
	Old, New string
}

// Build makes the test binary of a room with the changes in place and gives its path.
func Build(t *testing.T, room string, changes ...Change) string {
	t.Helper()
	internal := root(t)
	folder := t.TempDir()
	files := make(map[string]string) // of the overlay
	for i, c := range changes {
		path := filepath.Join(internal, c.File)
		from := path
		if changed, ok := files[path]; ok {
			from = changed
		}
		source, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(source), c.Old); n != 1 {
			t.Fatalf("%s holds what the mutant changes %d times, not once: change the mutant with the code", c.File, n)
		}
		files[path] = filepath.Join(folder, strings.ReplaceAll(c.File, "/", "_")+string(rune('0'+i)))
		if err := os.WriteFile(files[path], []byte(strings.Replace(string(source), c.Old, c.New, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": files})
	if err != nil {
		t.Fatal(err)
	}
	list, binary := filepath.Join(folder, "overlay.json"), filepath.Join(folder, "mutant.test")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "test", "-vet=off", "-ldflags=-s -w", "-overlay", list, "-c", "-o", binary, ".")
	build.Dir = filepath.Join(internal, room)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("the mutant does not compile: %v\n%s", err, out)
	}
	return binary
}

// Run runs the tests of that name in a binary of Build, as in the room's folder, for so long at most. It gives what the binary printed and
// whether it failed.
func Run(t *testing.T, room, binary, tests string, limit time.Duration, args ...string) (out string, failed bool) {
	t.Helper()
	const grace = 15 * time.Second // to tell of a timeout
	ctx, cancel := context.WithTimeout(t.Context(), limit+grace)
	defer cancel()
	args = append([]string{"-test.run", tests, "-test.count=1", "-test.v", "-test.timeout", limit.String()}, args...)
	run := exec.CommandContext(ctx, binary, args...)
	run.Dir = filepath.Join(root(t), room)
	run.Env = append(os.Environ(), "TMPDIR="+t.TempDir()) // for what it leaves behind
	b, err := run.CombinedOutput()
	return string(b), err != nil
}

// root is the folder of all rooms.
func root(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "internal")
}
