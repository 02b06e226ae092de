package acceptance

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// binary is the daemon that all tests run: built once by TestMain, or given by ACCEPTANCE_BINARY.
var binary = os.Getenv("ACCEPTANCE_BINARY")

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if err := lookAtSource(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if binary != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "estorajed-acceptance-")
	if err == nil {
		defer os.RemoveAll(dir)
		binary, err = Build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// lookAtSource lists all folders of the module. The daemon is not linked into this test, so 'go test' would take an old result for
// a new daemon's; but it remembers which folders a test has listed, and runs it again when a file in one of them has changed.
func lookAtSource() error {
	for _, folder := range []string{"../../cmd", ".."} {
		err := filepath.WalkDir(folder, func(_ string, _ fs.DirEntry, err error) error { return err })
		if err != nil {
			return err
		}
	}
	_, err := os.Stat("../../go.sum")
	return err
}

const (
	startPatience = 30 * time.Second // from launch to ready, on a busy machine
	stopPatience  = 30 * time.Second // from SIGTERM to the exit
)

// A subject is a daemon whose failures fail the test.
type subject struct {
	*Daemon
	t testing.TB
}

// newSubject describes a daemon of its own for t, in dir; it starts nothing. It is killed when t ends, and its log printed if t failed.
func newSubject(t testing.TB, dir string, flags ...string) subject {
	t.Helper()
	d, err := New(binary, dir, append([]string{"-name", "n1", "-drain-delay", "0s"}, flags...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.Kill()
		if t.Failed() {
			t.Logf("the daemon's log ends with:\n%s", d.LogTail())
		}
	})
	return subject{d, t}
}

// start launches the daemon and returns when it serves.
func (s subject) start() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startPatience)
	defer cancel()
	if err := s.Start(ctx); err != nil {
		s.t.Fatal(err)
	}
}

// stop ends the daemon in the proper way.
func (s subject) stop() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		s.t.Fatal(err)
	}
}

// exits waits until a launched daemon has ended by itself and gives its exit code.
func (s subject) exits() int {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startPatience)
	defer cancel()
	code, err := s.Wait(ctx)
	if err != nil {
		s.t.Fatalf("the daemon does not exit: %v\n%s", err, s.LogTail())
	}
	return code
}

// eventually fails the test unless try gives nil within the patience; it polls.
func eventually(t testing.TB, patience time.Duration, try func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := Await(ctx, try); err != nil {
		t.Fatalf("not within %v: %v", patience, err)
	}
}

// notReady is nil once /_ready answers 503; its words are then in said.
func notReady(s subject, said *string) func() error {
	return func() error {
		resp, err := http.Get(s.URL("_ready"))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body := make([]byte, 1<<10)
		n, _ := resp.Body.Read(body) // an empty text fails the test by itself
		if resp.StatusCode != http.StatusServiceUnavailable {
			return fmt.Errorf("/_ready says %d", resp.StatusCode)
		}
		*said = string(body[:n])
		return nil
	}
}
