package acceptance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// A Process is a program under test over all its restarts, with one log.
// Its methods are for one goroutine, except Log and Ended.
type Process struct {
	LogPath string   // standard output and error of all runs
	Env     []string // besides the environment of the test

	process *os.Process
	ended   chan struct{} // closed when the process was waited for
	state   *os.ProcessState
}

// launch starts the program.
func (p *Process) launch(args []string) error {
	log, err := os.OpenFile(p.LogPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own copy
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), p.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig: syscall.SIGKILL, // it must not outlive a test that panics
		Setpgid:   true,            // a Ctrl-C is for whoever has started it, who stops it in its turn
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("launch: %w", err)
	}
	ended := make(chan struct{})
	p.process, p.ended = cmd.Process, ended
	go func() {
		defer close(ended)
		_ = cmd.Wait() // the state says more than the error
		p.state = cmd.ProcessState
	}()
	return nil
}

// whileItRuns gives a context that ends with the launched process, too.
func (p *Process) whileItRuns(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	ended := p.ended
	go func() {
		select {
		case <-ended:
			cancel(errors.New("the process ended"))
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// Ended is closed when the process that was launched last has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Kill ends the process with SIGKILL, if it runs, and returns when it is gone.
func (p *Process) Kill() {
	if p.process == nil {
		return
	}
	_ = p.process.Signal(syscall.SIGKILL) // it may have ended by itself
	<-p.ended
	p.process = nil
}

// Signal sends a signal to the running process.
func (p *Process) Signal(s syscall.Signal) error { return p.process.Signal(s) }

// Stop asks the process to end with SIGTERM and returns when it has; its exit code must be 0.
func (p *Process) Stop(ctx context.Context) error {
	if err := p.process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop %s: %w\n%s", p.name(), err, p.LogTail())
	}
	code, err := p.Wait(ctx)
	if err != nil {
		return fmt.Errorf("%s does not stop: %w", p.name(), err)
	}
	if code != 0 {
		return fmt.Errorf("%s stopped with exit code %d\n%s", p.name(), code, p.LogTail())
	}
	return nil
}

// name is for error messages.
func (p *Process) name() string { return "the process of " + p.LogPath }

// Wait returns the exit code of the process when it has ended by itself; -1 if a signal ended it.
func (p *Process) Wait(ctx context.Context) (int, error) {
	select {
	case <-p.ended:
		p.process = nil
		return p.state.ExitCode(), nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// PID is the process's number, while it runs.
func (p *Process) PID() int { return p.process.Pid }

// Running tells whether it was launched and has not ended.
func (p *Process) Running() bool {
	if p.process == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// Memory gives the resident set of the running process, and the largest that it ever was, in bytes.
func (p *Process) Memory() (now, peak int64, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
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

// Log is what the program has printed in all its runs.
func (p *Process) Log() string {
	b, err := os.ReadFile(p.LogPath)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

const logTailBytes = 4 << 10

// LogTail is the end of the log, for error messages.
func (p *Process) LogTail() string {
	log := p.Log()
	if len(log) > logTailBytes {
		return "..." + log[len(log)-logTailBytes:]
	}
	return log
}
