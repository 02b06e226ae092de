package telemetry

import (
	"context"
	"os"

	"github.com/hashicorp/go-hclog"
	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// A TraceConfig says where traces go.
type TraceConfig struct {
	Endpoint string  // -otlp-endpoint; "": as OTEL_EXPORTER_OTLP_ENDPOINT and its kin say; nothing there: no traces
	Sample   float64 // -trace-sample: share of the traces that begin here that is kept, 0 to 1
	Node     string
	Cluster  string // "": not told
	Version  string
	Getenv   func(string) string
}

// A Tracer gives every request a trace and records spans of those that are kept. Without an endpoint it keeps none, and
// holds neither memory nor goroutines.
type Tracer struct {
	sampler sampler

	// The fields below are nil without an endpoint.
	provider *sdktrace.TracerProvider
	spans    trace.Tracer
	pipe     *pipe
}

// NewTracer sets up the export of spans, if there is a place for them; its goroutine ends with Shutdown. A collector that
// is away is no error. What OpenTelemetry has to complain of goes to logger, one line in a while. Errors name the setting at fault.
func NewTracer(ctx context.Context, cfg TraceConfig, m *Metrics, logger hclog.Logger) (*Tracer, error) {
	if cfg.Getenv == nil {
		cfg.Getenv = os.Getenv
	}
	keep, err := newSampler(cfg.Sample, cfg.Getenv)
	if err != nil {
		return nil, err
	}
	t := &Tracer{sampler: keep}
	export, err := newExporter(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if export != nil {
		if err := t.export(export, cfg, m, logger, spanQueue); err != nil {
			return nil, err
		}
	}
	m.OnScrape(func(s *Scrape) {
		s.Gauge(m.SpanQueue, float64(t.pipe.waiting()))
		s.Gauge(m.SpanQueueLimit, float64(t.pipe.limit()))
		s.Gauge(m.ExportSuccess, t.pipe.lastSuccess())
	})
	return t, nil
}

// export lets the spans of kept traces flow to the exporter.
func (t *Tracer) export(to sdktrace.SpanExporter, cfg TraceConfig, m *Metrics, logger hclog.Logger, queue int) error {
	complain := &complaints{logger: logger, pause: complaintIn}
	otel.SetErrorHandler(complain) // OpenTelemetry has one for the whole process; of several nodes in it, the last one listens
	about, err := about(cfg)
	if err != nil {
		return err
	}
	t.pipe = newPipe(to, m, complain, queue)
	t.provider = sdktrace.NewTracerProvider(
		sdktrace.WithResource(about),
		sdktrace.WithSampler(t.sampler),
		sdktrace.WithIDGenerator(ids{}),
		sdktrace.WithSpanProcessor(t.pipe),
	)
	t.spans = t.provider.Tracer("github.com/estorajed/estorajed", trace.WithInstrumentationVersion(cfg.Version), trace.WithSchemaURL(semconv.SchemaURL))
	return nil
}

// Shutdown exports what has ended so far, within ctx, and ends the exporter.
func (t *Tracer) Shutdown(ctx context.Context) error {
	if t.provider == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// Begin takes up the trace that a request came with, or draws one, and decides whether it is kept. The headers are
// traceparent and tracestate as they came, "" for none. It allocates nothing but the context, unless the trace is kept.
func (t *Tracer) Begin(ctx context.Context, traceparent, tracestate string) context.Context {
	tr, caller := parseTraceparent(traceparent)
	if caller {
		tr.State = tracestate
	} else {
		tr = drawTrace()
	}
	if t.provider == nil {
		return withTrace(ctx, tr)
	}
	tr.Sampled = t.sampler.keeps(tr, caller)
	ctx = withTrace(ctx, tr)
	if tr.Sampled && caller {
		ctx = trace.ContextWithRemoteSpanContext(ctx, tr.remote())
	}
	return ctx
}

// Root begins a trace of its own that is kept: for work that several kept traces share. Without an endpoint it is ctx.
func (t *Tracer) Root(ctx context.Context) context.Context {
	if t.provider == nil {
		return ctx
	}
	tr := drawTrace()
	tr.Sampled = true
	return withTrace(trace.ContextWithSpanContext(ctx, trace.SpanContext{}), tr)
}

// Keeps tells whether spans of ctx's trace are recorded. Only then it is worth to build options and attributes.
func (t *Tracer) Keeps(ctx context.Context) bool {
	if t.provider == nil {
		return false
	}
	c := traceOf(ctx)
	return c != nil && c.trace.Sampled
}

// Start begins a span as a step of ctx's trace, if that is kept; else it gives ctx and the zero Span.
func (t *Tracer) Start(ctx context.Context, name string, options ...trace.SpanStartOption) (context.Context, Span) {
	if !t.Keeps(ctx) {
		return ctx, Span{}
	}
	ctx, span := t.spans.Start(ctx, name, options...)
	return ctx, Span{span}
}
