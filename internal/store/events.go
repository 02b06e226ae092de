package store

import (
	"context"
	"time"
)

// Events are the facts that the store reports while it works. A nil func is silent. They are called outside of the store's locks
// but on its own goroutines: they must be quick. The context of an event that belongs to one call is that call's.
type Events struct {
	// Synced: a batch of the journal has become durable, or failed to.
	Synced func(Synced)
	// Durable: the entry of one Put is durable; queued is the time that it waited for its batch's turn, batch names its batch.
	Durable func(ctx context.Context, batch uint64, queued time.Duration)
	// Filed: one key file was written behind (or could not be).
	Filed func(bytes int64, took time.Duration, err error)
	// Checkpointed: one checkpoint ended; took spans from the new segment to the dropped old ones.
	Checkpointed func(took time.Duration, err error)
	// Recovered: Open has replayed the journal.
	Recovered func(Recovered)
	// Damaged: a copy cannot be trusted; foundBy is "read".
	Damaged func(ctx context.Context, file, what, foundBy string)
	// Failed: a sync failed, the store takes no more writes. Reported once.
	Failed func(err error)
	// Full and Room: the reserve was reached, and left again.
	Full func(Usage)
	Room func(Usage)
	// CacheHit and CacheMiss: a read was, or was not, answered from memory.
	CacheHit  func()
	CacheMiss func()
}

// Synced describes one batch of the journal: one write and one sync for all its entries.
type Synced struct {
	Batch   uint64            // its number, unique in this run of the process
	Entries int               // how many it made durable
	Bytes   int64             // what was written
	Write   time.Duration     // for handing the bytes to the system
	Sync    time.Duration     // for the sync alone
	Started time.Time         // when the write began
	Members []context.Context // of the calls whose entries it holds, up to 128
	Err     error
}

// Recovered describes what Open found.
type Recovered struct {
	Segments int
	Batches  int
	Entries  int
	Bytes    int64 // of journal read
	Torn     int64 // bytes of an unfinished batch that were cut off
	Pending  int   // keys whose files are written anew
	Staged   int   // staged values cleared that never counted
	Took     time.Duration
}
