package api

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/estorajed/estorajed/internal/key"
)

func TestEndpointsAnswer(t *testing.T) {
	var located key.Key
	var health, ready error
	c := testConfig(&memory{}, newJournal())
	c.Health = func() error { return health }
	c.Ready = func() error { return ready }
	c.Metrics = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Context().Value(journalKey{}) == nil {
			t.Error("the metrics are asked without the request's trace")
		}
		io.WriteString(w, "up 1\n")
	})
	nodes := []Node{{1, "n1", "127.0.0.1:8000"}, {2, "n2", "127.0.0.2:8000"}}
	c.Nodes = func() []Node { return nodes }
	c.Locate = func(k key.Key) (Placement, error) { located = k; return Placement{311, 4, nodes[1:]}, nil }
	c.Status = func() any { return map[string]any{"members": nodes[:1]} }
	s := handler(t, c)
	addr := start(t, c)

	const n1, n2 = `{"id":1,"name":"n1","address":"127.0.0.1:8000"}`, `{"id":2,"name":"n2","address":"127.0.0.2:8000"}`
	for _, tc := range []struct {
		path, want string
		key        key.Key
	}{
		{"/_health", `{"status":"live"}`, ""},
		{"/%5Fhealth", `{"status":"live"}`, ""},
		{"/_ready", `{"status":"ready"}`, ""},
		{"/metrics", "up 1", ""},
		{"/_nodes_discovery", `{"nodes":[` + n1 + "," + n2 + `]}`, ""},
		{"/_nodes_discovery_plain", "127.0.0.1:8000\n127.0.0.2:8000", ""},
		{"/_cluster_status", `{"members":[` + n1 + `]}`, ""},
		{"/_nodes/k", `{"partition":311,"epoch":4,"replicas":[` + n2 + `]}`, "k"},
		{"/_nodes/a/../b", `*`, "a/../b"},
		{"/_nodes//a//", `*`, "/a//"},
		{"/_nodes/a%2Fb", `*`, "a/b"},
		{"/_nodes%2Fa%252F", `*`, "a%2F"},
		{"/_nodes/%00%ff", `*`, "\x00\xff"},
		{"/_nodes/delete/n1", `*`, "delete/n1"},
		{"/_nodes/" + strings.Repeat("x", key.Max), `*`, key.Key(strings.Repeat("x", key.Max))},
	} {
		located = ""
		r := do(t, addr, "GET", tc.path, nil, "")
		if r.StatusCode != 200 || tc.want != "*" && strings.TrimSuffix(r.body, "\n") != tc.want || located != tc.key {
			t.Errorf("GET %.40s = %d %s for key %q, want %s for %q", tc.path, r.StatusCode, r.body, located, tc.want, tc.key)
		}
		if r := call(s, "HEAD", tc.path, nil, nil); r.Code != 200 || r.Body.Len() > 0 && tc.path != "/metrics" {
			t.Errorf("HEAD %.40s = %d %s", tc.path, r.Code, r.Body)
		}
	}
	for path, part := range map[string]string{
		"/_nodes/": "empty", "/_nodes/_x": "reserved", "/_nodes/" + strings.Repeat("x", key.Max+1): "1025 bytes",
	} {
		r := do(t, addr, "GET", path, nil, "")
		if r.StatusCode != 400 {
			t.Errorf("GET %.40s = %d", path, r.StatusCode)
		}
		expectProblem(t, r, part)
	}

	health = errors.New("no heartbeat for 40s")
	ready = errors.Join(errors.New("the disk is full"), errors.New("n3 is missing"))
	for path, text := range map[string]string{
		"/_health": "not live: no heartbeat for 40s", "/_ready": "not ready: the disk is full; n3 is missing",
	} {
		r := do(t, addr, "GET", path, nil, "")
		if r.StatusCode != 503 {
			t.Errorf("GET %s = %d", path, r.StatusCode)
		}
		expectProblem(t, r, text)
	}
}

func TestAStatusThatCannotBeEncodedIsToldToTheOperator(t *testing.T) {
	j := newJournal()
	c := testConfig(&memory{}, j)
	c.Status = func() any { return func() {} }
	call(handler(t, c), "GET", "/_cluster_status", nil, nil)
	if _, ok := errors.AsType[*json.UnsupportedTypeError](j.failed[0]); !ok {
		t.Errorf("failed: %v", j.failed)
	}
}

func TestWhatTheHTTPLibraryComplainsOfIsAnEvent(t *testing.T) {
	j := newJournal()
	c := testConfig(&memory{}, j)
	c.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(200)
		w.WriteHeader(200)
	})
	do(t, start(t, c), "GET", "/metrics", nil, "")
	j.last(t, 1)
	if len(j.failed) != 1 || !strings.Contains(j.failed[0].Error(), "superfluous") {
		t.Errorf("failed: %v", j.failed)
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	for _, c := range []Config{{}, {MaxValueSize: 1}, {Keys: &memory{}}, {Keys: &memory{}, MaxValueSize: -1}} {
		if s, err := New(c); err == nil || s != nil {
			t.Errorf("New(%+v) = %v, %v", c, s, err)
		}
	}
}
