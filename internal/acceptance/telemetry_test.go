package acceptance

import (
	"fmt"
	"net/http"
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
		{"estorajed_http_requests_total", []string{"method", "GET", "code", "200", "route", "/{key}"}, gets},
		{"estorajed_http_requests_total", []string{"method", "GET", "code", "404"}, misses},
		{"estorajed_http_requests_total", []string{"method", "DELETE", "code", "204"}, deletes},
		{"estorajed_coordinator_ops_total", []string{"op", "put", "result", "ok"}, puts},
		{"estorajed_coordinator_ops_total", []string{"op", "delete", "result", "ok"}, deletes},
		{"estorajed_store_ops_total", []string{"op", "put", "result", "ok"}, puts + deletes},
		{"estorajed_store_keys", nil, puts - deletes},
		{"estorajed_store_tombstones", nil, deletes},
	} {
		got := after.value(t, tc.name, tc.labels...) - before.value(t, tc.name, tc.labels...)
		if got != tc.want {
			t.Errorf("%s%v rose by %v, want %v", tc.name, tc.labels, got, tc.want)
		}
	}
	// One client: nothing to share. A further sync now and then is for the promise ceiling.
	syncs := after.value(t, "estorajed_journal_syncs_total", "result", "ok") - before.value(t, "estorajed_journal_syncs_total", "result", "ok")
	raises := after.value(t, "estorajed_replica_ceiling_raises_total", "result", "ok") - before.value(t, "estorajed_replica_ceiling_raises_total", "result", "ok")
	if syncs != puts+deletes+raises {
		t.Errorf("%v syncs for %d writes of one client and %v raises of the ceiling", syncs, puts+deletes, raises)
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
