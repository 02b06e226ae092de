package telemetry

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"

func TestTraceparentIsReadAsTheStandardSays(t *testing.T) {
	for _, tc := range []struct {
		name, header string
		want         string // written again; "" for one that is as if it had not come
	}{
		{"unsampled", parent, parent},
		{"sampled", strings.TrimSuffix(parent, "00") + "01", strings.TrimSuffix(parent, "00") + "01"},
		{"other flags are kept", strings.TrimSuffix(parent, "00") + "03", strings.TrimSuffix(parent, "00") + "03"},
		{"a later version may be longer", "cc" + parent[2:] + "-what-else", parent},
		{"a later version may be as long", "cc" + parent[2:], parent},
		{"a later version needs a dash", "cc" + parent[2:] + ".x", ""},
		{"version 00 is never longer", parent + "-x", ""},
		{"version ff is none", "ff" + parent[2:], ""},
		{"none", "", ""},
		{"cut short", parent[:54], ""},
		{"upper case", strings.ToUpper(parent), ""},
		{"zero trace", "00-00000000000000000000000000000000-00f067aa0ba902b7-01", ""},
		{"zero span", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", ""},
		{"no dashes", strings.ReplaceAll(parent, "-", "0"), ""},
		{"no digits", strings.ReplaceAll(parent, "f", "g"), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := ""
			if tr, ok := parseTraceparent(tc.header); ok {
				got = tr.Traceparent()
			}
			if got != tc.want {
				t.Errorf("%q was read as %q, want %q", tc.header, got, tc.want)
			}
		})
	}
}

func FuzzTraceparentNeverPanics(f *testing.F) {
	f.Add(parent)
	f.Add("cc" + parent[2:] + "-x")
	f.Fuzz(func(t *testing.T, header string) {
		tr, ok := parseTraceparent(header)
		if !ok {
			return
		}
		if again, ok := parseTraceparent(tr.Traceparent()); !ok || again != tr {
			t.Errorf("%q came back as %v", header, again)
		}
	})
}

func TestEveryRequestHasATrace(t *testing.T) {
	tracer := off(t)
	for _, tc := range []struct{ name, header string }{{"drawn", ""}, {"its caller's", parent}, {"malformed is drawn", "00-nonsense"}} {
		t.Run(tc.name, func(t *testing.T) {
			got := TraceOf(tracer.Begin(t.Context(), tc.header, "a=b"))
			if got.IsZero() || !got.Span.IsValid() || len(got.Traceparent()) != traceparentLength {
				t.Fatalf("the trace is %+v", got)
			}
			if wanted := tc.header == parent; wanted && (got.Traceparent() != parent || got.State != "a=b") {
				t.Errorf("%q, state %q; want %q, a=b", got.Traceparent(), got.State, parent)
			}
			if got.Sampled {
				t.Error("nobody keeps it, and it says sampled")
			}
		})
	}
}

func TestCallerThatKeepsItsTraceIsNotContradicted(t *testing.T) {
	sampled := strings.TrimSuffix(parent, "00") + "01"
	if got := TraceOf(off(t).Begin(t.Context(), sampled, "")); got.Traceparent() != sampled {
		t.Errorf("%q became %q", sampled, got.Traceparent())
	}
}

func TestDrawnTracesDiffer(t *testing.T) {
	tracer, seen := off(t), make(map[Trace]bool)
	for range 1000 {
		tr := TraceOf(tracer.Begin(t.Context(), "", ""))
		if seen[tr] {
			t.Fatalf("%v was drawn twice", tr)
		}
		seen[tr] = true
	}
}

func TestWorkOfNoRequestHasNoTrace(t *testing.T) {
	if tr := TraceOf(t.Context()); !tr.IsZero() || tr.Fields() != nil {
		t.Errorf("%v with %v", tr, tr.Fields())
	}
}

func TestTracedContextStillEnds(t *testing.T) {
	ctx, cancel := context.WithTimeout(withTrace(t.Context(), drawTrace()), time.Hour)
	if cancel(); ctx.Err() == nil || TraceOf(ctx).IsZero() {
		t.Errorf("err %v, trace %v", ctx.Err(), TraceOf(ctx))
	}
	outer, cancel := context.WithCancel(t.Context())
	ctx, stop := context.WithCancel(withTrace(outer, drawTrace()))
	defer stop()
	cancel()
	select {
	case <-ctx.Done():
	case <-time.After(5 * time.Second):
		t.Error("the end of the outer context was not passed on")
	}
}

func TestTracesThatAreNotKeptCostOneContext(t *testing.T) {
	for _, tc := range []struct {
		name   string
		tracer *Tracer
	}{{"no endpoint", off(t)}, {"none sampled", never(t)}} {
		for _, header := range []string{"", parent} {
			t.Run(tc.name+" "+header, func(t *testing.T) {
				base := t.Context()
				if n := testing.AllocsPerRun(1000, func() {
					ctx := tc.tracer.Begin(base, header, "")
					ctx, span := tc.tracer.Start(ctx, "store put")
					if span.Recording() || TraceOf(ctx).Sampled {
						t.Error("a span is recorded")
					}
					span.End()
				}); n > 1 {
					t.Errorf("%v allocations, 1 is allowed", n)
				}
			})
		}
	}
}

func TestSamplerFollowsTheEnvironment(t *testing.T) {
	const all, none = "all", "none"
	for _, tc := range []struct {
		sampler, arg        string
		share               float64
		root, kept, notKept string // what becomes of traces that begin here, of kept ones and of others that came
		wrong               bool
	}{
		{"", "", 1, all, all, none, false},
		{"", "", 0, none, all, none, false},
		{"always_on", "", 0, all, all, all, false},
		{"always_off", "", 1, none, none, none, false},
		{"parentbased_always_on", "", 0, all, all, none, false},
		{"parentbased_always_off", "", 1, none, all, none, false},
		{"traceidratio", "0", 1, none, none, none, false},
		{"traceidratio", "", 0, all, all, all, false},
		{" ParentBased_TraceIDRatio ", " 1 ", 0, all, all, none, false},
		{"parentbased_traceidratio", "0", 1, none, all, none, false},
		{"traceidratio", "1.5", 1, "", "", "", true},
		{"traceidratio", "NaN", 1, "", "", "", true},
		{"traceidratio", "some", 1, "", "", "", true},
		{"jaeger_remote", "", 1, "", "", "", true},
	} {
		t.Run(tc.sampler+" "+tc.arg, func(t *testing.T) {
			s, err := newSampler(tc.share, env{"OTEL_TRACES_SAMPLER": tc.sampler, "OTEL_TRACES_SAMPLER_ARG": tc.arg}.get)
			if tc.wrong {
				if err == nil || !strings.Contains(err.Error(), "OTEL_TRACES_SAMPLER") {
					t.Errorf("err is %v; it must name the variable", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for what, got := range map[string]bool{
				"root " + tc.root:        s.keeps(drawTrace(), false),
				"kept " + tc.kept:        s.keeps(Trace{ID: drawTraceID(), Sampled: true}, true),
				"not kept " + tc.notKept: s.keeps(drawTrace(), true),
			} {
				if got != strings.HasSuffix(what, all) {
					t.Errorf("%s: kept is %v", what, got)
				}
			}
		})
	}
}

func TestShareOfTracesIsKept(t *testing.T) {
	s, err := newSampler(0.25, env{}.get)
	if err != nil {
		t.Fatal(err)
	}
	kept := 0
	for range 20000 {
		if s.keeps(drawTrace(), false) {
			kept++
		}
	}
	if kept < 4500 || kept > 5500 { // five standard deviations are 306
		t.Errorf("%d of 20000 traces were kept, 5000 expected", kept)
	}
}

// env is an environment for tests.
type env map[string]string

func (e env) get(name string) string { return e[name] }

func off(t *testing.T) *Tracer {
	t.Helper()
	tracer, err := NewTracer(t.Context(), TraceConfig{Sample: 1, Getenv: env{}.get}, NewMetrics(Build{}), hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	return tracer
}

// never has an exporter, and keeps no trace.
func never(t *testing.T) *Tracer {
	t.Helper()
	tracer := off(t)
	tracer.sampler.root = mustSampler(t, 0).root
	if err := tracer.export(tracetest.NewNoopExporter(), TraceConfig{}, NewMetrics(Build{}), hclog.NewNullLogger(), spanQueue); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tracer.Shutdown(context.Background()) })
	return tracer
}

func mustSampler(t *testing.T, share float64) sampler {
	t.Helper()
	s, err := newSampler(share, env{}.get)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
