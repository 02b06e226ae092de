package api

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener in memory: what dial returns has no buffers, and its deadlines follow a synctest bubble's clock.
type pipes struct {
	waiting chan net.Conn
	closed  chan struct{}
	clients sync.WaitGroup // goroutines that write what is refused sooner or later
}

func newPipes() *pipes { return &pipes{waiting: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.waiting:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }

func (p *pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	p.waiting <- theirs
	return ours
}

// inBubble runs f with a server of default limits in virtual time.
func inBubble(t *testing.T, c Config, f func(t *testing.T, p *pipes)) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error)
		go func() { served <- handler(t, c).Serve(ctx, p) }()
		f(t, p)
		p.clients.Wait()
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// lasts checks when the server ends the connection.
func lasts(t *testing.T, c net.Conn, began time.Time, atLeast, atMost time.Duration) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(time.Hour))
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Errorf("the connection is still open: %v", err)
	}
	if d := time.Since(began); d < atLeast || d > atMost {
		t.Errorf("the connection lasted %v, want %v to %v", d, atLeast, atMost)
	}
	c.Close()
}

// drip writes one byte of text each period until it is refused or all is written.
func drip(c net.Conn, text string, period time.Duration) {
	for i := range len(text) {
		if _, err := io.WriteString(c, text[i:i+1]); err != nil {
			return
		}
		<-time.After(period)
	}
}

func TestHeadersThatNeverEndAreCutOff(t *testing.T) {
	inBubble(t, testConfig(&memory{}, nil), func(t *testing.T, p *pipes) {
		began := time.Now()
		silent, slow := p.dial(), p.dial()
		p.clients.Go(func() { drip(slow, "GET /k HTTP/1.1\r\nX: "+strings.Repeat("x", 1000), time.Second) })
		lasts(t, silent, began, headerTimeout, headerTimeout)
		lasts(t, slow, began, headerTimeout, headerTimeout+2*time.Second)
	})
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	inBubble(t, testConfig(&memory{}, nil), func(t *testing.T, p *pipes) {
		c := p.dial()
		fmt.Fprint(c, "GET /k HTTP/1.1\r\nHost: x\r\n\r\n")
		if r := receive(t, bufio.NewReader(c), "GET"); r.StatusCode != 404 {
			t.Errorf("GET = %d", r.StatusCode)
		}
		lasts(t, c, time.Now(), idleTimeout, idleTimeout)
	})
}

func TestABodyThatStallsIsRefused(t *testing.T) {
	const length = 4 * chunk
	for _, tc := range []struct {
		name    string
		first   int           // bytes that come at once
		period  time.Duration // of the further bytes
		atLeast time.Duration
	}{
		{"at once", 0, time.Hour, stallTimeout},
		{"in the middle", 2*chunk + 1, time.Hour, stallTimeout},
		{"by drips", 0, 100 * time.Millisecond, stallTimeout},
	} {
		t.Run(tc.name, func(t *testing.T) {
			keys, j := &memory{}, newJournal()
			inBubble(t, testConfig(keys, j), func(t *testing.T, p *pipes) {
				c := p.dial()
				began := time.Now()
				p.clients.Go(func() {
					fmt.Fprintf(c, "PUT /k HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", length, strings.Repeat("x", tc.first))
					drip(c, strings.Repeat("x", length-tc.first), tc.period)
				})
				reader := bufio.NewReader(c)
				r := receive(t, reader, "PUT")
				if r.StatusCode != 408 || !r.Close {
					t.Errorf("PUT = %d %s", r.StatusCode, r.body)
				}
				expectProblem(t, r, "too slowly; nothing was stored")
				if d := time.Since(began); d < tc.atLeast || d > tc.atLeast+time.Second {
					t.Errorf("it took %v to refuse, want %v", d, tc.atLeast)
				}
				lasts(t, c, began, tc.atLeast, tc.atLeast+time.Second)
				if _, there := keys.get("k"); there {
					t.Error("it was stored")
				}
			})
		})
	}
}

func TestASlowButSteadyBodyIsTaken(t *testing.T) {
	keys := &memory{}
	inBubble(t, testConfig(keys, nil), func(t *testing.T, p *pipes) {
		c := p.dial()
		p.clients.Go(func() {
			fmt.Fprintf(c, "PUT /k HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", 20*chunk)
			for range 40 {
				fmt.Fprint(c, strings.Repeat("x", chunk/2))
				<-time.After(4 * time.Second)
			}
		})
		if r := receive(t, bufio.NewReader(c), "PUT"); r.StatusCode != 201 {
			t.Errorf("PUT = %d %s", r.StatusCode, r.body)
		}
		c.Close()
	})
}

func TestASlowStoreIsNotTheClientsFault(t *testing.T) {
	keys := &memory{beforeWrite: func(context.Context) error {
		<-time.After(2 * stallTimeout)
		return nil
	}}
	inBubble(t, testConfig(keys, nil), func(t *testing.T, p *pipes) {
		c := p.dial()
		fmt.Fprint(c, "PUT /k HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nv")
		if r := receive(t, bufio.NewReader(c), "PUT"); r.StatusCode != 201 {
			t.Errorf("PUT = %d %s", r.StatusCode, r.body)
		}
		c.Close()
	})
}

func TestAnUnwantedBodyIsNotWaitedForLong(t *testing.T) {
	for _, request := range []string{
		"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n",
		"GET /k HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n",
		"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
		"PUT /k HTTP/1.1\r\nHost: x\r\nExpect: a miracle\r\nContent-Length: 1000\r\n\r\n",
		"PUT /%zz HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n",
	} {
		inBubble(t, testConfig(&memory{}, nil), func(t *testing.T, p *pipes) {
			c := p.dial()
			began := time.Now()
			fmt.Fprint(c, request)
			lasts(t, c, began, 0, stallTimeout+time.Second)
		})
	}
}

func TestAClientThatDoesNotReadIsCutOff(t *testing.T) {
	keys, j := &memory{}, newJournal()
	call(handler(t, testConfig(keys, nil)), "PUT", "/k", nil, strings.NewReader(strings.Repeat("x", 10*chunk)))
	inBubble(t, testConfig(keys, j), func(t *testing.T, p *pipes) {
		c := p.dial()
		began := time.Now()
		fmt.Fprint(c, "GET /k HTTP/1.1\r\nHost: x\r\n\r\n")
		// Two chunks are taken, and then nothing.
		if _, err := io.ReadFull(c, make([]byte, 2*chunk)); err != nil {
			t.Fatal(err)
		}
		<-time.After(stallTimeout + time.Second)
		lasts(t, c, began, stallTimeout, stallTimeout+time.Second)
		if s := j.last(t, 1); s.Status != StatusClientGone || len(j.failed) > 0 {
			t.Errorf("told as %+v, failures %v", s, j.failed)
		}
	})
}

func TestASlowReaderIsServed(t *testing.T) {
	keys := &memory{}
	value := strings.Repeat("x", 10*chunk)
	call(handler(t, testConfig(keys, nil)), "PUT", "/k", nil, strings.NewReader(value))
	inBubble(t, testConfig(keys, nil), func(t *testing.T, p *pipes) {
		c := p.dial()
		fmt.Fprint(c, "GET /k HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		got := 0
		for buffer := make([]byte, chunk/2); ; <-time.After(stallTimeout * 2 / 5) {
			n, err := c.Read(buffer)
			got += n
			if err != nil {
				break
			}
		}
		if got < len(value) {
			t.Errorf("%d bytes came of a value of %d", got, len(value))
		}
		c.Close()
	})
}

func TestConnectionsOverTheLimitWait(t *testing.T) {
	c := testConfig(&memory{}, nil)
	c.Limits.Connections = 2
	addr := start(t, c)
	ask := func(conn net.Conn, patience time.Duration) error {
		_ = conn.SetDeadline(time.Now().Add(patience))
		if _, err := fmt.Fprint(conn, "GET /k HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return err
		}
		_, err := conn.Read(make([]byte, 1024))
		return err
	}
	var open []net.Conn
	for range 3 {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		open = append(open, conn)
	}
	for _, conn := range open[:2] {
		if err := ask(conn, 10*time.Second); err != nil {
			t.Errorf("a connection within the limit: %v", err)
		}
	}
	if err := ask(open[2], 100*time.Millisecond); !os.IsTimeout(err) {
		t.Errorf("the connection over the limit: %v, want a timeout", err)
	}
	open[0].Close()
	_ = open[2].SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := open[2].Read(make([]byte, 1024)); err != nil {
		t.Errorf("the connection over the limit, when another has closed: %v", err)
	}
}

func TestStoppingLetsRequestsFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		entered, release := make(chan bool), make(chan bool)
		c := testConfig(&memory{beforeRead: func(ctx context.Context) error {
			close(entered)
			<-release
			return ctx.Err()
		}}, nil)
		p := newPipes()
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- handler(t, c).Serve(ctx, p) }()
		client := p.dial()
		fmt.Fprint(client, "GET /k HTTP/1.1\r\nHost: x\r\n\r\n")
		<-entered
		cancel()
		<-time.After(stopTimeout / 2)
		close(release)
		if r := receive(t, bufio.NewReader(client), "GET"); r.StatusCode != 404 {
			t.Errorf("the request that was under way = %d", r.StatusCode)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

func TestStoppingDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		entered := make(chan bool)
		c := testConfig(&memory{beforeRead: func(ctx context.Context) error {
			close(entered)
			<-ctx.Done()
			return ctx.Err()
		}}, nil)
		p := newPipes()
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- handler(t, c).Serve(ctx, p) }()
		client := p.dial()
		fmt.Fprint(client, "GET /k HTTP/1.1\r\nHost: x\r\n\r\n")
		<-entered
		cancel()
		began := time.Now()
		if err := <-served; err == nil || !strings.Contains(err.Error(), "cut off") {
			t.Errorf("Serve: %v", err)
		}
		if d := time.Since(began); d < stopTimeout || d > stopTimeout+time.Second {
			t.Errorf("it took %v, want %v", d, stopTimeout)
		}
		client.Close()
	})
}

func TestAListenerThatFailsIsAnError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := handler(t, testConfig(&memory{}, nil)).Serve(t.Context(), l); err == nil {
		t.Error("Serve on a closed listener: nil")
	}
}
