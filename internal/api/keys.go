package api

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
)

const keyMethods = "GET, HEAD, PUT, POST, DELETE"

// serveKey answers everything that the router did not take for an endpoint: keys, and reserved names that are none.
func (s *Server) serveKey(w http.ResponseWriter, r *http.Request) {
	k, err := key.FromPath(r.URL.EscapedPath())
	if err == nil {
		x := s.exchange(w, r, RouteKey)
		x.key = k
		x.run((*exchange).onKey)
		return
	}
	route, err := s.misnamed(r, err)
	s.exchange(w, r, route).run(func(*exchange) error { return err })
}

// onKey admits an operation and carries it out.
func (x *exchange) onKey() error {
	defer x.server.flying.Add(-1)
	if x.server.flying.Add(1) > int64(x.server.limits.InFlight) {
		return register.ErrOverload
	}
	eventual, err := eventualOf(x.request.URL)
	if err != nil {
		return err
	}
	switch x.request.Method {
	case http.MethodGet, http.MethodHead:
		return x.get(eventual)
	case http.MethodPut, http.MethodPost:
		return x.put()
	case http.MethodDelete:
		return x.delete()
	}
	return notAllowed(x.request.Method, "a key", keyMethods)
}

func notAllowed(method, what, allow string) error {
	return &refusal{
		status: http.StatusMethodNotAllowed, reason: ReasonMethod,
		header: map[string]string{"Allow": allow},
		text:   fmt.Sprintf("method %.32s is not known for %.64s; use one of %s; nothing was done", method, what, allow),
	}
}

// eventualOf reads the query. Only consistency means anything; it weakens reads, and writes are what they always are.
func eventualOf(u *url.URL) (bool, error) {
	if u.RawQuery == "" {
		return false, nil
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return false, refuse(http.StatusBadRequest, ReasonBadRequest,
			"the query is malformed: %v; a question mark that belongs to the key is written %%3F; nothing was done", err)
	}
	values, ok := query["consistency"]
	if !ok {
		return false, nil
	}
	switch consistency := strings.Join(values, ","); consistency {
	case "linearizable":
		return false, nil
	case "eventual":
		return true, nil
	default:
		return false, refuse(http.StatusBadRequest, ReasonBadRequest,
			"consistency=%.64s is not known: leave it out, or use linearizable or eventual; nothing was done", consistency)
	}
}

// A store may keep these headers with a value and give them back. The form type is what `curl -d` sends by itself, whatever
// the bytes are; it says nothing.
func metadataOf(h http.Header) ([]register.Field, error) {
	var fields []register.Field
	for _, header := range [...]struct{ name, field string }{
		{"Content-Type", register.ContentType},
		{"Content-Encoding", contentEncoding},
	} {
		value := strings.Join(h[header.name], ", ")
		if value == "" || isForm(value) {
			continue
		}
		if len(value) > fieldBytes {
			return nil, refuse(http.StatusBadRequest, ReasonBadRequest,
				"%s is %d bytes; at most %d are kept with a value; nothing was stored", header.name, len(value), fieldBytes)
		}
		fields = append(fields, register.Field{Name: header.field, Value: value})
	}
	return fields, nil
}

// contentEncoding is the metadata field that holds how the value's bytes are encoded, if the client said so.
const contentEncoding = "content-encoding"

func isForm(mediaType string) bool {
	essence, _, _ := strings.Cut(mediaType, ";")
	return strings.EqualFold(strings.TrimRight(essence, " \t"), "application/x-www-form-urlencoded")
}
