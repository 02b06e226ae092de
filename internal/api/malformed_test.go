package api

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

func TestRequestsThatCannotBeReadAreAnsweredLikeAllOthers(t *testing.T) {
	const host = " HTTP/1.1\r\nHost: x\r\n\r\n"
	for _, tc := range []struct {
		name, text string
		status     int
		part       string
	}{
		{"bad escape", "GET /%zz" + host, 400, "a percent sign must be followed by two hexadecimal digits"},
		{"cut escape", "GET /100%" + host, 400, "%25 stands for a percent sign itself"},
		{"bad escape of an upload", "PUT /%zz HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n" + strings.Repeat("x", 300000), 400, "percent"},
		{"a space in the path", "GET /a b" + host, 400, "%20 for a space"},
		{"a control character", "GET /a\x01b" + host, 400, "malformed"},
		{"no path", "GET" + host, 400, "malformed"},
		{"no method", " /k" + host, 400, "malformed"},
		{"a path without a slash", "GET k" + host, 400, "malformed"},
		{"noise", "\x16\x03\x01\x02\r\n\r\n", 400, "malformed"},
		{"no host", "GET /k HTTP/1.1\r\n\r\n", 400, "missing required Host header"},
		{"two hosts", "GET /k HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "header is malformed"},
		{"a bad header", "GET /k HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", 400, "header is malformed"},
		{"a bad header name", "GET /k HTTP/1.1\r\nHost: x\r\na b: c\r\n\r\n", 400, "header"},
		{"a bad length", "PUT /k HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc", 400, "header is malformed"},
		{"two lengths", "PUT /k HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400, "header is malformed"},
		{"a long header", "GET /k HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 32<<10) + "\r\n\r\n", 431, "longer than 16384 bytes"},
		{"a long path", "GET /" + strings.Repeat("x", 32<<10) + host, 431, "longer than 16384 bytes"},
		{"many headers", "GET /k HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X: y\r\n", 5000) + "\r\n", 431, "longer than 16384 bytes"},
		{"unknown transfer encoding", "PUT /k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "transfer encoding"},
		{"unknown version", "GET /k HTTP/3.0\r\nHost: x\r\n\r\n", 505, "HTTP/1.1"},
		{"unknown expectation", "PUT /k HTTP/1.1\r\nHost: x\r\nExpect: a miracle\r\nContent-Length: 5\r\n\r\n", 417, "100-continue"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			j := newJournal()
			addr := start(t, testConfig(&memory{}, j))
			r := raw(t, addr, "GET", tc.text)
			if r.StatusCode != tc.status || !r.Close || r.Header.Get("Date") == "" {
				t.Errorf("%.60q = %d %v, want %d", tc.text, r.StatusCode, r.Header, tc.status)
			}
			expectProblem(t, r, tc.part)
			s := j.last(t, 1)
			if s.Route != RouteMalformed || s.Status != tc.status || s.BytesOut != int64(len(r.body)) || j.started[0] != RouteMalformed {
				t.Errorf("told as %+v", s)
			}
			if len(j.rejected) != 1 || j.rejected[0] != ReasonMalformed {
				t.Errorf("rejected for %v", j.rejected)
			}
		})
	}
}

func TestAValueThatLooksLikeACannedAnswerIsServedAsItIs(t *testing.T) {
	canned := "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request"
	// Whatever part of it a single write to the connection begins with.
	value := strings.Repeat(canned, 3*chunk/len(canned))
	addr := start(t, testConfig(&memory{}, nil))
	do(t, addr, "PUT", "/k", nil, value)
	for offset := range int64(len(canned)) {
		r := do(t, addr, "GET", "/k", headers("Range", fmt.Sprintf("bytes=%d-", offset)), "")
		if r.StatusCode != 206 || r.body != value[offset:] {
			t.Fatalf("GET from byte %d = %d with %d bytes, want %d", offset, r.StatusCode, len(r.body), len(value)-int(offset))
		}
	}
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	addr := start(t, testConfig(&memory{}, newJournal()))
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprint(conn, "PUT /k HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nv"+
		"GET /k HTTP/1.1\r\nHost: x\r\n\r\n"+
		"HEAD /k HTTP/1.1\r\nHost: x\r\n\r\n"+
		"HEAD /_none HTTP/1.1\r\nHost: x\r\n\r\n"+
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n"+
		"DELETE /k HTTP/1.1\r\nHost: x\r\n\r\n"+
		"GET /k HTTP/1.1\r\nHost: x\r\n\r\n"+
		"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n"+
		"GET /never HTTP/1.1\r\nHost: x\r\n\r\n")
	reader := bufio.NewReader(conn)
	for i, want := range []struct {
		method string
		status int
		body   string
	}{
		{"PUT", 201, ""},
		{"GET", 200, "v"},
		{"HEAD", 200, ""},
		{"HEAD", 404, ""},
		{"GET", 400, "*"},
		{"DELETE", 204, ""},
		{"GET", 404, ""},
		{"GET", 400, "*"},
	} {
		r := receive(t, reader, want.method)
		if r.StatusCode != want.status || want.body != "*" && r.body != want.body {
			t.Errorf("response %d is %d %q, want %d %q", i, r.StatusCode, r.body, want.status, want.body)
		}
		if want.body == "*" {
			expectProblem(t, r, "")
		}
	}
	if _, err := reader.ReadByte(); err == nil {
		t.Error("something was answered after a request that could not be read")
	}
}
