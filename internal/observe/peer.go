package observe

import (
	"context"
	"io"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/estorajed/estorajed/internal/coordinator"
	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/peer"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
	"github.com/estorajed/estorajed/internal/telemetry"
)

// Inject writes down the trace that ctx belongs to, for another node to go on with; "" if nobody keeps it.
func Inject(ctx context.Context) string {
	if t := telemetry.TraceOf(ctx); t.Sampled {
		return t.Traceparent()
	}
	return ""
}

// Extract goes on with a trace that another node wrote down.
func (o *Observer) Extract(ctx context.Context, traceparent string) context.Context {
	return o.tracer.Begin(ctx, traceparent, "")
}

// PeerEvents counts what goes between the nodes, and logs who comes, goes and is refused.
func (o *Observer) PeerEvents() peer.Events {
	m := o.metrics
	var messages [peer.KindFetch + 1][2]interface{ Inc() }
	for k := range messages {
		for direction := range messages[k] {
			messages[k][direction] = m.PeerMessages.At(telemetry.Messages.Position(peer.Kind(k).String()), direction)
		}
	}
	var lines budget
	trouble := troubles{known: map[ring.NodeID]string{}}
	return peer.Events{
		Message: func(k peer.Kind, out bool) { messages[k][direction(out)].Inc() },
		Frame: func(out bool, bytes int) {
			m.PeerFrames.At(direction(out)).Inc()
			m.PeerBytes.At(direction(out)).Add(float64(bytes))
		},
		Refused: func(reason, from, text string) {
			m.PeerRefusals.At(telemetry.Refusals.Position(reason)).Inc()
			if lines.take(time.Now()) {
				o.logger.Warn("a peer was refused", "from", from, "reason", reason, "why", text)
			}
		},
		Up: func(node ring.NodeID, start uint64, after time.Duration) {
			trouble.isNew(node, "")
			o.logger.Info("peer is up", "peer", o.name(node), "start", start, "after", after.Round(time.Millisecond).String())
		},
		Down: func(node ring.NodeID, reason string, cause error) {
			m.PeerDowns.At(telemetry.Downs.Position(reason)).Inc()
			trouble.isNew(node, cause.Error())
			o.logger.Warn("peer is down", "peer", o.name(node), "reason", reason, "error", cause)
		},
		Failed: func(node ring.NodeID, cause error) {
			if trouble.isNew(node, cause.Error()) {
				o.logger.Info("peer cannot be reached; trying on", "peer", o.name(node), "error", cause)
			}
		},
		Overloaded: func(ring.NodeID) { m.PeerOverloads.At().Inc() },
	}
}

func direction(out bool) int {
	if out {
		return telemetry.DirectionOut
	}
	return telemetry.DirectionIn
}

// troubles remembers why each peer cannot be reached: worth a line when that changes, not each time.
type troubles struct {
	mu    sync.Mutex
	known map[ring.NodeID]string // bounded by the nodes that there are
}

func (t *troubles) isNew(node ring.NodeID, cause string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := t.known[node]
	t.known[node] = cause
	return was != cause
}

func (o *Observer) ofPeers(s *telemetry.Scrape, at []peer.Status) {
	m := o.metrics
	for i := range at {
		name := o.name(at[i].Node)
		s.FlagOf(m.PeerUp, at[i].Up, name)
		s.GaugeOf(m.PeerRoundTrip, at[i].RTT.Seconds(), name)
		s.GaugeOf(m.PeerQueue, float64(at[i].Queue), name)
		s.GaugeOf(m.PeerPending, float64(at[i].Pending), name)
		s.GaugeOf(m.PeerStreams, float64(at[i].Streams), name)
	}
}

// A Peer is the way to another node, with its number.
type Peer interface {
	coordinator.Peer
	Node() ring.NodeID
}

// Peer dresses the way to another node: a span `peer ...` and a duration for each question.
func (o *Observer) Peer(next Peer) coordinator.Peer { return &caller{next, o} }

// A caller is the asking end.
type caller struct {
	Peer
	o *Observer
}

// onPeer names the spans by kind, at both ends.
func onPeer(request int) string {
	return [...]string{
		telemetry.RequestLook: "peer ask look", telemetry.RequestPrepare: "peer ask prepare", telemetry.RequestAccept: "peer ask accept",
		telemetry.RequestLearn: "peer ask learn", telemetry.RequestRead: "peer read", telemetry.RequestCarry: "peer carry",
		telemetry.RequestGet: "peer get", telemetry.RequestStage: "peer stage",
	}[request]
}

// step begins a span at either end, if its trace is kept.
func (o *Observer) step(ctx context.Context, request int, kind trace.SpanKind) (context.Context, telemetry.Span) {
	if !o.tracer.Keeps(ctx) {
		return ctx, telemetry.Span{}
	}
	return o.tracer.Start(ctx, onPeer(request), trace.WithSpanKind(kind))
}

func (c *caller) begin(ctx context.Context, request int) (context.Context, telemetry.Span, time.Time) {
	ctx, span := c.o.step(ctx, request, trace.SpanKindClient)
	if span.Recording() {
		span.Set(nodeKey.String(c.o.name(c.Node())))
	}
	return ctx, span, time.Now()
}

func (c *caller) took(ctx context.Context, request int, since time.Time) {
	c.o.metrics.PeerDuration.At(request).Observe(time.Since(since).Seconds(), telemetry.TraceOf(ctx))
}

func (c *caller) Ask(ctx context.Context, k key.Key, m register.Message) (register.Answer, error) {
	request := phase(m.Phase)
	ctx, span, start := c.begin(ctx, request)
	a, err := c.Peer.Ask(ctx, k, m)
	c.took(ctx, request, start)
	endAnswer(span, &a, err)
	return a, err
}

// endAnswer closes the span of a question with what was answered.
func endAnswer(span telemetry.Span, a *register.Answer, err error) {
	if span.Recording() && err == nil {
		span.Set(replyKey.String(a.Reply.String()))
	}
	end(span, resultOf(err), err)
}

func (c *caller) Read(ctx context.Context, k key.Key) (register.Record, io.ReadSeekCloser, error) {
	ctx, span, start := c.begin(ctx, telemetry.RequestRead)
	rec, body, err := c.Peer.Read(ctx, k)
	c.took(ctx, telemetry.RequestRead, start)
	return rec, follow(span, body, found(&rec, err), err), err
}

func (c *caller) Get(ctx context.Context, k key.Key) (register.Record, io.ReadSeekCloser, error) {
	ctx, span, start := c.begin(ctx, telemetry.RequestGet)
	rec, body, err := c.Peer.Get(ctx, k)
	c.took(ctx, telemetry.RequestGet, start)
	return rec, follow(span, body, found(&rec, err), err), err
}

func (c *caller) Stage(ctx context.Context, id register.Stamp, body io.Reader, size int64) (register.Value, error) {
	ctx, span, start := c.begin(ctx, telemetry.RequestStage)
	v, err := c.Peer.Stage(ctx, id, body, size)
	c.took(ctx, telemetry.RequestStage, start)
	endValue(span, v, resultOfUpload(body, err), err)
	return v, err
}

func endValue(span telemetry.Span, v register.Value, result int, err error) {
	if span.Recording() {
		span.Set(valueBytes.Int64(v.Length))
	}
	end(span, result, err)
}

func (c *caller) Carry(ctx context.Context, k key.Key, order register.Order) (register.Report, error) {
	ctx, span, start := c.begin(ctx, telemetry.RequestCarry)
	report, err := c.Peer.Carry(ctx, k, order)
	c.took(ctx, telemetry.RequestCarry, start)
	told := err
	if told == nil {
		told = report.Err
	}
	end(span, resultOf(told), told)
	return report, err
}

// Local dresses what this node answers its peers with: a span `peer ...` for each question, as part of the asker's trace.
func (o *Observer) Local(next peer.Local) peer.Local { return &answering{next, o} }

// An answering is the answering end.
type answering struct {
	peer.Local
	o *Observer
}

func (a *answering) begin(ctx context.Context, request int, k key.Key) (context.Context, telemetry.Span) {
	ctx, span := a.o.step(ctx, request, trace.SpanKindServer)
	if span.Recording() {
		span.Set(keyHash.String(a.o.hashed(k)))
	}
	return ctx, span
}

func (a *answering) Ask(ctx context.Context, k key.Key, m register.Message) (register.Answer, error) {
	ctx, span := a.begin(ctx, phase(m.Phase), k)
	answer, err := a.Local.Ask(ctx, k, m)
	endAnswer(span, &answer, err)
	return answer, err
}

func (a *answering) Read(ctx context.Context, k key.Key) (register.Record, io.ReadSeekCloser, error) {
	ctx, span := a.begin(ctx, telemetry.RequestRead, k)
	rec, body, err := a.Local.Read(ctx, k)
	return rec, follow(span, body, found(&rec, err), err), err
}

func (a *answering) Get(ctx context.Context, k key.Key) (register.Record, io.ReadSeekCloser, error) {
	ctx, span := a.begin(ctx, telemetry.RequestGet, k)
	rec, body, err := a.Local.Get(ctx, k)
	return rec, follow(span, body, found(&rec, err), err), err
}

func (a *answering) Stage(ctx context.Context, id register.Stamp, body io.Reader, size int64) (register.Value, error) {
	ctx, span := a.o.step(ctx, telemetry.RequestStage, trace.SpanKindServer)
	v, err := a.Local.Stage(ctx, id, body, size)
	endValue(span, v, resultOf(err), err)
	return v, err
}

func (a *answering) Carry(ctx context.Context, k key.Key, order register.Order) register.Report {
	ctx, span := a.begin(ctx, telemetry.RequestCarry, k)
	report := a.Local.Carry(ctx, k, order)
	end(span, resultOf(report.Err), report.Err)
	return report
}
