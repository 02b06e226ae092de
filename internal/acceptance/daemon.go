// Package acceptance proves the product from the outside: it builds the daemon, runs it as a real process on real sockets
// and a real disk, kills it, cuts its power, fills its disk, and asks what a client or an operator would ask.
//
// A Daemon is such a process over all its restarts; the benchmarks use it too. The proofs are the tests of this package. Those behind
// the build tag 'system' need root and the tools of a Debian machine (`make test-system`); the rest needs Go and coreutils only.
//
// The clients of the crash tests keep a ledger: each key has one writer, which notes what was acknowledged. After a crash a key
// must show its newest acknowledged state, or that of the one write that was under way. This needs no search for an order of
// events and finds every loss, every torn value and every delete that was undone.
package acceptance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Host is the address that every daemon under test listens on.
const Host = "127.0.0.1"

// Build compiles the daemon into dir and gives the path of the binary. It must be called from within the module.
func Build(dir string) (string, error) {
	binary := filepath.Join(dir, "estorajed")
	build := exec.Command("go", "build", "-o", binary, "github.com/estorajed/estorajed/cmd/estorajed")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the daemon: %w\n%s", err, out)
	}
	return binary, nil
}

// A Daemon is one estorajed process under test, over all its restarts: same data directory, same ports, one log.
// Its methods are for one goroutine, except URL, Address, Log and Ready.
type Daemon struct {
	Binary   string
	DataPath string
	LogPath  string   // standard output and error of all runs
	Ports    Ports    // constant after New
	Flags    []string // besides those for the data directory and the ports
	Env      []string // besides the environment of the test
	Wrap     []string // a command line to run it under, which must end in exec: prlimit, strace -D

	process *os.Process
	ended   chan struct{} // closed when the process was waited for
	state   *os.ProcessState
}

// New describes a daemon with its data directory in dir/data and its log in dir/log; it starts nothing.
func New(binary, dir string, flags ...string) (*Daemon, error) {
	ports, err := FreePorts()
	if err != nil {
		return nil, err
	}
	return &Daemon{
		Binary:   binary,
		DataPath: filepath.Join(dir, "data"),
		LogPath:  filepath.Join(dir, "log"),
		Ports:    ports,
		Flags:    flags,
	}, nil
}

// Args is the command line of the daemon.
func (d *Daemon) Args() []string {
	args := append([]string{}, d.Wrap...)
	args = append(
		args, d.Binary, "-dataPath", d.DataPath, "-host", Host,
		"-port", strconv.Itoa(d.Ports.API), "-peer-port", strconv.Itoa(d.Ports.Peer),
		"-etcd-client-port", strconv.Itoa(d.Ports.EtcdClient), "-etcd-peer-port", strconv.Itoa(d.Ports.EtcdPeer),
	)
	return append(args, d.Flags...)
}

// Launch starts the process and does not wait until it serves.
func (d *Daemon) Launch() error {
	log, err := os.OpenFile(d.LogPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own copy
	args := d.Args()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), d.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // it must not outlive a test that panics
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("launch the daemon: %w", err)
	}
	ended := make(chan struct{})
	d.process, d.ended = cmd.Process, ended
	go func() {
		defer close(ended)
		_ = cmd.Wait() // the state says more than the error
		d.state = cmd.ProcessState
	}()
	return nil
}

// Start launches the process and waits until it says that it serves. If it does not come to that, its log is in the error.
func (d *Daemon) Start(ctx context.Context) error {
	if err := d.Launch(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-d.ended:
			cancel(errors.New("the process ended"))
		case <-ctx.Done():
		}
	}()
	if err := d.Ready(ctx); err != nil {
		return fmt.Errorf("the daemon is not ready: %w (%w)\n%s", context.Cause(ctx), err, d.LogTail())
	}
	return nil
}

// Ready waits until /_ready says 200, or ctx ends.
func (d *Daemon) Ready(ctx context.Context) error {
	return Await(ctx, func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.URL("_ready"), nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("/_ready says %d: %s", resp.StatusCode, body)
		}
		return nil
	})
}

// URL is the address of a path that needs no escaping.
func (d *Daemon) URL(path string) string {
	return "http://" + d.Address() + "/" + path
}

// Address is where the daemon serves its API: host:port.
func (d *Daemon) Address() string { return net.JoinHostPort(Host, strconv.Itoa(d.Ports.API)) }

// Kill ends the process with SIGKILL, if it runs, and returns when it is gone.
func (d *Daemon) Kill() {
	if d.process == nil {
		return
	}
	_ = d.process.Signal(syscall.SIGKILL) // it may have ended by itself
	<-d.ended
	d.process = nil
}

// Stop asks the process to end with SIGTERM and returns when it has; its exit code must be 0.
func (d *Daemon) Stop(ctx context.Context) error {
	if err := d.process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop the daemon: %w\n%s", err, d.LogTail())
	}
	code, err := d.Wait(ctx)
	if err != nil {
		return fmt.Errorf("the daemon does not stop: %w", err)
	}
	if code != 0 {
		return fmt.Errorf("the daemon stopped with exit code %d\n%s", code, d.LogTail())
	}
	return nil
}

// Wait returns the exit code of the process when it has ended by itself; -1 if a signal ended it.
func (d *Daemon) Wait(ctx context.Context) (int, error) {
	select {
	case <-d.ended:
		d.process = nil
		return d.state.ExitCode(), nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// PID is the process's number, while it runs.
func (d *Daemon) PID() int { return d.process.Pid }

// Memory gives the resident set of the running process, and the largest that it ever was, in bytes.
func (d *Daemon) Memory() (now, peak int64, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.PID()))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(status)) {
		name, rest, _ := strings.Cut(line, ":")
		kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		switch name {
		case "VmRSS":
			now = kib << 10
		case "VmHWM":
			peak = kib << 10
		}
	}
	return now, peak, nil
}

// Log is what the daemon has printed in all its runs.
func (d *Daemon) Log() string {
	b, err := os.ReadFile(d.LogPath)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

const logTailBytes = 4 << 10

// LogTail is the end of the log, for error messages.
func (d *Daemon) LogTail() string {
	log := d.Log()
	if len(log) > logTailBytes {
		return "..." + log[len(log)-logTailBytes:]
	}
	return log
}

const awaitEvery = 5 * time.Millisecond

// Await calls try until it gives nil, or ctx ends; then it gives the last error of try that is not ctx's own.
func Await(ctx context.Context, try func() error) error {
	tick := time.NewTicker(awaitEvery)
	defer tick.Stop()
	var last error
	for {
		err := try()
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return last
		case <-tick.C:
		}
	}
}
