package telemetry

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// A pipe is the way of a span from its end to the collector: the SDK's batches between two counters. It bounds what waits
// by itself, so that ended = exported + failed + dropped + waiting holds at any moment; the SDK counts drops nowhere that can be read.
type pipe struct {
	batches  sdktrace.SpanProcessor
	exporter sdktrace.SpanExporter
	complain *complaints
	queue    int64

	ended, exported, failed, dropped prometheus.Counter
	took                             Histogram

	pending   atomic.Int64
	succeeded atomic.Int64 // unix milliseconds
	closed    atomic.Bool
	abort     context.Context // ends with Shutdown's patience
	aborted   context.CancelFunc
}

func newPipe(to sdktrace.SpanExporter, m *Metrics, complain *complaints, queue int) *pipe {
	p := &pipe{
		exporter: to, complain: complain, queue: int64(queue),
		ended: m.Spans.At(SpansEnded), exported: m.Spans.At(SpansExported), failed: m.Spans.At(SpansFailed), dropped: m.Spans.At(SpansDropped),
		took: m.ExportDuration.At(),
	}
	p.abort, p.aborted = context.WithCancel(context.Background())
	// The SDK's queue is as long as all that may wait, so it is never the one that drops.
	p.batches = sdktrace.NewBatchSpanProcessor(counted{p}, sdktrace.WithMaxQueueSize(queue))
	return p
}

// OnStart has nothing to do.
func (p *pipe) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// OnEnd queues a span, or drops it; it never waits.
func (p *pipe) OnEnd(span sdktrace.ReadOnlySpan) {
	p.ended.Inc()
	if p.closed.Load() {
		p.dropped.Inc()
		return
	}
	if p.pending.Add(1) > p.queue {
		p.pending.Add(-1)
		p.dropped.Inc()
		return
	}
	p.batches.OnEnd(span)
}

// ForceFlush exports what waits.
func (p *pipe) ForceFlush(ctx context.Context) error { return p.batches.ForceFlush(ctx) }

// Shutdown exports what waits, within ctx; what is left then is dropped.
func (p *pipe) Shutdown(ctx context.Context) error {
	p.closed.Store(true)
	err := p.batches.Shutdown(ctx)
	p.aborted()
	return err
}

func (p *pipe) waiting() int64 {
	if p == nil {
		return 0
	}
	return p.pending.Load()
}

func (p *pipe) limit() int64 {
	if p == nil {
		return 0
	}
	return p.queue
}

// lastSuccess is in seconds since 1970.
func (p *pipe) lastSuccess() float64 {
	if p == nil {
		return 0
	}
	return float64(p.succeeded.Load()) / 1000
}

// counted is the exporter behind the batches.
type counted struct {
	*pipe
}

// ExportSpans hands a batch on. Its failure ends here: counted, and complained of at times.
func (c counted) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.abort, cancel)()
	start := time.Now()
	err := c.exporter.ExportSpans(ctx, spans)
	c.took.Observe(time.Since(start).Seconds(), Trace{})
	n := float64(len(spans))
	c.pending.Add(-int64(len(spans)))
	if err != nil {
		c.failed.Add(n)
		c.complain.Handle(err)
		return nil
	}
	c.exported.Add(n)
	c.succeeded.Store(time.Now().UnixMilli())
	return nil
}

// Shutdown ends the exporter.
func (c counted) Shutdown(ctx context.Context) error { return c.exporter.Shutdown(ctx) }

// complaints are what goes wrong with the export of spans: one log line in a while, and how many were left out since.
type complaints struct {
	logger hclog.Logger
	pause  time.Duration

	mu      sync.Mutex // guards the fields below
	next    time.Time
	skipped int
}

// Handle logs err, unless one was logged just now.
func (c *complaints) Handle(err error) {
	c.mu.Lock()
	now := time.Now()
	if now.Before(c.next) {
		c.skipped++
		c.mu.Unlock()
		return
	}
	skipped := c.skipped
	c.next, c.skipped = now.Add(c.pause), 0
	c.mu.Unlock()
	c.logger.Warn("traces cannot be exported", "error", err, "left_out", skipped)
}
