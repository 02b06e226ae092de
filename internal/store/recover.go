package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/store/vfs"
)

// replay enters the segments into a machine that stands at the checkpoint.
func (m *machine) replay(segments []parsedSegment, hash func(key.Key) uint64) (batches, entries int, err error) {
	for _, s := range segments {
		seg := &segment{id: s.id, end: s.end}
		m.segments = append(m.segments, seg)
		m.live += s.end
		for _, b := range s.chain {
			rest := b.entries
			for range b.header.entries {
				var e entry
				if e, rest, err = decodeEntry(rest); err != nil {
					return 0, 0, &JournalError{segmentName(s.id), b.place.offset, err.Error()}
				}
				if e.kind != entryCeiling && e.part >= len(m.state.parts) {
					return 0, 0, &JournalError{segmentName(s.id), b.place.offset, fmt.Sprintf("there is no partition %d", e.part)}
				}
				seg.entries++
				m.replayEntry(seg, e, hash)
				entries++
			}
			batches++
		}
		m.entries += seg.entries
	}
	for i := range m.gens {
		m.gens[i] = m.state.parts[i].gen
	}
	return batches, entries, nil
}

// replayEntry is the rule of recovery: nothing of an older generation counts, and of two records of a key the higher ballot wins.
func (m *machine) replayEntry(seg *segment, e entry, hash func(key.Key) uint64) {
	it := &item{entry: e, segment: seg.id, recovered: true}
	if e.kind == entryPut || e.kind == entryStaged {
		if e.gen < m.state.parts[e.part].gen {
			return // cannot be: what is older was journalled before the discard. But nothing would be worse than to show it
		}
		s := m.slots[e.key]
		if s == nil {
			s = &slot{}
			m.slots[e.key] = s
		}
		if s.shown != nil && !s.shown.rec.Ballot.Less(e.rec.Ballot) {
			return
		}
		it.hash = hash(e.key)
		s.last = it
		s.undone++
	}
	m.apply(it)
}

// readSegment reads a segment as the disk holds it, having made durable what the system still holds back: what recovery shows must
// not be lost again.
func (s *Store) readSegment(id uint64, salt uint32) (parsedSegment, error) {
	f, err := s.fs.Open(segmentName(id))
	if err != nil {
		return parsedSegment{}, err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return parsedSegment{}, fmt.Errorf("sync %s: %w", segmentName(id), err)
	}
	f.Forget()
	size, err := f.Size()
	if err != nil {
		return parsedSegment{}, err
	}
	p, err := parseSegmentFile(id, salt, f, size)
	if err != nil {
		return parsedSegment{}, fmt.Errorf("read %s: %w", segmentName(id), err)
	}
	return p, nil
}

func readAll(f vfs.File, name string) ([]byte, error) {
	size, err := f.Size()
	if err != nil {
		return nil, fmt.Errorf("size of %s: %w", name, err)
	}
	b := make([]byte, size)
	if n, err := f.ReadAt(b, 0); err != nil && (n < len(b) || !errors.Is(err, io.EOF)) {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return b, nil
}

func (s *Store) readFile(name string) ([]byte, error) {
	f, err := s.fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, name)
}

// load reads checkpoint and journal into the machine, or lays out an empty data directory.
func (s *Store) load() (Recovered, error) {
	var got Recovered
	if err := s.layOut(); err != nil {
		return got, err
	}
	for _, dir := range []string{".", journalDir} { // what a killed process had made, but not yet durable, is built upon now
		if err := s.syncDir(dir); err != nil {
			return got, err
		}
	}
	state, err := s.loadCheckpoint()
	if err != nil {
		return got, err
	}
	segments, err := s.segmentIDs()
	if err != nil {
		return got, err
	}
	s.m = newMachine(s.limits(), state)
	old, live := split(segments, state.first)
	if err := consecutive(live, state.first); err != nil {
		return got, err
	}
	parsed := make([]parsedSegment, 0, len(live))
	for _, id := range live {
		p, err := s.readSegment(id, state.salt)
		if err != nil {
			return got, err
		}
		got.Bytes += p.end
		got.Torn += p.stray
		parsed = append(parsed, p)
	}
	if err := cut(parsed); err != nil {
		return got, err
	}
	if got.Batches, got.Entries, err = s.m.replay(parsed, s.hash); err != nil {
		return got, err
	}
	got.Segments, got.Pending = len(live), len(s.m.slots)
	return got, s.begin(segments[len(segments)-1]+1, old, &got)
}

// consecutive: segments are made one after the other and dropped only by a checkpoint, so from the first live one on none is missing.
func consecutive(live []uint64, first uint64) error {
	for i := range max(len(live), 1) {
		if want := first + uint64(i); i >= len(live) || live[i] != want {
			return &JournalError{segmentName(want), 0, "the file is missing"}
		}
	}
	return nil
}

// errMissing: what was laid out once does not vanish by itself.
var errMissing = errors.New("a part of the data directory is missing: restore it from a backup, or start with an empty directory")

// layOut makes the folders that are not there. Keys and journal may be missing only where there was never a checkpoint.
func (s *Store) layOut() error {
	begun := s.cfg.Existing
	f, err := s.fs.Open(checkpointName)
	switch {
	case err == nil:
		begun = true
		f.Close()
	case !errors.Is(err, fs.ErrNotExist):
		return err
	case begun:
		return fmt.Errorf("%s: %w", checkpointName, errMissing)
	}
	for _, dir := range []string{keysDir, journalDir, stagingDir, quarantineDir} {
		if begun && (dir == keysDir || dir == journalDir) {
			if _, err := s.fs.List(dir); errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%s/: %w", dir, errMissing)
			}
		}
		if err := s.fs.Mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// split tells the segments that the checkpoint covers from those to be replayed.
func split(ids []uint64, first uint64) (old, live []uint64) {
	at, _ := slices.BinarySearch(ids, first)
	return ids[:at], ids[at:]
}

// begin makes the segment for this run and clears what recovery leaves over: after the replay, never before.
func (s *Store) begin(next uint64, old []uint64, got *Recovered) error {
	m := s.m
	last := m.current()
	m.durable = place{last.id, last.end}
	switch err := s.createSegment(next); {
	case err == nil:
		m.segments = append(m.segments, &segment{id: next})
		m.askCheckpoint()
	case passes(err): // reads go on; writes begin once there is room
		m.sealed, m.check.asked = true, true
		s.stalled = err
	default:
		return err
	}
	if err := s.dropSegments(old); err != nil {
		return err
	}
	if err := s.clearStaging(got); err != nil {
		return err
	}
	return s.sweepOldFolders()
}

func (s *Store) segmentIDs() ([]uint64, error) {
	names, err := s.fs.List(journalDir)
	if err != nil {
		return nil, err
	}
	var ids []uint64
	for _, name := range names {
		id, ok := parseSegment(name)
		if !ok {
			return nil, fmt.Errorf("%s/%s is not a journal segment: take it away", journalDir, name)
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids, nil
}

// loadCheckpoint reads the checkpoint; where there is none, the directory must be empty, and gets its first.
func (s *Store) loadCheckpoint() (snapshot, error) {
	b, err := s.readFile(checkpointName)
	if errors.Is(err, fs.ErrNotExist) {
		return s.firstCheckpoint()
	}
	if err != nil {
		return snapshot{}, err
	}
	state, err := decodeSnapshot(b)
	if err != nil {
		return snapshot{}, fmt.Errorf("%w: restore the data directory from a backup, or start with an empty one", err)
	}
	if len(state.parts) != s.cfg.Partitions {
		return snapshot{}, fmt.Errorf("the data directory has %d partitions, not %d: -partitions is fixed when the cluster is created", len(state.parts), s.cfg.Partitions)
	}
	return state, nil
}

func (s *Store) firstCheckpoint() (snapshot, error) {
	segments, err := s.segmentIDs()
	if err != nil {
		return snapshot{}, err
	}
	folders, err := s.fs.List(keysDir)
	if err != nil {
		return snapshot{}, err
	}
	if len(folders) > 0 {
		return snapshot{}, fmt.Errorf("%s: %w", checkpointName, errMissing)
	}
	for _, id := range segments { // of a first start that was cut short
		p, err := s.readSegment(id, 0)
		if err != nil {
			return snapshot{}, err
		}
		if p.stray > 0 || len(p.chain) > 0 {
			return snapshot{}, fmt.Errorf("%s: %w", checkpointName, errMissing)
		}
		if err := s.fs.Remove(segmentName(id)); err != nil {
			return snapshot{}, err
		}
	}
	state := snapshot{first: 1, salt: s.cfg.Salt(), parts: make([]partition, s.cfg.Partitions)}
	for i := range state.parts {
		state.parts[i].gen = 1
	}
	if err := s.createSegment(1); err != nil {
		return snapshot{}, err
	}
	return state, s.saveCheckpoint(&state)
}

// clearStaging removes the files that no durable record names.
func (s *Store) clearStaging(got *Recovered) error {
	wanted := make(map[string]bool)
	for _, sl := range s.m.slots {
		if sl.shown != nil && sl.shown.kind == entryStaged {
			wanted[stagePath(sl.shown.rec.Value.Stage)] = true
		}
	}
	names, err := s.fs.List(stagingDir)
	if err != nil {
		return err
	}
	for _, name := range names {
		path := stagingDir + "/" + name
		if wanted[path] {
			continue
		}
		if err := s.fs.Remove(path); err != nil {
			return err
		}
		got.Staged++
	}
	return nil
}

// sweepOldFolders queues the removal of folders whose generation no longer counts.
func (s *Store) sweepOldFolders() error {
	names, err := s.fs.List(keysDir)
	if err != nil {
		return err
	}
	s.m.sweeps = nil // found again here
	s.dirty.add(keysDir)
	for _, name := range names {
		s.dirty.add(keysDir + "/" + name) // a killed process may have made what is in it
		part, gen, ok := parseFolder(name)
		if ok && part < len(s.m.state.parts) && gen < s.m.state.parts[part].gen {
			s.m.sweeps = append(s.m.sweeps, sweepJob{folder: keysDir + "/" + name})
		}
	}
	return nil
}
