package observe_test

import (
	"context"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/replica"
	"github.com/estorajed/estorajed/internal/replica/replicatest"
	"github.com/estorajed/estorajed/internal/ring"
	"github.com/estorajed/estorajed/internal/store"
	"github.com/estorajed/estorajed/internal/store/disktest"
	"github.com/estorajed/estorajed/internal/telemetry"
)

func TestDressedStoreKeepsTheContract(t *testing.T) {
	sink := newSink(t)
	for _, tc := range []struct {
		name, endpoint string
		bare           func(t *testing.T, events store.Events) replica.Store
	}{
		{"in memory, traces not kept", "", func(*testing.T, store.Events) replica.Store { return &replicatest.Store{} }},
		{"in memory, traces kept", sink.url, func(*testing.T, store.Events) replica.Store { return &replicatest.Store{} }},
		{"on a disk, traces not kept", "", onDisk},
		{"on a disk, traces kept", sink.url, onDisk},
	} {
		t.Run(tc.name, func(t *testing.T) {
			replicatest.Run(t, func(t *testing.T) replica.Store {
				s := &stack{log: &lines{}, metrics: telemetry.NewMetrics(telemetry.Build{})}
				o := s.observer(t, tc.endpoint, 1)
				return inTrace{o.Store(tc.bare(t, o.StoreEvents())), s.tracer}
			})
		})
	}
}

func onDisk(t *testing.T, events store.Events) replica.Store {
	opened, err := store.Open(store.Config{
		FS: disktest.New(rand.New(rand.NewPCG(1, 2))), Partitions: partitions, Events: events,
		Locate: func(k key.Key) (uint64, int) { return hashOf(string(k)), ring.Partition(hashOf(string(k)), partitions) },
	})
	if err != nil {
		t.Fatal(err)
	}
	run(t, opened.Run)
	return opened
}

// inTrace is a store that is always called as part of a trace.
type inTrace struct {
	replica.Store
	tracer *telemetry.Tracer
}

func (s inTrace) Head(ctx context.Context, k key.Key) (register.Record, error) {
	return s.Store.Head(s.tracer.Begin(ctx, "", ""), k)
}

func (s inTrace) Read(ctx context.Context, k key.Key) (register.Record, io.ReadSeekCloser, error) {
	return s.Store.Read(s.tracer.Begin(ctx, "", ""), k)
}

func (s inTrace) Stage(ctx context.Context, id register.Stamp, body io.Reader, size int64) (register.Value, error) {
	return s.Store.Stage(s.tracer.Begin(ctx, "", ""), id, body, size)
}

func (s inTrace) Put(ctx context.Context, k key.Key, rec register.Record) error {
	return s.Store.Put(s.tracer.Begin(ctx, "", ""), k, rec)
}

func (s inTrace) RaiseCeiling(ctx context.Context, t register.Time) error {
	return s.Store.RaiseCeiling(s.tracer.Begin(ctx, "", ""), t)
}
