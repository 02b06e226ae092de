package main

import (
	"bytes"
	"fmt"
	"strconv"
)

// complete tells whether in is one whole HTTP/1.1 response with a Content-Length. A GET must get 200 and that many bytes, a
// POST 200 or 201; anything else is an error. It allocates nothing unless it gives one.
func complete(in []byte, method string, value int) (bool, error) {
	head := bytes.Index(in, []byte("\r\n\r\n"))
	if head < 0 {
		if len(in) == responseMax {
			return false, fmt.Errorf("%d bytes are no response", len(in))
		}
		return false, nil
	}
	const status = len("HTTP/1.1 ")
	if head < status+3 || in[status] != '2' {
		return false, fmt.Errorf("%s: %.500q", method, in)
	}
	length, ok := contentLength(in[:head+2])
	if !ok {
		return false, fmt.Errorf("%s: no Content-Length in %q", method, in[:head])
	}
	if method == "GET" && length != value {
		return false, fmt.Errorf("GET: a value of %d bytes, want %d", length, value)
	}
	all := head + len("\r\n\r\n") + length
	if len(in) > all {
		return false, fmt.Errorf("%s: %d bytes after the response", method, len(in)-all)
	}
	return len(in) == all, nil
}

// contentLength finds the header in lines that all end in CRLF. Both servers here write its name in this form.
func contentLength(head []byte) (int, bool) {
	const name = "\r\nContent-Length: "
	_, after, ok := bytes.Cut(head, []byte(name))
	if !ok {
		return 0, false
	}
	rest := after
	digits, _, _ := bytes.Cut(rest, []byte("\r\n"))
	n, err := strconv.Atoi(string(digits))
	return n, err == nil && n >= 0
}
