package acceptance

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The tests of this file put nodes of the test's own behind the balancer, which can misbehave at will: they are about the
// configuration in packaging/.

const (
	caddyfile     = "../../packaging/Caddyfile"
	probePatience = 10 * time.Second // within which the balancer has noticed what became of a node; it probes once a second
)

// caddy is the path of the binary that the Makefile builds.
func caddy(t testing.TB) string {
	t.Helper()
	const path = "../../bin/caddy"
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: 'make caddy' builds it", err)
	}
	return path
}

// balance starts a balancer in front of these addresses; it is killed when t ends.
func balance(t testing.TB, upstreams []string, env ...string) *Balancer {
	t.Helper()
	b, err := NewBalancer(caddy(t), caddyfile, t.TempDir(), 0, upstreams...)
	if err != nil {
		t.Fatal(err)
	}
	b.Env = append(b.Env, env...)
	t.Cleanup(func() {
		b.Kill()
		if t.Failed() {
			t.Logf("Caddy's log ends with:\n%s", b.LogTail())
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), startPatience)
	defer cancel()
	if err := b.Start(ctx); err != nil {
		t.Fatal(err)
	}
	return b
}

// A fakeNode stands behind the balancer and does to a request what it is told to; it is ready unless it is told otherwise.
type fakeNode struct {
	address  string
	draining atomic.Bool
	probes   atomic.Int64 // of /_ready, since it is draining or not

	mu   sync.Mutex // guards the fields below
	seen []string   // method and raw target of each request but the probes
	do   http.HandlerFunc
}

func newFakeNode(t testing.TB, do http.HandlerFunc) *fakeNode {
	n := &fakeNode{do: do}
	s := httptest.NewServer(n)
	t.Cleanup(s.Close)
	n.address = s.Listener.Addr().String()
	return n
}

func (n *fakeNode) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/_ready" {
		n.probes.Add(1)
		if n.draining.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return
	}
	n.mu.Lock()
	n.seen = append(n.seen, r.Method+" "+r.RequestURI)
	n.mu.Unlock()
	n.do(w, r)
}

func (n *fakeNode) requests() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.seen)
}

func fine(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	fmt.Fprint(w, "fine")
}

// breaks ends the connection after the request was read, without an answer.
func breaks(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	panic(http.ErrAbortHandler)
}

// closedPort is an address that nobody listens on.
func closedPort(t testing.TB) string {
	t.Helper()
	found, err := freePorts(1, []string{Host})
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort(Host, fmt.Sprint(found[0]))
}

func TestCaddyfileIsValidAndFormatted(t *testing.T) {
	for _, env := range [][]string{nil, {"BALANCER_TRACING=on", "BALANCER_ADMIN=localhost:2019", "BALANCER_BIND=127.0.0.1", "BALANCER_NODES=a:1 b:2 c:3"}} {
		for _, args := range [][]string{{"adapt", "--validate", "--config", caddyfile}, {"fmt", "--diff", caddyfile}} {
			cmd := exec.Command(caddy(t), append(args[:1:1], args[1:]...)...)
			cmd.Env = append(append(os.Environ(), "XDG_DATA_HOME="+t.TempDir(), "OTEL_TRACES_EXPORTER=none"), env...)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("caddy %v with %v: %v\n%s", args, env, err, out)
			}
			if args[0] == "fmt" && strings.Contains("\n"+string(out), "\n+") {
				t.Errorf("caddy fmt would change it:\n%s", out)
			}
		}
	}
}
