//go:build system

package acceptance

import (
	"context"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	failPatience = 20 * time.Second // from the failed sync to everything that must say so
	afterFailure = 2 * time.Second  // for which clients try in vain to have a write acknowledged
)

func TestSystemFailedSyncEndsWritingForGood(t *testing.T) {
	needRoot(t)
	for _, call := range []string{"fdatasync", "fsync,fdatasync,syncfs"} {
		t.Run(call, func(t *testing.T) {
			seed := newSeed(t)
			s := newSubject(t, t.TempDir())
			s.start()
			crowd := newCrowd(newClient(s.Daemon, crowdClients), crowdClients, crowdKeys, seed)

			underLoad(t, crowd, 1000, func() {
				// Each thread's first sync fails, all later ones would succeed.
				tracer := attach(t, s.PID(), "-f", "-e", "trace="+call, "-e", "inject="+call+":error=EIO:when=1")
				var said string
				eventually(t, failPatience, notReady(s, &said))
				if !strings.Contains(said, "sync") {
					t.Errorf("/_ready says %q, want it to name the failed sync", said)
				}
				tracer.detach()
			})
			ackedBefore := crowd.writesAcknowledged()
			ctx, cancel := context.WithTimeout(t.Context(), afterFailure)
			defer cancel()
			if err := crowd.endure(ctx); err != nil {
				t.Error(err)
			}
			if n := crowd.writesAcknowledged() - ackedBefore; n != 0 {
				t.Errorf("%d writes were acknowledged after a sync had failed", n)
			}
			if s.scrape().value(t, "estorajed_store_failed") != 1 {
				t.Error("estorajed_store_failed is not 1")
			}
			if !strings.Contains(s.Log(), "[ERROR]") {
				t.Errorf("the log has no error:\n%s", s.LogTail())
			}
			if err := crowd.survey(t.Context()); err != nil {
				t.Errorf("reads after the failure: %v", err)
			}
			got, err := newClient(s.Daemon, 1).put(t.Context(), "late", "v")
			if err != nil || got.status != http.StatusServiceUnavailable {
				t.Errorf("a write after the failure: %v %v, want 503", got, err)
			}
			s.Kill()
			s.start()
			if err := crowd.audit(t.Context()); err != nil {
				t.Errorf("after the restart: %v", err)
			}
		})
	}
}

// A tracer is an strace that meddles with a running process.
type tracer struct {
	t   *testing.T
	cmd *exec.Cmd
}

// attach starts strace on a process. It is detached when t ends.
func attach(t *testing.T, pid int, args ...string) *tracer {
	t.Helper()
	args = append(args, "-qq", "-o", "/dev/null", "-p", strconv.Itoa(pid))
	cmd := exec.Command("strace", args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tr := &tracer{t: t, cmd: cmd}
	t.Cleanup(tr.detach)
	return tr
}

func (tr *tracer) detach() {
	if tr.cmd == nil {
		return
	}
	_ = tr.cmd.Process.Signal(syscall.SIGTERM) // it may be gone with its process
	_ = tr.cmd.Wait()                          // ended by the signal: always an error
	tr.cmd = nil
}
