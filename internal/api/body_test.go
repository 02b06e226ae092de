package api

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/estorajed/estorajed/internal/register"
)

func sha256Of(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

func sha512Of(text string) string {
	sum := sha512.Sum512([]byte(text))
	return "sha-512=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

func TestContentDigestIsChecked(t *testing.T) {
	long := strings.Repeat("long", chunk)
	for _, tc := range []struct {
		name, body, digest string
		status             int
		part               string
	}{
		{"sha-256", "v", sha256Of("v"), 201, ""},
		{"sha-512", "v", sha512Of("v"), 201, ""},
		{"long", long, sha256Of(long), 201, ""},
		{"empty", "", sha256Of(""), 201, ""},
		{"both", "v", sha256Of("v") + ", " + sha512Of("v"), 201, ""},
		{"with one unknown", "v", "md5=:AAAA:, " + sha256Of("v"), 201, ""},
		{"another body's", "v", sha256Of("w"), 400, "does not match"},
		{"another long body's", long, sha256Of("w"), 400, "does not match"},
		{"not the empty body's", "", sha256Of("v"), 400, "does not match"},
		{"one of two wrong", "v", sha256Of("v") + ", " + sha512Of("w"), 400, "sha-512"},
		{"unknown only", "v", "md5=:AAAA:", 400, "no algorithm that is known"},
		{"no dictionary", "v", "sha-256=", 400, "malformed"},
		{"no bytes", "v", `sha-256="abc"`, 400, "32 bytes"},
		{"a list", "v", `sha-256=(:AAAA: :AAAA:)`, 400, "32 bytes"},
		{"too short", "v", "sha-256=:AAAA:", 400, "32 bytes"},
		{"no header value", "v", "", 400, "no algorithm"},
	} {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, chunked %v", tc.name, chunked), func(t *testing.T) {
				keys := &memory{}
				addr := start(t, testConfig(keys, newJournal()))
				r := upload(t, addr, tc.body, "Content-Digest: "+tc.digest+"\r\n", chunked)
				if r.StatusCode != tc.status {
					t.Errorf("PUT = %d %s, want %d", r.StatusCode, r.body, tc.status)
				}
				if v, there := keys.get("k"); there != (tc.status == 201) || there && v != tc.body {
					t.Errorf("%d, and the key is there: %v, with %d bytes", r.StatusCode, there, len(v))
				}
				if tc.status == 400 {
					expectProblem(t, r, tc.part)
				}
			})
		}
	}
}

func upload(t *testing.T, addr, body, header string, chunked bool) response {
	t.Helper()
	if !chunked {
		return raw(t, addr, "PUT", fmt.Sprintf("PUT /k HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n%s", header, len(body), body))
	}
	frames := "0\r\n\r\n"
	if body != "" {
		frames = fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	}
	return raw(t, addr, "PUT", "PUT /k HTTP/1.1\r\nHost: x\r\n"+header+"Transfer-Encoding: chunked\r\n\r\n"+frames)
}

func TestAReaderThatStopsAtTheLengthSeesTheMismatch(t *testing.T) {
	b := body{source: strings.NewReader("v"), size: 1}
	var err error
	if b.digests, err = contentDigests(headers("Content-Digest", sha256Of("w"))); err != nil {
		t.Fatal(err)
	}
	if n, err := io.ReadFull(&b, make([]byte, 1)); err == nil {
		t.Errorf("ReadFull = %d, nil for a body that does not match", n)
	}
}

func TestABodyOverTheLimitIsNotStored(t *testing.T) {
	for _, tc := range []struct {
		length, limit int
		chunked       bool
		status        int
	}{
		{10, 10, false, 201},
		{10, 10, true, 201},
		{11, 10, false, 413},
		{11, 10, true, 413},
		{1 << 20, 10, false, 413},
		{1 << 20, 10, true, 413},
	} {
		keys := &memory{}
		c := testConfig(keys, newJournal())
		c.MaxValueSize = int64(tc.limit)
		addr := start(t, c)
		r := upload(t, addr, strings.Repeat("x", tc.length), "", tc.chunked)
		if r.StatusCode != tc.status {
			t.Errorf("%d bytes, limit %d, chunked %v = %d, want %d", tc.length, tc.limit, tc.chunked, r.StatusCode, tc.status)
		}
		if _, there := keys.get("k"); there != (tc.status == 201) {
			t.Errorf("%d bytes, limit %d: stored %v", tc.length, tc.limit, there)
		}
		if tc.status == 413 {
			expectProblem(t, r, "longer than 10 bytes")
		}
	}
}

func TestABodyThatEndsEarlyIsNotStored(t *testing.T) {
	for _, text := range []string{
		"PUT /k HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345",
		"PUT /k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
		"PUT /k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nwhat\r\n",
	} {
		keys, j := &memory{}, newJournal()
		addr := start(t, testConfig(keys, j))
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		r := receive(t, bufio.NewReader(c), "PUT")
		if r.StatusCode != 400 {
			t.Errorf("%q = %d", text, r.StatusCode)
		}
		expectProblem(t, r, "nothing was stored")
		if s := j.last(t, 1); s.Status != 400 {
			t.Errorf("%q is told as %+v", text, s)
		}
		if v, there := keys.get("k"); there {
			t.Errorf("%q stored %q", text, v)
		}
	}
}

func TestAClientThatLeavesIsNoFailure(t *testing.T) {
	entered := make(chan bool)
	keys, j := &memory{}, newJournal()
	keys.beforeRead = func(ctx context.Context) error {
		close(entered)
		<-ctx.Done()
		return ctx.Err()
	}
	addr := start(t, testConfig(keys, j))
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(c, "GET /k HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	c.Close()
	if s := j.last(t, 1); s.Status != StatusClientGone || len(j.failed) > 0 {
		t.Errorf("told as %+v, failures %v", s, j.failed)
	}
}

func Test100ContinueIsSentOnlyIfTheBodyIsWanted(t *testing.T) {
	full := func(int64) error { return register.ErrFull }
	for _, tc := range []struct {
		name, path, header string
		length             int
		writable           func(int64) error
		status             int // of the final response; 100 comes first only if it is a success
	}{
		{"wanted", "/new", "", 5, nil, 201},
		{"condition holds", "/new", "If-None-Match: *\r\n", 5, nil, 201},
		{"condition does not hold", "/there", "If-None-Match: *\r\n", 5, nil, 412},
		{"condition is malformed", "/new", "If-Match: x\r\n", 5, nil, 400},
		{"reserved", "/_x", "", 5, nil, 400},
		{"empty key", "/", "", 5, nil, 400},
		{"too long", "/new", "", 101, nil, 413},
		{"full disk", "/new", "", 5, full, 507},
		{"failed disk", "/new", "", 5, func(int64) error { return register.ErrFailed }, 503},
		{"bad digest header", "/new", "Content-Digest: x=1\r\n", 5, nil, 400},
		{"a part", "/new", "Content-Range: bytes 0-4/10\r\n", 5, nil, 400},
		{"bad query", "/new?consistency=no", "", 5, nil, 400},
	} {
		t.Run(tc.name, func(t *testing.T) {
			keys := &memory{}
			c := testConfig(keys, newJournal())
			c.MaxValueSize, c.Writable = 100, nil
			addr := start(t, c)
			do(t, addr, "PUT", "/there", nil, "old")
			c.Writable = tc.writable
			addr = start(t, c)

			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: x\r\n%sExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", tc.path, tc.header, tc.length)
			reader := bufio.NewReader(conn)
			r := receive(t, reader, "PUT")
			if tc.status != 201 {
				if r.StatusCode != tc.status || !r.Close {
					t.Errorf("the first response is %d %s (close %v), want %d", r.StatusCode, r.body, r.Close, tc.status)
				}
				expectProblem(t, r, "")
				return
			}
			if r.StatusCode != 100 {
				t.Fatalf("the first response is %d %s, want 100", r.StatusCode, r.body)
			}
			fmt.Fprint(conn, strings.Repeat("v", tc.length))
			if r := receive(t, reader, "PUT"); r.StatusCode != 201 {
				t.Errorf("the second response is %d %s, want 201", r.StatusCode, r.body)
			}
		})
	}
}

func TestAFullDiskTakesDeletesAndGivesValues(t *testing.T) {
	keys := &memory{}
	c := testConfig(keys, nil)
	call(handler(t, c), "PUT", "/k", nil, strings.NewReader("v"))
	c.Writable = func(int64) error { return register.ErrFull }
	s := handler(t, c)
	for _, tc := range []struct {
		method string
		status int
	}{{"PUT", 507}, {"GET", 200}, {"HEAD", 200}, {"DELETE", 204}} {
		if r := call(s, tc.method, "/k", nil, bytes.NewReader([]byte("w"))); r.Code != tc.status {
			t.Errorf("%s on a full disk = %d, want %d", tc.method, r.Code, tc.status)
		}
	}
}
