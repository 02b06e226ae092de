package api

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
)

// memory is Keys without any replica. The func fields, if set, stand before what it would do.
type memory struct {
	beforeWrite func(ctx context.Context) error
	afterBody   func() error
	beforeRead  func(ctx context.Context) error
	wrap        func(io.ReadSeeker) io.ReadSeeker

	mu     sync.Mutex
	clock  register.Time
	values map[key.Key]entry
	reads  []bool // eventual, of each read
}

type entry struct {
	record register.Record
	bytes  []byte
}

func (m *memory) Write(ctx context.Context, k key.Key, c register.Change, body io.Reader, size int64) (register.Outcome, error) {
	if m.beforeWrite != nil {
		if err := m.beforeWrite(ctx); err != nil {
			return register.Outcome{}, err
		}
	}
	var value []byte
	if body != nil {
		var err error
		if value, err = io.ReadAll(body); err != nil {
			return register.Outcome{}, fmt.Errorf("stage: %w", err)
		}
		if size >= 0 && int64(len(value)) != size {
			panic(fmt.Sprintf("a body of %d bytes came as one of %d", len(value), size))
		}
	}
	if m.afterBody != nil {
		if err := m.afterBody(); err != nil {
			return register.Outcome{}, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.values[k]
	if !c.Condition.Holds(&old.record) {
		return register.Outcome{}, fmt.Errorf("write: %w", register.ErrPrecondition)
	}
	m.clock++
	version := register.Stamp{Time: m.clock, Node: 1}
	if m.values == nil {
		m.values = map[key.Key]entry{}
	}
	m.values[k] = entry{
		register.Record{Version: version, Kind: c.Kind, Metadata: c.Metadata, Value: register.Value{Length: int64(len(value))}},
		value,
	}
	return register.Outcome{Version: version, Replaced: old.record.Present()}, nil
}

func (m *memory) Read(ctx context.Context, k key.Key, eventual bool) (register.Record, io.ReadSeekCloser, error) {
	if m.beforeRead != nil {
		if err := m.beforeRead(ctx); err != nil {
			return register.Record{}, nil, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads = append(m.reads, eventual)
	e := m.values[k]
	if !e.record.Present() {
		return e.record, nil, nil
	}
	var value io.ReadSeeker = bytes.NewReader(e.bytes)
	if m.wrap != nil {
		value = m.wrap(value)
	}
	return e.record, closer{value}, nil
}

type closer struct{ io.ReadSeeker }

func (closer) Close() error { return nil }

func (m *memory) get(k key.Key) (string, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.values[k]
	return string(e.bytes), e.record.Present()
}

const (
	testTrace  = "4bf92f3577b34da6a3ce929d0e0e4736"
	testParent = "00-" + testTrace + "-00f067aa0ba902b7-01"
)

// journal keeps what Events told.
type journal struct {
	mu       sync.Mutex
	started  []string
	finished []Summary
	rejected []string
	failed   []error
	panicked []any
	more     chan bool // something has been finished
}

func newJournal() *journal { return &journal{more: make(chan bool, 1)} }

func (j *journal) events() Events {
	locked := func(f func()) {
		j.mu.Lock()
		defer j.mu.Unlock()
		f()
	}
	return Events{
		Started: func(ctx context.Context, r *http.Request, route string) context.Context {
			locked(func() { j.started = append(j.started, route) })
			return context.WithValue(ctx, journalKey{}, testParent)
		},
		Finished: func(_ context.Context, s Summary) {
			locked(func() { j.finished = append(j.finished, s) })
			select {
			case j.more <- true:
			default:
			}
		},
		Rejected: func(_ context.Context, reason string) { locked(func() { j.rejected = append(j.rejected, reason) }) },
		Failed:   func(_ context.Context, err error) { locked(func() { j.failed = append(j.failed, err) }) },
		Panicked: func(_ context.Context, cause any, _ []byte) {
			locked(func() { j.panicked = append(j.panicked, cause) })
		},
	}
}

type journalKey struct{}

// last waits for the n-th request to be finished and gives its summary.
func (j *journal) last(t *testing.T, n int) Summary {
	t.Helper()
	for deadline := time.After(5 * time.Second); ; {
		j.mu.Lock()
		finished := j.finished
		j.mu.Unlock()
		if len(finished) >= n {
			return finished[n-1]
		}
		select {
		case <-j.more:
		case <-deadline:
			t.Fatalf("%d requests finished, want %d: %+v", len(finished), n, finished)
		}
	}
}

func testConfig(keys Keys, j *journal) Config {
	c := Config{Keys: keys, MaxValueSize: 64 << 20}
	if j != nil {
		c.Events = j.events()
		c.Trace = func(ctx context.Context) (string, string) {
			if ctx.Value(journalKey{}) != testParent {
				return "", "the context of Started is missing"
			}
			return testParent, testTrace
		}
	}
	return c
}

// start serves c on a loopback port until the test ends, and gives its address.
func start(t testing.TB, c Config) string {
	t.Helper()
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, s, l)
	return l.Addr().String()
}

func serve(t testing.TB, s *Server, l net.Listener) {
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// do sends one request over its own connection, with the path exactly as given, and reads the whole response.
func do(t testing.TB, addr, method, path string, header http.Header, body string) response {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", method, path)
	if body != "" || method == http.MethodPut || method == http.MethodPost {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	_ = header.Write(&b)
	return raw(t, addr, method, b.String()+"\r\n"+body)
}

type response struct {
	*http.Response
	body string
}

// raw sends text as it is and reads one response to a request of that method.
func raw(t testing.TB, addr, method, text string) response {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return receive(t, bufio.NewReader(c), method)
}

func receive(t testing.TB, r *bufio.Reader, method string) response {
	t.Helper()
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("read the response: %v", err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("read the response's body: %v", err)
	}
	return response{resp, string(body)}
}

// call gives one request to the handler without a network.
func call(h http.Handler, method, path string, header http.Header, body io.Reader) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, body)
	maps.Copy(r.Header, header)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func handler(t testing.TB, c Config) *Server {
	t.Helper()
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func headers(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}
