package acceptance

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDamageIsSaidAndNeverServed(t *testing.T) {
	s := newSubject(t, t.TempDir(), "-log-format", "json")
	s.start()
	c := newClient(s.Daemon, 1)
	const value = "the value as it was written"
	mustAnswer(t, http.StatusCreated)(c.put(t.Context(), "rotten", value))
	mustAnswer(t, http.StatusCreated)(c.put(t.Context(), "sound", value))
	s.stop()
	rot(t, s.DataPath, "k-rotten")
	s.start()

	got := mustAnswer(t, http.StatusServiceUnavailable)(c.get(t.Context(), "rotten"))
	var problem struct {
		Error   string `json:"error"`
		TraceID string `json:"trace_id"`
	}
	if err := json.Unmarshal(got.body, &problem); err != nil || problem.Error == "" || problem.TraceID != got.traceID() {
		t.Errorf("the error is %s (%v), want JSON with the trace id %s", got.body, err, got.traceID())
	}
	if !logged(s, "trace_id", got.traceID()) {
		t.Errorf("no line of the log carries the trace id %s of the failed request:\n%s", got.traceID(), s.LogTail())
	}
	if n := s.scrape().value(t, "estorajed_store_damages_total"); n < 1 {
		t.Errorf("estorajed_store_damages_total is %v", n)
	}
	mustAnswer(t, http.StatusOK)(c.get(t.Context(), "sound"))
	mustAnswer(t, http.StatusServiceUnavailable)(c.get(t.Context(), "rotten"))
	for key, want := range map[string]int{"rotten": http.StatusOK, "sound": http.StatusOK} {
		got, err := c.put(t.Context(), key, "written anew")
		if err != nil || got.status != want && got.status != http.StatusCreated {
			t.Errorf("write %s anew: %v %v", key, got, err)
		}
		if got := mustAnswer(t, http.StatusOK)(c.get(t.Context(), key)); string(got.body) != "written anew" {
			t.Errorf("%s reads %q after it was written anew", key, got.body)
		}
	}
}

// rot flips one bit of the value in the file of that name.
func rot(t *testing.T, dataPath, name string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dataPath, "keys", "p*", name))
	if err != nil || len(files) != 1 {
		t.Fatalf("files named %s: %v %v", name, files, err)
	}
	content, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	content[3] ^= 0x20
	if err := os.WriteFile(files[0], content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// logged tells whether a line of a JSON log has that field.
func logged(s subject, field, value string) bool {
	for line := range strings.Lines(s.Log()) {
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) == nil && fields[field] == value {
			return true
		}
	}
	return false
}
