package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/estorajed/estorajed/internal/acceptance"
)

const patience = time.Minute

// A screen is what the command has printed so far.
type screen struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// shows waits until the screen matches a pattern, and gives the text of its group.
func (s *screen) shows(t *testing.T, pattern string) string {
	t.Helper()
	var found []string
	eventually(t, func() error {
		if found = regexp.MustCompile(pattern).FindStringSubmatch(s.String()); found == nil {
			return fmt.Errorf("the screen shows no %s:\n%s", pattern, s)
		}
		return nil
	})
	return found[len(found)-1]
}

func eventually(t *testing.T, try func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := acceptance.Await(ctx, try); err != nil {
		t.Fatal(err)
	}
}

func TestClusterRunsUntilItIsToldToStop(t *testing.T) {
	daemon, err := acceptance.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ports, err := acceptance.FreePorts(acceptance.Hosts(nodes)...)
	if err != nil {
		t.Fatal(err)
	}
	front, err := acceptance.FreePorts()
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(t.TempDir(), "cluster")
	args := []string{
		"-daemon", daemon, "-caddy", "../../bin/caddy", "-caddyfile", "../../packaging/Caddyfile", "-data", data,
		"-port", strconv.Itoa(ports.API), "-peer-port", strconv.Itoa(ports.Peer), "-etcd-client-port", strconv.Itoa(ports.EtcdClient),
		"-etcd-peer-port", strconv.Itoa(ports.EtcdPeer), "-balancer-port", strconv.Itoa(front.API),
	}
	url := fmt.Sprintf("http://%s:%d/greeting", acceptance.Host, front.API)

	begin := func() (*screen, func() error) {
		ctx, cancel := context.WithCancel(t.Context())
		out, ended := &screen{}, make(chan error, 1)
		go func() { ended <- run(ctx, args, out) }()
		end := sync.OnceValue(func() error { cancel(); return <-ended })
		t.Cleanup(func() { _ = end() })
		return out, end
	}
	out, end := begin()
	victim := out.shows(t, `kill -9 (\d+) +# node_2`)
	out.shows(t, "Ctrl-C")
	if err := request(http.MethodPut, url, "hello"); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), args, io.Discard); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("127.0.0.3:%d is in use", ports.Peer)) {
		t.Errorf("a second one: %v, want it to name the ports that are in use", err)
	}
	pid, _ := strconv.Atoi(victim)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	again := out.shows(t, `node_2 has ended by a signal(?s:.*)\n  (.*)\n`)
	if !strings.Contains(again, "-name=node_2") {
		t.Errorf("node_2 is to be started again with %q", again)
	}
	eventually(t, func() error { return request(http.MethodGet, url, "") })
	if err := end(); err != nil {
		t.Errorf("at the end: %v\n%s", err, out)
	}
	for _, pid := range regexp.MustCompile(`kill -9 (\d+)`).FindAllStringSubmatch(out.String(), -1) {
		if _, err := os.Stat("/proc/" + pid[1]); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("process %s has outlived the command", pid[1])
		}
	}

	out, end = begin()
	out.shows(t, "Ctrl-C")
	if err := request(http.MethodGet, url, "hello"); err != nil {
		t.Errorf("started again: %v", err)
	}
	if err := end(); err != nil {
		t.Errorf("at the second end: %v\n%s", err, out)
	}
}

// request sends a value, or reads one and wants it, if it is not "".
func request(method, url, value string) error {
	body := ""
	if method == http.MethodPut {
		body, value = value, ""
	}
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= http.StatusMultipleChoices || value != "" && string(got) != value {
		return fmt.Errorf("%s %s: %s: %s", method, url, resp.Status, got)
	}
	return nil
}
