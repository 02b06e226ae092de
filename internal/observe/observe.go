// Package observe makes the daemon's work visible without being in its way.
//
// It stands at the seams between the rooms and nowhere else: as a decorator, with the same interface in and out, around the
// coordinator and the store; as the funcs behind a room's Events; as a reader of Status while a scrape is under way. It
// changes no result and no error. What it needs of a metric it looks up once, here; what belongs to a trace that nobody keeps
// is neither built nor allocated.
//
// A kept write is this tree, in one trace:
//
//	PUT /{key}              the request, to the last byte of its answer
//	  coordinate put        the operation; events for quorums, conflicts, retries
//	    store stage         taking the body in
//	    store head          what the replica knew of the key
//	    store put           until it was durable
//	      journal sync      the batch that its entry was in
//
// What another node does for it is part of the same trace, below a span at each end that carry one name: `peer ask prepare`, `peer ask
// accept`, `peer stage`, `peer carry` with the whole of a coordinator's work below, `peer get`.
//
// The batch has many parents, so it is a trace of its own, `journal commit`, with a link to each, and each links to it.
package observe

import (
	"context"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.opentelemetry.io/otel/attribute"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
	"github.com/estorajed/estorajed/internal/telemetry"
)

// Config is what an Observer is built from; Metrics, Tracer, Logger and Hash are required.
type Config struct {
	Metrics *telemetry.Metrics
	Tracer  *telemetry.Tracer
	Logger  hclog.Logger
	Hash    func(key.Key) uint64     // of a key, for spans and log lines: keys themselves are nobody's business
	Name    string                   // of this node
	NameOf  func(ring.NodeID) string // of another; nil: its number
	Slow    time.Duration            // requests that take longer are logged; 0: SlowRequest
}

// SlowRequest is what counts as slow if nothing else was asked for.
const SlowRequest = time.Second

// An Observer dresses the parts of one node.
type Observer struct {
	metrics *telemetry.Metrics
	tracer  *telemetry.Tracer
	logger  hclog.Logger
	hash    func(key.Key) uint64
	self    string
	name    func(ring.NodeID) string
	slow    time.Duration
}

// New makes an observer; it starts nothing.
func New(c Config) *Observer {
	if c.Slow == 0 {
		c.Slow = SlowRequest
	}
	if c.NameOf == nil {
		c.NameOf = ring.NodeID.String
	}
	return &Observer{metrics: c.Metrics, tracer: c.Tracer, logger: c.Logger, hash: c.Hash, self: c.Name, name: c.NameOf, slow: c.Slow}
}

// Trace is how the API learns what was decided for a request: what its response and its errors carry.
func Trace(ctx context.Context) (traceparent, traceID string) {
	t := telemetry.TraceOf(ctx)
	if t.IsZero() {
		return "", ""
	}
	traceparent = t.Traceparent()
	return traceparent, traceparent[len("00-") : len("00-")+2*len(t.ID)]
}

// Hop is how the API learns who coordinated a request's operation, and how many hops away that was; "" if none was begun.
func (o *Observer) Hop(ctx context.Context) (coordinator string, hops int) {
	r := requestOf(ctx)
	switch {
	case r == nil || !r.coordinated:
		return "", 0
	case r.coordinator == 0:
		return o.self, 0
	}
	return o.name(r.coordinator), 1
}

// coordinated notes that a node, 0 for this one, coordinates the request's operation from now on.
func coordinated(ctx context.Context, by ring.NodeID) {
	if r := requestOf(ctx); r != nil {
		r.coordinated, r.coordinator = true, by
	}
}

// fields are those of a log line that belongs to ctx's request, if it belongs to one.
func fields(ctx context.Context, more ...any) []any {
	return append(more, telemetry.TraceOf(ctx).Fields()...)
}

// phase is where a phase stands in the label of that name.
func phase(p register.Phase) int {
	switch p {
	case register.Prepare:
		return telemetry.PhasePrepare
	case register.Accept:
		return telemetry.PhaseAccept
	case register.Learn:
		return telemetry.PhaseLearn
	}
	return telemetry.PhaseLook
}

// Attributes of our own; what OpenTelemetry has a name for has that.
const (
	keyHash        = attribute.Key("estorajed.key.hash")
	valueBytes     = attribute.Key("estorajed.value.bytes")
	consistencyKey = attribute.Key("estorajed.consistency")
	resultKey      = attribute.Key("estorajed.result")
	phaseKey       = attribute.Key("estorajed.phase")
	reasonKey      = attribute.Key("estorajed.reason")
	roundKey       = attribute.Key("estorajed.round")
	replyKey       = attribute.Key("estorajed.reply")
	nodeKey        = attribute.Key("estorajed.node")
	fromKey        = attribute.Key("estorajed.node.from")
	millisKey      = attribute.Key("estorajed.ms")
	batchKey       = attribute.Key("estorajed.journal.batch")
	batchEntries   = attribute.Key("estorajed.journal.entries")
	batchBytes     = attribute.Key("estorajed.journal.bytes")
	batchSyncMs    = attribute.Key("estorajed.journal.sync_ms")
	queuedMs       = attribute.Key("estorajed.journal.queued_ms")
)

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
