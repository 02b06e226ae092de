package telemetry

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// A sampler decides which traces are kept: once, where a request enters, before anything of it is built. The SDK's own
// decision is bound to it (ShouldSample), so the two never differ.
type sampler struct {
	root        sdktrace.Sampler // for traces that begin here
	parentBased bool             // a caller's decision is followed
}

// newSampler follows OTEL_TRACES_SAMPLER and its _ARG as the specification has them; without them, the share of traces that
// begin here is kept, and callers are followed.
func newSampler(share float64, getenv func(string) string) (sampler, error) {
	name := strings.ToLower(strings.TrimSpace(getenv("OTEL_TRACES_SAMPLER")))
	if name == "" {
		return sampler{sdktrace.TraceIDRatioBased(share), true}, nil
	}
	kind, parentBased := strings.CutPrefix(name, "parentbased_")
	switch kind {
	case "always_on":
		return sampler{sdktrace.AlwaysSample(), parentBased}, nil
	case "always_off":
		return sampler{sdktrace.NeverSample(), parentBased}, nil
	case "traceidratio":
		ratio, err := parseRatio(getenv("OTEL_TRACES_SAMPLER_ARG"))
		return sampler{sdktrace.TraceIDRatioBased(ratio), parentBased}, err
	}
	return sampler{}, fmt.Errorf("OTEL_TRACES_SAMPLER is %q; known are always_on, always_off, traceidratio, each also with parentbased_ before it", name)
}

func parseRatio(text string) (float64, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return 1, nil
	}
	ratio, err := strconv.ParseFloat(text, 64)
	if err != nil || !(ratio >= 0 && ratio <= 1) {
		return 0, fmt.Errorf("OTEL_TRACES_SAMPLER_ARG is %q; it must be a number from 0 to 1", text)
	}
	return ratio, nil
}

// keeps decides about a trace. caller says that t came with the request.
func (s sampler) keeps(t Trace, caller bool) bool {
	if caller && s.parentBased {
		return t.Sampled
	}
	p := sdktrace.SamplingParameters{ParentContext: context.Background(), TraceID: t.ID}
	return s.root.ShouldSample(p).Decision == sdktrace.RecordAndSample
}

// ShouldSample repeats for the SDK what was decided for the trace; for spans that some library begins by itself, it decides.
func (s sampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	parent := trace.SpanContextFromContext(p.ParentContext)
	var keep bool
	switch c := traceOf(p.ParentContext); {
	case c != nil && c.trace.ID == p.TraceID:
		keep = c.trace.Sampled
	case parent.IsValid():
		keep = s.keeps(Trace{ID: p.TraceID, Sampled: parent.IsSampled()}, true)
	default:
		keep = s.keeps(Trace{ID: p.TraceID}, false)
	}
	decision := sdktrace.Drop
	if keep {
		decision = sdktrace.RecordAndSample
	}
	return sdktrace.SamplingResult{Decision: decision, Tracestate: parent.TraceState()}
}

// Description names the sampler in the SDK's own messages.
func (s sampler) Description() string {
	if s.parentBased {
		return "ParentBased{root:" + s.root.Description() + "}"
	}
	return s.root.Description()
}

// ids has the SDK begin a trace under the id that its request was given already.
type ids struct{}

func (ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	if c := traceOf(ctx); c != nil {
		return c.trace.ID, drawSpanID()
	}
	return drawTraceID(), drawSpanID()
}

func (ids) NewSpanID(context.Context, trace.TraceID) trace.SpanID { return drawSpanID() }
