// Package disk is the real file system below a data directory: vfs.FS by the system's own calls.
//
// Files are plain descriptors without the runtime's poller, which is of no use for regular files: opening and closing a key file
// costs two calls less. One descriptor of the root is held open from before the first write, and SyncAll goes through it: the kernel reports a
// failed write-back to every descriptor that was open when it happened (errseq, Linux 4.13; syncfs since 5.8), so none is missed.
package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

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
	fd, err := open(root, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
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

func (d *FS) path(name string) string { return filepath.Join(d.root, name) }

func open(path string, flags int) (int, error) {
	for {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, fileMode)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return -1, &os.PathError{Op: "open", Path: path, Err: err}
		}
		return fd, nil
	}
}

// Create makes a new file.
func (d *FS) Create(name string) (vfs.File, error) {
	return d.file(name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL)
}

// Open opens a file for reading.
func (d *FS) Open(name string) (vfs.File, error) { return d.file(name, unix.O_RDONLY) }

func (d *FS) file(name string, flags int) (vfs.File, error) {
	path := d.root + "/" + name
	fd, err := open(path, flags)
	if err != nil {
		return nil, err
	}
	return &file{fd: fd, path: path}, nil
}

// Rename puts from in the place of to.
func (d *FS) Rename(from, to string) error { return os.Rename(d.path(from), d.path(to)) }

// Remove takes a file or an empty folder away.
func (d *FS) Remove(name string) error {
	path := d.path(name)
	err := unix.Unlink(path)
	if err == unix.EISDIR || err == unix.EPERM {
		err = unix.Rmdir(path)
	}
	if err != nil {
		return &os.PathError{Op: "remove", Path: path, Err: err}
	}
	return nil
}

// Mkdir makes one folder.
func (d *FS) Mkdir(name string) error { return os.Mkdir(d.path(name), folderMode) }

// List gives the names in a folder.
func (d *FS) List(dir string) ([]string, error) {
	f, err := os.Open(d.path(dir))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// SyncDir makes the entries of a folder durable.
func (d *FS) SyncDir(dir string) error {
	f, err := os.Open(d.path(dir))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
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
