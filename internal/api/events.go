package api

import (
	"context"
	"net/http"
	"time"
)

// Events tell what happens to requests; nil funcs are not called. They are called from many goroutines, in the request's own.
type Events struct {
	// Started: a request was read and routed, nothing has been done for it. The context that it returns is given to all
	// further work and events of the request. For requests that are too malformed to be read, r holds nothing but the
	// remote address, and route is RouteMalformed.
	Started func(ctx context.Context, r *http.Request, route string) context.Context
	// Finished: its last byte was handed to the connection, or it was cut off.
	Finished func(ctx context.Context, s Summary)
	// Rejected: it was refused; reason is one of Reasons.
	Rejected func(ctx context.Context, reason string)
	// Failed: it ended in a 5xx for a cause that the client was not told in full; or, with the context of no request,
	// net/http had something to say.
	Failed func(ctx context.Context, err error)
	// Panicked: a bug; the client was told 500, or cut off.
	Panicked func(ctx context.Context, cause any, stack []byte)
}

// A Summary is what is known of a request at its end.
type Summary struct {
	Route    string // one of Routes
	Method   string // a known one, or MethodOther
	Status   int    // as sent; if the response was cut off, the one that says why; StatusClientGone if the client left
	BytesIn  int64  // of the request's body, as far as it was read
	BytesOut int64  // of the response's body
	Elapsed  time.Duration
}

// StatusClientGone is the status, never sent, of requests whose client did not wait for the answer.
const StatusClientGone = 499

// The routes that Started and Finished name. RouteReserved stands for all reserved names that are no endpoint,
// RouteMalformed for what could not be read as a request.
const (
	RouteKey            = "/{key}"
	RouteMetrics        = "/metrics"
	RouteHealth         = "/_health"
	RouteReady          = "/_ready"
	RouteDiscovery      = "/_nodes_discovery"
	RouteDiscoveryPlain = "/_nodes_discovery_plain"
	RouteNodes          = "/_nodes/{key}"
	RouteStatus         = "/_cluster_status"
	RouteReserved       = "/_{reserved}"
	RouteMalformed      = "malformed"
)

// Routes are all routes.
func Routes() []string {
	return []string{
		RouteKey, RouteMetrics, RouteHealth, RouteReady, RouteDiscovery, RouteDiscoveryPlain,
		RouteNodes, RouteStatus, RouteReserved, RouteMalformed,
	}
}

// MethodOther stands for all methods that HTTP itself does not know.
const MethodOther = "_OTHER"

func methodName(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete,
		http.MethodOptions, http.MethodPatch, http.MethodConnect, http.MethodTrace:
		return method
	}
	return MethodOther
}

// The reasons that Rejected names.
const (
	ReasonBadKey     = "bad_key"     // empty, too long, reserved
	ReasonBadRequest = "bad_request" // a header, the query or the body is not what it should be
	ReasonMalformed  = "malformed"   // it could not be read as a request
	ReasonMethod     = "method"      // not known for this name
	ReasonTooLarge   = "too_large"
	ReasonSlow       = "slow" // the body came too slowly
	ReasonOverload   = "overload"
	ReasonFull       = "full"     // the disk
	ReasonFailed     = "failed"   // the disk, for good
	ReasonDraining   = "draining" // the node stops
	ReasonNotReady   = "not_ready"
)

// Reasons are all reasons.
func Reasons() []string {
	return []string{
		ReasonBadKey, ReasonBadRequest, ReasonMalformed, ReasonMethod, ReasonTooLarge, ReasonSlow,
		ReasonOverload, ReasonFull, ReasonFailed, ReasonDraining, ReasonNotReady,
	}
}

func (e *Events) started(ctx context.Context, r *http.Request, route string) context.Context {
	if e.Started == nil {
		return ctx
	}
	return e.Started(ctx, r, route)
}

func (e *Events) finished(ctx context.Context, s Summary) {
	if e.Finished != nil {
		e.Finished(ctx, s)
	}
}

func (e *Events) rejected(ctx context.Context, reason string) {
	if e.Rejected != nil {
		e.Rejected(ctx, reason)
	}
}

func (e *Events) failed(ctx context.Context, err error) {
	if e.Failed != nil {
		e.Failed(ctx, err)
	}
}

func (e *Events) panicked(ctx context.Context, cause any, stack []byte) {
	if e.Panicked != nil {
		e.Panicked(ctx, cause, stack)
	}
}
