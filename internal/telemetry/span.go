package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// A Span is a step that is being recorded. The zero Span is one that is not: it takes every call.
type Span struct {
	span trace.Span
}

// SpanOf is the span that is under way in ctx; the zero Span if its trace is not kept.
func SpanOf(ctx context.Context) Span {
	c := traceOf(ctx)
	if c == nil || !c.trace.Sampled {
		return Span{}
	}
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		return Span{span}
	}
	return Span{}
}

// Recording tells whether s is recorded. Ask before building attributes.
func (s Span) Recording() bool { return s.span != nil }

// Set adds attributes.
func (s Span) Set(attributes ...attribute.KeyValue) {
	if s.span != nil {
		s.span.SetAttributes(attributes...)
	}
}

// Event adds something that happened at one moment of the step.
func (s Span) Event(name string, attributes ...attribute.KeyValue) {
	if s.span != nil {
		s.span.AddEvent(name, trace.WithAttributes(attributes...))
	}
}

// Fail marks the step as failed by err: it alone, not the steps that it belongs to.
func (s Span) Fail(kind string, err error) {
	if s.span != nil {
		s.span.SetAttributes(semconv.ErrorTypeKey.String(kind))
		s.span.SetStatus(codes.Error, err.Error())
	}
}

// Context is what links to s name; invalid for the zero Span.
func (s Span) Context() trace.SpanContext {
	if s.span == nil {
		return trace.SpanContext{}
	}
	return s.span.SpanContext()
}

// End ends the step.
func (s Span) End(options ...trace.SpanEndOption) {
	if s.span != nil {
		s.span.End(options...)
	}
}
