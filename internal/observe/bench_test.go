package observe_test

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/estorajed/estorajed/internal/api"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/telemetry"
)

// BenchmarkUnkeptPut is all that is observed of one put whose trace nobody keeps: what telemetry costs each request.
func BenchmarkUnkeptPut(b *testing.B) {
	o := bare(b, telemetry.NewMetrics(telemetry.Build{}))
	d, k := o.Store(&still{}), o.Keys(&stillKeys{})
	q, events, r := o.Requests(), o.StoreEvents(), httptest.NewRequest("PUT", "/k", nil)
	b.ReportAllocs()
	for b.Loop() {
		ctx := q.Started(context.Background(), r, api.RouteKey)
		k.Write(ctx, "k", register.Change{Kind: register.Data}, nil, 0)
		d.Stage(ctx, register.Stamp{}, nil, 0)
		d.Head(ctx, "k")
		d.Put(ctx, "k", register.Record{})
		events.Durable(ctx, 1, time.Millisecond)
		q.Finished(ctx, api.Summary{Route: api.RouteKey, Method: "PUT", Status: 201, Elapsed: time.Millisecond})
	}
}

// BenchmarkUnkeptGet is the same for a get.
func BenchmarkUnkeptGet(b *testing.B) {
	o := bare(b, telemetry.NewMetrics(telemetry.Build{}))
	d, k := o.Store(&still{}), o.Keys(&stillKeys{})
	q, events, r := o.Requests(), o.StoreEvents(), httptest.NewRequest("GET", "/k", nil)
	b.ReportAllocs()
	for b.Loop() {
		ctx := q.Started(context.Background(), r, api.RouteKey)
		k.Read(ctx, "k", false)
		d.Read(ctx, "k")
		events.CacheHit()
		q.Finished(ctx, api.Summary{Route: api.RouteKey, Method: "GET", Status: 200, Elapsed: time.Millisecond})
	}
}
