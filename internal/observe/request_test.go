package observe_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/estorajed/estorajed/internal/api"
	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/observe"
	"github.com/estorajed/estorajed/internal/telemetry"
)

func TestLabelsAreTheNamesOfTheRoomsThatGiveThem(t *testing.T) {
	if got := telemetry.Routes.Values; !slices.Equal(got, api.Routes()) {
		t.Errorf("routes are %q, of the API %q", got, api.Routes())
	}
	if got := telemetry.Rejections.Values; !slices.Equal(got, append(api.Reasons(), "other")) {
		t.Errorf("reasons are %q, of the API %q", got, api.Reasons())
	}
	if got := telemetry.Methods.Values[telemetry.MethodOther]; got != api.MethodOther {
		t.Errorf("other methods are %q, of the API %q", got, api.MethodOther)
	}
}

func TestRequestsAreCounted(t *testing.T) {
	s := newStack(t, "", 0)
	s.do(t, "PUT", "/k", "value")
	s.do(t, "PUT", "/k", "other")
	s.do(t, "GET", "/k", "")
	s.do(t, "GET", "/none", "")
	s.do(t, "DELETE", "/k", "")
	s.do(t, "DELETE", "/k", "")
	s.do(t, "PATCH", "/k", "")
	s.do(t, "PUT", "/_x", "")
	s.do(t, "PUT", "/k", "", "If-Match", `"1-1"`)
	for _, tc := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"http_requests_total", []string{"route", "/{key}", "method", "PUT", "code", "201"}, 1},
		{"http_requests_total", []string{"route", "/{key}", "method", "PUT", "code", "200"}, 1},
		{"http_requests_total", []string{"route", "/{key}", "method", "PUT", "code", "412"}, 1},
		{"http_requests_total", []string{"route", "/{key}", "method", "GET", "code", "404"}, 1},
		{"http_requests_total", []string{"route", "/{key}", "method", "_OTHER", "code", "405"}, 1},
		{"http_requests_total", []string{"route", "/_{reserved}", "method", "_OTHER", "code", "400"}, 1},
		{"http_requests_total", nil, 9},
		{"http_request_duration_seconds", []string{"code_class", "2xx"}, 5},
		{"http_request_duration_seconds", []string{"code_class", "4xx"}, 4},
		{"http_request_body_bytes", []string{"route", "/{key}"}, 2},
		{"http_requests_in_flight", nil, 0},
		{"http_requests_rejected_total", []string{"reason", "method"}, 1},
		{"http_requests_rejected_total", []string{"reason", "bad_key"}, 1},
		{"coordinator_ops_total", []string{"op", "put", "result", "ok"}, 2},
		{"coordinator_ops_total", []string{"op", "put", "result", "precondition"}, 1},
		{"coordinator_ops_total", []string{"op", "get", "result", "ok"}, 1},
		{"coordinator_ops_total", []string{"op", "get", "result", "not_found"}, 1},
		{"coordinator_ops_total", []string{"op", "delete", "result", "ok"}, 1},
		{"coordinator_ops_total", []string{"op", "delete", "result", "not_found"}, 1},
		{"store_ops_total", []string{"op", "stage", "result", "ok"}, 3},
		{"store_ops_total", []string{"op", "read", "result", "not_found"}, 1},
		{"journal_wait_seconds", nil, value(t, s.metrics, "journal_batch_entries")},
		{"store_keys", nil, 0},
		{"store_tombstones", nil, 1},
		{"ready", nil, 1},
		{"state", []string{"state", "serving"}, 1},
		{"state", nil, 1},
	} {
		if got := value(t, s.metrics, tc.name, tc.labels...); got != tc.want {
			t.Errorf("%s%q is %v, want %v", tc.name, tc.labels, got, tc.want)
		}
	}
}

func TestDressedNodeTellsTheWholeCatalogue(t *testing.T) {
	s := newStack(t, "", 0)
	families, err := s.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	told := make(map[string]bool)
	for _, f := range families {
		told[f.GetName()] = true
	}
	for _, row := range telemetry.Catalogue() {
		if !told[row.FullName()] {
			t.Errorf("nobody reads %s", row.FullName())
		}
	}
	if got := s.do(t, "GET", "/metrics", ""); got.status != http.StatusOK || !strings.Contains(got.body, "\nestorajed_store_keys 0\n") {
		t.Errorf("status %d, and no estorajed_store_keys", got.status)
	}
}

func TestTwoNodesLiveInOneProcess(t *testing.T) {
	a, b := newStack(t, "", 0), newStack(t, "", 0)
	a.do(t, "PUT", "/k", "value")
	if got := value(t, b.metrics, "http_requests_total"); got != 0 {
		t.Errorf("one node's request counts %v for the other", got)
	}
}

func TestStrangeRequestsMakeNoNewSeries(t *testing.T) {
	m := telemetry.NewMetrics(telemetry.Build{})
	o := bare(t, m)
	server, err := api.New(api.Config{Keys: o.Keys(nothing{}), MaxValueSize: 1, Events: o.Requests(), Trace: observe.Trace})
	if err != nil {
		t.Fatal(err)
	}
	before := countSeries(t, m)
	rng := rand.New(rand.NewPCG(1, 2))
	methods := []string{"GET", "HEAD", "PUT", "DELETE", "POST", "OPTIONS", "TRACE", "BREW", "get", "PROPFIND"}
	for i := range 100_000 {
		r := &http.Request{
			Method: methods[rng.IntN(len(methods))], Host: fmt.Sprintf("h%d", i), Header: http.Header{}, Body: http.NoBody, ProtoMajor: 1, ProtoMinor: 1,
			URL: &url.URL{Path: fmt.Sprintf("/%x", rng.Uint64())}, RemoteAddr: fmt.Sprintf("10.0.0.1:%d", i),
		}
		switch rng.IntN(10) {
		case 0:
			r.URL.Path = fmt.Sprintf("/_%x", rng.Uint64())
		case 1:
			r.Method = fmt.Sprintf("M%x", rng.Uint64())
		}
		server.ServeHTTP(httptest.NewRecorder(), r)
	}
	if after := countSeries(t, m); after != before {
		t.Errorf("%d series before 100,000 random requests, %d after", before, after)
	}
	if got := value(t, m, "http_requests_total"); got != 100_000 {
		t.Errorf("%v requests are counted", got)
	}
}

func countSeries(t *testing.T, m *telemetry.Metrics) (n int) {
	t.Helper()
	families, err := m.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "estorajed_") {
			n += len(f.GetMetric())
		}
	}
	return n
}

func TestLogLinesHaveTheIdsOfTheSpan(t *testing.T) {
	sink := newSink(t)
	s := newStack(t, sink.url, 1)
	got := s.do(t, "PUT", "/some/key", "value")
	s.flush(t)
	lines := s.log.with(t, "request")
	if len(lines) != 1 {
		t.Fatalf("%d lines, want 1", len(lines))
	}
	span := sink.named("PUT /{key}")[0]
	for name, want := range map[string]any{
		"trace_id": fmt.Sprintf("%x", span.GetTraceId()), "span_id": fmt.Sprintf("%x", span.GetSpanId()), "@level": "debug",
		"method": "PUT", "route": "/{key}", "status": 201.0, "bytes_in": 5.0, "key_hash": fmt.Sprintf("%016x", hashOf("some/key")),
	} {
		if lines[0][name] != want {
			t.Errorf("%s is %v, want %v", name, lines[0][name], want)
		}
	}
	if lines[0]["trace_id"] != got.traceID() {
		t.Errorf("the line says %v, the response %s", lines[0]["trace_id"], got.traceID())
	}
}

func TestFailedRequestSaysWhyUnderItsTraceId(t *testing.T) {
	s := newStack(t, "", 0)
	s.disk.Inject(func(op, name string) error {
		if op == "open" {
			return errors.New("the disk is gone")
		}
		return nil
	})
	got := s.do(t, "GET", "/some/key", "")
	if got.status != http.StatusInternalServerError {
		t.Fatalf("status %d: %s", got.status, got.body)
	}
	lines := s.log.with(t, "failed request")
	if len(lines) != 1 {
		t.Fatalf("%d lines, want 1", len(lines))
	}
	cause, _ := lines[0]["error"].(string)
	if lines[0]["@level"] != "error" || lines[0]["trace_id"] != got.traceID() || !strings.Contains(cause, "the disk is gone") {
		t.Errorf("the line is %v; the trace id %s", lines[0], got.traceID())
	}
}

func TestWhenARequestIsLogged(t *testing.T) {
	for _, tc := range []struct {
		name    string
		summary api.Summary
		cause   error
		message string // "" for none
		level   string
		slow    float64
	}{
		{"fast", api.Summary{Status: 200, Elapsed: time.Millisecond}, nil, "request", "debug", 0},
		{"not there", api.Summary{Status: 404, Elapsed: time.Millisecond}, nil, "request", "debug", 0},
		{"slow", api.Summary{Status: 200, Elapsed: 2 * time.Second}, nil, "slow request", "warn", 1},
		{"a long transfer is not slow", api.Summary{Status: 200, Elapsed: 30 * time.Second, BytesOut: 64 << 20}, nil, "request", "debug", 0},
		{"a longer one is", api.Summary{Status: 200, Elapsed: 90 * time.Second, BytesIn: 64 << 20}, nil, "slow request", "warn", 1},
		{"full", api.Summary{Status: 507}, nil, "failed request", "warn", 0},
		{"no quorum", api.Summary{Status: 503}, errors.New("no quorum"), "failed request", "warn", 0},
		{"bug", api.Summary{Status: 500}, errors.New("bug"), "failed request", "error", 0},
		{"cut off", api.Summary{Status: 200}, errors.New("damaged"), "failed request", "warn", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m, log := telemetry.NewMetrics(telemetry.Build{}), &lines{}
			o := logging(t, m, log, "debug")
			events := o.Requests()
			tc.summary.Route, tc.summary.Method = api.RouteKey, "GET"
			ctx := events.Started(t.Context(), httptest.NewRequest("GET", "/k", nil), api.RouteKey)
			if tc.cause != nil {
				events.Failed(ctx, tc.cause)
			}
			events.Finished(ctx, tc.summary)
			found := log.with(t, tc.message)
			if len(found) != 1 || found[0]["@level"] != tc.level || (tc.cause != nil) != (found[0]["error"] != nil) {
				t.Errorf("lines with %q: %v; want one at level %s", tc.message, found, tc.level)
			}
			if got := value(t, m, "http_slow_requests_total"); got != tc.slow {
				t.Errorf("%v slow requests counted, want %v", got, tc.slow)
			}
		})
	}
}

func TestFloodOfRefusalsIsLoggedInPartAndBugsAreLoggedInFull(t *testing.T) {
	m, log := telemetry.NewMetrics(telemetry.Build{}), &lines{}
	events := logging(t, m, log, "info").Requests()
	const flood = 1000
	for _, status := range []int{507, 500} {
		for range flood {
			ctx := events.Started(t.Context(), httptest.NewRequest("PUT", "/k", nil), api.RouteKey)
			events.Finished(ctx, api.Summary{Route: api.RouteKey, Method: "PUT", Status: status})
		}
	}
	counts := make(map[any]int)
	for _, line := range log.with(t, "failed request") {
		counts[line["status"]]++
	}
	if counts[500.0] != flood || counts[507.0] == 0 || counts[507.0] >= flood {
		t.Errorf("lines by status: %v; want all of 500 and some of 507", counts)
	}
}

func TestPanicsAndWordsOfNoRequestAreLogged(t *testing.T) {
	m, log := telemetry.NewMetrics(telemetry.Build{}), &lines{}
	events := logging(t, m, log, "info").Requests()
	ctx := events.Started(t.Context(), httptest.NewRequest("PUT", "/k", nil), api.RouteKey)
	events.Panicked(ctx, "index out of range", []byte("goroutine 1"))
	events.Failed(t.Context(), errors.New("http: TLS handshake error"))
	panics := log.with(t, "panic in a request")
	_, traceID := observe.Trace(ctx)
	if len(panics) != 1 || panics[0]["stack"] != "goroutine 1" || panics[0]["trace_id"] != traceID {
		t.Errorf("lines about the panic: %v", panics)
	}
	if words := log.with(t, "http"); len(words) != 1 || words[0]["error"] != "http: TLS handshake error" {
		t.Errorf("lines about the handshake: %v", words)
	}
	if got := value(t, m, "http_panics_total"); got != 1 {
		t.Errorf("%v panics counted", got)
	}
}

func TestMalformedRequestsHaveATraceToo(t *testing.T) {
	events := bare(t, telemetry.NewMetrics(telemetry.Build{})).Requests()
	ctx := events.Started(context.Background(), &http.Request{}, api.RouteMalformed)
	if _, id := observe.Trace(ctx); len(id) != 32 {
		t.Errorf("the trace id is %q", id)
	}
	events.Rejected(ctx, api.ReasonMalformed)
	events.Finished(ctx, api.Summary{Route: api.RouteMalformed, Method: api.MethodOther, Status: 400})
}

func TestTwoTraceparentsAreNone(t *testing.T) {
	events := bare(t, telemetry.NewMetrics(telemetry.Build{})).Requests()
	r := httptest.NewRequest("GET", "/k", nil)
	r.Header["Traceparent"] = []string{kept, unkept}
	if _, id := observe.Trace(events.Started(t.Context(), r, api.RouteKey)); id == traceID || len(id) != 32 {
		t.Errorf("the trace id is %q; it should have been drawn", id)
	}
}

func hashOf(k string) uint64 { return key.Hash(key.Key(k), 7) }
