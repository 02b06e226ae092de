package api

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"testing"
	"time"
)

func TestMemoryDoesNotGrowWithTheValue(t *testing.T) {
	const length, budget = 64 << 20, 4 << 20
	addr := start(t, testConfig(newInstant(length), nil))
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	reader := bufio.NewReader(c)
	piece := make([]byte, 1<<20)

	before := allocated()
	fmt.Fprintf(c, "PUT /k HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", length)
	for range length / len(piece) {
		if _, err := c.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	if r := receive(t, reader, "PUT"); r.StatusCode != 200 {
		t.Errorf("PUT = %d %s", r.StatusCode, r.body)
	}
	fmt.Fprint(c, "GET /k HTTP/1.1\r\nHost: x\r\n\r\n")
	r, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r.Body, piece); n != length || err != nil {
		t.Errorf("GET gave %d bytes, %v; want %d", n, err, length)
	}
	if used := allocated() - before; used > budget {
		t.Errorf("a PUT and a GET of %d bytes allocated %d, want at most %d", length, used, budget)
	}
}

// allocated is what the process has allocated in all, freed or not.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
