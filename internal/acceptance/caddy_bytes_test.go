package acceptance

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestBalancerPassesEveryKeyOnAsItIs(t *testing.T) {
	n := newFakeNode(t, fine)
	b := balance(t, []string{n.address})
	for _, target := range []string{
		"/a%2Fb//c/../d", "/a//b", "//a", "/a/", "/.", "/..", "/../a", "/a/./b/", "/%00%01%ff", "/a+b%20c", "/%2e%2e/x",
		"/x/../_ready", "/x/../metrics", "//_ready", "/METRICS", "/metrics/", "/metrics%0A", "/%41", "/k?consistency=eventual", "/k?a=1;b=2",
		"/" + strings.Repeat("%2f", 1024), "/%7Bhttp.request.host%7D",
	} {
		rawRequest(t, b.Address(), "GET "+target+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		n.mu.Lock()
		if len(n.seen) != 1 || n.seen[0] != "GET "+target {
			t.Errorf("GET %.80s reaches the node as %.80q", target, n.seen)
		}
		n.seen = nil
		n.mu.Unlock()
	}
}

// rawRequest sends a request byte by byte as it is and gives all that comes back.
func rawRequest(t testing.TB, address, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(requestPatience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

func TestBalancerKeepsTheInnerEndpointsInside(t *testing.T) {
	n := newFakeNode(t, fine)
	b := balance(t, []string{n.address})
	for _, path := range []string{
		"/metrics", "/%6detrics", "/_ready", "/%5fready", "/_cluster_status", "/_nodes_discovery", "/_nodes_discovery_plain", "/_nodes/key",
		"/_nodes/delete/node_1", "/_anything", "/_", "/_/../a", "/_ready?x=1",
	} {
		for method, want := range map[string]int{"GET": 404, "HEAD": 404, "DELETE": 404, "OPTIONS": 404, "PUT": 400, "POST": 400} {
			said := rawRequest(t, b.Address(), method+" "+path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(said)), &http.Request{Method: method})
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			var problem struct{ Error string }
			if method != "HEAD" && (json.Unmarshal(body, &problem) != nil || problem.Error == "") {
				t.Errorf("%s %s: the body is %q, want JSON with an error", method, path, body)
			}
			if resp.StatusCode != want || resp.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s %s: %s of type %s, want %d", method, path, resp.Status, resp.Header.Get("Content-Type"), want)
			}
		}
	}
	if n.requests() != 0 {
		t.Errorf("the node saw %v", n.seen)
	}
}

func TestBalancerLeavesBodiesAlone(t *testing.T) {
	const notGzip = "this only says that it is gzip"
	n := newFakeNode(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("ETag", `"1-1"`)
		w.Header().Set("Accepted", r.Header.Get("Accept-Encoding"))
		fmt.Fprint(w, notGzip)
	})
	c := newClient(balance(t, []string{n.address}), 1)
	got := mustAnswer(t, http.StatusOK)(c.get(t.Context(), "key"))
	if string(got.body) != notGzip || got.header.Get("Content-Encoding") != "gzip" || got.etag() != `"1-1"` || got.header.Get("Accepted") != "" {
		t.Errorf("got %q with %v", got.body, got.header)
	}
}

func TestBalancerStreamsBothWays(t *testing.T) {
	arrived, seen := make(chan string), make(chan struct{})
	n := newFakeNode(t, func(w http.ResponseWriter, r *http.Request) {
		part := make([]byte, 4)
		for {
			if _, err := io.ReadFull(r.Body, part); err != nil {
				break
			}
			select {
			case arrived <- string(part):
			case <-r.Context().Done():
				return
			}
		}
		w.WriteHeader(http.StatusOK)
		fmt.Fprint(w, strings.Repeat("x", 64<<10))
		_ = http.NewResponseController(w).Flush()
		<-seen // by the client, what was sent so far
	})
	defer close(seen)
	b := balance(t, []string{n.address})
	body, writer := io.Pipe()
	ctx, cancel := context.WithTimeout(t.Context(), requestPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://"+b.Address()+"/key", body)
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() {
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			defer resp.Body.Close()
			_, err = io.ReadFull(resp.Body, make([]byte, 64<<10))
		}
		answered <- err
	}()
	for _, part := range []string{"one.", "two.", "end."} {
		if _, err := io.WriteString(writer, part); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-arrived:
			if got != part {
				t.Errorf("%q arrived, want %q", got, part)
			}
		case <-ctx.Done():
			t.Fatalf("%q does not arrive before the body ends", part)
		}
	}
	writer.Close()
	if err := <-answered; err != nil {
		t.Errorf("the beginning of a response: %v", err)
	}
}

func TestBalancerPassesOnWhatIsRefusedByItsHeadersAlone(t *testing.T) {
	n := newFakeNode(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-Match") != "" {
			w.WriteHeader(http.StatusPreconditionFailed)
			return
		}
		fine(w, r)
	})
	b := balance(t, []string{n.address})
	began := time.Now()
	said := rawRequest(t, b.Address(), "PUT /key HTTP/1.1\r\nHost: x\r\nIf-Match: \"1-1\"\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n")
	if !strings.HasPrefix(said, "HTTP/1.1 412 ") || time.Since(began) > time.Second {
		t.Errorf("got %q after %v, want 412 at once", said, time.Since(began))
	}
	said = rawRequest(t, b.Address(), "PUT /key HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\nbody")
	if !strings.HasPrefix(said, "HTTP/1.1 100 ") || !strings.Contains(said, "HTTP/1.1 200 ") {
		t.Errorf("got %q, want 100, then 200", said)
	}
}

func TestBalancerAndTraces(t *testing.T) {
	t.Parallel() // it mostly waits
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	sink := newSink(t)
	for _, tc := range []struct {
		name string
		env  []string
		same bool // the node gets the client's traceparent
	}{
		{"without a span of its own", nil, true},
		{"with one", []string{"BALANCER_TRACING=on", "OTEL_EXPORTER_OTLP_ENDPOINT=" + sink.url, "OTEL_BSP_SCHEDULE_DELAY=100"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := newFakeNode(t, func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Got", r.Header.Get("Traceparent")) })
			c := newClient(balance(t, []string{n.address}, tc.env...), 1)
			got := mustAnswer(t, http.StatusOK)(c.do(t.Context(), http.MethodGet, "key", nil, "Traceparent", parent)).header.Get("Got")
			if same := got == parent; same != tc.same || !strings.HasPrefix(got, parent[:35]) {
				t.Errorf("the node got the traceparent %q", got)
			}
			if tc.same {
				return
			}
			eventually(t, exportPatience, func() error {
				spans := sink.trace(parent[3:35])
				if len(spans) != 1 || !strings.Contains(spans.String(), "balance") {
					return fmt.Errorf("the collector has %d spans: %s", len(spans), spans)
				}
				return nil
			})
		})
	}
}
