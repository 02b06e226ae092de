package telemetry

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"strings"

	"go.opentelemetry.io/otel/trace"
)

// A Trace names the request that is being worked on: in its answer, in log lines, in exemplars, and towards other nodes.
// Every request has one, whether spans of it are kept or not. The zero Trace stands for work that belongs to no request.
type Trace struct {
	ID      trace.TraceID
	Span    trace.SpanID // the span of ours that is under way; while none is kept, the caller's, or one that was drawn
	Sampled bool         // somebody keeps this trace
	Flags   byte         // as they came, but for the sampled bit; passed on
	State   string       // the caller's tracestate; passed on
}

// IsZero tells whether t names nothing.
func (t Trace) IsZero() bool { return !t.ID.IsValid() }

// Traceparent writes t as the header of that name (W3C Trace Context), which traceresponse shares.
func (t Trace) Traceparent() string {
	b := make([]byte, 0, traceparentLength)
	b = append(b, "00-"...)
	b = hex.AppendEncode(b, t.ID[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, t.Span[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, []byte{byte(t.flags())})
	return string(b)
}

// Fields are what a log line about t carries, named as in every other log that OpenTelemetry knows; none for the zero Trace.
func (t Trace) Fields() []any {
	if t.IsZero() {
		return nil
	}
	return []any{"trace_id", t.ID.String(), "span_id", t.Span.String()}
}

func (t Trace) flags() trace.TraceFlags { return trace.TraceFlags(t.Flags).WithSampled(t.Sampled) }

// remote is t as the parent of a span here.
func (t Trace) remote() trace.SpanContext {
	state, err := trace.ParseTraceState(t.State)
	if err != nil {
		state = trace.TraceState{} // "it must be discarded" (W3C Trace Context, section 3.3)
	}
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: t.ID, SpanID: t.Span, TraceFlags: t.flags(), TraceState: state, Remote: true})
}

const traceparentLength = len("00-0123456789abcdef0123456789abcdef-0123456789abcdef-00")

// parseTraceparent reads the header as it stands in W3C Trace Context, section 3.2: anything malformed is as if it had not come.
func parseTraceparent(header string) (Trace, bool) {
	if len(header) < traceparentLength || header[2] != '-' || header[35] != '-' || header[52] != '-' {
		return Trace{}, false
	}
	var t Trace
	var version, flags [1]byte
	ok := decodeHex(version[:], header[:2]) && decodeHex(t.ID[:], header[3:35]) && decodeHex(t.Span[:], header[36:52]) && decodeHex(flags[:], header[53:55])
	if !ok || !t.ID.IsValid() || !t.Span.IsValid() || version[0] == 0xff {
		return Trace{}, false
	}
	rest := header[traceparentLength:]
	if rest != "" && (version[0] == 0 || !strings.HasPrefix(rest, "-")) {
		return Trace{}, false
	}
	t.Flags = flags[0] &^ byte(trace.FlagsSampled)
	t.Sampled = flags[0]&byte(trace.FlagsSampled) != 0
	return t, true
}

// decodeHex fills to from lower-case hexadecimal digits; others are refused.
func decodeHex(to []byte, from string) bool {
	for i := range to {
		high, low := digit(from[2*i]), digit(from[2*i+1])
		if high > 15 || low > 15 {
			return false
		}
		to[i] = high<<4 | low
	}
	return true
}

func digit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}

// drawTrace begins a trace that nobody asked for.
func drawTrace() Trace {
	return Trace{ID: drawTraceID(), Span: drawSpanID()}
}

func drawTraceID() (id trace.TraceID) {
	for !id.IsValid() {
		binary.BigEndian.PutUint64(id[:8], rand.Uint64())
		binary.BigEndian.PutUint64(id[8:], rand.Uint64())
	}
	return id
}

func drawSpanID() (id trace.SpanID) {
	for !id.IsValid() {
		binary.BigEndian.PutUint64(id[:], rand.Uint64())
	}
	return id
}

// traced is a context that carries a trace: one allocation, where context.WithValue takes two.
type traced struct {
	context.Context
	trace Trace
}

type traceKey struct{}

// Value answers for the trace and leaves the rest to the context below.
func (c *traced) Value(key any) any {
	if _, ok := key.(traceKey); ok {
		return c
	}
	return c.Context.Value(key)
}

// withTrace is ctx as part of t.
func withTrace(ctx context.Context, t Trace) context.Context { return &traced{ctx, t} }

// traceOf finds what withTrace put into ctx; nil if there is nothing.
func traceOf(ctx context.Context) *traced {
	if c, ok := ctx.(*traced); ok {
		return c
	}
	c, _ := ctx.Value(traceKey{}).(*traced)
	return c
}

// TraceOf is the trace that ctx belongs to, with the span of ours that is under way.
func TraceOf(ctx context.Context) Trace {
	c := traceOf(ctx)
	if c == nil {
		return Trace{}
	}
	t := c.trace
	if t.Sampled {
		if sc := trace.SpanContextFromContext(ctx); sc.TraceID() == t.ID {
			t.Span = sc.SpanID()
		}
	}
	return t
}
