package observe

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/estorajed/estorajed/internal/api"
	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/ring"
	"github.com/estorajed/estorajed/internal/telemetry"
)

// slowRate is what a transfer is allowed before it makes a request slow: the client's line is not our slowness.
const slowRate = 1 << 20 // bytes a second

// linesMax bounds the lines a second about requests that failed or were slow: when the disk is full or a quorum is missing, all
// fail for one reason. They are all counted. Internal errors, which are bugs, are never left out.
const linesMax = 100

// Requests gives what the API reports its requests to: a trace for each, a server span if it is kept, counts, durations, and a
// log line at level debug, or higher if the request failed or was slow.
func (o *Observer) Requests() api.Events {
	q := &requests{Observer: o, routes: positions(telemetry.Routes), codes: positions(telemetry.Codes)}
	return api.Events{Started: q.started, Finished: q.finished, Rejected: q.rejected, Failed: q.failed, Panicked: q.panicked}
}

type requests struct {
	*Observer
	routes, codes map[string]int
	lines         budget
}

// positions is Label.Position made fast; what is not there is the last.
func positions(l telemetry.Label) map[string]int {
	m := make(map[string]int, len(l.Values))
	for i, v := range l.Values {
		m[v] = i
	}
	return m
}

// A request is the context of all work for one request, and what is known of it meanwhile.
type request struct {
	context.Context
	of    *http.Request
	route int // position
	span  telemetry.Span

	// Touched by the request's own goroutine only.
	cause       error       // why it failed
	coordinated bool        // its operation was begun
	coordinator ring.NodeID // of that; 0: this node
}

type requestKey struct{}

func (r *request) Value(key any) any {
	if _, ok := key.(requestKey); ok {
		return r
	}
	return r.Context.Value(key)
}

// requestOf is what started put into ctx; nil if ctx belongs to no request.
func requestOf(ctx context.Context) *request {
	if r, ok := ctx.(*request); ok {
		return r
	}
	r, _ := ctx.Value(requestKey{}).(*request)
	return r
}

func (q *requests) started(ctx context.Context, r *http.Request, route string) context.Context {
	position := at(q.routes, route, telemetry.RouteMalformed)
	q.metrics.HTTPInFlight.At(position).Inc()
	ctx = q.tracer.Begin(ctx, one(r.Header["Traceparent"]), strings.Join(r.Header["Tracestate"], ","))
	state := &request{Context: ctx, of: r, route: position}
	if q.tracer.Keeps(ctx) {
		state.Context, state.span = q.tracer.Start(ctx, spanName(r.Method, route), trace.WithSpanKind(trace.SpanKindServer))
	}
	return state
}

// one is a header that makes sense only if it was sent once.
func one(values []string) string {
	if len(values) != 1 {
		return ""
	}
	return values[0]
}

// spanName is the method, if it is one that the world knows, and the route: "HTTP" stands for all others (semantic conventions for HTTP spans).
func spanName(method, route string) string {
	if telemetry.Methods.Position(method) == telemetry.MethodOther {
		method = "HTTP"
	}
	return method + " " + route
}

func at(positions map[string]int, value string, other int) int {
	if i, ok := positions[value]; ok {
		return i
	}
	return other
}

func (q *requests) finished(ctx context.Context, s api.Summary) {
	state := requestOf(ctx)
	if state == nil {
		return
	}
	m, t := q.metrics, telemetry.TraceOf(ctx)
	route, method := state.route, telemetry.Methods.Position(s.Method)
	m.HTTPInFlight.At(route).Dec()
	m.HTTPRequests.At(route, method, q.code(s.Status)).Inc()
	m.HTTPDuration.At(route, method, class(s.Status)).Observe(s.Elapsed.Seconds(), t)
	body := min(route, 1) // keys, and all others
	if s.BytesIn > 0 {
		m.HTTPRequestBytes.At(body).Observe(float64(s.BytesIn), t)
	}
	if s.BytesOut > 0 {
		m.HTTPResponseBytes.At(body).Observe(float64(s.BytesOut), t)
	}
	slow := s.Elapsed > q.slow+time.Duration(s.BytesIn+s.BytesOut)*time.Second/slowRate
	if slow {
		m.HTTPSlow.At(route).Inc()
	}
	q.log(ctx, state, s, slow)
	q.close(state, s)
}

// code is the position of a status; few are common, and these are found without making text of them.
func (q *requests) code(status int) int {
	switch status {
	case http.StatusOK:
		return q.codes["200"]
	case http.StatusCreated:
		return q.codes["201"]
	case http.StatusNoContent:
		return q.codes["204"]
	case http.StatusNotFound:
		return q.codes["404"]
	}
	return at(q.codes, strconv.Itoa(status), len(q.codes)-1)
}

func class(status int) int { return min(max(status/100-1, telemetry.Class1xx), telemetry.Class5xx) }

// log writes the request's line, if there is one to write.
func (q *requests) log(ctx context.Context, state *request, s api.Summary, slow bool) {
	level := hclog.Debug
	switch {
	case s.Route == api.RouteReady || s.Route == api.RouteHealth: // a probe that hears 'not now' has its answer, and will ask again
	case s.Status == http.StatusInternalServerError:
		level = hclog.Error
	case (s.Status > http.StatusInternalServerError || slow || state.cause != nil) && q.lines.take(time.Now()):
		level = hclog.Warn
	}
	if level == hclog.Debug && !q.logger.IsDebug() {
		return
	}
	message := "request"
	switch {
	case s.Status >= http.StatusInternalServerError || state.cause != nil:
		message = "failed request"
	case slow:
		message = "slow request"
	}
	line := fields(ctx, "method", s.Method, "route", s.Route, "status", s.Status, "elapsed", s.Elapsed.String(), "bytes_in", s.BytesIn, "bytes_out", s.BytesOut)
	if hash, ok := q.keyOf(state.of, s.Route); ok {
		line = append(line, "key_hash", hash)
	}
	if state.cause != nil {
		line = append(line, "error", state.cause)
	}
	q.logger.Log(level, message, line...)
}

// keyOf is the hash of the key that a request is about, if it is about one.
func (q *requests) keyOf(r *http.Request, route string) (string, bool) {
	if route != api.RouteKey || r.URL == nil {
		return "", false
	}
	k, err := key.FromPath(r.URL.EscapedPath())
	return q.hashed(k), err == nil
}

// close ends the server span. Only what is the node's fault is an error there: "4xx MUST be left unset" (semantic conventions for HTTP spans).
func (q *requests) close(state *request, s api.Summary) {
	if !state.span.Recording() {
		return
	}
	r := state.of
	state.span.Set(
		semconv.HTTPRoute(s.Route),
		semconv.HTTPResponseStatusCode(s.Status),
		semconv.HTTPRequestBodySize(int(s.BytesIn)),
		semconv.HTTPResponseBodySize(int(s.BytesOut)),
		semconv.URLScheme(scheme(r)),
		semconv.NetworkProtocolVersion(strconv.Itoa(r.ProtoMajor)+"."+strconv.Itoa(r.ProtoMinor)),
	)
	state.span.Set(methodOf(r.Method)...)
	state.span.Set(serverOf(r.Host)...)
	if hash, ok := q.keyOf(r, s.Route); ok {
		state.span.Set(keyHash.String(hash))
	}
	if s.Status >= http.StatusInternalServerError {
		cause := state.cause
		if cause == nil {
			cause = errors.New(http.StatusText(s.Status))
		}
		state.span.Fail(strconv.Itoa(s.Status), cause)
	}
	state.span.End()
}

func scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

func methodOf(method string) []attribute.KeyValue {
	if telemetry.Methods.Position(method) == telemetry.MethodOther {
		return []attribute.KeyValue{semconv.HTTPRequestMethodOther, semconv.HTTPRequestMethodOriginal(method)}
	}
	return []attribute.KeyValue{semconv.HTTPRequestMethodKey.String(method)}
}

func serverOf(host string) []attribute.KeyValue {
	address, port, err := net.SplitHostPort(host)
	if err != nil {
		return []attribute.KeyValue{semconv.ServerAddress(host)}
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return []attribute.KeyValue{semconv.ServerAddress(address)}
	}
	return []attribute.KeyValue{semconv.ServerAddress(address), semconv.ServerPort(number)}
}

func (q *requests) rejected(ctx context.Context, reason string) {
	q.metrics.HTTPRejected.At(telemetry.Rejections.Position(reason)).Inc()
	if state := requestOf(ctx); state != nil && state.span.Recording() {
		state.span.Event("rejected", reasonKey.String(reason))
	}
}

// failed keeps the cause for the request's line; what net/http has to say of no request gets one of its own.
func (q *requests) failed(ctx context.Context, err error) {
	if state := requestOf(ctx); state != nil {
		state.cause = err
		return
	}
	q.logger.Warn("http", "error", err)
}

func (q *requests) panicked(ctx context.Context, cause any, stack []byte) {
	q.metrics.HTTPPanics.At().Inc()
	q.logger.Error("panic in a request", fields(ctx, "cause", cause, "stack", string(stack))...)
}

// A budget is how many lines of a kind there may be in one second.
type budget struct {
	second atomic.Int64
	taken  atomic.Int64
}

// take takes one line, if there is one left in this second. Two goroutines that meet at the turn of a second may get one more.
func (b *budget) take(now time.Time) bool {
	if second := now.Unix(); b.second.Swap(second) != second {
		b.taken.Store(0)
	}
	return b.taken.Add(1) <= linesMax
}
