//go:build system

package acceptance

import (
	"errors"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// The tests behind the tag 'system' need root, for mounts and ptrace, and the Debian packages e2fsprogs, strace and util-linux.

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("system tests need root")
	}
}

// command runs a command line that must succeed.
func command(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
}

// mountTmpfs gives a folder on a tmpfs of its own, which is unmounted when t ends.
func mountTmpfs(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Fatalf("mount a tmpfs with %s: %v", options, err)
	}
	t.Cleanup(func() { unmount(t, dir) })
	return dir
}

// unmount takes a file system away; a process that was killed may hold it for a moment longer.
func unmount(t testing.TB, dir string) {
	t.Helper()
	if err := unix.Unmount(dir, 0); err != nil && !errors.Is(err, unix.EINVAL) { // EINVAL: it is not mounted any more
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
		t.Logf("unmount %s: %v; detached it", dir, err)
	}
}
