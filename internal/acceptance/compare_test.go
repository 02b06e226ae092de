package acceptance

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// compareWithTools demands that every file of the list is in the data directory, equal to its original, and nothing else.
func compareWithTools(t *testing.T, dataPath, root string, kept []*source) {
	t.Helper()
	keys := make([]string, len(kept))
	for i, f := range kept {
		keys[i] = f.key
	}
	out, err := compare(t, dataPath, root, keys)
	if err != nil {
		t.Fatalf("compare.sh: %v\n%s", err, out)
	}
	if want := fmt.Sprintf("%d values, 0 differences\n", len(kept)); out != want {
		t.Errorf("compare.sh says %q, want %q", out, want)
	}
}

// compare runs the operator's script and gives what it prints.
func compare(t *testing.T, dataPath, root string, keys []string) (string, error) {
	t.Helper()
	list := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(list, []byte(strings.Join(keys, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("sh", "testdata/compare.sh", dataPath, root, list).CombinedOutput()
	return string(out), err
}

// The comparison with tools proves something only if it finds differences.
func TestCompareScriptFindsDifferences(t *testing.T) {
	root := t.TempDir()
	keys := []string{"empty", "a b", "100%", "x=y&z", "sub/dir/~file-_.", "it's", `back\slash`, "large"}
	s := newSubject(t, t.TempDir())
	s.start()
	c := newClient(s.Daemon, 1)
	for i, key := range keys {
		content := bytes.Repeat([]byte{'v', '\n', 0}, i*i*1000)
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, key)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, key), content, 0o600); err != nil {
			t.Fatal(err)
		}
		mustAnswer(t, http.StatusCreated)(c.do(t.Context(), http.MethodPost, key, bytes.NewReader(content)))
	}
	mustAnswer(t, http.StatusCreated)(c.put(t.Context(), "deleted", "v"))
	mustAnswer(t, http.StatusNoContent)(c.delete(t.Context(), "deleted"))
	s.stop()

	expect := func(what, want string, keys []string, fine bool) {
		t.Helper()
		out, err := compare(t, s.DataPath, root, keys)
		if (err == nil) != fine || !strings.Contains(out, want) {
			t.Errorf("%s: %v, %q; want %q", what, err, out, want)
		}
	}
	expect("all equal", "8 values, 0 differences", keys, true)
	expect("a value that should not be there", "found: k-empty", keys[1:], false)
	if err := os.WriteFile(filepath.Join(root, "missing"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	expect("a value that is not there", "wanted: k-missing", append(keys, "missing"), false)
	rot(t, s.DataPath, "k-large")
	expect("one bit flipped", "found: k-large", keys, false)
}
