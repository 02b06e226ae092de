package api

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/julienschmidt/httprouter"

	"github.com/estorajed/estorajed/internal/key"
)

const endpointMethods = "GET, HEAD"

// routes puts the endpoints into the router; all else goes to serveKey. The router must neither redirect nor answer by
// itself: to it, paths that are different keys look like misspellings of each other.
func (s *Server) routes() *httprouter.Router {
	r := httprouter.New()
	r.RedirectTrailingSlash, r.RedirectFixedPath = false, false
	r.HandleMethodNotAllowed, r.HandleOPTIONS = false, false
	r.NotFound = http.HandlerFunc(s.serveKey)
	add := func(route, pattern string, there bool, do endpoint) {
		if !there {
			return
		}
		handle := func(w http.ResponseWriter, r *http.Request, _ httprouter.Params) {
			s.exchange(w, r, route).run(do)
		}
		r.GET(pattern, handle)
		r.HEAD(pattern, handle)
	}
	c := &s.config
	add(RouteHealth, RouteHealth, true, func(x *exchange) error { return x.state("live", c.Health) })
	add(RouteReady, RouteReady, true, func(x *exchange) error { return x.state("ready", c.Ready) })
	add(RouteMetrics, RouteMetrics, c.Metrics != nil, (*exchange).metrics)
	add(RouteDiscovery, RouteDiscovery, c.Nodes != nil, (*exchange).discovery)
	add(RouteDiscoveryPlain, RouteDiscoveryPlain, c.Nodes != nil, (*exchange).discoveryPlain)
	add(RouteNodes, nodesPrefix+"*key", c.Locate != nil, (*exchange).locate)
	add(RouteStatus, RouteStatus, c.Status != nil, func(x *exchange) error {
		x.json(http.StatusOK, c.Status())
		return nil
	})
	return r
}

const nodesPrefix = "/_nodes/"

// misnamed says what a path that names no key gets, and under which route. To write a reserved name is the client's
// mistake, whether or not it is an endpoint.
func (s *Server) misnamed(r *http.Request, fault error) (route string, err error) {
	path, ok := errors.AsType[*key.PathError](fault)
	if !ok || path.Fault != key.Reserved {
		if !keyMethod(r.Method) {
			return RouteKey, notAllowed(r.Method, "a key", keyMethods)
		}
		return RouteKey, refuse(http.StatusBadRequest, ReasonBadKey, "%v; nothing was done", fault)
	}
	endpoint, _, _ := s.router.Lookup(http.MethodGet, r.URL.Path)
	switch {
	case r.Method == http.MethodPut || r.Method == http.MethodPost:
		err = refuse(http.StatusBadRequest, ReasonBadKey, "%v; nothing was written", fault)
	case endpoint != nil:
		err = notAllowed(r.Method, r.URL.Path, endpointMethods)
	case keyMethod(r.Method):
		err = refuse(http.StatusNotFound, ReasonBadKey, "there is no endpoint %.64q here; %v", r.URL.Path, fault)
	default:
		err = notAllowed(r.Method, "reserved names", endpointMethods)
	}
	return RouteReserved, err
}

func keyMethod(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPost, http.MethodDelete:
		return true
	}
	return false
}

// state answers a probe: 200 and a word, or 503 and the reason.
func (x *exchange) state(word string, ask func() error) error {
	if ask != nil {
		if err := ask(); err != nil {
			reason := strings.ReplaceAll(err.Error(), "\n", "; ") // as errors.Join separates them
			return &refusal{status: http.StatusServiceUnavailable, text: "not " + word + ": " + reason}
		}
	}
	x.json(http.StatusOK, map[string]string{"status": word})
	return nil
}

func (x *exchange) metrics() error {
	x.server.config.Metrics.ServeHTTP(x, x.request.WithContext(x.ctx))
	return nil
}

func (x *exchange) discovery() error {
	x.json(http.StatusOK, map[string][]Node{"nodes": x.server.config.Nodes()})
	return nil
}

func (x *exchange) discoveryPlain() error {
	var b strings.Builder
	for _, n := range x.server.config.Nodes() {
		b.WriteString(n.Address)
		b.WriteByte('\n')
	}
	x.Header().Set("Content-Type", "text/plain; charset=utf-8")
	x.WriteHeader(http.StatusOK)
	if x.request.Method == http.MethodHead {
		return nil
	}
	if _, err := io.WriteString(x, b.String()); err != nil {
		return &goneError{err}
	}
	return nil
}

// locate answers where a key belongs; the key is what follows the prefix, decoded once, as net/url has done already.
func (x *exchange) locate() error {
	k, err := key.FromPath("/" + url.PathEscape(strings.TrimPrefix(x.request.URL.Path, nodesPrefix)))
	if err != nil {
		return refuse(http.StatusBadRequest, ReasonBadKey, "%v", err)
	}
	placement, err := x.server.config.Locate(k)
	if err != nil {
		return err
	}
	x.json(http.StatusOK, placement)
	return nil
}
