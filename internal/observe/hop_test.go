package observe_test

import (
	"context"
	"net/http/httptest"
	"testing"

	"github.com/estorajed/estorajed/internal/api"
	"github.com/estorajed/estorajed/internal/coordinator"
	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/observe"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
	"github.com/estorajed/estorajed/internal/telemetry"
)

func TestARequestKnowsWhoCoordinatedIt(t *testing.T) {
	m := telemetry.NewMetrics(telemetry.Build{})
	tracer, err := telemetry.NewTracer(t.Context(), telemetry.TraceConfig{Getenv: func(string) string { return "" }}, m, quiet())
	if err != nil {
		t.Fatal(err)
	}
	o := observe.New(observe.Config{
		Metrics: m, Tracer: tracer, Logger: quiet(), Hash: func(key.Key) uint64 { return 1 },
		Name: "node_n1", NameOf: func(node ring.NodeID) string { return "node_" + node.String() },
	})
	events, dressed := o.CoordinatorEvents(1), o.Keys(&part{})
	for _, tc := range []struct {
		name        string
		happen      func(ctx context.Context)
		coordinator string
		hops        int
	}{
		{"nobody", func(context.Context) {}, "", 0},
		{"this node", func(ctx context.Context) { _, _, _ = dressed.Read(ctx, "k", false) }, "node_n1", 0},
		{"this node, a write", func(ctx context.Context) { _, _ = dressed.Write(ctx, "k", register.Change{}, nil, 0) }, "node_n1", 0},
		{"another", func(ctx context.Context) { events.Forwarded(ctx, 2, coordinator.ReasonNoCopy) }, "node_n2", 1},
		{"one after the other", func(ctx context.Context) {
			events.Forwarded(ctx, 2, coordinator.ReasonNoCopy)
			events.TakenOver(ctx, 2, 3, coordinator.ErrLate)
		}, "node_n3", 1},
		{"this node after another", func(ctx context.Context) {
			events.Forwarded(ctx, 2, coordinator.ReasonPreferred)
			events.TakenOver(ctx, 2, 1, coordinator.ErrLost)
		}, "node_n1", 0},
	} {
		ctx := o.Requests().Started(t.Context(), httptest.NewRequest("GET", "/k", nil), api.RouteKey)
		tc.happen(ctx)
		if name, hops := o.Hop(ctx); name != tc.coordinator || hops != tc.hops {
			t.Errorf("%s: %q, %d hops", tc.name, name, hops)
		}
	}
	if name, _ := o.Hop(t.Context()); name != "" {
		t.Errorf("of no request: %q", name)
	}
	events.Forwarded(t.Context(), 2, coordinator.ReasonNoCopy) // of no request: nothing to keep it with
}
