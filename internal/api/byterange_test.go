package api

import (
	"math"
	"net/http"
	"strings"
	"testing"
)

func TestRangesAreReadAsTheRFCSays(t *testing.T) {
	for _, tc := range []struct {
		text   string
		length int64
		want   string // the bytes' numbers, "all" if the header is passed over, "none" for 416
	}{
		{"bytes=0-0", 10, "bytes 0-0/10"},
		{"bytes=2-5", 10, "bytes 2-5/10"},
		{"bytes=2-", 10, "bytes 2-9/10"},
		{"bytes=2-99", 10, "bytes 2-9/10"},
		{"bytes=9-", 10, "bytes 9-9/10"},
		{"bytes=10-", 10, "none"},
		{"bytes=0-", 0, "none"},
		{"bytes=-3", 10, "bytes 7-9/10"},
		{"bytes=-99", 10, "bytes 0-9/10"},
		{"bytes=-0", 10, "none"},
		{"bytes=-3", 0, "none"},
		{"Bytes= 2-5 ", 10, "bytes 2-5/10"},
		{"bytes=99999999999999999999-", 10, "none"},
		{"bytes=0-99999999999999999999", 10, "bytes 0-9/10"},
		{"bytes=-99999999999999999999", 10, "bytes 0-9/10"},
		{"bytes=0-1,3-4", 10, "all"},
		{"bytes=5-2", 10, "all"},
		{"bytes=-", 10, "all"},
		{"bytes=", 10, "all"},
		{"bytes", 10, "all"},
		{"bytes=a-b", 10, "all"},
		{"bytes=+1-2", 10, "all"},
		{"bytes=1 -2", 10, "all"},
		{"bytes=--1", 10, "all"},
		{"items=0-1", 10, "all"},
		{"", 10, "all"},
	} {
		got := "all"
		if r, ok := parseRange(tc.text); ok {
			got = "none"
			if part, ok := r.of(tc.length); ok {
				got = part.content(tc.length)
			}
		}
		if got != tc.want {
			t.Errorf("%q of %d bytes is %s, want %s", tc.text, tc.length, got, tc.want)
		}
	}
}

func FuzzRange(f *testing.F) {
	for _, seed := range []string{"bytes=0-0", "bytes=-1", "bytes=5-", "bytes=9223372036854775807-9223372036854775808", "bytes=-", "=", "-"} {
		f.Add(seed, int64(10))
		f.Add(seed, int64(math.MaxInt64))
	}
	f.Fuzz(func(t *testing.T, text string, length int64) {
		r, ok := parseRange(text)
		if !ok || length < 0 {
			return
		}
		if part, ok := r.of(length); ok && (part.start < 0 || part.length <= 0 || part.start > length-part.length) {
			t.Fatalf("%q of %d bytes is %+v", text, length, part)
		}
	})
}

func TestRangesAreServed(t *testing.T) {
	s := handler(t, testConfig(&memory{}, newJournal()))
	value := strings.Repeat("0123456789", chunk/5)
	call(s, "PUT", "/k", nil, strings.NewReader(value))
	for _, tc := range []struct {
		name   string
		method string
		header http.Header
		status int
		want   string
	}{
		{"a part", "GET", headers("Range", "bytes=3-5"), 206, "345"},
		{"the end", "GET", headers("Range", "bytes=-4"), 206, "6789"},
		{"more than a chunk", "GET", headers("Range", "bytes=5-"), 206, value[5:]},
		{"outside", "GET", headers("Range", "bytes=9999999-"), 416, ""},
		{"several", "GET", headers("Range", "bytes=0-1,4-5"), 200, value},
		{"two headers", "GET", headers("Range", "bytes=0-1", "Range", "bytes=4-5"), 200, value},
		{"HEAD knows no ranges", "HEAD", headers("Range", "bytes=3-5"), 200, ""},
		{"If-Range holds", "GET", headers("Range", "bytes=3-5", "If-Range", `"1-1"`), 206, "345"},
		{"If-Range is another version", "GET", headers("Range", "bytes=3-5", "If-Range", `"2-1"`), 200, value},
		{"If-Range is weak", "GET", headers("Range", "bytes=3-5", "If-Range", `W/"1-1"`), 200, value},
		{"If-Range is a date", "GET", headers("Range", "bytes=3-5", "If-Range", "Sat, 29 Oct 1994 19:43:31 GMT"), 200, value},
		{"If-None-Match comes first", "GET", headers("Range", "bytes=3-5", "If-None-Match", `"1-1"`), 304, ""},
		{"If-Match comes first", "GET", headers("Range", "bytes=3-5", "If-Match", `"2-1"`), 412, ""},
	} {
		r := call(s, tc.method, "/k", tc.header, nil)
		if r.Code != tc.status || r.Code < 300 && r.Body.String() != tc.want {
			t.Errorf("%s: %d with %d bytes %.20q, want %d with %d", tc.name, r.Code, r.Body.Len(), r.Body, tc.status, len(tc.want))
		}
		if got := r.Header().Get("Content-Range"); (r.Code == 206 || r.Code == 416) != (got != "") {
			t.Errorf("%s: %d with Content-Range %q", tc.name, r.Code, got)
		}
	}
	if r := call(s, "GET", "/k", headers("Range", "bytes=3-5"), nil); r.Header().Get("Content-Length") != "3" || r.Header().Get("ETag") != `"1-1"` {
		t.Errorf("206 has the headers %v", r.Header())
	}
}
