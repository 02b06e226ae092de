package acceptance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// requestPatience bounds one request; the daemon's own limits lie below it.
const requestPatience = 30 * time.Second

// A client speaks HTTP to one daemon, or to the balancer. It is safe for use by many goroutines.
type client struct {
	http *http.Client
	host string // with the port
}

// newClient gives a client that keeps up to conns idle connections open.
func newClient(server interface{ Address() string }, conns int) client {
	return client{
		http: &http.Client{
			Transport: &http.Transport{MaxIdleConnsPerHost: conns, MaxIdleConns: conns, DisableCompression: true},
			Timeout:   requestPatience,
		},
		host: server.Address(),
	}
}

// An answer is a response whose body was read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) etag() string { return a.header.Get("ETag") }

// String names what went wrong in an unexpected answer.
func (a answer) String() string {
	if a.status < http.StatusBadRequest {
		return fmt.Sprintf("%d (%d bytes)", a.status, len(a.body))
	}
	return fmt.Sprintf("%d %s", a.status, a.body)
}

// do sends one request for a key and reads the whole answer. header is name, value, name, value...
func (c client) do(ctx context.Context, method, key string, body io.Reader, header ...string) (answer, error) {
	return c.send(ctx, method, url.URL{Path: "/" + key}, body, header...)
}

// send is do for any path and query.
func (c client) send(ctx context.Context, method string, target url.URL, body io.Reader, header ...string) (answer, error) {
	target.Scheme, target.Host = "http", c.host
	req, err := http.NewRequestWithContext(ctx, method, target.String(), body)
	if err != nil {
		return answer{}, err
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	return answer{resp.StatusCode, resp.Header, b}, nil
}

func (c client) get(ctx context.Context, key string) (answer, error) {
	return c.do(ctx, http.MethodGet, key, nil)
}

// getEventual may be answered by one copy.
func (c client) getEventual(ctx context.Context, key string) (answer, error) {
	return c.send(ctx, http.MethodGet, url.URL{Path: "/" + key, RawQuery: "consistency=eventual"}, nil)
}

func (c client) put(ctx context.Context, key, value string, header ...string) (answer, error) {
	return c.do(ctx, http.MethodPut, key, strings.NewReader(value), header...)
}

func (c client) delete(ctx context.Context, key string, header ...string) (answer, error) {
	return c.do(ctx, http.MethodDelete, key, nil, header...)
}

// traceID is the trace id that a response carries: the second field of the header traceresponse (W3C Trace Context).
func (a answer) traceID() string {
	fields := strings.Split(a.header.Get("Traceresponse"), "-")
	if len(fields) != 4 {
		return ""
	}
	return fields[1]
}

// untouched tells whether a failed write says that it changed nothing. It is then held to that.
func (a answer) untouched() bool { return bytes.Contains(a.body, []byte("nothing was ")) }

var digits = regexp.MustCompile("[0-9]+")

// causeOf names why a request did not succeed, so that it can be counted by that; "" if it did.
func causeOf(got answer, err error) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case err != nil:
		return "connection broken"
	case got.status < http.StatusInternalServerError && got.status != http.StatusTooManyRequests:
		return ""
	}
	said, _, _ := strings.Cut(string(got.body), ";")
	said = digits.ReplaceAllString(strings.TrimPrefix(said, `{"error":"`), "#")
	return fmt.Sprintf("%d %.100s", got.status, said)
}
