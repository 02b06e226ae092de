package disk

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// file is an open descriptor.
type file struct {
	fd   int
	name string
}

func (f *file) wrap(op string, err error) error {
	return &os.PathError{Op: op, Path: f.name, Err: err}
}

// ReadAt fills b from the offset; io.EOF if the file ends before.
func (f *file) ReadAt(b []byte, at int64) (int, error) {
	done := 0
	for done < len(b) {
		n, err := unix.Pread(f.fd, b[done:], at+int64(done))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return done, f.wrap("read", err)
		}
		if n == 0 {
			return done, io.EOF
		}
		done += n
	}
	return done, nil
}

// WriteAt writes all of b at the offset.
func (f *file) WriteAt(b []byte, at int64) (int, error) {
	done := 0
	for done < len(b) {
		n, err := unix.Pwrite(f.fd, b[done:], at+int64(done))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return done, f.wrap("write", err)
		}
		done += n
	}
	return done, nil
}

// Size is the file's length in bytes.
func (f *file) Size() (int64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(f.fd, &st); err != nil {
		return 0, f.wrap("stat", err)
	}
	return st.Size, nil
}

// Allocate reserves space; where the file system cannot, it writes zeros.
func (f *file) Allocate(size int64) error {
	for {
		err := unix.Fallocate(f.fd, 0, 0, size)
		switch err {
		case nil:
			return nil
		case unix.EINTR:
			continue
		case unix.EOPNOTSUPP, unix.ENOSYS:
			return f.zero(size)
		}
		return f.wrap("fallocate", err)
	}
}

func (f *file) zero(size int64) error {
	zeros := make([]byte, 1<<20)
	for at := int64(0); at < size; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at); err != nil {
			return err
		}
	}
	return nil
}

// Sync makes bytes and size durable. It is not tried again when it fails: the kernel may have dropped what it could not write.
func (f *file) Sync() error {
	for {
		err := unix.Fdatasync(f.fd)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return f.wrap("fdatasync", err)
		}
		return nil
	}
}

// Forget asks the kernel to drop the file's clean pages.
func (f *file) Forget() { _ = unix.Fadvise(f.fd, 0, 0, unix.FADV_DONTNEED) }

// Close gives the descriptor back. Whatever it returns, the number may be somebody else's from then on: closing again does nothing.
func (f *file) Close() error {
	if f.fd < 0 {
		return nil
	}
	fd := f.fd
	f.fd = -1
	if err := unix.Close(fd); err != nil {
		return f.wrap("close", err)
	}
	return nil
}
