package acceptance

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

const (
	hugeValue   = 64 << 20  // bytes: the longest value that is allowed
	hugeClients = 8         // at a time
	memoryBound = 150 << 20 // bytes of resident set; all values together would be 512 MiB

	idleConns     = 500              // connections that send half a request, or nothing
	idlePatience  = 60 * time.Second // within which the daemon has closed all of them
	briskPatience = 5 * time.Second  // for an ordinary request meanwhile
)

func TestMemoryDoesNotGrowWithTheSizeOfValues(t *testing.T) {
	s := newSubject(t, t.TempDir())
	s.start()
	c := newClient(s.Daemon, hugeClients)
	for range 2 { // first created, then replaced
		together(t, hugeClients, func(i int) error { return putHuge(t.Context(), c, i) })
	}
	together(t, hugeClients, func(i int) error { return getHuge(t.Context(), c, i) })
	together(t, hugeClients, func(i int) error { // some write while others read
		if i%2 == 0 {
			return putHuge(t.Context(), c, i)
		}
		return getHuge(t.Context(), c, i)
	})
	now, peak, err := s.Memory()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("resident set: %d MiB at the peak, %d MiB at the end", peak>>20, now>>20)
	if peak > memoryBound {
		t.Errorf("the resident set reached %d MiB, want at most %d", peak>>20, memoryBound>>20)
	}
}

// hugeBytes gives the i-th huge value without holding it.
func hugeBytes(i int) io.Reader {
	return io.LimitReader(rand.NewChaCha8(sha256.Sum256([]byte{byte(i)})), hugeValue)
}

func hugeSum(i int) []byte {
	return sum(sha256.New(), hugeBytes(i))
}

func sum(h hash.Hash, r io.Reader) []byte {
	_, _ = io.Copy(h, r) // a broken stream has another sum
	return h.Sum(nil)
}

func putHuge(ctx context.Context, c client, i int) error {
	got, err := c.do(ctx, http.MethodPut, fmt.Sprintf("huge/%d", i), hugeBytes(i))
	if err != nil {
		return err
	}
	if got.status != http.StatusCreated && got.status != http.StatusOK {
		return fmt.Errorf("put huge value %d: %s", i, got)
	}
	return nil
}

func getHuge(ctx context.Context, c client, i int) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/huge/%d", c.host, i), nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.ContentLength != hugeValue {
		return fmt.Errorf("get huge value %d: %s, %d bytes", i, resp.Status, resp.ContentLength)
	}
	if got, want := sum(sha256.New(), resp.Body), hugeSum(i); string(got) != string(want) {
		return fmt.Errorf("get huge value %d: sha-256 %x, want %x", i, got, want)
	}
	return nil
}

// together does something n times at once and fails the test with what went wrong.
func together(t *testing.T, n int, do func(i int) error) {
	t.Helper()
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = do(i) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func TestIdleConnectionsHoldNobodyUpAndAreClosed(t *testing.T) {
	t.Parallel() // it mostly waits
	s := newSubject(t, t.TempDir())
	s.start()
	c := newClient(s.Daemon, 1)
	before, _, err := s.Memory()
	if err != nil {
		t.Fatal(err)
	}

	beginnings := []string{
		"",
		"GET /a HT",
		"PUT /a HTTP/1.1\r\nHost: x\r\nX-Endless: ",
		"PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf a body",
	}
	conns := make([]net.Conn, idleConns)
	for i := range conns {
		conns[i] = idle(t, s, beginnings[i%len(beginnings)])
	}
	ctx, cancel := context.WithTimeout(t.Context(), briskPatience)
	defer cancel()
	if got, err := c.put(ctx, "k", "v"); err != nil || got.status != http.StatusCreated {
		t.Fatalf("put with %d idle connections: %v %v", idleConns, got, err)
	}
	if got, err := c.get(ctx, "k"); err != nil || string(got.body) != "v" {
		t.Fatalf("get with %d idle connections: %v %v", idleConns, got, err)
	}
	after, _, err := s.Memory()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d idle connections: %d KiB each", idleConns, (after-before)/idleConns>>10)

	deadline := time.Now().Add(idlePatience)
	for i, conn := range conns {
		if err := closedBy(conn, deadline); err != nil {
			t.Fatalf("connection %d, which sent %q: %v", i, beginnings[i%len(beginnings)], err)
		}
	}
}

// idle opens a connection, sends the beginning of a request, and nothing more.
func idle(t *testing.T, s subject, beginning string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", s.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, beginning); err != nil {
		t.Fatal(err)
	}
	return conn
}

// closedBy waits until the other end has closed the connection, after whatever answer it may give.
func closedBy(conn net.Conn, deadline time.Time) error {
	if err := conn.SetReadDeadline(deadline); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, conn)
	if e := net.Error(nil); errors.As(err, &e) && e.Timeout() {
		return errors.New("the daemon keeps it open")
	}
	return nil // closed, or reset
}
