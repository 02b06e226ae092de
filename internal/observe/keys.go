package observe

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/estorajed/estorajed/internal/api"
	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/telemetry"
)

// Keys dresses what carries out operations on keys: a span `coordinate ...`, a count and a duration for each.
func (o *Observer) Keys(next api.Keys) api.Keys {
	return &keys{o, next}
}

type keys struct {
	*Observer
	next api.Keys
}

// coordinate names the spans by op.
func coordinate(op int) string {
	return [...]string{telemetry.OpGet: "coordinate get", telemetry.OpPut: "coordinate put", telemetry.OpDelete: "coordinate delete"}[op]
}

func (d *keys) Write(ctx context.Context, k key.Key, change register.Change, body io.Reader, size int64) (register.Outcome, error) {
	op := telemetry.OpPut
	if change.Kind == register.Tombstone {
		op = telemetry.OpDelete
	}
	ctx, span := d.tracer.Start(ctx, coordinate(op))
	if span.Recording() {
		span.Set(keyHash.String(d.hashed(k)), valueBytes.Int64(size))
	}
	if body != nil {
		body = &upload{from: body}
	}
	coordinated(ctx, 0)
	start := time.Now()
	outcome, err := d.next.Write(ctx, k, change, body, size)
	result := resultOfUpload(body, err)
	if op == telemetry.OpDelete && result == telemetry.ResultOK && !outcome.Replaced {
		result = telemetry.ResultNotFound
	}
	d.metrics.CoordinatorDuration.At(op, telemetry.Linearizable).Observe(time.Since(start).Seconds(), telemetry.TraceOf(ctx))
	d.metrics.CoordinatorOps.At(op, telemetry.Linearizable, result).Inc()
	end(span, result, err)
	return outcome, err
}

func (d *keys) Read(ctx context.Context, k key.Key, eventual bool) (register.Record, io.ReadSeekCloser, error) {
	consistency := telemetry.Linearizable
	if eventual {
		consistency = telemetry.Eventual
	}
	ctx, span := d.tracer.Start(ctx, coordinate(telemetry.OpGet))
	if span.Recording() {
		span.Set(keyHash.String(d.hashed(k)), consistencyKey.String(telemetry.Consistency.Values[consistency]))
	}
	coordinated(ctx, 0)
	start := time.Now()
	rec, body, err := d.next.Read(ctx, k, eventual)
	result := resultOf(err)
	if result == telemetry.ResultOK && !rec.Present() {
		result = telemetry.ResultNotFound
	}
	d.metrics.CoordinatorDuration.At(telemetry.OpGet, consistency).Observe(time.Since(start).Seconds(), telemetry.TraceOf(ctx))
	d.metrics.CoordinatorOps.At(telemetry.OpGet, consistency, result).Inc()
	return rec, follow(span, body, result, err), err
}

func (o *Observer) hashed(k key.Key) string { return fmt.Sprintf("%016x", o.hash(k)) }
