package telemetry

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

func TestSpansOfARequestShareItsTrace(t *testing.T) {
	for _, protocol := range []string{"http/protobuf", "grpc"} {
		t.Run(protocol, func(t *testing.T) {
			s := newSink(t, protocol)
			m := NewMetrics(Build{})
			cfg := TraceConfig{Endpoint: s.endpoint, Node: "n1", Cluster: "c1", Version: "1.2.3", Getenv: env{"OTEL_EXPORTER_OTLP_PROTOCOL": protocol}.get}
			tracer := newTracer(t, cfg, m)
			caller := strings.TrimSuffix(parent, "00") + "01"
			ctx := tracer.Begin(t.Context(), caller, "vendor=x")
			ctx, server := tracer.Start(ctx, "PUT /{key}", trace.WithSpanKind(trace.SpanKindServer))
			inner, put := tracer.Start(ctx, "store put")
			put.Set(attribute.Int64("estorajed.bytes", 12))
			put.Event("full")
			put.Fail("full", errors.New("the disk is full"))
			if got := TraceOf(inner); got.Span != put.Context().SpanID() || got.ID != server.Context().TraceID() {
				t.Errorf("within the put the trace is %v", got)
			}
			put.End()
			server.End()
			shutdown(t, tracer)

			root, child := s.span(t, "PUT /{key}"), s.span(t, "store put")
			if hex.EncodeToString(root.TraceId) != "4bf92f3577b34da6a3ce929d0e0e4736" || hex.EncodeToString(root.ParentSpanId) != "00f067aa0ba902b7" {
				t.Errorf("the root does not go on with %s: %v", caller, root)
			}
			if !bytes.Equal(child.TraceId, root.TraceId) || !bytes.Equal(child.ParentSpanId, root.SpanId) || child.TraceState != "vendor=x" {
				t.Errorf("the child is not the root's: %v", child)
			}
			if root.GetStatus().GetCode() != otlp.Status_STATUS_CODE_UNSET || child.GetStatus().GetCode() != otlp.Status_STATUS_CODE_ERROR {
				t.Errorf("status of root %v, of child %v; only what failed fails", root.GetStatus(), child.GetStatus())
			}
			for name, want := range map[string]string{
				"service.name": "estorajed", "service.instance.id": "n1", "service.namespace": "c1", "service.version": "1.2.3",
			} {
				if got := s.resource[name]; got != want {
					t.Errorf("resource %s is %q, want %q", name, got, want)
				}
			}
			if s.resource["host.name"] == "" {
				t.Error("resource host.name is missing")
			}
			wantSpans(t, m, map[int]float64{SpansEnded: 2, SpansExported: 2, SpansFailed: 0, SpansDropped: 0})
		})
	}
}

func TestTraceBeginsUnderTheIdThatTheRequestWasGiven(t *testing.T) {
	s := newSink(t, "http/protobuf")
	tracer := newTracer(t, TraceConfig{Endpoint: s.endpoint, Sample: 1, Getenv: env{}.get}, NewMetrics(Build{}))
	ctx := tracer.Begin(t.Context(), "", "")
	before := TraceOf(ctx)
	ctx, span := tracer.Start(ctx, "GET /{key}")
	after := TraceOf(ctx)
	span.End()
	shutdown(t, tracer)
	if got := s.span(t, "GET /{key}"); !bytes.Equal(got.TraceId, before.ID[:]) || !bytes.Equal(got.SpanId, after.Span[:]) || len(got.ParentSpanId) != 0 {
		t.Errorf("announced %v, then %v; exported %v", before, after, got)
	}
}

func TestRootsAreKeptAndTheirOwn(t *testing.T) {
	s := newSink(t, "http/protobuf")
	tracer := newTracer(t, TraceConfig{Endpoint: s.endpoint, Sample: 0, Getenv: env{}.get}, NewMetrics(Build{}))
	request := tracer.Begin(t.Context(), strings.TrimSuffix(parent, "00")+"01", "")
	_, commit := tracer.Start(tracer.Root(request), "journal commit")
	commit.End()
	_, dropped := tracer.Start(tracer.Begin(t.Context(), "", ""), "GET /{key}")
	dropped.End()
	shutdown(t, tracer)
	if got := s.span(t, "journal commit"); len(got.ParentSpanId) != 0 || hex.EncodeToString(got.TraceId) == parent[3:35] {
		t.Errorf("it is part of a request: %v", got)
	}
	if n := s.count(); n != 1 {
		t.Errorf("%d spans came, 1 was to be kept", n)
	}
}

func TestWhereTracesGo(t *testing.T) {
	for _, tc := range []struct {
		name string
		flag string
		env  env
		want string // the path at which the sink was called; "" for never
	}{
		{"nowhere", "", env{}, ""},
		{"flag", "SINK", env{}, "/v1/traces"},
		{"flag with a path", "SINK/in", env{}, "/in/v1/traces"},
		{"flag that is whole", "SINK/v1/traces", env{}, "/v1/traces"},
		{"host and port", "ADDRESS", env{}, "/v1/traces"},
		{"environment", "", env{"OTEL_EXPORTER_OTLP_ENDPOINT": "SINK/base"}, "/base/v1/traces"},
		{"environment for traces", "", env{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://no.invalid", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "SINK/as/is"}, "/as/is"},
		{"flags win", "SINK", env{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://no.invalid"}, "/v1/traces"},
		{"disabled", "SINK", env{"OTEL_SDK_DISABLED": "true"}, ""},
		{"no exporter", "SINK", env{"OTEL_TRACES_EXPORTER": "none"}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSink(t, "http/protobuf")
			fill := strings.NewReplacer("SINK", s.endpoint, "ADDRESS", strings.TrimPrefix(s.endpoint, "http://")).Replace
			getenv := func(name string) string { return fill(tc.env[name]) }
			m := NewMetrics(Build{})
			tracer := newTracer(t, TraceConfig{Endpoint: fill(tc.flag), Sample: 1, Getenv: getenv}, m)
			_, span := tracer.Start(tracer.Begin(t.Context(), "", ""), "GET /{key}")
			span.End()
			shutdown(t, tracer)
			if s.path != tc.want {
				t.Errorf("spans came to %q, want %q", s.path, tc.want)
			}
			if span.Recording() != (tc.want != "") {
				t.Errorf("recording is %v", span.Recording())
			}
		})
	}
}

func TestWrongTraceSettingsAreNamed(t *testing.T) {
	for _, tc := range []struct {
		flag string
		env  env
		want string
	}{
		{"ftp://x", env{}, `-otlp-endpoint is "ftp://x"`},
		{"http://", env{}, `-otlp-endpoint is "http://"`},
		{"http://%zz", env{}, "-otlp-endpoint"},
		{"", env{"OTEL_EXPORTER_OTLP_ENDPOINT": "udp://x"}, `OTEL_EXPORTER_OTLP_ENDPOINT is "udp://x"`},
		{"", env{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "udp://x"}, `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is "udp://x"`},
		{"http://x", env{"OTEL_EXPORTER_OTLP_PROTOCOL": "thrift"}, `OTEL_EXPORTER_OTLP_PROTOCOL is "thrift"`},
		{"", env{"OTEL_TRACES_SAMPLER": "dice"}, `OTEL_TRACES_SAMPLER is "dice"`},
	} {
		_, err := NewTracer(t.Context(), TraceConfig{Endpoint: tc.flag, Getenv: tc.env.get}, NewMetrics(Build{}), hclog.NewNullLogger())
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q, %v: %v, want %s", tc.flag, tc.env, err, tc.want)
		}
	}
}

func TestDeadCollectorIsCountedAndHoldsUpNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // nobody listens there any more
	m, log := NewMetrics(Build{}), &lockedBuffer{}
	logger := hclog.New(&hclog.LoggerOptions{Output: log})
	tracer, err := NewTracer(t.Context(), TraceConfig{Endpoint: l.Addr().String(), Sample: 1, Getenv: env{}.get}, m, logger)
	if err != nil {
		t.Fatal(err)
	}
	const spans = 2000
	slowest := time.Duration(0)
	for range spans {
		start := time.Now()
		_, span := tracer.Start(tracer.Begin(t.Context(), "", ""), "GET /{key}")
		span.End()
		slowest = max(slowest, time.Since(start))
	}
	if slowest > time.Second {
		t.Errorf("a span took %v", slowest)
	}
	shutdown(t, tracer)
	wantSpans(t, m, map[int]float64{SpansEnded: spans, SpansExported: 0, SpansFailed: spans, SpansDropped: 0})
	if n := strings.Count(log.String(), "traces cannot be exported"); n != 1 {
		t.Errorf("%d lines complain, want 1:\n%s", n, log)
	}
}

func TestSilentCollectorCostsItsQueueAndNoMore(t *testing.T) {
	const queue, spans = 64, 1000
	released := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-released }))
	defer s.Close()
	defer close(released)
	m := NewMetrics(Build{})
	tracer := off(t)
	exporter, err := newExporter(t.Context(), TraceConfig{Endpoint: s.URL, Getenv: env{}.get})
	if err != nil {
		t.Fatal(err)
	}
	if err := tracer.export(exporter, TraceConfig{}, m, hclog.NewNullLogger(), queue); err != nil {
		t.Fatal(err)
	}
	for range spans {
		_, span := tracer.Start(tracer.Begin(t.Context(), "", ""), "GET /{key}")
		span.End()
	}
	wantSpans(t, m, map[int]float64{SpansEnded: spans, SpansExported: 0, SpansFailed: 0, SpansDropped: spans - queue})
	if got := tracer.pipe.waiting(); got != queue {
		t.Errorf("%d spans wait, want %d", got, queue)
	}
	patience, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	if err := tracer.Shutdown(patience); err == nil {
		t.Error("it says that all was exported")
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("shutting down took %v", took)
	}
	eventually(t, func() bool { return tracer.pipe.waiting() == 0 }, "the exporter went on after its patience ended")
	_, span := tracer.Start(tracer.Begin(t.Context(), "", ""), "GET /{key}")
	span.End()
	wantSpans(t, m, map[int]float64{SpansFailed: queue, SpansExported: 0})
}

func TestNothingRunsAfterShutdown(t *testing.T) {
	before := goleak.IgnoreCurrent()
	tracer := never(t)
	shutdown(t, tracer)
	goleak.VerifyNone(t, before)
}

func TestWithoutEndpointNothingRuns(t *testing.T) {
	before := goleak.IgnoreCurrent()
	off(t)
	goleak.VerifyNone(t, before)
}

func TestComplaintsAreFew(t *testing.T) {
	log := &lockedBuffer{}
	c := &complaints{logger: hclog.New(&hclog.LoggerOptions{Output: log}), pause: time.Hour}
	for range 100 {
		c.Handle(errors.New("no route"))
	}
	c.next = time.Time{}
	c.Handle(errors.New("no route"))
	if n := strings.Count(log.String(), "\n"); n != 2 || !strings.Contains(log.String(), "left_out=99") {
		t.Errorf("%d lines, want 2, the second with left_out=99:\n%s", n, log)
	}
}

// A sink is a collector that keeps what it gets.
type sink struct {
	collector.UnimplementedTraceServiceServer
	endpoint string

	mu       sync.Mutex // guards the fields below
	spans    []*otlp.Span
	resource map[string]string
	path     string
}

func newSink(t *testing.T, protocol string) *sink {
	s := &sink{resource: make(map[string]string)}
	if protocol == "grpc" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server := grpc.NewServer()
		collector.RegisterTraceServiceServer(server, s)
		go server.Serve(l)
		t.Cleanup(server.Stop)
		s.endpoint = "http://" + l.Addr().String()
		return s
	}
	server := httptest.NewServer(http.HandlerFunc(s.post))
	t.Cleanup(server.Close)
	s.endpoint = server.URL
	return s
}

func (s *sink) post(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	var req collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(b, &req)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.Export(r.Context(), &req)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.path = r.URL.Path
}

func (s *sink) Export(_ context.Context, req *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rs := range req.ResourceSpans {
		for _, kv := range rs.Resource.Attributes {
			s.resource[kv.Key] = kv.Value.GetStringValue()
		}
		for _, ss := range rs.ScopeSpans {
			s.spans = append(s.spans, ss.Spans...)
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

func (s *sink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.spans)
}

// span is the only one of that name.
func (s *sink) span(t *testing.T, name string) *otlp.Span {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*otlp.Span
	for _, span := range s.spans {
		if span.Name == name {
			found = append(found, span)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d spans are named %q, want 1; there are %v", len(found), name, s.spans)
	}
	return found[0]
}

func newTracer(t *testing.T, cfg TraceConfig, m *Metrics) *Tracer {
	t.Helper()
	tracer, err := NewTracer(t.Context(), cfg, m, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	return tracer
}

func shutdown(t *testing.T, tracer *Tracer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := tracer.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
}

func wantSpans(t *testing.T, m *Metrics, want map[int]float64) {
	t.Helper()
	for at, n := range want {
		if got := valueOf(t, m.Spans.At(at)); got != n {
			t.Errorf("%v spans %s, want %v", got, SpanResults.Values[at], n)
		}
	}
}

func valueOf(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	var v dto.Metric
	if err := c.Write(&v); err != nil {
		t.Fatal(err)
	}
	return v.GetCounter().GetValue()
}

func eventually(t *testing.T, so func() bool, otherwise string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !so(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(otherwise)
		}
	}
}

// A lockedBuffer may be written to and read at the same time.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
