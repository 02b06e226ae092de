package observe_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	dto "github.com/prometheus/client_model/go"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/estorajed/estorajed/internal/api"
	"github.com/estorajed/estorajed/internal/cluster"
	"github.com/estorajed/estorajed/internal/coordinator"
	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/observe"
	"github.com/estorajed/estorajed/internal/peer"
	"github.com/estorajed/estorajed/internal/replica"
	"github.com/estorajed/estorajed/internal/ring"
	"github.com/estorajed/estorajed/internal/store"
	"github.com/estorajed/estorajed/internal/store/disktest"
	"github.com/estorajed/estorajed/internal/telemetry"
)

const (
	patience   = 20 * time.Second
	partitions = 4
)

// A stack is one whole node, dressed as in the daemon, over a simulated disk.
type stack struct {
	url     string
	metrics *telemetry.Metrics
	tracer  *telemetry.Tracer
	log     *lines
	store   *store.Store
	disk    *disktest.Disk
}

// newStack starts a node whose traces go to endpoint ("": nowhere), as many as share says.
func newStack(t *testing.T, endpoint string, share float64) *stack {
	t.Helper()
	s := &stack{log: &lines{}, metrics: telemetry.NewMetrics(telemetry.Build{Version: "test"}), disk: disktest.New(rand.New(rand.NewPCG(1, 2)))}
	o := s.observer(t, endpoint, share)
	hash := func(k key.Key) uint64 { return key.Hash(k, 7) }
	opened, err := store.Open(store.Config{
		FS: s.disk, Partitions: partitions, Events: o.StoreEvents(),
		Locate: func(k key.Key) (uint64, int) { return hash(k), ring.Partition(hash(k), partitions) },
	})
	if err != nil {
		t.Fatal(err)
	}
	s.store = opened
	run(t, opened.Run)
	local := replica.New(replica.Config{
		Node: 1, Store: o.Store(opened), Epoch: func(key.Key) uint64 { return 1 }, Events: o.ReplicaEvents(),
	})
	table := &ring.Table{Epoch: 1, Sets: slices.Repeat([]ring.Set{{Epoch: 1, Current: []ring.NodeID{1}}}, partitions)}
	operations := coordinator.New(coordinator.Config{
		Node: 1, Local: local, Clock: local, Table: func() *ring.Table { return table }, Hash: hash, Events: o.CoordinatorEvents(1),
	})
	o.Scrape(observe.Status{
		Store: opened.Status, Replica: local.Status, Coordinator: operations.Status,
		Peers:   func() []peer.Status { return []peer.Status{{Node: 2}} },
		Cluster: func() cluster.Status { return cluster.Status{} },
		Node:    func() (string, bool) { return "serving", true },
	})
	server, err := api.New(api.Config{
		Keys: o.Keys(operations), MaxValueSize: 1 << 20, Events: o.Requests(), Trace: observe.Trace, Metrics: s.metrics.Handler(),
		Writable: func(int64) error { return opened.Writable(-1) },
	})
	if err != nil {
		t.Fatal(err)
	}
	listener := httptest.NewServer(server)
	t.Cleanup(listener.Close)
	s.url = listener.URL
	return s
}

func (s *stack) observer(t *testing.T, endpoint string, share float64) *observe.Observer {
	t.Helper()
	getenv := func(string) string { return "" }
	logger, err := telemetry.NewLogger(telemetry.LogConfig{Level: "debug", Format: "json", Output: s.log, Getenv: getenv}, s.metrics)
	if err != nil {
		t.Fatal(err)
	}
	s.tracer, err = telemetry.NewTracer(t.Context(), telemetry.TraceConfig{Endpoint: endpoint, Sample: share, Node: "n1", Getenv: getenv}, s.metrics, logger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.flush(t) })
	return observe.New(observe.Config{Metrics: s.metrics, Tracer: s.tracer, Logger: logger, Hash: func(k key.Key) uint64 { return key.Hash(k, 7) }})
}

// run runs a part until the test ends.
func run(t *testing.T, part func(context.Context) error) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- part(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// flush sends all spans that have ended to the collector.
func (s *stack) flush(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.tracer.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

// An answer is what a request got.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) traceID() string {
	if parts := strings.Split(a.header.Get("Traceresponse"), "-"); len(parts) == 4 {
		return parts[1]
	}
	return ""
}

func (s *stack) do(t *testing.T, method, path, body string, header ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

// value adds up the series of a metric whose labels include the given ones: name, value, name, value...
func value(t *testing.T, m *telemetry.Metrics, name string, labels ...string) float64 {
	t.Helper()
	families, err := m.Gather()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == "estorajed_"+name })
	if i < 0 {
		t.Fatalf("there is no metric %s", name)
	}
	sum := 0.0
	for _, series := range families[i].GetMetric() {
		if has(series, labels) {
			sum += series.GetCounter().GetValue() + series.GetGauge().GetValue() + float64(series.GetHistogram().GetSampleCount())
		}
	}
	return sum
}

func has(series *dto.Metric, labels []string) bool {
	for i := 0; i < len(labels); i += 2 {
		if !slices.ContainsFunc(series.GetLabel(), func(p *dto.LabelPair) bool { return p.GetName() == labels[i] && p.GetValue() == labels[i+1] }) {
			return false
		}
	}
	return true
}

// eventually waits until what holds; it shows the last state if that does not come.
func eventually(t *testing.T, what func() error) {
	t.Helper()
	deadline := time.After(patience)
	for {
		err := what()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatal(err)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// lines is a log in JSON.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// with gives the lines that have this message.
func (l *lines) with(t *testing.T, message string) (found []map[string]any) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.b.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Errorf("a line is not JSON: %v: %s", err, line)
		}
		if fields["@message"] == message {
			found = append(found, fields)
		}
	}
	return found
}

func quiet() hclog.Logger { return hclog.NewNullLogger() }

// A sink is a collector that keeps what it gets.
type sink struct {
	url string

	mu    sync.Mutex // guards spans
	spans []*otlp.Span
}

func newSink(t *testing.T) *sink {
	s := &sink{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		var batch collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(b, &batch)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, resource := range batch.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				s.spans = append(s.spans, scope.GetSpans()...)
			}
		}
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// trace gives the spans of one trace, the earlier ones first.
func (s *sink) trace(id string) []*otlp.Span {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*otlp.Span
	for _, span := range s.spans {
		if hex.EncodeToString(span.GetTraceId()) == id {
			found = append(found, span)
		}
	}
	slices.SortStableFunc(found, func(a, b *otlp.Span) int { return int(a.GetStartTimeUnixNano()) - int(b.GetStartTimeUnixNano()) })
	return found
}

func (s *sink) named(name string) []*otlp.Span {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*otlp.Span
	for _, span := range s.spans {
		if span.GetName() == name {
			found = append(found, span)
		}
	}
	return found
}

// paths writes spans as their names from the root down, sorted; what has a parent that is not there begins with "?".
func paths(spans []*otlp.Span) []string {
	byID := make(map[string]*otlp.Span)
	for _, span := range spans {
		byID[string(span.GetSpanId())] = span
	}
	var all []string
	for _, span := range spans {
		path := span.GetName()
		for len(span.GetParentSpanId()) > 0 {
			parent, ok := byID[string(span.GetParentSpanId())]
			if !ok {
				path = "? > " + path
				break
			}
			path, span = parent.GetName()+" > "+path, parent
		}
		all = append(all, path)
	}
	slices.Sort(all)
	return all
}

// attribute is one of a span's, as text.
func attribute(span *otlp.Span, name string) string {
	for _, a := range span.GetAttributes() {
		if a.GetKey() != name {
			continue
		}
		if v := a.GetValue().GetStringValue(); v != "" {
			return v
		}
		return strings.TrimSpace(strings.SplitN(a.GetValue().String(), ":", 2)[1])
	}
	return ""
}
