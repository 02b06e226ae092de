package observe

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/estorajed/estorajed/internal/store"
	"github.com/estorajed/estorajed/internal/telemetry"
)

// synced counts a batch of the journal and, if traces of its members are kept, draws it: once for itself, once in each.
func (o *Observer) synced() func(store.Synced) {
	m := o.metrics
	syncs := [...]interface{ Inc() }{m.JournalSyncs.At(telemetry.Done), m.JournalSyncs.At(telemetry.Failed)}
	took, batch, written := m.JournalSyncDuration.At(), m.JournalBatch.At(), m.JournalWritten.At()
	return func(s store.Synced) {
		commit := o.drawCommit(s)
		took.Observe(s.Sync.Seconds(), commit)
		if s.Err != nil {
			syncs[telemetry.Failed].Inc()
			return
		}
		syncs[telemetry.Done].Inc()
		batch.Observe(float64(s.Entries), commit)
		written.Add(float64(s.Bytes))
	}
}

// linksMax is how many members a commit links to: the SDK keeps no more.
const linksMax = 128

// drawCommit makes the spans of one batch, after the fact. Each kept member gets a child `journal sync` that links to the batch's own
// `journal commit`, which links to each. It gives the commit's trace; the zero Trace if nobody keeps a member's.
func (o *Observer) drawCommit(s store.Synced) telemetry.Trace {
	var links []trace.Link
	for _, ctx := range s.Members {
		if len(links) < linksMax && o.tracer.Keeps(ctx) {
			links = append(links, trace.Link{SpanContext: trace.SpanContextFromContext(ctx)})
		}
	}
	if len(links) == 0 {
		return telemetry.Trace{}
	}
	at, until := trace.WithTimestamp(s.Started), trace.WithTimestamp(s.Started.Add(s.Write+s.Sync))
	batch := trace.WithAttributes(
		batchKey.Int64(int64(s.Batch)), batchEntries.Int(s.Entries), batchBytes.Int64(s.Bytes), batchSyncMs.Float64(millis(s.Sync)),
	)
	whole, commit := o.tracer.Start(o.tracer.Root(context.Background()), "journal commit", at, batch, trace.WithLinks(links...))
	for _, ctx := range s.Members {
		_, sync := o.tracer.Start(ctx, "journal sync", at, batch, trace.WithLinks(trace.Link{SpanContext: commit.Context()}))
		finish(sync, s.Err, until)
	}
	finish(commit, s.Err, until)
	return telemetry.TraceOf(whole)
}

func finish(span telemetry.Span, err error, until trace.SpanEndOption) {
	if err != nil {
		span.Fail("sync", err)
	}
	span.End(until)
}

// durable notes how long an entry waited for its batch's turn.
func (o *Observer) durable() func(ctx context.Context, batch uint64, queued time.Duration) {
	wait := o.metrics.JournalWait.At()
	return func(ctx context.Context, batch uint64, queued time.Duration) {
		wait.Observe(queued.Seconds(), telemetry.TraceOf(ctx))
		if span := telemetry.SpanOf(ctx); span.Recording() {
			span.Set(batchKey.Int64(int64(batch)), queuedMs.Float64(millis(queued)))
		}
	}
}
