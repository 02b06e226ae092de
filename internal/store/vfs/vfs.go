// Package vfs says what the store asks of a file system: few calls, none of them clever, so that a disk that tears, reorders, fills up
// and fails can stand in for a real one. Implementations: store/disk (the system's), store/disktest (simulated).
package vfs

import "io"

// FS is the file system below a data directory; names are relative to it, with slashes. Errors wrap the system's (fs.ErrNotExist,
// fs.ErrExist, syscall.ENOSPC, ...). All methods may run at the same time.
type FS interface {
	// Create makes a new file for reading and writing; fs.ErrExist if the name is taken.
	Create(name string) (File, error)
	// Open opens a file for reading.
	Open(name string) (File, error)
	// Rename puts from in the place of to, at once, whatever to was. It is durable after SyncDir of both folders, or SyncAll.
	Rename(from, to string) error
	// Remove takes a file or an empty folder away.
	Remove(name string) error
	// Mkdir makes one folder.
	Mkdir(name string) error
	// List gives the names in a folder, in any order.
	List(dir string) ([]string, error)
	// SyncDir makes the entries of a folder durable.
	SyncDir(dir string) error
	// SyncAll makes durable all that was written before it was called, anywhere in the file system.
	SyncAll() error
	// Usage tells how full the file system is.
	Usage() (Usage, error)
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	Size() (int64, error)
	// Allocate reserves space for size bytes and sets the size; the bytes are zero.
	Allocate(size int64) error
	// Sync makes the file's bytes and size durable; its name is the folder's business.
	Sync() error
	// Forget drops what the system caches of the file, so that the next read comes from the disk. A hint.
	Forget()
	Close() error
}

// Usage is how full a file system is, as this process may use it.
type Usage struct {
	Size, Free         int64 // bytes
	Inodes, FreeInodes int64 // 0 of 0: the file system does not count them
}
