// Package api is the public HTTP: it turns a request into one operation on one key, and the operation's outcome into a
// status, headers and a sentence.
//
// The key is the request's path without its first slash, percent-decoded once, and nothing else is ever done to it: `a`,
// `a/`, `a//b`, `..` and `a/../b` are five keys. A router stands before the keys only to pick out the reserved names (first
// segment beginning with `_`, and `/metrics`); it neither cleans nor redirects. Values stream in both directions through one
// buffer of chunk bytes; nothing in this room grows with a value's size.
//
// Whatever can be refused without the body is refused before the body is asked for, so that a client that sends
// `Expect: 100-continue` hears 100 only if its bytes are wanted. Such refusals are early ones only: the write's own round
// decides conditions again, atomically.
//
// Every response carries the trace id (headers traceresponse and Server-Timing), and every error but a key's 404 says in JSON what is wrong,
// what to do about it and whether anything happened. The typed outcomes of the rooms below meet their status codes in one
// switch (status.go). Requests that net/http itself finds malformed, and answers before any handler runs, get the same
// form: the listener's connections replace its canned text (conn.go).
//
// What happens here is told by Events, with the zero value silent. Per request: Started, which may put a trace into the
// context that all further work is given; then Rejected, Failed or Panicked, if that is what came; then Finished, after the
// last byte was handed to the connection. Config.Trace reads back what Started put there.
package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/julienschmidt/httprouter"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
)

// Keys carries out operations on keys; all may run at the same time.
type Keys interface {
	// Write changes the key if the change's condition holds, and returns when that is durable. body is nil for a tombstone;
	// size is its length in bytes, or -1 if unknown. It reads body to its end and not after it has returned. Errors: those
	// of register/errors.go, or whatever body.Read gave (errors.As finds it); after such an error nothing is stored.
	Write(ctx context.Context, k key.Key, change register.Change, body io.Reader, size int64) (register.Outcome, error)
	// Read gives the key's record and, if that is Present, its bytes from the start; the caller closes body. eventual: one
	// replica's copy is enough. Each byte has been checked before body gives it; on damage it gives a *register.DamageError.
	Read(ctx context.Context, k key.Key, eventual bool) (rec register.Record, body io.ReadSeekCloser, err error)
}

// A Node is one that serves the API.
type Node struct {
	ID      ring.NodeID `json:"id"`
	Name    string      `json:"name"`
	Address string      `json:"address"` // host:port of its API
}

// A Placement says where a key belongs.
type Placement struct {
	Partition int    `json:"partition"`
	Epoch     uint64 `json:"epoch"`
	Replicas  []Node `json:"replicas"` // in preference order
}

// Config is what a Server is built from. Keys and MaxValueSize are required; an endpoint whose source is nil does not exist.
type Config struct {
	Keys         Keys
	MaxValueSize int64                  // bytes; longer bodies get 413
	Writable     func(size int64) error // why a value of that size (-1: unknown) would not be taken now (ErrFull, ErrFailed, ErrStopped); asked before a body is; nil: always
	Limits       Limits
	Events       Events

	// Trace gives the traceparent of the request's span, for the response's header, and its trace id, for errors.
	Trace func(ctx context.Context) (traceparent, traceID string)

	// Hop gives the name of the node that coordinated the request's operation, and how many hops away that is; "" if there was none.
	Hop func(ctx context.Context) (coordinator string, hops int)

	Health  func() error // of /_health: why this process should be replaced; nil: never
	Ready   func() error // of /_ready: why it should get no requests now; nil: never
	Metrics http.Handler
	Nodes   func() []Node                    // of /_nodes_discovery and /_nodes_discovery_plain
	Locate  func(key.Key) (Placement, error) // of /_nodes/{key}
	Status  func() any                       // of /_cluster_status: encoded as JSON
}

// Limits bound what clients can hold, in time and memory. A zero field means its default.
type Limits struct {
	HeaderTimeout time.Duration // from a request's first byte to the end of its headers
	IdleTimeout   time.Duration // between two requests of a connection
	StallTimeout  time.Duration // within it, chunk more bytes must have come (of a body) or gone (of a response)
	StopTimeout   time.Duration // that requests under way are given when the server stops
	HeaderBytes   int           // of request line and headers; net/http adds 4 KiB of slack
	Connections   int           // open at the same time; further ones wait in the kernel's queue
	InFlight      int           // requests on keys at the same time; further ones get 429
}

const (
	headerTimeout = 5 * time.Second
	idleTimeout   = 60 * time.Second
	stallTimeout  = 10 * time.Second
	stopTimeout   = 25 * time.Second
	headerBytes   = 16 << 10
	connections   = 4096
	inFlight      = 1024

	chunk      = 64 << 10 // bytes of the buffer that a value flows through; also the step by which progress is judged
	fieldBytes = 1 << 10  // of one header that is kept with a value

	lingerTimeout = 500 * time.Millisecond // to let a client read the refusal of a request that it is still sending
	lingerBytes   = 256 << 10              // that are read and dropped meanwhile
)

func (l Limits) withDefaults() Limits {
	set(&l.HeaderTimeout, headerTimeout)
	set(&l.IdleTimeout, idleTimeout)
	set(&l.StallTimeout, stallTimeout)
	set(&l.StopTimeout, stopTimeout)
	set(&l.HeaderBytes, headerBytes)
	set(&l.Connections, connections)
	set(&l.InFlight, inFlight)
	return l
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// A Server answers the public HTTP. It is an http.Handler; Serve gives it a listener and all limits.
type Server struct {
	config  Config             // constant after New
	limits  Limits             // constant after New
	router  *httprouter.Router // constant after New
	buffers sync.Pool          // of *[chunk]byte
	flying  atomic.Int64       // requests on keys that are under way
}

// New checks the configuration and builds a server; it starts nothing.
func New(c Config) (*Server, error) {
	if c.Keys == nil {
		return nil, errors.New("api: Config.Keys is nil")
	}
	if c.MaxValueSize <= 0 {
		return nil, fmt.Errorf("api: Config.MaxValueSize is %d; it must be positive", c.MaxValueSize)
	}
	s := &Server{config: c, limits: c.Limits.withDefaults()}
	s.buffers.New = func() any { return new([chunk]byte) }
	s.router = s.routes()
	return s, nil
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c, ok := r.Context().Value(connKey{}).(*conn); ok {
		c.serving.Store(true)
	}
	s.router.ServeHTTP(w, r)
}
