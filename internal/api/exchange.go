package api

import (
	"context"
	"encoding/json"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/estorajed/estorajed/internal/key"
)

// An endpoint answers a request. An error that it returns becomes the response by way of answerTo, unless a response has
// begun: then the connection is cut, so that the client sees that it did not get all.
type endpoint func(x *exchange) error

// An exchange is one request and its response on the way through this room. As a ResponseWriter it counts what it is given.
type exchange struct {
	http.ResponseWriter
	server  *Server
	request *http.Request
	ctx     context.Context // of the request, with its trace
	traceID string
	route   string
	key     key.Key // if route is RouteKey
	began   time.Time
	body    body  // the request's
	status  int   // 0 until the response has begun
	out     int64 // bytes of the response's body so far
}

func (s *Server) exchange(w http.ResponseWriter, r *http.Request, route string) *exchange {
	return &exchange{ResponseWriter: w, server: s, request: r, route: route, began: time.Now()}
}

// run answers by do, with everything around it that all requests have in common.
func (x *exchange) run(do endpoint) {
	x.ctx = x.server.config.Events.started(x.request.Context(), x.request, x.route)
	defer x.finish()
	x.writeTrace()
	if b := x.request.Body; b != nil && b != http.NoBody {
		x.body.open(x.ResponseWriter, x.request, x.server.config.MaxValueSize, x.server.limits.StallTimeout)
	}
	if err := do(x); err != nil {
		x.fail(err)
	}
}

// finish is deferred by run: it turns panics into a 500, and says how the request ended.
func (x *exchange) finish() {
	cause := recover()
	if cause != nil && cause != http.ErrAbortHandler {
		x.server.config.Events.panicked(x.ctx, cause, debug.Stack())
		cause = x.crash()
	}
	x.server.config.Events.finished(x.ctx, Summary{
		Route: x.route, Method: methodName(x.request.Method), Status: x.outcome(),
		BytesIn: x.body.taken, BytesOut: x.out, Elapsed: time.Since(x.began),
	})
	if cause != nil {
		panic(cause)
	}
}

// crash answers 500, or, if it is too late for that, returns what makes net/http cut the connection.
func (x *exchange) crash() any {
	if x.status != 0 {
		x.status = http.StatusInternalServerError
		return http.ErrAbortHandler
	}
	x.write(answer{status: http.StatusInternalServerError, text: textInternal})
	return nil
}

// outcome is the status for the summary; an endpoint that wrote nothing has net/http say 200.
func (x *exchange) outcome() int {
	if x.status == 0 {
		return http.StatusOK
	}
	return x.status
}

func (x *exchange) writeTrace() {
	if x.server.config.Trace == nil {
		return
	}
	var parent string
	if parent, x.traceID = x.server.config.Trace(x.ctx); parent != "" {
		values := []string{parent, serverTiming(parent)}
		h := x.Header()
		h["Traceresponse"], h["Server-Timing"] = values[0:1:1], values[1:2:2]
	}
}

// serverTiming is the trace in the form that browsers show to scripts and in their network panel.
func serverTiming(traceparent string) string { return `traceparent;desc="` + traceparent + `"` }

// fail reports err and answers with it, or cuts the connection if there is nobody or nothing to answer.
func (x *exchange) fail(err error) {
	a := answerTo(err)
	if a.reason != "" {
		x.server.config.Events.rejected(x.ctx, a.reason)
	}
	if a.fault {
		x.server.config.Events.failed(x.ctx, err)
	}
	if x.status != 0 || a.status == StatusClientGone {
		x.status = a.status
		panic(http.ErrAbortHandler)
	}
	x.write(a)
}

// write sends an answer as JSON.
func (x *exchange) write(a answer) {
	h := x.Header()
	undescribe(h)
	if a.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(seconds(a.retryAfter)))
	}
	for name, value := range a.header {
		h.Set(name, value)
	}
	x.json(a.status, problem{Error: a.text, TraceID: x.traceID})
}

// undescribe removes what describes a value that is not sent after all.
func undescribe(h http.Header) {
	for _, name := range [...]string{"Accept-Ranges", "Content-Encoding", "Content-Length", "Content-Range", "Etag"} {
		h.Del(name)
	}
}

// A problem is the body of every error.
type problem struct {
	Error   string `json:"error"`
	TraceID string `json:"trace_id"`
}

// json sends v.
func (x *exchange) json(status int, v any) {
	x.Header().Set("Content-Type", "application/json")
	x.WriteHeader(status)
	if x.request.Method == http.MethodHead {
		return
	}
	e := json.NewEncoder(x)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil && x.ctx.Err() == nil {
		x.server.config.Events.failed(x.ctx, err)
	}
}

// WriteHeader begins the response.
func (x *exchange) WriteHeader(status int) {
	if status >= 200 && x.status == 0 {
		x.status = status
		x.writeHop()
	}
	x.ResponseWriter.WriteHeader(status)
}

// writeHop tells who did the work. It is known only now.
func (x *exchange) writeHop() {
	if x.route != RouteKey || x.server.config.Hop == nil {
		return
	}
	if coordinator, hops := x.server.config.Hop(x.ctx); coordinator != "" {
		values := []string{coordinator, strconv.Itoa(hops)}
		h := x.Header()
		h["Estorajed-Coordinator"], h["Estorajed-Hops"] = values[0:1:1], values[1:2:2]
	}
}

// Write sends bytes of the response's body.
func (x *exchange) Write(p []byte) (int, error) {
	if x.status == 0 {
		x.status = http.StatusOK
	}
	n, err := x.ResponseWriter.Write(p)
	x.out += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController find the connection.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }
