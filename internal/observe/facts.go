package observe

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/estorajed/estorajed/internal/coordinator"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/replica"
	"github.com/estorajed/estorajed/internal/ring"
	"github.com/estorajed/estorajed/internal/store"
	"github.com/estorajed/estorajed/internal/telemetry"
)

// StoreEvents counts what the store reports, and logs what an operator may have to act on.
func (o *Observer) StoreEvents() store.Events {
	m := o.metrics
	hits, misses := m.CacheHits.At(), m.CacheMisses.At()
	var filing, checkpoints trouble
	return store.Events{
		Synced:  o.synced(),
		Durable: o.durable(),
		Filed: func(_ int64, took time.Duration, err error) {
			m.StoreFiled.At(doneOr(err)).Inc()
			m.StoreFiledDuration.At().Observe(took.Seconds(), telemetry.Trace{})
			if filing.began(err) {
				o.logger.Warn("key files cannot be written behind the journal", "error", err)
			}
		},
		Checkpointed: func(took time.Duration, err error) {
			m.Checkpoints.At(doneOr(err)).Inc()
			m.CheckpointDuration.At().Observe(took.Seconds(), telemetry.Trace{})
			if checkpoints.began(err) {
				o.logger.Warn("checkpoint failed; the journal cannot be dropped", "error", err)
			}
		},
		Recovered: o.recovered,
		Damaged: func(ctx context.Context, file, what, foundBy string) {
			m.StoreDamages.At(telemetry.DetectedBy.Position(foundBy)).Inc()
			o.logger.Error("damaged copy", fields(ctx, "file", file, "what", what, "detected_by", foundBy)...)
		},
		Failed: func(err error) {
			o.logger.Error("the store takes no more writes until the node is replaced or repaired", "error", err)
		},
		Full: func(u store.Usage) {
			o.logger.Warn("the disk is full; writes are refused until there is room", "free_bytes", u.Free, "reserve_bytes", u.ReserveBytes,
				"free_inodes", u.FreeInodes, "reserve_inodes", u.ReserveInodes)
		},
		Room: func(u store.Usage) {
			o.logger.Info("the disk has room again; writes are taken", "free_bytes", u.Free, "free_inodes", u.FreeInodes)
		},
		CacheHit:  hits.Inc,
		CacheMiss: misses.Inc,
	}
}

func (o *Observer) recovered(r store.Recovered) {
	o.metrics.RecoveryDuration.At().Set(r.Took.Seconds())
	o.metrics.RecoveryEntries.At().Set(float64(r.Entries))
	o.metrics.RecoveryTorn.At().Set(float64(r.Torn))
	o.logger.Info("journal replayed", "segments", r.Segments, "batches", r.Batches, "entries", r.Entries, "bytes", r.Bytes,
		"torn_bytes", r.Torn, "pending_files", r.Pending, "staged_cleared", r.Staged, "took", r.Took.String())
}

// ReplicaEvents counts what this node's acceptors report.
func (o *Observer) ReplicaEvents() replica.Events {
	m := o.metrics
	var raising trouble
	return replica.Events{
		Waited: func(ctx context.Context, p register.Phase, took time.Duration) {
			m.ReplicaWait.At(phase(p)).Observe(took.Seconds(), telemetry.TraceOf(ctx))
		},
		Fetched: func(ctx context.Context, from ring.NodeID, length int64, took time.Duration, err error) {
			m.ReplicaFetches.At(doneOr(err)).Inc()
			if span := telemetry.SpanOf(ctx); span.Recording() {
				span.Event("fetch", nodeKey.String(o.name(from)), valueBytes.Int64(length), millisKey.Float64(millis(took)))
			}
		},
		Anew: func(ctx context.Context, damage *register.DamageError) {
			m.ReplicaAnew.At().Inc()
			o.logger.Warn("a damaged copy, the only one, gives way to a new write", fields(ctx, "file", damage.Where, "what", damage.What)...)
		},
		Raised: func(_ register.Time, took time.Duration, _ bool, err error) {
			m.CeilingRaises.At(doneOr(err)).Inc()
			m.CeilingDuration.At().Observe(took.Seconds(), telemetry.Trace{})
			if raising.began(err) {
				o.logger.Warn("the promise ceiling cannot be raised; writes will stop", "error", err)
			}
		},
	}
}

// CoordinatorEvents counts what operations of the node with that number meet on their way, and tells it in their spans.
func (o *Observer) CoordinatorEvents(self ring.NodeID) coordinator.Events {
	m := o.metrics
	return coordinator.Events{
		Overloaded: func(_ context.Context, where string) {
			m.CoordinatorOverload.At(telemetry.Overloads.Position(where)).Inc()
		},
		Waited: func(ctx context.Context, took time.Duration) {
			m.TurnWait.At().Observe(took.Seconds(), telemetry.TraceOf(ctx))
			if span := telemetry.SpanOf(ctx); span.Recording() {
				span.Event("turn", millisKey.Float64(millis(took)))
			}
		},
		Forwarded: func(ctx context.Context, to ring.NodeID, reason string) {
			m.Forwards.At(telemetry.Forwards.Position(reason)).Inc()
			coordinated(ctx, to)
			if span := telemetry.SpanOf(ctx); span.Recording() {
				span.Event("forward", nodeKey.String(o.name(to)), reasonKey.String(reason))
			}
		},
		TakenOver: func(ctx context.Context, from, to ring.NodeID, cause error) {
			m.Takeovers.At(takeover(cause)).Inc()
			by := to
			if to == self {
				by = 0
			}
			coordinated(ctx, by)
			if span := telemetry.SpanOf(ctx); span.Recording() {
				span.Event("takeover", nodeKey.String(o.name(to)), fromKey.String(o.name(from)), resultKey.String(fmt.Sprint(cause)))
			}
		},
		Hedged: func(ctx context.Context, to ring.NodeID) {
			m.Hedges.At().Inc()
			if span := telemetry.SpanOf(ctx); span.Recording() {
				span.Event("hedge", nodeKey.String(o.name(to)))
			}
		},
		Quorum: func(ctx context.Context, p register.Phase, took time.Duration) {
			m.QuorumDuration.At(phase(p)).Observe(took.Seconds(), telemetry.TraceOf(ctx))
			if span := telemetry.SpanOf(ctx); span.Recording() {
				span.Event("quorum", phaseKey.String(p.String()), millisKey.Float64(millis(took)))
			}
		},
		Conflict: func(ctx context.Context, from ring.NodeID, p register.Phase, _ register.Stamp) {
			m.RegisterConflicts.At(phase(p)).Inc()
			if span := telemetry.SpanOf(ctx); span.Recording() {
				span.Event("conflict", phaseKey.String(p.String()), nodeKey.String(o.name(from)))
			}
		},
		Silent: func(ctx context.Context, from ring.NodeID, p register.Phase, cause error) {
			m.ReplicaSilences.At(phase(p)).Inc()
			if span := telemetry.SpanOf(ctx); span.Recording() {
				span.Event("silence", phaseKey.String(p.String()), nodeKey.String(o.name(from)), resultKey.String(cause.Error()))
			}
		},
		Retry: func(ctx context.Context, round int, pause time.Duration) {
			m.RegisterRetries.At().Inc()
			if span := telemetry.SpanOf(ctx); span.Recording() {
				span.Event("retry", roundKey.Int(round), millisKey.Float64(millis(pause)))
			}
		},
		Settle: func(ctx context.Context, _ register.Stamp) {
			m.RegisterSettles.At().Inc()
			if span := telemetry.SpanOf(ctx); span.Recording() {
				span.Event("settle")
			}
		},
		Unknown: func(context.Context, error) { m.RegisterUnknown.At().Inc() },
	}
}

// takeover is the position of what ended a coordinator's turn.
func takeover(cause error) int {
	switch {
	case errors.Is(cause, coordinator.ErrLate):
		return telemetry.TakeoverLate
	case errors.Is(cause, coordinator.ErrLost):
		return telemetry.TakeoverLost
	case errors.Is(cause, register.ErrUnreachable):
		return telemetry.TakeoverUnreachable
	}
	return telemetry.TakeoverFailed
}

// doneOr is the position of an outcome in the label result where there are only two.
func doneOr(err error) int {
	if err != nil {
		return telemetry.Failed
	}
	return telemetry.Done
}

// A trouble is something that goes on failing until it does not: worth a line when it begins, not each time.
type trouble struct {
	on atomic.Bool
}

// began tells whether err is the first after a success.
func (t *trouble) began(err error) bool { return !t.on.Swap(err != nil) && err != nil }
