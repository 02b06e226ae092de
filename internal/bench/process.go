package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/estorajed/estorajed/internal/acceptance"
)

// A process is one that the bench has started. It does not outlive the bench.
type process struct {
	cmd *exec.Cmd
	log string // file of what it prints
}

const startWithin = 30 * time.Second

// spawn starts a command on a core.
func (b *bench) spawn(ctx context.Context, core int, log string, command ...string) (*process, error) {
	file, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer file.Close() // the process has its own copy
	args := append(b.pinned(core), command...)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = file, file
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return &process{cmd: cmd, log: log}, cmd.Start()
}

func (p *process) stop() {
	_ = p.cmd.Process.Kill() // it may be gone
	_ = p.cmd.Wait()         // ended by the signal
}

// serves waits until url says 200.
func (p *process) serves(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	err := acceptance.Await(ctx, func() error {
		resp, err := http.Get(url)
		if err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s says %s", url, resp.Status)
		}
		return errors.Join(err, resp.Body.Close())
	})
	if err != nil {
		said, _ := os.ReadFile(p.log) // the first error says more
		return fmt.Errorf("%s does not start: %w\n%s", p.cmd.Args, err, said[max(0, len(said)-logShown):])
	}
	return nil
}

const logShown = 2 << 10 // bytes of a log's end in an error

// tickMillis is the unit of /proc/PID/stat on every Linux that there is.
const tickMillis = 10

// cpuMillis is the processor time that the process has used so far, in its own code and in the kernel on its behalf.
func (p *process) cpuMillis() (float64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	return cpuTime(stat)
}

// cpuTime reads user and system time, the 14th and 15th field. The second is the name in brackets, in which anything may stand.
func cpuTime(stat []byte) (float64, error) {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const user, system = 14 - 3, 15 - 3
	if len(fields) <= system {
		return 0, fmt.Errorf("%q is no line of /proc/PID/stat", stat)
	}
	ticks := 0
	for _, field := range [][]byte{fields[user], fields[system]} {
		n, err := strconv.Atoi(string(field))
		if err != nil {
			return 0, fmt.Errorf("processor time in /proc/PID/stat: %w", err)
		}
		ticks += n
	}
	return float64(ticks) * tickMillis, nil
}
