//go:build system

package acceptance

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	powerCuts    = 8
	imageBytes   = 2 << 30 // sparse
	darkPatience = 20 * time.Second

	// EXT4_IOC_SHUTDOWN stops a mounted ext4 at once; with this flag not even its log is flushed. What was not synced is gone,
	// as after a power cut (fs/ext4/ioctl.c).
	ext4Shutdown = 0x8004587d
	noLogFlush   = 2
)

func TestSystemPowerCutLosesNothingAcknowledged(t *testing.T) {
	needRoot(t)
	seed := newSeed(t)
	rng := rand.New(rand.NewPCG(seed, seed))
	disk := newImage(t)
	disk.mount()
	s := newSubject(t, t.TempDir())
	s.DataPath = filepath.Join(disk.dir, "data")
	s.start()
	crowd := newCrowd(newClient(s.Daemon, crowdClients), crowdClients, crowdKeys, seed)

	var checkpoints float64
	for cut := range powerCuts {
		underLoad(t, crowd, 500+rng.Int64N(6000), func() {
			checkpoints += s.scrape().value(t, "estorajed_store_checkpoints_total", "result", "ok")
			if cut%2 == 0 {
				s.freeze()
				disk.cut()
				s.Kill()
				return
			}
			// The machine lives on without its disk, as with a cable that was pulled: this must be noticed. What is acknowledged
			// from here on says nothing: ext4 lets an fdatasync succeed that was under way when it was shut down.
			crowd.doubt.Store(true)
			disk.cut()
			var said string
			eventually(t, darkPatience, notReady(s, &said))
			s.Kill()
		})
		crowd.doubt.Store(false)
		disk.unmount()
		disk.mount()
		s.start()
		if err := crowd.audit(t.Context()); err != nil {
			t.Fatalf("after power cut %d: %v", cut+1, err)
		}
	}
	s.stop()
	t.Logf("%d operations acknowledged, %d power cuts, %.0f checkpoints between them", crowd.total(), powerCuts, checkpoints)
	if checkpoints == 0 {
		t.Error("no checkpoint ended before a power cut: the test proves nothing about them")
	}
}

// freeze stops all threads of the daemon where they are: whatever they are about to say, nobody will hear it. A thread that is in
// the kernel for a sync cannot be stopped, but it does not come back from there.
func (s subject) freeze() {
	s.t.Helper()
	if err := s.process.Signal(unix.SIGSTOP); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, darkPatience, func() error {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.PID()))
		if err != nil {
			return err
		}
		for _, thread := range threads {
			stat, err := os.ReadFile(thread)
			if err != nil {
				return err
			}
			_, state, _ := strings.Cut(string(stat), ") ")
			if state == "" || !strings.Contains("TD", state[:1]) {
				return fmt.Errorf("%s: %s", thread, stat)
			}
		}
		return nil
	})
}

// An image is an ext4 file system in a file, whose power can be cut.
type image struct {
	t    *testing.T
	file string
	dir  string // where it is mounted
}

func newImage(t *testing.T) image {
	t.Helper()
	parent := t.TempDir()
	i := image{t: t, file: filepath.Join(parent, "image"), dir: filepath.Join(parent, "mount")}
	if err := os.Mkdir(i.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(i.file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(imageBytes); err != nil {
		t.Fatal(err)
	}
	command(t, "mkfs.ext4", "-q", "-F", i.file)
	t.Cleanup(func() { unmount(t, i.dir) })
	return i
}

func (i image) mount() {
	i.t.Helper()
	command(i.t, "mount", "-o", "loop", i.file, i.dir)
}

func (i image) unmount() {
	i.t.Helper()
	if err := unix.Unmount(i.dir, 0); err != nil {
		i.t.Fatalf("unmount %s: %v", i.dir, err)
	}
}

// cut stops the file system where it is.
func (i image) cut() {
	i.t.Helper()
	f, err := os.Open(i.dir)
	if err != nil {
		i.t.Fatal(err)
	}
	defer f.Close()
	if err := unix.IoctlSetPointerInt(int(f.Fd()), ext4Shutdown, noLogFlush); err != nil {
		i.t.Fatalf("cut the power: %v", err)
	}
}
