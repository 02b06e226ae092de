package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/estorajed/estorajed/internal/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func settings(name string) Settings {
	return Settings{Name: name, Partitions: 16, Replicas: 3, MaxVoters: 5}
}

func config(t *testing.T, path string) Config {
	t.Helper()
	d, err := Take(path)
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Directory: d, Settings: settings("n1"), Host: "127.0.0.1", Bind: "127.0.0.1", Weight: 1, DrainDelay: time.Millisecond,
		EtcdClientPort: freePort(t, "127.0.0.1"), EtcdPeerPort: freePort(t, "127.0.0.1"),
		Version: "test", MaxValueSize: 1 << 20, Getenv: func(string) string { return "" },
		Metrics: telemetry.NewMetrics(telemetry.Build{Version: "test"}), Logger: hclog.NewNullLogger(),
	}
}

// freePort is a port that nobody listens on at that host now.
func freePort(t *testing.T, host string) int {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return portOf(l)
}

// serving is a node with its Run.
type serving struct {
	*Node
	t    *testing.T
	stop func() error
}

func serve(t *testing.T, c Config) *serving {
	t.Helper()
	n, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	s := &serving{Node: n, t: t}
	s.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { _ = s.stop() })
	return s
}

// ready waits until the node serves.
func (s *serving) ready() *serving {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		status, body := s.call("GET", "/_ready", "")
		if status == 200 {
			return s
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("/_ready still says %d %s", status, body)
		}
	}
}

// call gives the status and body of one request, on a connection of its own.
func (s *serving) call(method, path, body string) (int, string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+s.Address()+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Close = true
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func (s *serving) expect(method, path, body string, status int, want string) {
	s.t.Helper()
	got, text := s.call(method, path, body)
	if got != status || !strings.Contains(text, want) {
		s.t.Errorf("%s %s: %d %q, want %d %q", method, path, got, text, status, want)
	}
}

func TestANodeServesAndKeepsItsKeysOverARestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "data")
	s := serve(t, config(t, dir)).ready()
	s.expect("POST", "/a/b", "v1", 201, "")
	s.expect("PUT", "/a/b", "v2", 200, "")
	s.expect("GET", "/_ready", "", 200, "")
	s.expect("GET", "/_nodes_discovery_plain", "", 200, s.Address())
	s.expect("GET", "/_nodes/a/b", "", 200, `"partition":`)
	s.expect("GET", "/_cluster_status", "", 200, `"state":"serving"`)
	s.expect("GET", "/metrics", "", 200, "estorajed_store_keys 1")
	if err := s.stop(); err != nil {
		t.Errorf("the node ended with %v", err)
	}
	s = serve(t, config(t, dir)).ready()
	s.expect("GET", "/a/b", "", 200, "v2")
	s.expect("GET", "/_cluster_status", "", 200, `"start":2`)
}

func TestADrainingNodeSaysSoAndStillAnswers(t *testing.T) {
	c := config(t, t.TempDir())
	c.DrainDelay = time.Minute // ended below, by the end of the listener
	s := serve(t, c).ready()
	s.expect("PUT", "/k", "v", 201, "")
	ended := make(chan error, 1)
	go func() { ended <- s.stop() }()
	deadline := time.Now().Add(10 * time.Second)
	for status := 0; status != 503; {
		if status, _ = s.call("GET", "/_ready", ""); time.Now().After(deadline) {
			t.Fatalf("/_ready still says %d", status)
		}
	}
	s.expect("GET", "/k", "", 200, "v")
	s.expect("GET", "/_health", "", 200, "")
	if got := s.nodes(); len(got) != 0 {
		t.Errorf("a draining node still names itself to balancers: %v", got)
	}
	s.listener.Close()
	<-ended // with the listener's error
}

func TestWhatADataDirectoryRefuses(t *testing.T) {
	begun := func(t *testing.T, s Settings) string {
		dir := t.TempDir()
		d, err := Take(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Release()
		if err := d.Begin(s); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	with := func(change func(*Settings)) Settings {
		s := settings("n1")
		change(&s)
		return s
	}
	for _, tc := range []struct {
		name string
		dir  func(t *testing.T) string
		as   Settings
		want string
	}{
		{"another node's", func(t *testing.T) string { return begun(t, settings("n2")) }, settings("n1"), `belongs to node "n2", not "n1": start with -name n2`},
		{"other partitions", func(t *testing.T) string { return begun(t, settings("n1")) }, with(func(s *Settings) { s.Partitions = 64 }), "-partitions 16, not 64"},
		{"other replicas", func(t *testing.T) string { return begun(t, settings("n1")) }, with(func(s *Settings) { s.Replicas = 5 }), "start with -replicas 3"},
		{"a stranger's files", func(t *testing.T) string { return holding(t, "letter.txt", "hello") }, settings("n1"), `holds "letter.txt"`},
		{"a damaged identity", func(t *testing.T) string { return holding(t, identityName, "{") }, settings("n1"), "damaged file identity"},
		{"a later format", func(t *testing.T) string { return holding(t, identityName, `{"format":9}`) }, settings("n1"), "format 9"},
		{"a file in its place", func(t *testing.T) string { return filepath.Join(holding(t, "f", ""), "f") }, settings("n1"), "not a directory"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := tc.dir(t)
			d, err := Take(dir)
			if err == nil {
				defer d.Release()
				err = d.Begin(tc.as)
			}
			var refused *DirectoryError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), dir) {
				t.Errorf("got %v, want a line with %q", err, tc.want)
			}
		})
	}
}

func holding(t *testing.T, name, content string) string {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestTwoNodesCannotShareADirectory(t *testing.T) {
	dir := t.TempDir()
	d, err := Take(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Take(dir); err == nil || !strings.Contains(err.Error(), "held by another") {
		t.Errorf("a second one got %v", err)
	}
	d.Release()
	d, err = Take(dir)
	if err != nil {
		t.Fatalf("after the first let go: %v", err)
	}
	d.Release()
}

func TestABusyPortIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := config(t, t.TempDir())
	c.Port = l.Addr().(*net.TCPAddr).Port
	if _, err := Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("-port %d is in use", c.Port)) {
		t.Errorf("got %v", err)
	}
	if b, _ := os.ReadFile(filepath.Join(c.Directory.Path, identityName)); len(bytes.TrimSpace(b)) != 0 {
		t.Error("a start that came to nothing was counted")
	}
}

func TestADamagedStoreNamesTheDirectory(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, config(t, dir)).ready()
	s.expect("PUT", "/k", "v", 201, "")
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "checkpoint"), 100); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), config(t, dir))
	if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "backup") {
		t.Errorf("got %v", err)
	}
}
