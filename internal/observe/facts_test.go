package observe_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/estorajed/estorajed/internal/coordinator"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
	"github.com/estorajed/estorajed/internal/store"
	"github.com/estorajed/estorajed/internal/telemetry"
)

func TestFactsAreCountedAndTold(t *testing.T) {
	failure := errors.New("input/output error")
	m, log := telemetry.NewMetrics(telemetry.Build{}), &lines{}
	o := logging(t, m, log, "info")
	ctx := t.Context()
	disk, local, operations := o.StoreEvents(), o.ReplicaEvents(), o.CoordinatorEvents(1)
	for _, tc := range []struct {
		name   string
		happen func()
		metric string
		labels []string
		want   float64
		line   string // that is logged, once; "" for none
	}{
		{"batch", func() { disk.Synced(store.Synced{Entries: 3}) }, "journal_syncs_total", []string{"result", "ok"}, 1, ""},
		{"its entries", func() {}, "journal_batch_entries", nil, 1, ""},
		{"failed batch", func() { disk.Synced(store.Synced{Err: failure}) }, "journal_syncs_total", []string{"result", "error"}, 1, ""},
		{"wait for the journal", func() { disk.Durable(ctx, 1, time.Second) }, "journal_wait_seconds", nil, 1, ""},
		{"file", func() { disk.Filed(1, time.Second, nil) }, "store_filed_total", []string{"result", "ok"}, 1, ""},
		{
			"file that fails again and again", func() { disk.Filed(1, 0, failure); disk.Filed(1, 0, failure) },
			"store_filed_total",
			[]string{"result", "error"},
			2, "key files cannot be written behind the journal",
		},
		{"checkpoint", func() { disk.Checkpointed(time.Second, nil) }, "store_checkpoints_total", []string{"result", "ok"}, 1, ""},
		{
			"failed checkpoint", func() { disk.Checkpointed(0, failure); disk.Checkpointed(0, failure) },
			"store_checkpoints_total",
			[]string{"result", "error"},
			2, "checkpoint failed; the journal cannot be dropped",
		},
		{"recovery", func() { disk.Recovered(store.Recovered{Entries: 7}) }, "store_recovery_entries", nil, 7, "journal replayed"},
		{"damage", func() { disk.Damaged(ctx, "file", "checksum", "scrub") }, "store_damages_total", []string{"detected_by", "scrub"}, 1, "damaged copy"},
		{"failure", func() { disk.Failed(failure) }, "", nil, 0, "the store takes no more writes until the node is replaced or repaired"},
		{"full", func() { disk.Full(store.Usage{}) }, "", nil, 0, "the disk is full; writes are refused until there is room"},
		{"room", func() { disk.Room(store.Usage{}) }, "", nil, 0, "the disk has room again; writes are taken"},
		{"hit", func() { disk.CacheHit(); disk.CacheHit() }, "cache_hits_total", nil, 2, ""},
		{"miss", func() { disk.CacheMiss() }, "cache_misses_total", nil, 1, ""},
		{"turn of a key", func() { local.Waited(ctx, register.Accept, time.Second) }, "replica_wait_seconds", []string{"phase", "accept"}, 1, ""},
		{"written anew", func() { local.Anew(ctx, &register.DamageError{}) }, "replica_overwritten_damages_total", nil, 1, "a damaged copy, the only one, gives way to a new write"},
		{"ceiling", func() { local.Raised(1, time.Second, true, nil) }, "replica_ceiling_raises_total", []string{"result", "ok"}, 1, ""},
		{"no ceiling", func() { local.Raised(1, 0, true, failure) }, "replica_ceiling_raises_total", []string{"result", "error"}, 1, "the promise ceiling cannot be raised; writes will stop"},
		{"fetch", func() { local.Fetched(ctx, 2, 5, time.Second, nil) }, "replica_fetches_total", []string{"result", "ok"}, 1, ""},
		{"no fetch", func() { local.Fetched(ctx, 2, 5, time.Second, failure) }, "replica_fetches_total", []string{"result", "error"}, 1, ""},
		{"forward", func() { operations.Forwarded(ctx, 2, coordinator.ReasonPreferred) }, "coordinator_forwards_total", []string{"reason", "preferred"}, 1, ""},
		{"forward from nowhere", func() { operations.Forwarded(ctx, 2, coordinator.ReasonNoCopy) }, "coordinator_forwards_total", []string{"reason", "no_copy"}, 1, ""},
		{"late", func() { operations.TakenOver(ctx, 2, 1, fmt.Errorf("2s: %w", coordinator.ErrLate)) }, "coordinator_takeovers_total", []string{"cause", "late"}, 1, ""},
		{"lost", func() { operations.TakenOver(ctx, 2, 1, coordinator.ErrLost) }, "coordinator_takeovers_total", []string{"cause", "lost"}, 1, ""},
		{"unreachable", func() { operations.TakenOver(ctx, 2, 1, register.ErrUnreachable) }, "coordinator_takeovers_total", []string{"cause", "unreachable"}, 1, ""},
		{"failed", func() { operations.TakenOver(ctx, 2, 1, failure) }, "coordinator_takeovers_total", []string{"cause", "failed"}, 1, ""},
		{"hedge", func() { operations.Hedged(ctx, 2) }, "coordinator_hedges_total", nil, 1, ""},
		{"overload", func() { operations.Overloaded(ctx, "turn") }, "coordinator_overloads_total", []string{"where", "turn"}, 1, ""},
		{"turn of a write", func() { operations.Waited(ctx, time.Second) }, "coordinator_turn_wait_seconds", nil, 1, ""},
		{"quorum", func() { operations.Quorum(ctx, register.Prepare, time.Second) }, "coordinator_quorum_duration_seconds", []string{"phase", "prepare"}, 1, ""},
		{"conflict", func() { operations.Conflict(ctx, ring.NodeID(2), register.Prepare, register.Stamp{}) }, "register_ballot_conflicts_total", []string{"phase", "prepare"}, 1, ""},
		{"silence", func() { operations.Silent(ctx, 2, register.Look, failure) }, "coordinator_silences_total", []string{"phase", "look"}, 1, ""},
		{"retry", func() { operations.Retry(ctx, 2, time.Second) }, "register_retries_total", nil, 1, ""},
		{"settle", func() { operations.Settle(ctx, register.Stamp{}) }, "register_settles_total", nil, 1, ""},
		{"unknown", func() { operations.Unknown(ctx, failure) }, "register_unknown_total", nil, 1, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.happen()
			if tc.metric != "" {
				if got := value(t, m, tc.metric, tc.labels...); got != tc.want {
					t.Errorf("%s%q is %v, want %v", tc.metric, tc.labels, got, tc.want)
				}
			}
			if tc.line != "" {
				if got := log.with(t, tc.line); len(got) != 1 {
					t.Errorf("%d lines say %q, want 1", len(got), tc.line)
				}
			}
		})
	}
}
