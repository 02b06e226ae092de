package observe_test

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
)

const (
	traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	caller  = "00f067aa0ba902b7"
	kept    = "00-" + traceID + "-" + caller + "-01"
	unkept  = "00-" + traceID + "-" + caller + "-00"
)

func TestEachRequestIsOneTree(t *testing.T) {
	large := strings.Repeat("x", 200<<10)
	for _, tc := range []struct {
		name, before, method, body string
		status                     int
		want                       []string
	}{
		{"put", "", "PUT", "value", http.StatusCreated, []string{
			"PUT /{key}",
			"PUT /{key} > coordinate put",
			"PUT /{key} > coordinate put > store head",
			"PUT /{key} > coordinate put > store put",
			"PUT /{key} > coordinate put > store put > journal sync",
			"PUT /{key} > coordinate put > store stage",
		}},
		{"get", "y", "GET", "", http.StatusOK, []string{
			"GET /{key}",
			"GET /{key} > coordinate get",
			"GET /{key} > coordinate get > store read",
		}},
		{"put of a large value", "y", "POST", large, http.StatusOK, []string{
			"POST /{key}",
			"POST /{key} > coordinate put",
			"POST /{key} > coordinate put > store head",
			"POST /{key} > coordinate put > store put",
			"POST /{key} > coordinate put > store put > journal sync",
			"POST /{key} > coordinate put > store stage",
		}},
		{"get of a large value", large, "GET", "", http.StatusOK, []string{
			"GET /{key}",
			"GET /{key} > coordinate get",
			"GET /{key} > coordinate get > store read",
		}},
		{"delete", "y", "DELETE", "", http.StatusNoContent, []string{
			"DELETE /{key}",
			"DELETE /{key} > coordinate delete",
			"DELETE /{key} > coordinate delete > store head",
			"DELETE /{key} > coordinate delete > store put",
			"DELETE /{key} > coordinate delete > store put > journal sync",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sink := newSink(t)
			s := newStack(t, sink.url, 0)
			s.do(t, "PUT", "/warm", "y") // raises the ceiling
			if tc.before != "" {
				s.do(t, "PUT", "/some/key", tc.before)
			}
			got := s.do(t, tc.method, "/some/key", tc.body, "Traceparent", kept)
			if got.status != tc.status || got.traceID() != traceID {
				t.Fatalf("status %d, trace %s: %s", got.status, got.traceID(), got.body)
			}
			eventually(t, func() error { return synced(s, tc.want) })
			s.flush(t)
			spans := sink.trace(traceID)
			for i, path := range paths(spans) {
				if want := "? > " + tc.want[min(i, len(tc.want)-1)]; path != want {
					t.Errorf("span %d is %s, want %s", i, path, want)
				}
			}
			if len(spans) != len(tc.want) {
				t.Errorf("%d spans, want %d:\n%s", len(spans), len(tc.want), strings.Join(paths(spans), "\n"))
			}
			checkSpans(t, spans)
		})
	}
}

// synced waits for the journal's own span: it is drawn just after the answer left.
func synced(s *stack, want []string) error {
	spans := 0.0
	if slices.ContainsFunc(want, func(path string) bool { return strings.HasSuffix(path, "journal sync") }) {
		spans = 1 // journal commit
	}
	if got := s.ended(); got < spans+float64(len(want)) {
		return fmt.Errorf("%v spans have ended, want %v", got, spans+float64(len(want)))
	}
	return nil
}

// checkSpans holds what all trees have in common: a server at the root that goes on with the caller's span, nothing kept of the key,
// nothing begun before its parent.
func checkSpans(t *testing.T, spans []*otlp.Span) {
	t.Helper()
	for _, span := range spans {
		isRoot := span.GetKind() == otlp.Span_SPAN_KIND_SERVER
		if isRoot != strings.HasSuffix(span.GetName(), "/{key}") {
			t.Errorf("%s is of kind %v", span.GetName(), span.GetKind())
		}
		if isRoot && fmt.Sprintf("%x", span.GetParentSpanId()) != caller {
			t.Errorf("the root's parent is %x, want %s", span.GetParentSpanId(), caller)
		}
		if strings.Contains(span.String(), "some/key") {
			t.Errorf("%s tells the key: %v", span.GetName(), span)
		}
		if span.GetStatus().GetCode() == otlp.Status_STATUS_CODE_ERROR {
			t.Errorf("%s failed: %v", span.GetName(), span.GetStatus())
		}
		for _, parent := range spans {
			if bytes.Equal(parent.GetSpanId(), span.GetParentSpanId()) && span.GetStartTimeUnixNano() < parent.GetStartTimeUnixNano() {
				t.Errorf("%s begins before its parent %s", span.GetName(), parent.GetName())
			}
		}
	}
}

func TestServerSpanSaysWhatHTTPSays(t *testing.T) {
	sink := newSink(t)
	s := newStack(t, sink.url, 1)
	s.do(t, "PUT", "/k", "value", "Traceparent", kept)
	s.flush(t)
	span := sink.named("PUT /{key}")[0]
	for name, want := range map[string]string{
		"http.request.method": "PUT", "http.route": "/{key}", "http.response.status_code": "201", "http.request.body.size": "5",
		"url.scheme": "http", "server.address": "127.0.0.1", "network.protocol.version": "1.1", "estorajed.key.hash": fmt.Sprintf("%016x", hashOf("k")),
	} {
		if got := attribute(span, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestBatchAndItsMembersLinkToEachOther(t *testing.T) {
	sink := newSink(t)
	s := newStack(t, sink.url, 1)
	const writers = 16
	s.do(t, "PUT", "/warm", "y")
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() { s.do(t, "PUT", fmt.Sprintf("/k%d", i), "value") })
	}
	all.Wait()
	eventually(t, func() error {
		if n := value(t, s.metrics, "journal_batch_entries"); n == 0 || s.ended() < 6*writers+n {
			return fmt.Errorf("%v spans have ended, of %v batches", s.ended(), n)
		}
		return nil
	})
	s.flush(t)
	commits, syncs := sink.named("journal commit"), sink.named("journal sync")
	links := make(map[string]string) // of a commit to its members' puts
	for _, commit := range commits {
		if len(commit.GetParentSpanId()) != 0 {
			t.Errorf("a commit is part of one member's trace: %v", commit)
		}
		for _, l := range commit.GetLinks() {
			links[string(l.GetSpanId())] = string(commit.GetSpanId())
		}
	}
	if len(links) < writers || len(syncs) < writers {
		t.Errorf("%d links to members and %d syncs in them, want %d", len(links), len(syncs), writers)
	}
	for _, sync := range syncs {
		back := sync.GetLinks()
		if len(back) != 1 || links[string(sync.GetParentSpanId())] != string(back[0].GetSpanId()) {
			t.Errorf("a sync does not link to the commit that links to its put: %v", sync)
		}
	}
}

func TestNothingIsKeptThatNobodyKeeps(t *testing.T) {
	sink := newSink(t)
	for name, s := range map[string]*stack{"no endpoint": newStack(t, "", 1), "none sampled": newStack(t, sink.url, 0)} {
		t.Run(name, func(t *testing.T) {
			for _, header := range []string{"", unkept} {
				got := s.do(t, "PUT", "/k", "value", "Traceparent", header)
				if len(got.traceID()) != 32 || header != "" && got.header.Get("Traceresponse") != unkept {
					t.Errorf("the response says %q", got.header.Get("Traceresponse"))
				}
			}
			if problem := s.do(t, "PUT", "/_x", "value"); !strings.Contains(problem.body, problem.traceID()) || problem.traceID() == "" {
				t.Errorf("the error does not carry the trace id %s: %s", problem.traceID(), problem.body)
			}
			if n := s.ended(); n != 0 {
				t.Errorf("%v spans", n)
			}
		})
	}
}

func TestDeadCollectorIsNoticedByNoRequest(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	s := newStack(t, "http://"+l.Addr().String(), 1)
	for i := range 100 {
		if got := s.do(t, "PUT", fmt.Sprintf("/k%d", i), "value"); got.status != http.StatusCreated {
			t.Fatalf("status %d: %s", got.status, got.body)
		}
	}
	s.flush(t)
	if n := value(t, s.metrics, "telemetry_spans_total", "result", "failed"); n < 600 {
		t.Errorf("%v spans are counted as failed, 600 were to be exported", n)
	}
}

func TestFailedSyncIsAnErrorOfItsSpansAndAMissIsNot(t *testing.T) {
	sink := newSink(t)
	s := newStack(t, sink.url, 0)
	s.do(t, "PUT", "/warm", "y")
	s.do(t, "GET", "/none", "", "Traceparent", kept)
	s.disk.Inject(func(op, name string) error {
		if op == "sync" {
			return fmt.Errorf("%s: the disk is gone", name)
		}
		return nil
	})
	if got := s.do(t, "PUT", "/k", "value", "Traceparent", kept); got.status < 500 {
		t.Fatalf("status %d", got.status)
	}
	eventually(t, func() error {
		if n := s.ended(); n < 3+7 {
			return fmt.Errorf("%v spans have ended", n)
		}
		return nil
	})
	s.flush(t)
	for name, failed := range map[string]bool{
		"GET /{key}": false, "coordinate get": false, "store read": false,
		"PUT /{key}": true, "coordinate put": true, "store put": true, "journal sync": true, "journal commit": true, "store stage": false, "store head": false,
	} {
		spans := sink.named(name)
		if len(spans) == 0 {
			t.Errorf("there is no span %s", name)
			continue
		}
		if got := spans[0].GetStatus().GetCode() == otlp.Status_STATUS_CODE_ERROR; got != failed {
			t.Errorf("%s failed: %v, want %v", name, got, failed)
		}
	}
	if attribute(sink.named("PUT /{key}")[0], "error.type") == "" {
		t.Error("the failed request has no error.type")
	}
}

// ended is how many spans have ended so far.
func (s *stack) ended() float64 {
	families, err := s.metrics.Gather()
	if err != nil {
		return 0
	}
	for _, f := range families {
		if f.GetName() != "estorajed_telemetry_spans_total" {
			continue
		}
		for _, series := range f.GetMetric() {
			if has(series, []string{"result", "ended"}) {
				return series.GetCounter().GetValue()
			}
		}
	}
	return 0
}
