package telemetry_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/estorajed/estorajed/internal/telemetry"
)

func TestWrongLogSettingsAreNamed(t *testing.T) {
	for _, tc := range []struct{ level, format, want string }{
		{"loud", "text", `-log-level is "loud"`},
		{"", "text", `-log-level is ""`},
		{"info", "xml", `-log-format is "xml"`},
	} {
		_, err := telemetry.NewLogger(telemetry.LogConfig{Level: tc.level, Format: tc.format, Output: &bytes.Buffer{}}, fresh())
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("level %q, format %q: %v, want %s", tc.level, tc.format, err, tc.want)
		}
	}
}

func TestLevelsAreFilteredAndCounted(t *testing.T) {
	m, out := fresh(), &bytes.Buffer{}
	logger := newLogger(t, telemetry.LogConfig{Level: "info", Format: "text", Output: out}, m)
	logger.Named("store").Debug("not seen")
	logger.Info("disk is full", "free", 12)
	logger.Named("store").Warn("w")
	logger.With("a", 1).Warn("w")
	logger.Error("e")
	if got := strings.Count(out.String(), "\n"); got != 4 {
		t.Errorf("%d lines, want 4:\n%s", got, out)
	}
	if !strings.Contains(out.String(), "[INFO]  disk is full: free=12\n") {
		t.Errorf("the line is %s", out)
	}
	for level, want := range map[string]string{"trace": "0", "debug": "0", "info": "1", "warn": "2", "error": "1"} {
		if got := lineOf(t, m, "estorajed_log_messages_total", `level="`+level+`"`); got != want {
			t.Errorf("%s messages counted at level %s, want %s", got, level, want)
		}
	}
}

func TestJSONLinesCarryTheTrace(t *testing.T) {
	out := &bytes.Buffer{}
	logger := newLogger(t, telemetry.LogConfig{Level: "debug", Format: "json", Output: out}, fresh())
	var tr telemetry.Trace
	tr.ID[0], tr.Span[0] = 0xab, 0xcd
	logger.Debug("request", append(tr.Fields(), "status", 200)...)
	var line struct {
		Message string    `json:"@message"`
		Level   string    `json:"@level"`
		Time    time.Time `json:"@timestamp"`
		TraceID string    `json:"trace_id"`
		SpanID  string    `json:"span_id"`
		Status  int       `json:"status"`
	}
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if line.Message != "request" || line.Level != "debug" || line.Status != 200 || line.TraceID != tr.ID.String() || line.SpanID != tr.Span.String() {
		t.Errorf("the line is %+v", line)
	}
	if line.Time.Location() != time.UTC || time.Since(line.Time) > time.Minute {
		t.Errorf("its time is %v; now in UTC is %v", line.Time, time.Now().UTC())
	}
}

func TestLinesForTheJournalHaveTheirPriority(t *testing.T) {
	const message = "a\nb"
	for _, tc := range []struct {
		name, format string
		journal      bool
		want         string
	}{
		{"text in a unit", "text", true, "<4>[WARN]  full:\n<4>  path=\n<4>  | a\n<4>  | b\n<4>  \n<3>[ERROR] failed\n<6>[INFO]  started\n<7>[DEBUG] d\n<7>[TRACE] t\n"},
		{"text elsewhere", "text", false, ""},
		{"JSON in a unit", "json", true, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, stream := journal(t)
			if !tc.journal {
				stream = "1:1"
			}
			logger := newLogger(t, telemetry.LogConfig{Level: "trace", Format: tc.format, Output: f, Getenv: func(string) string { return stream }}, fresh())
			logger.Warn("full", "path", message)
			logger.Error("failed")
			logger.Info("started")
			logger.Debug("d")
			logger.Trace("t")
			b, err := os.ReadFile(f.Name())
			if err != nil {
				t.Fatal(err)
			}
			if tc.want == "" {
				if bytes.HasPrefix(b, []byte("<")) {
					t.Errorf("the first line has a priority: %s", b)
				}
				return
			}
			if string(b) != tc.want {
				t.Errorf("got  %q\nwant %q", b, tc.want)
			}
		})
	}
}

// journal stands for the stream that systemd connects: a file, and what JOURNAL_STREAM says of it.
func journal(t *testing.T) (*os.File, string) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "journal"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	sys := info.Sys().(*syscall.Stat_t)
	return f, fmt.Sprintf("%d:%d", sys.Dev, sys.Ino)
}

func newLogger(t *testing.T, cfg telemetry.LogConfig, m *telemetry.Metrics) hclog.Logger {
	t.Helper()
	logger, err := telemetry.NewLogger(cfg, m)
	if err != nil {
		t.Fatal(err)
	}
	return logger
}
