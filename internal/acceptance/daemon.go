// Package acceptance proves the product from the outside: it builds the daemon, runs it as a real process on real sockets
// and a real disk, kills it, cuts its power, fills its disk, and asks what a client or an operator would ask.
//
// A Daemon is such a process over all its restarts, a Cluster is several of them, a Balancer is Caddy in front of them; the benchmarks and
// `make cluster` use them too. The proofs are the tests of this package. Those behind the build tag 'system' need root and the tools of
// a Debian machine (`make test-system`); the rest needs Go and coreutils only, and the Caddy that the Makefile builds with Go.
//
// The clients of the crash tests keep a ledger: each key has one writer, which notes what was acknowledged. After a crash a key
// must show its newest acknowledged state, or that of the one write that was under way. This needs no search for an order of
// events and finds every loss, every torn value and every delete that was undone.
package acceptance

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// Host is the address that a daemon under test listens on, unless it is one of a cluster.
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
	Process
	Binary   string
	DataPath string
	Host     string   // that it listens on and is reached by
	Ports    Ports    // constant after New
	Flags    []string // besides those for the data directory, the host and the ports
	Wrap     []string // a command line to run it under, which must end in exec: prlimit, strace -D
}

// New describes a daemon with its data directory in dir/data and its log in dir/log; it starts nothing.
func New(binary, dir string, flags ...string) (*Daemon, error) {
	ports, err := FreePorts()
	if err != nil {
		return nil, err
	}
	return &Daemon{
		Process:  Process{LogPath: filepath.Join(dir, "log")},
		Binary:   binary,
		DataPath: filepath.Join(dir, "data"),
		Host:     Host,
		Ports:    ports,
		Flags:    flags,
	}, nil
}

// Args is the command line of the daemon.
func (d *Daemon) Args() []string {
	args := append([]string{}, d.Wrap...)
	args = append(
		args, d.Binary, "-dataPath", d.DataPath, "-host", d.Host,
		"-port", strconv.Itoa(d.Ports.API), "-peer-port", strconv.Itoa(d.Ports.Peer),
		"-etcd-client-port", strconv.Itoa(d.Ports.EtcdClient), "-etcd-peer-port", strconv.Itoa(d.Ports.EtcdPeer),
	)
	return append(args, d.Flags...)
}

// Launch starts the process and does not wait until it serves.
func (d *Daemon) Launch() error { return d.launch(d.Args()) }

// Start launches the process and waits until it says that it serves. If it does not come to that, its log is in the error.
func (d *Daemon) Start(ctx context.Context) error {
	if err := d.Launch(); err != nil {
		return err
	}
	return d.AwaitReady(ctx)
}

// AwaitReady waits until the launched process says that it serves. If it ends before, or ctx does, its log is in the error.
func (d *Daemon) AwaitReady(ctx context.Context) error {
	ctx, cancel := d.whileItRuns(ctx)
	defer cancel()
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
func (d *Daemon) Address() string { return net.JoinHostPort(d.Host, strconv.Itoa(d.Ports.API)) }

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
