package store

import "time"

// A checkpoint goes through these phases, in this order.
type phase int

const (
	phaseIdle     phase = iota
	phaseCreating       // the next segment is being made
	phaseWaiting        // for the batch under way, then batches go to the next segment
	phaseFiling         // for the files of all records in the old segments
	phaseSyncing        // these files are being made durable
	phaseSaving         // the snapshot of the moment between old segments and new is being written
	phaseDropping       // the old segments are being removed
)

func (p phase) String() string {
	return [...]string{"idle", "creating", "waiting", "filing", "syncing", "saving", "dropping"}[p]
}

// checkpointer is the part of the machine that bounds the journal.
type checkpointer struct {
	phase   phase
	began   time.Time // of the first step; for Events only, set by the runner
	busy    bool      // the step of this phase was given out
	asked   bool      // a checkpoint is wanted although the segment is not full
	next    uint64    // the segment being made
	state   snapshot  // of the moment between old segments and new
	dropped place     // the end of the last segment that was dropped
}

// A step is work of a checkpoint, to be reported to stepDone.
type step struct {
	phase    phase
	segment  uint64   // creating: its id
	snapshot snapshot // saving
	drop     []uint64 // dropping: their ids
}

// askCheckpoint wants one even if the segment is not full; no-op if the journal is empty.
func (m *machine) askCheckpoint() {
	if m.entries > 0 {
		m.check.asked = true
	}
}

// nextStep gives the checkpoint's next step, if it is time for one and none is under way.
func (m *machine) nextStep() (step, bool) {
	c := &m.check
	if c.busy || m.failed != nil {
		return step{}, false
	}
	switch c.phase {
	case phaseIdle:
		cur := m.current()
		if !c.asked && cur.end < m.limits.segmentBytes && cur.entries < m.limits.segmentEntries {
			return step{}, false
		}
		c.asked = false
		c.phase = phaseCreating
		c.next = cur.id + 1
	case phaseWaiting:
		return step{}, false
	case phaseFiling:
		for _, s := range m.segments[:len(m.segments)-1] {
			if s.unfiled > 0 {
				return step{}, false
			}
		}
		c.phase = phaseSyncing
	}
	c.busy = true
	st := step{phase: c.phase, segment: c.next, snapshot: c.state}
	if c.phase == phaseDropping {
		for _, s := range m.segments[:len(m.segments)-1] {
			st.drop = append(st.drop, s.id)
		}
	}
	return st, true
}

// stepDone: the step was carried out, or, if not, is to be tried again.
func (m *machine) stepDone(st step, done bool) {
	c := &m.check
	c.busy = false
	if !done {
		return
	}
	switch st.phase {
	case phaseCreating:
		c.phase = phaseWaiting
		m.switchSegment()
	case phaseSyncing:
		c.phase = phaseSaving
	case phaseSaving:
		c.phase = phaseDropping
		c.state = snapshot{}
	case phaseDropping:
		m.drop()
		c.phase = phaseIdle
	}
}

// switchSegment sends batches to the next segment, once no batch of the old one is under way: so that the snapshot says what
// the old segments say, no less and no more.
func (m *machine) switchSegment() {
	c := &m.check
	if c.phase != phaseWaiting || m.flight != nil {
		return
	}
	m.segments = append(m.segments, &segment{id: c.next})
	m.sealed = false
	c.state = m.state.clone()
	c.state.first = c.next
	c.phase = phaseFiling
}

// drop takes the old segments out of the books.
func (m *machine) drop() {
	old := m.segments[:len(m.segments)-1]
	for _, s := range old {
		m.live -= s.end
		m.entries -= s.entries
		m.check.dropped = place{s.id, s.end}
	}
	m.segments = m.segments[len(m.segments)-1:]
}
