// Package telemetry holds what the daemon says of itself to those who run it: metrics, traces and log lines.
//
// The metrics are one table (catalogue.go). From it come the registry, the handles by which events are counted, the page for
// people, and the tests that hold the three together. A handle is looked up once, when a part is built, and every series is
// there from the start, so that "none yet" is 0 and not a gap.
//
// The traces follow W3C Trace Context. Every request has a trace id, drawn or its caller's; whether spans are kept is decided
// once, where the request enters, and what is not kept costs an id and a context. Spans go out by OTLP when there is a place
// for them, on a queue that never holds up a request.
//
// The log lines are go-hclog's, text or JSON, and carry the same trace ids.
//
// This room knows nothing of the others; observe ties it to them.
package telemetry
