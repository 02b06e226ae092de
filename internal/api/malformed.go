package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// malformed is the response to a request that net/http could not read. canned is what net/http would say: its first line has
// the status, and sometimes, after a colon, what is wrong.
func (s *Server) malformed(client net.Addr, canned []byte) []byte {
	began := time.Now()
	status, detail, ok := cannedStatus(canned)
	if !ok {
		return canned
	}
	r := &http.Request{URL: &url.URL{}, Header: http.Header{}}
	if client != nil {
		r.RemoteAddr = client.String()
	}
	ctx := s.config.Events.started(context.Background(), r, RouteMalformed)
	var parent, traceID string
	if s.config.Trace != nil {
		parent, traceID = s.config.Trace(ctx)
	}
	s.config.Events.rejected(ctx, ReasonMalformed)
	// Two strings cannot fail to be encoded.
	body, _ := json.Marshal(problem{Error: s.malformedText(status, detail), TraceID: traceID})
	response := malformedResponse(status, parent, append(body, '\n'))
	s.config.Events.finished(ctx, Summary{
		Route: RouteMalformed, Method: MethodOther, Status: status, BytesOut: int64(len(body) + 1), Elapsed: time.Since(began),
	})
	return response
}

// cannedStatus reads "HTTP/1.1 400 Bad Request: missing required Host header\r\n...".
func cannedStatus(canned []byte) (status int, detail string, ok bool) {
	line, _, ok := bytes.Cut(canned, []byte("\r\n"))
	if !ok || !bytes.HasPrefix(line, []byte("HTTP/1.")) {
		return 0, "", false
	}
	_, rest, _ := bytes.Cut(line, []byte(" "))
	code, text, _ := bytes.Cut(rest, []byte(" "))
	status, err := strconv.Atoi(string(code))
	if err != nil || status < 400 || status > 599 {
		return 0, "", false
	}
	_, detail, _ = strings.Cut(string(text), ": ")
	return status, detail, true
}

func (s *Server) malformedText(status int, detail string) string {
	const nothing = "; nothing was done"
	switch status {
	case http.StatusBadRequest:
		text := "the request line or a header is malformed"
		if detail != "" {
			text = "malformed request: " + detail
		}
		return text + "; in a path, a percent sign must be followed by two hexadecimal digits" +
			" (%25 stands for a percent sign itself, %20 for a space)" + nothing
	case http.StatusRequestHeaderFieldsTooLarge:
		return fmt.Sprintf("request line and headers are longer than %d bytes, the most that is taken", s.limits.HeaderBytes) + nothing
	case http.StatusNotImplemented:
		return "the transfer encoding is not known: send the body chunked, or with its Content-Length" + nothing
	case http.StatusExpectationFailed:
		return "the expectation is not known: the only one is 100-continue" + nothing
	case http.StatusHTTPVersionNotSupported:
		return "the protocol version is not known: use HTTP/1.1" + nothing
	}
	return strings.ToLower(http.StatusText(status)) + nothing
}

func malformedResponse(status int, traceparent string, body []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	fmt.Fprintf(&b, "Date: %s\r\n", time.Now().UTC().Format(http.TimeFormat))
	fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n", len(body))
	if traceparent != "" {
		fmt.Fprintf(&b, "Traceresponse: %s\r\nServer-Timing: %s\r\n", traceparent, serverTiming(traceparent))
	}
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}
