package store

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
)

// The machine decides what is done in which order. Its methods are events (submit, batchDone, fileDone, stepDone, ...) and requests
// for work (nextBatch, nextFile, nextStep, nextSweep); whoever took work reports its end. It is not safe for concurrent use: the store's lock guards it.
type machine struct {
	limits limits
	state  snapshot // exact for all that is durable
	gens   []uint32 // per partition, the generation that the next entry belongs to: ahead of state while a discard is queued

	slots   map[key.Key]*slot // keys with something on its way: bounded, since the journal is
	queue   []*item           // wait for a batch
	queued  int64             // bytes of queue and of flight
	flight  *batch            // being written and synced; one at a time
	batches uint64            // begun so far
	durable place             // the end of what is known to be synced

	files  []key.Key  // slots whose durable record waits for its file, oldest first
	filing int        // files being written
	sweeps []sweepJob // folders of older generations that are to be removed

	segments []*segment // live ones, oldest first; batches go to the last
	sealed   bool       // the last segment is of an earlier run, and takes no batches: there was no room yet for one of this run
	owed     int64      // bytes of values whose files are still to be written
	live     int64      // bytes in segments
	entries  int64      // entries in segments
	check    checkpointer

	failed error // the first failed sync; never cleared
}

// limits bound the journal, and so memory and the time of recovery.
type limits struct {
	segmentBytes   int64 // a segment of this size is followed by a checkpoint
	segmentEntries int64
	batchBytes     int64
}

// A slot gathers what is on its way for one key.
type slot struct {
	last     *item // the newest that was submitted; nil once it is durable and filed
	undone   int   // submitted and not yet durable
	shown    *item // the newest durable one, while its file is still to be written: reads are answered from it
	filing   *item // whose file is being written
	enqueued bool  // waits in files
}

// An item is an entry on its way to the journal, and then to its file.
type item struct {
	entry
	hash      uint64
	segment   uint64 // that holds it, once durable
	both      bool   // the key may have a file of the other kind, which the new one must take away
	recovered bool   // it, or one that it replaces, came out of the journal at the start: an earlier run may have left files of any state
	damaged   bool   // the copy that it replaces cannot be trusted, so prior says nothing

	ctx    context.Context
	queued time.Time // for Events only, as waited
	waited time.Duration
	done   chan error // gets exactly one; nil if nobody waits
}

// A segment is one file of the journal.
type segment struct {
	id      uint64
	end     int64 // of what counts
	entries int64
	unfiled int // records in it whose file is still to be written and that nothing durable has replaced
}

// A batch is work: write its entries at its place, sync, report to batchDone.
type batch struct {
	header header
	items  []*item
	bytes  int64 // of queued
}

func newMachine(l limits, s snapshot) *machine {
	m := &machine{limits: l, state: s, gens: make([]uint32, len(s.parts)), slots: make(map[key.Key]*slot)}
	for i := range s.parts {
		m.gens[i] = s.parts[i].gen
	}
	return m
}

func (m *machine) current() *segment { return m.segments[len(m.segments)-1] }

// room tells whether the journal may grow. A segment that is full takes nothing more: the disk's space for it was taken beforehand,
// and beyond that a write could fail. Then writes wait for the checkpoint to make the next one.
func (m *machine) room() bool {
	cur := m.current()
	return !m.sealed && cur.end+m.queued < m.limits.segmentBytes && cur.entries+int64(len(m.queue)) < m.limits.segmentEntries
}

// onItsWay tells whether the newest record of k is not yet in its file: then the machine knows what a new one replaces.
func (m *machine) onItsWay(k key.Key) bool {
	s := m.slots[k]
	return s != nil && s.last != nil
}

// shown is the newest durable record of k, if its file is still to be written.
func (m *machine) shown(k key.Key) (*item, bool) {
	if s := m.slots[k]; s != nil && s.shown != nil {
		return s.shown, true
	}
	return nil, false
}

// submit queues an entry. For a record, it.prior is its key's state as the files say; the machine knows better if one is on its way.
func (m *machine) submit(it *item) {
	switch it.kind {
	case entryPut, entryStaged:
		s := m.slots[it.key]
		if s == nil {
			s = &slot{}
			m.slots[it.key] = s
		}
		it.gen = m.gens[it.part]
		switch {
		case s.last != nil && s.last.gen == it.gen:
			it.prior = priorOf(&s.last.rec)
		case it.gen != m.state.parts[it.part].gen:
			it.prior = prior{} // a discard is queued before it
		}
		s.last = it
		s.undone++
	case entryDiscard:
		m.gens[it.part]++
		it.gen = m.gens[it.part]
	}
	m.queue = append(m.queue, it)
	m.queued += it.size()
}

// nextBatch gives what waits as one batch, if none is under way.
func (m *machine) nextBatch() (*batch, bool) {
	if m.flight != nil || len(m.queue) == 0 || m.failed != nil {
		return nil, false
	}
	n, bytes := 0, int64(0)
	for n < len(m.queue) && bytes < m.limits.batchBytes {
		bytes += m.queue[n].size()
		n++
	}
	items := m.queue[:n:n]
	m.queue = m.queue[n:]
	if len(m.queue) == 0 {
		m.queue = nil // the batch owns the array now
	}
	m.batches++
	cur := m.current()
	m.flight = &batch{
		header: header{at: place{cur.id, cur.end}, durable: m.durable, before: m.before(), number: m.batches},
		items:  items,
		bytes:  bytes,
	}
	return m.flight, true
}

// before is where the segment before the current one ended.
func (m *machine) before() place {
	if len(m.segments) < 2 {
		return m.check.dropped
	}
	s := m.segments[len(m.segments)-2]
	return place{s.id, s.end}
}

// batchDone: the batch of that length is durable. Its records may be shown and acknowledged from here on.
func (m *machine) batchDone(length int64) {
	b := m.flight
	m.flight = nil
	m.queued -= b.bytes
	cur := m.current()
	cur.end += length
	cur.entries += int64(len(b.items))
	m.live += length
	m.entries += int64(len(b.items))
	m.durable = place{cur.id, cur.end}
	for _, it := range b.items {
		it.segment = cur.id
		m.apply(it)
	}
	m.switchSegment()
}

// batchFailed: the write or its sync failed, so fail follows. What is on the disk is unknown: the batch may come back at the next start.
func (m *machine) batchFailed() { m.flight = nil }

// idle tells whether nothing is queued or being made durable, and no checkpoint is under way.
func (m *machine) idle() bool {
	return m.flight == nil && len(m.queue) == 0 && m.check.phase == phaseIdle && !m.check.asked
}

// atRest tells whether every record has its file and the journal is empty, or nothing more can be done about it.
func (m *machine) atRest() bool {
	if m.flight == nil && (m.failed != nil || m.sealed && len(m.slots) == 0 && len(m.queue) == 0) {
		return true
	}
	return m.idle() && len(m.slots) == 0 && m.entries == 0 && len(m.sweeps) == 0
}

func (m *machine) fail(err error) {
	if m.failed == nil {
		m.failed = err
	}
}

// apply enters a durable item into the books.
func (m *machine) apply(it *item) {
	switch it.kind {
	case entryCeiling:
		m.state.ceiling = max(m.state.ceiling, it.ceiling)
	case entryDiscard:
		m.discard(it.part, it.gen)
	default:
		m.show(it)
	}
}

// show makes a durable record the one that reads see, and queues its file.
func (m *machine) show(it *item) {
	p := &m.state.parts[it.part]
	s := m.slots[it.key]
	s.undone--
	p.replace(it.hash, it.prior, &it.rec)
	it.both = it.recovered || it.damaged || it.prior.kind != register.None && it.prior.kind != it.rec.Kind
	if old := s.shown; old != nil {
		it.both = it.both || old.both || old.rec.Kind != it.rec.Kind
		it.recovered = it.recovered || old.recovered
		it.damaged = it.damaged || old.damaged
		m.replaced(s, old)
	}
	s.shown = it
	m.segmentOf(it).unfiled++
	m.owed += int64(len(it.rec.Value.Inline))
	m.enqueue(it.key, s)
}

// replaced: a newer durable record makes old's file needless.
func (m *machine) replaced(s *slot, old *item) {
	m.segmentOf(old).unfiled--
	m.owed -= int64(len(old.rec.Value.Inline))
	if old.kind == entryStaged && s.filing != old {
		m.sweeps = append(m.sweeps, sweepJob{file: stagePath(old.rec.Value.Stage)})
	}
}

func (m *machine) segmentOf(it *item) *segment {
	for _, s := range m.segments {
		if s.id == it.segment {
			return s
		}
	}
	panic("store: an item outlived its segment")
}

// discard raises a partition's generation: nothing of an older one counts any more.
func (m *machine) discard(part int, gen uint32) {
	p := &m.state.parts[part]
	if gen <= p.gen {
		return
	}
	m.sweeps = append(m.sweeps, sweepJob{folder: folderName(part, p.gen)})
	*p = partition{gen: gen}
	for _, k := range slices.Sorted(maps.Keys(m.slots)) { // sorted, so that a simulation repeats itself
		s := m.slots[k]
		old := s.shown
		if old == nil || old.part != part || old.gen >= gen {
			continue
		}
		m.replaced(s, old)
		if s.last == old {
			s.last = nil
		}
		s.shown = nil
		m.release(k, s)
	}
}

// release forgets a slot with nothing on its way.
func (m *machine) release(k key.Key, s *slot) {
	if s.undone == 0 && s.shown == nil && s.filing == nil {
		delete(m.slots, k)
	}
}
