package acceptance

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// A sink is an OTLP/HTTP collector that keeps every span it gets.
type sink struct {
	url string // of the collector, without a path

	mu    sync.Mutex // guards spans
	spans []*otlp.Span
}

func newSink(t *testing.T) *sink {
	s := &sink{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", s.receive)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *sink) receive(w http.ResponseWriter, r *http.Request) {
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
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// trace gives the spans of one trace that have arrived so far.
func (s *sink) trace(id string) tree {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := tree{}
	for _, span := range s.spans {
		if hex.EncodeToString(span.GetTraceId()) == id {
			t[hex.EncodeToString(span.GetSpanId())] = span
		}
	}
	return t
}

// A tree is the spans of one trace by their ids.
type tree map[string]*otlp.Span

func (t tree) parent(span *otlp.Span) (*otlp.Span, bool) {
	p, ok := t[hex.EncodeToString(span.GetParentSpanId())]
	return p, ok
}

// path names the spans from the root to the given one. A span whose parent has not arrived is an error.
func (t tree) path(span *otlp.Span) ([]string, error) { return t.pathFrom(span, "") }

// pathFrom is path below a caller whose own span does not arrive, if caller is not "".
func (t tree) pathFrom(span *otlp.Span, caller string) ([]string, error) {
	var names []string
	for {
		names = append(names, span.GetName())
		if hex.EncodeToString(span.GetParentSpanId()) == caller {
			slices.Reverse(names)
			return names, nil
		}
		parent, ok := t.parent(span)
		if !ok || len(names) > len(t) {
			return nil, fmt.Errorf("span %q has a parent that is not in the trace", span.GetName())
		}
		span = parent
	}
}

// String shows the tree's paths, for error messages.
func (t tree) String() string {
	var lines []string
	for _, span := range t {
		path, err := t.path(span)
		if err != nil {
			path = append([]string{"?"}, t.known(span)...)
		}
		lines = append(lines, strings.Join(path, " > "))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// known names the spans from the first that has arrived to the given one.
func (t tree) known(span *otlp.Span) []string {
	names := []string{span.GetName()}
	for parent, ok := t.parent(span); ok && len(names) <= len(t); parent, ok = t.parent(parent) {
		names = append(names, parent.GetName())
	}
	slices.Reverse(names)
	return names
}
