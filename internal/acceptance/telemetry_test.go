package acceptance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
)

// exportPatience is how long spans may take from their end to the collector.
const exportPatience = 30 * time.Second

func TestOneRequestIsOneTraceDownToTheSync(t *testing.T) {
	t.Parallel() // it mostly waits
	sink := newSink(t)
	s := newSubject(t, t.TempDir(), "-otlp-endpoint", sink.url, "-trace-sample", "1")
	s.start()
	got, err := newClient(s.Daemon, 1).put(t.Context(), "traced/key", "value")
	if err != nil || got.status != http.StatusCreated {
		t.Fatalf("put: %v %v", got, err)
	}
	id := got.traceID()
	if len(id) != 32 {
		t.Fatalf("the response carries the trace id %q", id)
	}
	var spans tree
	eventually(t, exportPatience, func() error {
		spans = sink.trace(id)
		return complete(spans)
	})
	t.Logf("the spans of one put:\n%s", spans)
	for _, span := range spans {
		parent, ok := spans.parent(span)
		if ok && span.GetStartTimeUnixNano() < parent.GetStartTimeUnixNano() {
			t.Errorf("span %q begins before its parent %q", span.GetName(), parent.GetName())
		}
	}
}

// complete tells what a put's trace lacks: one root, a server span; every span under it; one of them the journal's sync.
func complete(spans tree) error {
	roots, synced := 0, false
	for _, span := range spans {
		path, err := spans.path(span)
		if err != nil {
			return err
		}
		if len(path) == 1 {
			roots++
			if span.GetKind() != otlp.Span_SPAN_KIND_SERVER {
				return fmt.Errorf("the root %q is of kind %v, want a server", span.GetName(), span.GetKind())
			}
			continue
		}
		synced = synced || strings.Contains(strings.Join(path, " "), "sync")
	}
	if roots != 1 || !synced {
		return fmt.Errorf("%d spans with %d roots; a sync is among them: %v\n%s", len(spans), roots, synced, spans)
	}
	return nil
}

func TestCountersCountWhatWasDone(t *testing.T) {
	s := newSubject(t, t.TempDir())
	s.start()
	c := newClient(s.Daemon, 1)
	before := s.scrape()
	const puts, gets, misses, deletes = 7, 5, 3, 2
	for i := range puts {
		mustAnswer(t, http.StatusCreated)(c.put(t.Context(), fmt.Sprint(i), "value"))
	}
	for range gets {
		mustAnswer(t, http.StatusOK)(c.get(t.Context(), "0"))
	}
	for range misses {
		mustAnswer(t, http.StatusNotFound)(c.get(t.Context(), "missing"))
	}
	for i := range deletes {
		mustAnswer(t, http.StatusNoContent)(c.delete(t.Context(), fmt.Sprint(i)))
	}
	after := s.scrape()
	for _, tc := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"estorajed_http_requests_total", []string{"method", "PUT", "code", "201"}, puts},
		{"estorajed_http_requests_total", []string{"method", "GET", "code", "200", "route", "/:key"}, gets},
		{"estorajed_http_requests_total", []string{"method", "GET", "code", "404"}, misses},
		{"estorajed_http_requests_total", []string{"method", "DELETE", "code", "204"}, deletes},
		{"estorajed_coordinator_ops_total", []string{"op", "put", "result", "ok"}, puts},
		{"estorajed_coordinator_ops_total", []string{"op", "delete", "result", "ok"}, deletes},
		{"estorajed_store_ops_total", []string{"op", "put", "result", "ok"}, puts + deletes},
		{"estorajed_journal_syncs_total", []string{"result", "ok"}, puts + deletes}, // one client: nothing to share
		{"estorajed_store_keys", nil, puts - deletes},
		{"estorajed_store_tombstones", nil, deletes},
	} {
		got := after.value(t, tc.name, tc.labels...) - before.value(t, tc.name, tc.labels...)
		if got != tc.want {
			t.Errorf("%s%v rose by %v, want %v", tc.name, tc.labels, got, tc.want)
		}
	}
	for _, name := range []string{"estorajed_build_info", "estorajed_disk_free_bytes", "estorajed_cache_limit_bytes", "go_goroutines", "process_start_time_seconds"} {
		if after.value(t, name) <= 0 {
			t.Errorf("%s is not positive", name)
		}
	}
}

// mustAnswer fails the test unless the answer has that status.
func mustAnswer(t *testing.T, want int) func(answer, error) answer {
	return func(got answer, err error) answer {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if got.status != want {
			t.Fatalf("got %s, want %d", got, want)
		}
		return got
	}
}

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

func TestWhatCannotStartSaysWhyInOneLine(t *testing.T) {
	running := newSubject(t, t.TempDir())
	running.start()

	another := func(flags ...string) subject { return newSubject(t, t.TempDir(), flags...) }
	busy := another()
	busy.Ports.API = running.Ports.API
	second := another()
	second.DataPath = running.DataPath
	notFolder := another()
	notFolder.DataPath = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(notFolder.DataPath, []byte("not a folder"), 0o600); err != nil {
		t.Fatal(err)
	}
	otherName := another()
	otherName.start()
	otherName.stop()
	otherName.Flags = append(otherName.Flags, "-name", "n2")

	for _, tc := range []struct {
		name    string
		subject subject
		want    []string // in the line
	}{
		{"busy port", busy, []string{fmt.Sprint(busy.Ports.API), "in use"}},
		{"data directory of a running process", second, []string{second.DataPath, "another process"}},
		{"file in the place of the data directory", notFolder, []string{notFolder.DataPath, "not a directory"}},
		{"data directory of another node", otherName, []string{otherName.DataPath, "n1", "n2"}},
		{"wrong flag", another("-no-such-flag"), []string{"-no-such-flag"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.subject.t = t
			if err := refusal(tc.subject, tc.want); err != nil {
				t.Error(err)
			}
		})
	}
	if err := running.Ready(t.Context()); err != nil {
		t.Errorf("the running daemon does not serve any more: %v", err)
	}
}

// refusal launches a daemon that cannot start: it must end with one line that says why, and an exit code that is not 0.
func refusal(s subject, want []string) error {
	logBefore := len(s.Log())
	if _, err := os.Stat(s.LogPath); err != nil {
		logBefore = 0
	}
	if err := s.Launch(); err != nil {
		return err
	}
	code := s.exits()
	said := s.Log()[logBefore:]
	if code == 0 {
		return errors.New("the exit code is 0")
	}
	lines := strings.Split(strings.TrimSpace(said), "\n")
	last := lines[len(lines)-1]
	complaints := strings.Count("\n"+said, "\nestorajed: ")
	if complaints != 1 || !strings.HasPrefix(last, "estorajed: ") || bytes.Contains([]byte(said), []byte("goroutine ")) {
		return fmt.Errorf("it said\n%s\nwant one line at the end that begins with 'estorajed: '", said)
	}
	for _, word := range want {
		if !strings.Contains(last, word) {
			return fmt.Errorf("it said %q, want %q in it", last, word)
		}
	}
	return nil
}
