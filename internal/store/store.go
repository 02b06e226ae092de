package store

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/store/vfs"
)

// Config says how a Store is to work. The zero value of a limit stands for the default in Defaults.
type Config struct {
	FS         vfs.FS
	Partitions int
	// Locate gives a key's hash and its partition, the same for all time.
	Locate func(key.Key) (hash uint64, partition int)
	// Existing says that the directory was laid out before: then what is missing is an error, not a new beginning.
	Existing bool
	// SyncEach syncs each file and folder by itself: for file systems whose syncfs is not known to work.
	SyncEach bool

	Salt func() uint32 // draws the salt of a new store's journal; nil: from the system

	SegmentBytes   int64         // size of a journal segment at which a checkpoint begins; writes wait until it has made the next one; 0: as the disk's size allows
	SegmentEntries int64         // the same, in entries
	BatchBytes     int64         // of entries in one batch of the journal, give or take one entry
	CacheBytes     int64         // of the hottest small values kept in memory; negative for none
	FileWriters    int           // goroutines that write key files behind
	IdleCheckpoint time.Duration // a journal that was not written for so long is dropped by a checkpoint

	Events Events
}

// Defaults of Config.
const (
	segmentBytesMin       = 16 << 20
	segmentBytesMax       = 64 << 20
	segmentShare          = 128 // of the disk's size, between these
	defaultSegmentEntries = 64 << 10
	defaultBatchBytes     = 1 << 20
	defaultCacheBytes     = 32 << 20
	defaultFileWriters    = 2
	defaultIdleCheckpoint = 5 * time.Second
)

func (c Config) withDefaults() Config {
	set := func(v *int64, d int64) {
		if *v == 0 {
			*v = d
		}
	}
	set(&c.SegmentBytes, segmentBytesFor(c.FS))
	set(&c.SegmentEntries, defaultSegmentEntries)
	set(&c.BatchBytes, defaultBatchBytes)
	set(&c.CacheBytes, defaultCacheBytes)
	if c.Salt == nil {
		c.Salt = func() uint32 {
			var b [4]byte
			rand.Read(b[:]) // never fails: see crypto/rand
			return binary.LittleEndian.Uint32(b[:])
		}
	}
	if c.FileWriters == 0 {
		c.FileWriters = defaultFileWriters
	}
	if c.IdleCheckpoint == 0 {
		c.IdleCheckpoint = defaultIdleCheckpoint
	}
	return c
}

// segmentBytesFor weighs what the journal takes of the disk against what a longer one spares: a key that is written several times
// between two checkpoints may need one file.
func segmentBytesFor(fs vfs.FS) int64 {
	usage, err := fs.Usage()
	if err != nil {
		return segmentBytesMin
	}
	return min(max(usage.Size/segmentShare, segmentBytesMin), segmentBytesMax)
}

// stripeCount is the number of stripes that guard what was read from files against what was written meanwhile.
const stripeCount = 1024

// A stripe stands for all keys whose hash falls on it.
type stripe struct {
	seq  uint64 // grows whenever a record of such a key becomes durable
	memo *memo  // the last record read for its head alone, still true; nil if unknown
}

type memo struct {
	key key.Key
	rec register.Record
}

// A Store keeps one replica's records. Open makes it, Run serves it.
type Store struct {
	cfg       Config
	fs        vfs.FS
	space     *space
	dirty     dirtyFolders // only with SyncEach
	blocks    blockPool
	evictions atomic.Int64 // from the cache
	waiters   sync.Pool    // of chan error

	journalWork chan struct{} // each has one place: a reminder that there may be work
	fileWork    chan struct{}
	stepWork    chan struct{}

	mu         sync.RWMutex // guards the fields below; never held during I/O
	m          *machine
	folders    []string // per partition, of the generation that counts
	kept       []uint32 // per partition, the generation whose folder is known to be durable
	stripes    [stripeCount]stripe
	cache      *otter.Cache[key.Key, cached] // changed under mu (read lock and an unchanged stripe, or write lock) so that it is coherent
	staged     map[register.Stamp]*stagedValue
	journal    map[uint64]vfs.File // open segments of this run
	damaged    map[string]bool     // files found damaged
	roomy      chan struct{}       // closed and replaced when the journal has room again
	stalled    error               // why files or checkpoints could not be written last time, if that passes; nil once they can
	turnedAway bool                // somebody waits for roomy
	stopped    bool
	written    time.Time // when the last batch became durable
	saved      time.Time // when the last checkpoint was saved
}

// Open recovers the store of a data directory, or lays out an empty one. Run must follow before anything is written.
// Errors: *JournalError and others that say what is wrong with the directory and what to do.
func Open(cfg Config) (*Store, error) {
	s, err := open(cfg)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func open(cfg Config) (*Store, error) {
	cfg = cfg.withDefaults()
	s := &Store{
		cfg: cfg, fs: cfg.FS,
		staged: make(map[register.Stamp]*stagedValue), journal: make(map[uint64]vfs.File), damaged: make(map[string]bool),
		roomy:       make(chan struct{}),
		journalWork: make(chan struct{}, 1), fileWork: make(chan struct{}, 1), stepWork: make(chan struct{}, 1),
	}
	s.waiters.New = func() any { return make(chan error, 1) }
	s.m = newMachine(s.limits(), snapshot{})
	s.cache = newCache(cfg.CacheBytes, &s.evictions)
	s.dirty.each = cfg.SyncEach
	start := time.Now()
	got, err := s.load()
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	s.kept = make([]uint32, cfg.Partitions)
	s.folders = make([]string, cfg.Partitions)
	for p := range s.folders {
		s.folders[p] = folderName(p, s.m.state.parts[p].gen)
	}
	s.space, err = newSpace(cfg.FS, cfg.segmentSize(), s.owed)
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	got.Took = time.Since(start)
	s.saved, s.written = start, start
	if f := cfg.Events.Recovered; f != nil {
		f(got)
	}
	return s, nil
}

// owed is what files still to be written will take.
func (s *Store) owed() (bytes, files int64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.m.owed, int64(len(s.m.slots))
}

func (s *Store) limits() limits {
	return limits{s.cfg.SegmentBytes, s.cfg.SegmentEntries, s.cfg.BatchBytes}
}

func (s *Store) hash(k key.Key) uint64 {
	h, _ := s.cfg.Locate(k)
	return h
}

// Put makes rec the only version of its key. It takes effect when its journal entry is on stable storage, and returns then: it does not
// give up on ctx once the entry is queued. The caller sees to it that the ballots of one key rise. If rec's value is
// neither inline nor staged, the copy here must be of the same version, and its bytes are kept.
// Errors: *register.NothingError: nothing was written, and nothing will be, for the cause that it names (register.ErrFull, ErrFailed,
// ErrStopped, ErrOverload, that of ctx, or what was wrong with the value's bytes); *register.UnknownError: the sync failed.
func (s *Store) Put(ctx context.Context, k key.Key, rec register.Record) error {
	it, err := s.entryFor(ctx, k, rec)
	if err != nil {
		return &register.NothingError{Cause: err}
	}
	return s.write(ctx, it)
}

// entryFor makes the journal entry of a record, once its bytes are where the entry says and there is room for them.
func (s *Store) entryFor(ctx context.Context, k key.Key, rec register.Record) (*item, error) {
	it := &item{entry: entry{kind: entryPut, key: k, rec: rec}, ctx: ctx}
	it.hash, it.part = s.cfg.Locate(k)
	if rec.Kind != register.Tombstone { // removals may use the reserve
		if err := s.space.take(int64(len(rec.Value.Inline)), 1); err != nil {
			s.Unstage(rec.Value)
			return nil, err
		}
	}
	if rec.Present() && rec.Value.Inline == nil && rec.Value.Length > 0 {
		if err := s.settleBytes(ctx, it); err != nil {
			return nil, err
		}
	}
	return it, nil
}

// giveUp ends an item that was not queued.
func (s *Store) giveUp(it *item, cause error) error {
	if it.kind == entryStaged {
		_ = s.removeFile(stagePath(it.rec.Value.Stage)) // what is left, the next start clears
	}
	return &register.NothingError{Cause: cause}
}

// write queues an item once there is room for it, and waits until it is durable.
func (s *Store) write(ctx context.Context, it *item) error {
	it.done = s.waiters.Get().(chan error)
	defer s.waiters.Put(it.done)
	for {
		wait, err := s.enqueue(ctx, it)
		if err != nil {
			return s.giveUp(it, err)
		}
		if wait == nil {
			remind(s.journalWork)
			return <-it.done
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return s.giveUp(it, ctx.Err())
		}
	}
}

// enqueue queues an item, or gives a channel that is closed when it is worth trying again.
func (s *Store) enqueue(ctx context.Context, it *item) (wait <-chan struct{}, err error) {
	record := it.kind == entryPut || it.kind == entryStaged
	for {
		var at uint64
		if record {
			if at, err = s.learnPrior(ctx, it); err != nil {
				return nil, err
			}
		}
		s.mu.Lock()
		again := false
		switch err = s.writable(); {
		case err != nil:
		case !s.m.room() && s.stalled != nil:
			err = diskError("the journal waits for room on the disk", s.stalled)
		case !s.m.room():
			wait = s.roomy
			s.turnedAway = true
		case record && !s.m.onItsWay(it.key) && s.stripe(it.hash).seq != at:
			again = true // a record became durable meanwhile, and its file was written
		default:
			if s.cfg.Events.Durable != nil {
				it.queued = time.Now()
			}
			s.m.submit(it)
		}
		s.mu.Unlock()
		if !again {
			return wait, err
		}
	}
}

// writable is nil while the store takes writes. The caller holds mu.
func (s *Store) writable() error {
	switch {
	case s.m.failed != nil:
		return fmt.Errorf("%w: %w", register.ErrFailed, s.m.failed)
	case s.stopped:
		return register.ErrStopped
	}
	return nil
}

// Writable tells why a value of that size (-1: unknown) would be refused now, or nil.
func (s *Store) Writable(size int64) error {
	s.mu.RLock()
	err := s.writable()
	s.mu.RUnlock()
	if err != nil {
		return err
	}
	if s.space.check(max(size, 0)+fileCost) == nil {
		return nil
	}
	if err := s.space.look(); err != nil {
		return err
	}
	return s.space.check(max(size, 0) + fileCost)
}

// Discard gives up all records of a partition, durably: its generation is raised.
func (s *Store) Discard(ctx context.Context, part int) error {
	return s.write(ctx, &item{entry: entry{kind: entryDiscard, part: part}, ctx: ctx})
}

// Ceiling is the durable promise ceiling.
func (s *Store) Ceiling() register.Time {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.m.state.ceiling
}

// RaiseCeiling makes a higher promise ceiling durable before it returns.
func (s *Store) RaiseCeiling(ctx context.Context, t register.Time) error {
	return s.write(ctx, &item{entry: entry{kind: entryCeiling, ceiling: t}, ctx: ctx})
}

func (s *Store) stripe(hash uint64) *stripe { return &s.stripes[hash%stripeCount] }

// remind puts a reminder into a channel of one place.
func remind(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Status tells how the store is.
func (s *Store) Status() Status {
	st := Status{SyncsFiles: s.cfg.SyncEach, JournalLimit: 2 * s.cfg.SegmentBytes, CacheLimit: max(s.cfg.CacheBytes, 0)}
	st.Usage, st.Full = s.space.now()
	s.mu.RLock()
	defer s.mu.RUnlock()
	for i := range s.m.state.parts {
		p := &s.m.state.parts[i]
		st.Keys += p.keys
		st.Tombstones += p.tombstones
		st.Bytes += p.bytes
	}
	st.JournalBytes, st.JournalEntries, st.JournalQueue = s.m.live, s.m.entries, len(s.m.queue)
	st.Segments, st.Pending = len(s.m.segments), len(s.m.slots)
	st.Staged, st.Damaged = len(s.staged), len(s.damaged)
	for _, v := range s.staged {
		st.StagedBytes += v.length
	}
	if s.cache != nil {
		st.CacheEntries, st.CacheBytes = s.cache.EstimatedSize(), int64(s.cache.WeightedSize())
	}
	st.Evictions = s.evictions.Load()
	st.Failed = s.m.failed
	st.CheckpointAge = time.Since(s.saved)
	return st
}
