package store

import (
	"fmt"
	"sync"

	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/store/vfs"
)

// The reserve is what stays free for deletes, checkpoints and files that are written behind: a twentieth of the disk, within bounds,
// and the journal's next segment.
const (
	reserveShare     = 20
	reserveBytesMax  = 1 << 30
	reserveInodesMax = 10_000
	fileCost         = 4 << 10 // bytes that any file takes besides its contents
)

// space watches how full the disk is. Between two looks at the file system it counts down what the store itself takes.
type space struct {
	fs      vfs.FS
	segment int64 // bytes
	owed    func() (bytes, files int64)

	mu     sync.Mutex
	usage  Usage
	bytes  int64 // that may be taken before the next look
	inodes int64
	full   bool
}

func newSpace(fs vfs.FS, segment int64, owed func() (bytes, files int64)) (*space, error) {
	sp := &space{fs: fs, segment: segment, owed: owed}
	return sp, sp.look()
}

// look asks the file system.
func (sp *space) look() error {
	now, err := sp.fs.Usage()
	if err != nil {
		return fmt.Errorf("free space: %w", err)
	}
	u := Usage{Usage: now}
	bytes, files := sp.owed()
	u.Free -= bytes + files*fileCost
	u.FreeInodes -= files
	u.ReserveBytes = min(u.Size/reserveShare, reserveBytesMax) + sp.segment
	u.ReserveInodes = min(u.Inodes/reserveShare, reserveInodesMax)
	sp.mu.Lock()
	defer sp.mu.Unlock()
	sp.usage = u
	// A part only, so that what others take meanwhile is noticed in time.
	sp.bytes = (u.Free - u.ReserveBytes) / 4
	sp.inodes = (u.FreeInodes - u.ReserveInodes) / 4
	if u.Inodes == 0 {
		sp.inodes = 1 << 30
	}
	sp.full = u.refuses(fileCost) != nil
	return nil
}

// take allows that many more bytes in so many new files, or says that the disk is full.
func (sp *space) take(bytes, files int64) error {
	bytes += files * fileCost
	if sp.spend(bytes, files) {
		return nil
	}
	if err := sp.look(); err != nil {
		return err
	}
	if sp.spend(bytes, files) {
		return nil
	}
	return sp.check(bytes)
}

func (sp *space) spend(bytes, files int64) bool {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if sp.bytes < bytes || sp.inodes < files {
		return false
	}
	sp.bytes -= bytes
	sp.inodes -= files
	return true
}

// check tells whether a value of that size would fit, leaving the reserve alone.
func (sp *space) check(bytes int64) error {
	sp.mu.Lock()
	u := sp.usage
	sp.mu.Unlock()
	return u.refuses(bytes)
}

// refuses says why so many more bytes would not fit, or nil.
func (u *Usage) refuses(bytes int64) error {
	if u.Free-u.ReserveBytes < bytes {
		return fmt.Errorf("%w: %d bytes are free, %d of them kept in reserve", register.ErrFull, u.Free, u.ReserveBytes)
	}
	if u.Inodes > 0 && u.FreeInodes-u.ReserveInodes < 1 {
		return fmt.Errorf("%w: %d inodes are free, %d of them kept in reserve", register.ErrFull, u.FreeInodes, u.ReserveInodes)
	}
	return nil
}

func (sp *space) now() (Usage, bool) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	return sp.usage, sp.full
}
