package observe

import (
	"context"
	"io"
	"time"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/replica"
	"github.com/estorajed/estorajed/internal/telemetry"
)

// Store dresses this node's disk: a span `store ...`, a count and a duration for each call.
func (o *Observer) Store(next replica.Store) replica.Store {
	return &disk{o, next}
}

type disk struct {
	*Observer
	next replica.Store
}

// onStore names the spans by op.
func onStore(op int) string {
	return [...]string{
		telemetry.StoreHead: "store head", telemetry.StoreRead: "store read", telemetry.StoreStage: "store stage",
		telemetry.StorePut: "store put", telemetry.StoreRaiseCeiling: "store raise ceiling",
	}[op]
}

// count closes the books on a call that began at start.
func (d *disk) count(ctx context.Context, op, result int, start time.Time) {
	d.metrics.StoreDuration.At(op).Observe(time.Since(start).Seconds(), telemetry.TraceOf(ctx))
	d.metrics.StoreOps.At(op, result).Inc()
}

func (d *disk) Head(ctx context.Context, k key.Key) (register.Record, error) {
	ctx, span := d.tracer.Start(ctx, onStore(telemetry.StoreHead))
	start := time.Now()
	rec, err := d.next.Head(ctx, k)
	result := found(&rec, err)
	d.count(ctx, telemetry.StoreHead, result, start)
	end(span, result, err)
	return rec, err
}

func (d *disk) Read(ctx context.Context, k key.Key) (register.Record, io.ReadSeekCloser, error) {
	ctx, span := d.tracer.Start(ctx, onStore(telemetry.StoreRead))
	start := time.Now()
	rec, body, err := d.next.Read(ctx, k)
	result := found(&rec, err)
	d.count(ctx, telemetry.StoreRead, result, start)
	return rec, follow(span, body, result, err), err
}

// found is the result of a read.
func found(rec *register.Record, err error) int {
	result := resultOf(err)
	if result == telemetry.ResultOK && !rec.Present() {
		return telemetry.ResultNotFound
	}
	return result
}

func (d *disk) Stage(ctx context.Context, id register.Stamp, body io.Reader, size int64) (register.Value, error) {
	ctx, span := d.tracer.Start(ctx, onStore(telemetry.StoreStage))
	start := time.Now()
	v, err := d.next.Stage(ctx, id, body, size)
	result := resultOfUpload(body, err)
	d.count(ctx, telemetry.StoreStage, result, start)
	if span.Recording() {
		span.Set(valueBytes.Int64(v.Length))
	}
	end(span, result, err)
	return v, err
}

// Unstage is too little to be told of.
func (d *disk) Unstage(v register.Value) { d.next.Unstage(v) }

func (d *disk) Put(ctx context.Context, k key.Key, rec register.Record) error {
	ctx, span := d.tracer.Start(ctx, onStore(telemetry.StorePut))
	if span.Recording() {
		span.Set(valueBytes.Int64(rec.Value.Length))
	}
	start := time.Now()
	err := d.next.Put(ctx, k, rec)
	result := resultOf(err)
	d.count(ctx, telemetry.StorePut, result, start)
	end(span, result, err)
	return err
}

// Ceiling is a look into memory.
func (d *disk) Ceiling() register.Time { return d.next.Ceiling() }

func (d *disk) RaiseCeiling(ctx context.Context, t register.Time) error {
	ctx, span := d.tracer.Start(ctx, onStore(telemetry.StoreRaiseCeiling))
	start := time.Now()
	err := d.next.RaiseCeiling(ctx, t)
	result := resultOf(err)
	d.count(ctx, telemetry.StoreRaiseCeiling, result, start)
	end(span, result, err)
	return err
}
