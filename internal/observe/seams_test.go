package observe_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/estorajed/estorajed/internal/api"
	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/observe"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/replica"
	"github.com/estorajed/estorajed/internal/store"
	"github.com/estorajed/estorajed/internal/telemetry"
)

// A part stands for what is dressed: it gives what it was told to, and keeps what it was asked.
type part struct {
	record  register.Record
	value   register.Value
	outcome register.Outcome
	body    io.ReadSeekCloser
	err     error
	asked   []any
}

func (p *part) Write(ctx context.Context, k key.Key, c register.Change, body io.Reader, size int64) (register.Outcome, error) {
	p.asked = append(p.asked, k, c, text(body), size)
	return p.outcome, p.err
}

func (p *part) Read(_ context.Context, k key.Key, eventual bool) (register.Record, io.ReadSeekCloser, error) {
	p.asked = append(p.asked, k, eventual)
	return p.record, p.body, p.err
}

// text reads a body; no body is something else than an empty one.
func text(body io.Reader) any {
	if body == nil {
		return nil
	}
	b, err := io.ReadAll(body)
	return fmt.Sprint(string(b), err)
}

// A disk is a part as replica.Store.
type disk struct{ part }

func (d *disk) Head(_ context.Context, k key.Key) (register.Record, error) {
	d.asked = append(d.asked, k)
	return d.record, d.err
}

func (d *disk) Read(_ context.Context, k key.Key) (register.Record, io.ReadSeekCloser, error) {
	d.asked = append(d.asked, k)
	return d.record, d.body, d.err
}

func (d *disk) Stage(_ context.Context, id register.Stamp, body io.Reader, size int64) (register.Value, error) {
	d.asked = append(d.asked, id, text(body), size)
	return d.value, d.err
}

func (d *disk) Unstage(v register.Value) { d.asked = append(d.asked, v) }

func (d *disk) Put(_ context.Context, k key.Key, rec register.Record) error {
	d.asked = append(d.asked, k, rec)
	return d.err
}

func (d *disk) Ceiling() register.Time { return 42 }

func (d *disk) RaiseCeiling(_ context.Context, t register.Time) error {
	d.asked = append(d.asked, t)
	return d.err
}

func TestDressChangesNoQuestionAndNoAnswer(t *testing.T) {
	rec := register.Record{Kind: register.Data, Version: register.Stamp{Time: 7, Node: 1}, Value: register.Value{Length: 5, Sum: 3}}
	put := register.Change{Kind: register.Data, Metadata: []register.Field{{Name: "content-type", Value: "text/plain"}}}
	id := register.Stamp{Time: 9, Node: 2}
	for _, endpoint := range []string{"", newSink(t).url} {
		for _, err := range []error{nil, register.ErrFull, &register.DamageError{Where: "here"}, errors.New("other")} {
			t.Run(fmt.Sprintf("%v kept %v", err, endpoint != ""), func(t *testing.T) {
				s := &stack{log: &lines{}, metrics: telemetry.NewMetrics(telemetry.Build{})}
				o := s.observer(t, endpoint, 1)
				ctx := o.Requests().Started(t.Context(), httptest.NewRequest("GET", "/k", nil), api.RouteKey)
				given := part{record: rec, value: rec.Value, outcome: register.Outcome{Version: id, Replaced: true}, err: err}
				for _, call := range []struct {
					name string
					do   func(k api.Keys, d replica.Store) []any
				}{
					{"write", func(k api.Keys, _ replica.Store) []any {
						out, err := k.Write(ctx, "k", put, strings.NewReader("value"), 5)
						return []any{out, err}
					}},
					{"write of nothing", func(k api.Keys, _ replica.Store) []any {
						out, err := k.Write(ctx, "k", register.Change{Kind: register.Tombstone}, nil, 0)
						return []any{out, err}
					}},
					{"head", func(_ api.Keys, d replica.Store) []any { rec, err := d.Head(ctx, "k"); return []any{rec, err} }},
					{"stage", func(_ api.Keys, d replica.Store) []any {
						v, err := d.Stage(ctx, id, strings.NewReader("value"), -1)
						return []any{v, err}
					}},
					{"unstage", func(_ api.Keys, d replica.Store) []any { d.Unstage(rec.Value); return nil }},
					{"put", func(_ api.Keys, d replica.Store) []any { return []any{d.Put(ctx, "k", rec)} }},
					{"ceiling", func(_ api.Keys, d replica.Store) []any { return []any{d.Ceiling(), d.RaiseCeiling(ctx, 43)} }},
				} {
					bareKeys, bareDisk := given, disk{given}
					dressedKeys, dressedDisk := given, disk{given}
					want := call.do(&bareKeys, &bareDisk)
					got := call.do(o.Keys(&dressedKeys), o.Store(&dressedDisk))
					if !reflect.DeepEqual(got, want) {
						t.Errorf("%s: dressed gives %v, bare %v", call.name, got, want)
					}
					if !reflect.DeepEqual(dressedKeys.asked, bareKeys.asked) || !reflect.DeepEqual(dressedDisk.asked, bareDisk.asked) {
						t.Errorf("%s: dressed was asked %v %v, bare %v %v", call.name, dressedKeys.asked, dressedDisk.asked, bareKeys.asked, bareDisk.asked)
					}
				}
			})
		}
	}
}

// A valueBody gives its bytes, then an error.
type valueBody struct {
	*bytes.Reader
	err    error
	closed int
}

func (v *valueBody) Read(p []byte) (int, error) {
	n, err := v.Reader.Read(p)
	if err == io.EOF && v.err != nil {
		err = v.err
	}
	return n, err
}

func (v *valueBody) Close() error { v.closed++; return nil }

func TestReadsAreFollowedToTheirLastByte(t *testing.T) {
	damage := &register.DamageError{Where: "file", What: "block 2"}
	for _, tc := range []struct {
		name   string
		err    error
		result string
	}{{"whole", nil, "ok"}, {"damaged on the way", damage, "damaged"}} {
		t.Run(tc.name, func(t *testing.T) {
			sink := newSink(t)
			s := &stack{log: &lines{}, metrics: telemetry.NewMetrics(telemetry.Build{})}
			o := s.observer(t, sink.url, 1)
			ctx := o.Requests().Started(t.Context(), httptest.NewRequest("GET", "/k", nil), api.RouteKey)
			body := &valueBody{Reader: bytes.NewReader([]byte("a value")), err: tc.err}
			given := part{record: register.Record{Kind: register.Data}, body: body}
			_, fromKeys, err := o.Keys(&given).Read(ctx, "k", false)
			if err != nil {
				t.Fatal(err)
			}
			_, fromStore, err := o.Store(&disk{given}).Read(ctx, "k")
			if err != nil {
				t.Fatal(err)
			}
			for _, from := range []io.ReadSeekCloser{fromKeys, fromStore} {
				if _, err := from.Seek(2, io.SeekStart); err != nil {
					t.Fatal(err)
				}
				if n := s.ended(); n != float64(body.closed) {
					t.Errorf("%v spans ended before their bytes were read", n)
				}
				if b, err := io.ReadAll(from); string(b) != "value" || !errors.Is(err, tc.err) {
					t.Errorf("read %q, %v", b, err)
				}
				from.Close()
			}
			if body.closed != 2 {
				t.Errorf("closed %d times, want 2", body.closed)
			}
			s.flush(t)
			for _, name := range []string{"coordinate get", "store read"} {
				if span := sink.named(name)[0]; attribute(span, "estorajed.result") != tc.result || attribute(span, "estorajed.value.bytes") != "5" {
					t.Errorf("%s: %v", name, span.GetAttributes())
				}
			}
		})
	}
}

func TestResultsAreNamedForWhoseFaultTheyAre(t *testing.T) {
	broken := errors.New("connection reset")
	for _, tc := range []struct {
		name string
		err  error
		want string
	}{
		{"none", nil, "ok"},
		{"condition", fmt.Errorf("write: %w", register.ErrPrecondition), "precondition"},
		{"full", &register.QuorumError{Cause: register.ErrFull}, "full"},
		{"failed", register.ErrFailed, "unavailable"},
		{"stopped", register.ErrStopped, "unavailable"},
		{"overload", register.ErrOverload, "overload"},
		{"quorum", &register.QuorumError{}, "unavailable"},
		{"unknown above all", &register.UnknownError{Cause: register.ErrFull}, "unknown"},
		{"damage", &register.DamageError{}, "damaged"},
		{"client gone", fmt.Errorf("wait: %w", context.Canceled), "client"},
		{"too late", context.DeadlineExceeded, "unavailable"},
		{"body", fmt.Errorf("read the body: %w", broken), "client"},
		{"other", errors.New("no such file"), "error"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := telemetry.NewMetrics(telemetry.Build{})
			o := bare(t, m)
			var body io.Reader = strings.NewReader("value")
			if errors.Is(tc.err, broken) {
				body = &valueBody{Reader: bytes.NewReader(nil), err: broken}
			}
			o.Keys(&part{err: tc.err}).Write(t.Context(), "k", register.Change{Kind: register.Data}, body, 5)
			if got := value(t, m, "coordinator_ops_total", "op", "put", "result", tc.want); got != 1 {
				t.Errorf("%v is not counted as %s", tc.err, tc.want)
			}
		})
	}
}

func TestObservingUnkeptWorkAllocatesNothing(t *testing.T) {
	m := telemetry.NewMetrics(telemetry.Build{})
	o := bare(t, m)
	rec := register.Record{Kind: register.Data}
	d := o.Store(&still{record: rec})
	k := o.Keys(&stillKeys{record: rec})
	q, r := o.Requests(), httptest.NewRequest("PUT", "/k", nil)
	events, members := o.StoreEvents(), []context.Context{t.Context()}
	ctx := q.Started(t.Context(), r, api.RouteKey)
	body := strings.NewReader("")
	for _, tc := range []struct {
		name string
		most float64
		do   func()
	}{
		{"head", 0, func() { d.Head(ctx, "k") }},
		{"read", 0, func() { d.Read(ctx, "k") }},
		{"stage", 0, func() { d.Stage(ctx, register.Stamp{}, body, 0) }},
		{"put", 0, func() { d.Put(ctx, "k", rec) }},
		{"get", 0, func() { k.Read(ctx, "k", false) }},
		{"delete", 0, func() { k.Write(ctx, "k", register.Change{Kind: register.Tombstone}, nil, 0) }},
		{"write", 1, func() { k.Write(ctx, "k", register.Change{Kind: register.Data}, body, 0) }}, // the upload
		{"request", 2, func() { // the trace, and the request
			ctx := q.Started(context.Background(), r, api.RouteKey)
			q.Finished(ctx, api.Summary{Route: api.RouteKey, Method: "PUT", Status: 201})
		}},
		{"sync", 0, func() {
			events.Durable(ctx, 1, time.Millisecond)
			events.Synced(store.Synced{Entries: 1, Sync: time.Millisecond, Members: members})
		}},
	} {
		tc.do() // native buckets are made once
		if n := testing.AllocsPerRun(200, tc.do); n > tc.most {
			t.Errorf("%s: %v allocations, %v allowed", tc.name, n, tc.most)
		}
	}
}

// still and stillKeys are parts that allocate nothing themselves.
type still struct{ record register.Record }

func (s *still) Head(context.Context, key.Key) (register.Record, error) { return s.record, nil }
func (s *still) Read(context.Context, key.Key) (register.Record, io.ReadSeekCloser, error) {
	return s.record, nil, nil
}

func (s *still) Stage(context.Context, register.Stamp, io.Reader, int64) (register.Value, error) {
	return register.Value{}, nil
}
func (s *still) Unstage(register.Value)                              {}
func (s *still) Put(context.Context, key.Key, register.Record) error { return nil }
func (s *still) Ceiling() register.Time                              { return 0 }
func (s *still) RaiseCeiling(context.Context, register.Time) error   { return nil }

type stillKeys struct{ record register.Record }

func (s *stillKeys) Write(context.Context, key.Key, register.Change, io.Reader, int64) (register.Outcome, error) {
	return register.Outcome{Replaced: true}, nil
}

func (s *stillKeys) Read(context.Context, key.Key, bool) (register.Record, io.ReadSeekCloser, error) {
	return s.record, nil, nil
}

// nothing holds no key and takes none.
type nothing struct{}

func (nothing) Write(_ context.Context, _ key.Key, _ register.Change, body io.Reader, _ int64) (register.Outcome, error) {
	return register.Outcome{}, register.ErrOverload
}

func (nothing) Read(context.Context, key.Key, bool) (register.Record, io.ReadSeekCloser, error) {
	return register.Record{}, nil, nil
}

// bare is an observer that keeps no traces and logs nothing.
func bare(t testing.TB, m *telemetry.Metrics) *observe.Observer {
	t.Helper()
	tracer, err := telemetry.NewTracer(t.Context(), telemetry.TraceConfig{Getenv: func(string) string { return "" }}, m, quiet())
	if err != nil {
		t.Fatal(err)
	}
	return observe.New(observe.Config{Metrics: m, Tracer: tracer, Logger: quiet(), Hash: func(k key.Key) uint64 { return hashOf(string(k)) }})
}

// logging is bare, but for its log.
func logging(t *testing.T, m *telemetry.Metrics, log io.Writer, level string) *observe.Observer {
	t.Helper()
	getenv := func(string) string { return "" }
	logger, err := telemetry.NewLogger(telemetry.LogConfig{Level: level, Format: "json", Output: log, Getenv: getenv}, m)
	if err != nil {
		t.Fatal(err)
	}
	tracer, err := telemetry.NewTracer(t.Context(), telemetry.TraceConfig{Getenv: getenv}, m, logger)
	if err != nil {
		t.Fatal(err)
	}
	return observe.New(observe.Config{Metrics: m, Tracer: tracer, Logger: logger, Hash: func(k key.Key) uint64 { return hashOf(string(k)) }})
}
