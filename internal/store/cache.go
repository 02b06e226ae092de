package store

import (
	"sync/atomic"

	"github.com/maypok86/otter/v2"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
)

// cached is a record with its value inline; its cost is what it takes in memory, about.
type cached struct {
	rec register.Record
}

func (c cached) cost(k key.Key) uint32 {
	n := 256 + 2*len(k) + len(c.rec.Value.Inline) + len(c.rec.History)*32
	for _, f := range c.rec.Metadata {
		n += len(f.Name) + len(f.Value) + 32
	}
	return uint32(n)
}

func newCache(bytes int64, evictions *atomic.Int64) *otter.Cache[key.Key, cached] {
	if bytes < 0 {
		return nil
	}
	return otter.Must(&otter.Options[key.Key, cached]{
		MaximumWeight: uint64(bytes),
		Weigher:       func(k key.Key, c cached) uint32 { return c.cost(k) },
		OnAtomicDeletion: func(e otter.DeletionEvent[key.Key, cached]) {
			if e.WasEvicted() {
				evictions.Add(1)
			}
		},
		// Its upkeep is short and runs with the caller: no goroutine of its own outlives a test or a Run.
		Executor: func(f func()) { f() },
	})
}

// remember keeps what was read from a file, if nothing of its stripe has become durable since the stripe was at seq.
func (s *Store) remember(k key.Key, hash, seq uint64, rec *register.Record) {
	if s.cache == nil {
		return
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.stripe(hash).seq == seq {
		s.cache.Set(k, cached{*rec})
	}
}

// keep takes over what is in memory anyway, when it is about to be forgotten since its file is there: who wrote a key often asks for it,
// and each further write looks at its head. The caller holds mu for writing.
func (s *Store) keep(job fileJob) {
	if s.cache == nil || job.item.kind != entryPut || job.item.recovered { // of an earlier run's, the file may be newer
		return
	}
	if it, ok := s.m.shown(job.key); ok && it == job.item {
		s.cache.Set(job.key, cached{it.rec})
	}
}

// supersede keeps the cache true when a record becomes durable. The caller holds mu for writing.
func (s *Store) supersede(it *item) {
	if s.cache == nil {
		return
	}
	if _, ok := s.cache.GetEntryQuietly(it.key); !ok {
		return
	}
	if it.rec.Present() && it.rec.Value.Inline == nil && it.rec.Value.Length > 0 {
		s.cache.Invalidate(it.key)
		return
	}
	s.cache.Set(it.key, cached{it.rec})
}
