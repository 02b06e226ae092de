package acceptance

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhatCannotStartSaysWhyInOneLine(t *testing.T) {
	running := newSubject(t, t.TempDir())
	running.start()

	another := func(flags ...string) subject { return newSubject(t, t.TempDir(), flags...) }
	busy := another()
	busy.Ports.API = running.Ports.API
	second := another()
	second.DataPath = running.DataPath
	notFolder := another()
	notFolder.DataPath = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(notFolder.DataPath, []byte("not a folder"), 0o600); err != nil {
		t.Fatal(err)
	}
	otherName := another()
	otherName.start()
	otherName.stop()
	otherName.Flags = append(otherName.Flags, "-name", "n2")

	for _, tc := range []struct {
		name    string
		subject subject
		want    []string // in the line
	}{
		{"busy port", busy, []string{fmt.Sprint(busy.Ports.API), "in use"}},
		{"data directory of a running process", second, []string{second.DataPath, "held by another"}},
		{"file in the place of the data directory", notFolder, []string{notFolder.DataPath, "not a directory"}},
		{"data directory of another node", otherName, []string{otherName.DataPath, "n1", "n2"}},
		{"wrong flag", another("-no-such-flag"), []string{"-no-such-flag"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.subject.t = t
			if err := refusal(tc.subject, tc.want); err != nil {
				t.Error(err)
			}
		})
	}
	if err := running.Ready(t.Context()); err != nil {
		t.Errorf("the running daemon does not serve any more: %v", err)
	}
}

// refusal launches a daemon that cannot start: it must end with one line that says why, and an exit code that is not 0.
func refusal(s subject, want []string) error {
	logBefore := len(s.Log())
	if _, err := os.Stat(s.LogPath); err != nil {
		logBefore = 0
	}
	if err := s.Launch(); err != nil {
		return err
	}
	code := s.exits()
	said := s.Log()[logBefore:]
	if code == 0 {
		return errors.New("the exit code is 0")
	}
	lines := strings.Split(strings.TrimSpace(said), "\n")
	last := lines[len(lines)-1]
	complaints := strings.Count("\n"+said, "\nestorajed: ")
	if complaints != 1 || !strings.HasPrefix(last, "estorajed: ") || strings.Contains(said, "goroutine ") {
		return fmt.Errorf("it said\n%s\nwant one line at the end that begins with 'estorajed: '", said)
	}
	for _, word := range want {
		if !strings.Contains(last, word) {
			return fmt.Errorf("it said %q, want %q in it", last, word)
		}
	}
	return nil
}
