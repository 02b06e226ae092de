package main

import "testing"

func TestComplete(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\n"
	for _, tc := range []struct {
		name, method, in string
		whole, faulty    bool
	}{
		{"nothing yet", "GET", "", false, false},
		{"half a head", "GET", head[:40], false, false},
		{"half a value", "GET", head + "ab", false, false},
		{"whole", "GET", head + "abc", true, false},
		{"more than one", "GET", head + "abcH", false, true},
		{"the wrong length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, true},
		{"not found", "GET", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", false, true},
		{"chunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false, true},
		{"created", "POST", "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", true, false},
		{"overload", "POST", "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n", false, true},
	} {
		whole, err := complete([]byte(tc.in), tc.method, 3)
		if whole != tc.whole || (err != nil) != tc.faulty {
			t.Errorf("%s: complete = %v, %v; want %v, error: %v", tc.name, whole, err, tc.whole, tc.faulty)
		}
	}
}

func TestCompleteAllocatesNothing(t *testing.T) {
	in := []byte("HTTP/1.1 201 Created\r\nEtag: \"1-1\"\r\nContent-Length: 0\r\n\r\n")
	if n := testing.AllocsPerRun(100, func() { _, _ = complete(in, "POST", 0) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
