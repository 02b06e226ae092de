// Package disk is the real file system below a data directory: vfs.FS by the system's own calls.
//
// Files are plain descriptors without the runtime's poller, which is of no use for regular files: opening and closing a key file
// costs two calls less. One descriptor of the root is held open from before the first write. All names are looked up from it, so that the
// directory stays this one whatever is moved or mounted in its place meanwhile. SyncAll goes through it, too: the kernel reports a failed
// write-back to every descriptor that was open when it happened (errseq, Linux 4.13; syncfs since 5.8), so none is missed.
package disk

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/estorajed/estorajed/internal/store/vfs"
)

// Modes of what is created: the keys are the service's own business.
const (
	fileMode   = 0o600
	folderMode = 0o700
)

// FS is the file system below one directory. Make it with Open.
type FS struct {
	root string
	fd   int // of root
	kind string
	each bool
}

// trusted are the file systems whose syncfs is known to write everything and to report errors, by their magic numbers.
func trusted(magic int64) (kind string, ok bool) {
	switch magic {
	case unix.EXT4_SUPER_MAGIC:
		return "ext4", true
	case unix.XFS_SUPER_MAGIC:
		return "xfs", true
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs", true
	case unix.TMPFS_MAGIC:
		return "tmpfs", true
	}
	return fmt.Sprintf("%#x", magic), false
}

// Open takes the directory, which must exist.
func Open(root string) (*FS, error) {
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: root, Err: err}
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		unix.Close(fd)
		return nil, &os.PathError{Op: "statfs", Path: root, Err: err}
	}
	kind, ok := trusted(st.Type)
	return &FS{root: root, fd: fd, kind: kind, each: !ok}, nil
}

// Kind names the file system; SyncEach tells that its syncfs is not trusted.
func (d *FS) Kind() string   { return d.kind }
func (d *FS) SyncEach() bool { return d.each }

// Close gives the root's descriptor back.
func (d *FS) Close() error { return unix.Close(d.fd) }

// at is an error of one call on one name.
func (d *FS) at(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: d.root + "/" + name, Err: err}
}

// again makes a call until no signal interrupts it.
func again(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

func (d *FS) open(name string, flags int) (fd int, err error) {
	err = again(func() error {
		fd, err = unix.Openat(d.fd, name, flags|unix.O_CLOEXEC, fileMode)
		return err
	})
	return fd, d.at("open", name, err)
}

// Create makes a new file.
func (d *FS) Create(name string) (vfs.File, error) {
	return d.file(name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL)
}

// Open opens a file for reading.
func (d *FS) Open(name string) (vfs.File, error) { return d.file(name, unix.O_RDONLY) }

func (d *FS) file(name string, flags int) (vfs.File, error) {
	fd, err := d.open(name, flags)
	if err != nil {
		return nil, err
	}
	return &file{fd: fd, name: name}, nil
}

// Rename puts from in the place of to.
func (d *FS) Rename(from, to string) error {
	return d.at("rename", from, again(func() error { return unix.Renameat(d.fd, from, d.fd, to) }))
}

// Remove takes a file or an empty folder away.
func (d *FS) Remove(name string) error {
	err := again(func() error { return unix.Unlinkat(d.fd, name, 0) })
	if err == unix.EISDIR || err == unix.EPERM {
		err = again(func() error { return unix.Unlinkat(d.fd, name, unix.AT_REMOVEDIR) })
	}
	return d.at("remove", name, err)
}

// Mkdir makes one folder.
func (d *FS) Mkdir(name string) error {
	return d.at("mkdir", name, again(func() error { return unix.Mkdirat(d.fd, name, folderMode) }))
}

// List gives the names in a folder.
func (d *FS) List(dir string) ([]string, error) {
	fd, err := d.open(dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), d.root+"/"+dir)
	defer f.Close()
	return f.Readdirnames(-1)
}

// SyncDir makes the entries of a folder durable.
func (d *FS) SyncDir(dir string) error {
	fd, err := d.open(dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	return errors.Join(d.at("fsync", dir, again(func() error { return unix.Fsync(fd) })), d.at("close", dir, unix.Close(fd)))
}

// SyncAll makes everything durable that was written to the file system.
func (d *FS) SyncAll() error {
	if err := unix.Syncfs(d.fd); err != nil {
		return &os.PathError{Op: "syncfs", Path: d.root, Err: err}
	}
	return nil
}

// Usage tells how full the file system is, as this process may use it.
func (d *FS) Usage() (vfs.Usage, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(d.fd, &st); err != nil {
		return vfs.Usage{}, &os.PathError{Op: "statfs", Path: d.root, Err: err}
	}
	return vfs.Usage{
		Size: int64(st.Blocks) * st.Bsize, Free: int64(st.Bavail) * st.Bsize,
		Inodes: int64(st.Files), FreeInodes: int64(st.Ffree),
	}, nil
}
