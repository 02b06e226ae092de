package api

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
)

func TestEveryPathIsItsOwnKey(t *testing.T) {
	zoo := map[string]key.Key{
		"/a": "a", "/a/": "a/", "/a//b": "a//b", "/a/b": "a/b", "//x": "/x", "///": "//", "/..": "..", "/../..": "../..",
		"/a/../b": "a/../b", "/b": "b", "/.": ".", "/./a": "./a", "/A": "A", "/%00": "\x00", "/a%00b": "a\x00b", "/%20": " ",
		"/a%20b": "a b", "/a+b": "a+b", "/%25": "%", "/%2525": "%25", "/%252F": "%2F", "/%c3%a9": "é", "/%ff%fe": "\xff\xfe",
		"/%3F": "?", "/a%3Fb=c": "a?b=c", "/%23": "#", "/~'()*!$&,;=:@": "~'()*!$&,;=:@", "/metrics/": "metrics/",
		"/metrics/x": "metrics/x", "/Metrics": "Metrics", "/a_": "a_", "/a/_b": "a/_b", "/%2F_health": "/_health",
		"/" + strings.Repeat("x", key.Max): key.Key(strings.Repeat("x", key.Max)),
		"/" + strings.Repeat("%ff", 1024):  key.Key(strings.Repeat("\xff", 1024)),
		"/%0d%0aX:%20y":                    "\r\nX: y", "/*": "*", "/http://x/y": "http://x/y", "/ü": "ü", `/"<>{}|`: `"<>{}|`,
	}
	keys := &memory{}
	addr := start(t, testConfig(keys, nil))
	for path, k := range zoo {
		if r := do(t, addr, "PUT", path, nil, "value of "+string(k)); r.StatusCode != 201 || r.body != "" {
			t.Errorf("PUT %s = %d %q, want 201", path, r.StatusCode, r.body)
		}
	}
	for path, k := range zoo {
		if v, _ := keys.get(k); v != "value of "+string(k) {
			t.Errorf("key %q holds %q after PUT %s", k, v, path)
		}
		if r := do(t, addr, "GET", path, nil, ""); r.StatusCode != 200 || r.body != "value of "+string(k) {
			t.Errorf("GET %s = %d %q", path, r.StatusCode, r.body)
		}
	}
	if len(keys.values) != len(zoo) {
		t.Errorf("%d keys, want %d", len(keys.values), len(zoo))
	}
	for path, same := range map[string]key.Key{"/a%2Fb": "a/b", "/%61": "a", "/é": "é", "/%2e%2E": "..", "http://elsewhere/a": "a", "/b?x": "b"} {
		if r := do(t, addr, "GET", path, nil, ""); r.body != "value of "+string(same) {
			t.Errorf("GET %s = %d %q, want the value of %q", path, r.StatusCode, r.body, same)
		}
	}
}

func TestMethodsOnKeys(t *testing.T) {
	s := handler(t, testConfig(&memory{}, newJournal()))
	etag := ""
	for _, tc := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/k", "", 404, ""},
		{"HEAD", "/k", "", 404, ""},
		{"DELETE", "/k", "", 204, ""},
		{"POST", "/k", "one", 201, ""},
		{"GET", "/k", "", 200, "one"},
		{"PUT", "/k", "two", 200, ""},
		{"GET", "/k", "", 200, "two"},
		{"HEAD", "/k", "", 200, ""},
		{"PUT", "/empty", "", 201, ""},
		{"GET", "/empty", "", 200, ""},
		{"DELETE", "/k", "", 204, ""},
		{"GET", "/k", "", 404, ""},
		{"PUT", "/k", "three", 201, ""},
	} {
		r := call(s, tc.method, tc.path, nil, strings.NewReader(tc.body))
		if r.Code != tc.status || r.Body.String() != tc.want {
			t.Fatalf("%s %s = %d %q, want %d %q", tc.method, tc.path, r.Code, r.Body, tc.status, tc.want)
		}
		if got := r.Header().Get("Traceresponse"); got != testParent {
			t.Errorf("%s %s: traceresponse %q", tc.method, tc.path, got)
		}
		switch {
		case r.Code == 201 || tc.method == "PUT":
			if e := r.Header().Get("ETag"); e == etag || len(e) < 5 || e[0] != '"' {
				t.Errorf("%s %s: ETag %s after %s", tc.method, tc.path, e, etag)
			}
			etag = r.Header().Get("ETag")
		case r.Code == 200:
			h := r.Header()
			if h.Get("ETag") != etag || h.Get("Content-Type") != octets || h.Get("Accept-Ranges") != "bytes" || h.Get("Content-Length") == "" {
				t.Errorf("%s %s: headers %v, want ETag %s", tc.method, tc.path, h, etag)
			}
		}
	}
}

func TestUnknownMethodsAreToldWhichAreKnown(t *testing.T) {
	addr := start(t, testConfig(&memory{}, newJournal()))
	for _, tc := range []struct{ method, target, allow string }{
		{"PATCH", "/k", keyMethods},
		{"OPTIONS", "/k", keyMethods},
		{"OPTIONS", "*", keyMethods},
		{"TRACE", "/k", keyMethods},
		{"CONNECT", "host:80", keyMethods},
		{"CONNECT", "/k", keyMethods},
		{"BREW", "/k", keyMethods},
		{"get", "/k", keyMethods},
		{"PATCH", "/", keyMethods},
		{"PATCH", "/_health", endpointMethods},
		{"OPTIONS", "/metrics", endpointMethods},
		{"DELETE", "/_health", endpointMethods},
		{"PATCH", "/_nothing", endpointMethods},
	} {
		r := do(t, addr, tc.method, tc.target, nil, "")
		if r.StatusCode != 405 || r.Header.Get("Allow") != tc.allow {
			t.Errorf("%s %s = %d, Allow %q; want 405, %q", tc.method, tc.target, r.StatusCode, r.Header.Get("Allow"), tc.allow)
		}
		expectProblem(t, r, tc.method)
	}
}

// expectProblem checks that an error has its JSON form, with something that contains part.
func expectProblem(t testing.TB, r response, part string) {
	t.Helper()
	var p problem
	if err := json.Unmarshal([]byte(r.body), &p); err != nil {
		t.Errorf("%d %q is no JSON: %v", r.StatusCode, r.body, err)
	}
	if r.Header.Get("Content-Type") != "application/json" || p.TraceID != testTrace || r.Header.Get("Traceresponse") != testParent ||
		r.Header.Get("Server-Timing") != `traceparent;desc="`+testParent+`"` {
		t.Errorf("%d %q with headers %v lacks its type or its trace", r.StatusCode, r.body, r.Header)
	}
	if !strings.Contains(p.Error, part) {
		t.Errorf("%d says %q, nothing of %q", r.StatusCode, p.Error, part)
	}
}

func TestWhatIsNoKeyIsRefused(t *testing.T) {
	j := newJournal()
	keys := &memory{beforeWrite: func(context.Context) error {
		t.Error("a write reached the keys")
		return nil
	}}
	c := testConfig(keys, j)
	addr := start(t, c)
	for _, tc := range []struct {
		method, path string
		status       int
		part         string
	}{
		{"PUT", "/", 400, "empty"},
		{"GET", "/", 400, "empty"},
		{"GET", "http://host", 400, "empty"},
		{"GET", "*", 400, "empty"},
		{"PUT", "/" + strings.Repeat("x", key.Max+1), 400, "1025 bytes; at most 1024"},
		{"PUT", "/_new", 400, "reserved"},
		{"POST", "/_health", 400, "reserved"},
		{"POST", "/%5Fhealth", 400, "reserved"},
		{"PUT", "/metrics", 400, "reserved"},
		{"PUT", "/%6detrics", 400, "reserved"},
		{"PUT", "/_a/b", 400, "reserved"},
		{"PUT", "/_%2Fb", 400, "reserved"},
		{"GET", "/_new", 404, "no endpoint"},
		{"GET", "/metrics", 404, "no endpoint"},
		{"GET", "/_health/", 404, "no endpoint"},
		{"DELETE", "/_new", 404, "no endpoint"},
		{"DELETE", "/_nodes/delete/n1", 404, "no endpoint"},
	} {
		r := do(t, addr, tc.method, tc.path, nil, "")
		if r.StatusCode != tc.status {
			t.Errorf("%s %.40s = %d %q, want %d", tc.method, tc.path, r.StatusCode, r.body, tc.status)
		}
		expectProblem(t, r, tc.part)
	}
	for _, reason := range j.rejected {
		if reason != ReasonBadKey {
			t.Errorf("rejected for %q", reason)
		}
	}
	if r := do(t, addr, "HEAD", "/_new", nil, ""); r.StatusCode != 404 || r.body != "" {
		t.Errorf("HEAD /_new = %d %q", r.StatusCode, r.body)
	}
}

func TestContentTypeAndEncodingAreKept(t *testing.T) {
	s := handler(t, testConfig(&memory{}, nil))
	for _, tc := range []struct{ sent, want string }{
		{"", octets},
		{"text/plain; charset=utf-8", "text/plain; charset=utf-8"},
		{"image/png", "image/png"},
		{"no type at all", "no type at all"},
		{"application/x-www-form-urlencoded", octets},
		{"Application/X-WWW-Form-URLEncoded ; charset=x", octets},
		{"application/x-www-form-urlencoded-not", "application/x-www-form-urlencoded-not"},
	} {
		h := http.Header{}
		if tc.sent != "" {
			h.Set("Content-Type", tc.sent)
		}
		call(s, "PUT", "/k", h, strings.NewReader("<html>"))
		if r := call(s, "GET", "/k", nil, nil); r.Header().Get("Content-Type") != tc.want {
			t.Errorf("Content-Type %q comes back as %q, want %q", tc.sent, r.Header().Get("Content-Type"), tc.want)
		}
	}
	call(s, "PUT", "/k", headers("Content-Encoding", "gzip", "Content-Encoding", "br"), strings.NewReader("x"))
	if r := call(s, "HEAD", "/k", nil, nil); r.Header().Get("Content-Encoding") != "gzip, br" {
		t.Errorf("Content-Encoding comes back as %q", r.Header()["Content-Encoding"])
	}
	long := headers("Content-Type", "text/"+strings.Repeat("x", fieldBytes))
	if r := call(s, "PUT", "/k", long, strings.NewReader("x")); r.Code != 400 {
		t.Errorf("a Content-Type of more than %d bytes = %d, want 400", fieldBytes, r.Code)
	}
	if r := call(s, "PUT", "/k", headers("Content-Range", "bytes 0-1/2"), strings.NewReader("xy")); r.Code != 400 {
		t.Errorf("PUT with Content-Range = %d, want 400", r.Code)
	}
}

func TestConsistencyIsOnlyWhatIsKnown(t *testing.T) {
	keys := &memory{}
	s := handler(t, testConfig(keys, nil))
	call(s, "PUT", "/k", nil, strings.NewReader("v"))
	for _, tc := range []struct {
		query    string
		status   int
		eventual bool
	}{
		{"", 200, false},
		{"?", 200, false},
		{"?other=1", 200, false},
		{"?consistency=eventual", 200, true},
		{"?consistency=linearizable", 200, false},
		{"?consistency=", 400, false},
		{"?consistency", 400, false},
		{"?consistency=Eventual", 400, false},
		{"?consistency=eventual&consistency=linearizable", 400, false},
		{"?consistency=%zz", 400, false},
		{"?a;b", 400, false},
	} {
		keys.reads = nil
		r := call(s, "GET", "/k"+tc.query, nil, nil)
		if r.Code != tc.status {
			t.Errorf("GET /k%s = %d, want %d", tc.query, r.Code, tc.status)
		}
		if tc.status == 200 && keys.reads[0] != tc.eventual {
			t.Errorf("GET /k%s is read with eventual %v", tc.query, keys.reads[0])
		}
	}
}

func TestTooManyRequestsGet429(t *testing.T) {
	held, release := make(chan bool), make(chan bool)
	keys := &memory{beforeRead: func(context.Context) error { held <- true; <-release; return nil }}
	c := testConfig(keys, nil)
	c.Limits.InFlight = 1
	s := handler(t, c)
	first := make(chan int)
	go func() { first <- call(s, "GET", "/k", nil, nil).Code }()
	<-held
	r := call(s, "GET", "/k", nil, nil)
	if r.Code != 429 || r.Header().Get("Retry-After") != "1" {
		t.Errorf("one request too many = %d, Retry-After %q", r.Code, r.Header().Get("Retry-After"))
	}
	if r := call(s, "GET", "/_health", nil, nil); r.Code != 200 {
		t.Errorf("/_health under overload = %d", r.Code)
	}
	close(release)
	if code := <-first; code != 404 {
		t.Errorf("the request that was under way = %d", code)
	}
	go func() { <-held }()
	if r := call(s, "GET", "/k", nil, nil); r.Code != 404 {
		t.Errorf("a request after that = %d", r.Code)
	}
}

func TestADamagedValueIsNeverServedAsWhole(t *testing.T) {
	damage := &register.DamageError{Where: "/data/p0001/k", What: "block 3 does not match its checksum"}
	for _, tc := range []struct {
		name      string
		at, total int
		status    int
	}{
		{"in the first chunk", 100, 1000, 503},
		{"at the first byte", 0, 1000, 503},
		{"in the third chunk", 2*chunk + 5, 4 * chunk, 200},
		{"at the last byte", 4*chunk - 1, 4 * chunk, 200},
	} {
		t.Run(tc.name, func(t *testing.T) {
			keys, j := &memory{}, newJournal()
			keys.wrap = func(r io.ReadSeeker) io.ReadSeeker { return &breaking{r, tc.at, damage} }
			addr := start(t, testConfig(keys, j))
			do(t, addr, "PUT", "/k", nil, strings.Repeat("x", tc.total))
			r := do(t, addr, "GET", "/k", nil, "")
			if r.StatusCode != tc.status {
				t.Errorf("GET = %d, want %d", r.StatusCode, tc.status)
			}
			if tc.status == 200 && (len(r.body) >= tc.total || r.ContentLength != int64(tc.total)) {
				t.Errorf("%d bytes of %d came from a value that is damaged at byte %d", len(r.body), r.ContentLength, tc.at)
			}
			if tc.status == 503 {
				expectProblem(t, r, "damaged")
				if strings.Contains(r.body, "/data/") {
					t.Errorf("the client is told a file's name: %s", r.body)
				}
			}
			if s := j.last(t, 2); s.Status != 503 || len(j.failed) != 1 {
				t.Errorf("the events tell of %+v and failures %v, want one 503", s, j.failed)
			}
		})
	}
}

// breaking gives err instead of byte `left`.
type breaking struct {
	io.ReadSeeker
	left int
	err  error
}

func (b *breaking) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, b.err
	}
	n, err := b.ReadSeeker.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
