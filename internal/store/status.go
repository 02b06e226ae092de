package store

import (
	"time"

	"github.com/estorajed/estorajed/internal/store/vfs"
)

// Status is what the store can say of itself at one moment; it costs one lock.
type Status struct {
	Keys       int64 // that have a value
	Tombstones int64
	Bytes      int64 // of all values

	JournalBytes   int64 // in live segments
	JournalLimit   int64 // where writes wait for the checkpoint
	JournalEntries int64 // in live segments
	JournalQueue   int   // entries that wait for their batch
	Segments       int
	Pending        int // keys whose files are still to be written
	Staged         int // values staged, whose records are still to come
	StagedBytes    int64
	Damaged        int // copies known to be damaged

	CacheEntries int
	CacheBytes   int64
	CacheLimit   int64
	Evictions    int64

	Usage  Usage
	Full   bool  // below the reserve: writes get ErrFull
	Failed error // the failed sync that ended writing, or nil

	CheckpointAge time.Duration // since the last one was saved
	SyncsFiles    bool          // each file is synced by itself: syncfs is not trusted on this file system
}

// Usage is how full the file system under the data directory is.
type Usage struct {
	vfs.Usage
	ReserveBytes  int64 // Free below this refuses writes
	ReserveInodes int64
}
