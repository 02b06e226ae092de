package telemetry

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
)

// A LogConfig says what is logged, and how.
type LogConfig struct {
	Level  string    // -log-level: trace, debug, info, warn, error or off
	Format string    // -log-format: text or json
	Output io.Writer // the standard error stream, in the daemon
	Getenv func(string) string
}

// NewLogger makes the logger of a node. Lines are counted by level. Where the output is systemd's journal, text lines begin
// with their priority and have no time of their own: the journal has both as fields.
func NewLogger(cfg LogConfig, m *Metrics) (hclog.Logger, error) {
	if cfg.Getenv == nil {
		cfg.Getenv = os.Getenv
	}
	level := hclog.LevelFromString(cfg.Level)
	if level == hclog.NoLevel {
		return nil, fmt.Errorf("-log-level is %q; known are trace, debug, info, warn, error and off", cfg.Level)
	}
	if cfg.Format != "text" && cfg.Format != "json" {
		return nil, fmt.Errorf("-log-format is %q; known are text and json", cfg.Format)
	}
	lines := &lines{to: cfg.Output, journal: cfg.Format == "text" && isJournal(cfg.Output, cfg.Getenv("JOURNAL_STREAM"))}
	for at := range lines.written {
		lines.written[at] = m.LogMessages.At(at)
	}
	return hclog.New(&hclog.LoggerOptions{
		Level:       level,
		JSONFormat:  cfg.Format == "json",
		Output:      lines,
		DisableTime: lines.journal,
		TimeFn:      func() time.Time { return time.Now().UTC() },
	}), nil
}

// lines is where hclog writes to, one finished message a call, under hclog's own lock.
type lines struct {
	to      io.Writer
	journal bool
	written [LevelError + 1]prometheus.Counter
	scratch bytes.Buffer
}

// Write takes what has no level; hclog has none of that.
func (l *lines) Write(p []byte) (int, error) { return l.to.Write(p) }

// LevelWrite counts a message and writes it on.
func (l *lines) LevelWrite(level hclog.Level, p []byte) (int, error) {
	at := min(max(int(level-hclog.Trace), LevelTrace), LevelError)
	l.written[at].Inc()
	if !l.journal {
		return l.to.Write(p)
	}
	// "<N> before a line is its priority" (sd-daemon(3)); a message of many lines has it before each.
	priority := [...]string{LevelTrace: "<7>", LevelDebug: "<7>", LevelInfo: "<6>", LevelWarn: "<4>", LevelError: "<3>"}[at]
	l.scratch.Reset()
	for line := range bytes.Lines(p) {
		l.scratch.WriteString(priority)
		l.scratch.Write(line)
	}
	if _, err := l.to.Write(l.scratch.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// isJournal tells whether output is the stream that systemd connected to its journal: JOURNAL_STREAM has its device and inode.
func isJournal(output io.Writer, stream string) bool {
	f, ok := output.(*os.File)
	if !ok {
		return false
	}
	device, inode, ok := strings.Cut(stream, ":")
	if !ok {
		return false
	}
	stat, err := f.Stat()
	if err != nil {
		return false
	}
	sys, ok := stat.Sys().(*syscall.Stat_t)
	return ok && strconv.FormatUint(uint64(sys.Dev), 10) == device && strconv.FormatUint(sys.Ino, 10) == inode
}
