package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// canPin tells whether generator and servers can have a core each.
func canPin() bool { return runtime.NumCPU() > max(generatorCore, serverCore) }

// pinned is the command line before one that is to run on that core.
func (b *bench) pinned(core int) []string {
	if !canPin() {
		return nil
	}
	return []string{b.self, "pin", strconv.Itoa(core)}
}

// pin puts this process on the core args[0] and becomes the command args[1:]. The affinity of the thread that calls exec is the
// new process's. Go would take its number of running threads from it too; it is told that of the machine, as without the pinning:
// with a single one, whatever waits for the disk in a system call holds up all the rest for a while.
func pin(args []string) error {
	if len(args) < 2 {
		return errors.New("usage: bench pin CORE COMMAND")
	}
	core, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	command, err := exec.LookPath(args[1])
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	var set unix.CPUSet
	set.Set(core)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("pin to core %d: %w", core, err)
	}
	return syscall.Exec(command, args[1:], append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(runtime.NumCPU())))
}

// processor is the name of the machine's processor.
func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// fileSystem names the file system under dir.
func fileSystem(dir string) string {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return err.Error()
	}
	names := map[int64]string{unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "XFS", unix.BTRFS_SUPER_MAGIC: "btrfs", unix.TMPFS_MAGIC: "tmpfs", unix.OVERLAYFS_SUPER_MAGIC: "overlayfs"}
	if name, ok := names[int64(fs.Type)]; ok {
		return name
	}
	return fmt.Sprintf("a file system of type %#x", fs.Type)
}

// dropCaches makes the system forget what it has cached of the disk, if it lets us.
func dropCaches() bool {
	unix.Sync()
	return os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0) == nil
}
