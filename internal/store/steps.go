package store

import (
	"errors"
	"fmt"
	"io/fs"
)

// segmentSize is what a segment's file takes: beyond the size at which a checkpoint begins there is room for the batch under way.
func (c *Config) segmentSize() int64 { return c.SegmentBytes + 2*c.BatchBytes }

// carryOut does one step of a checkpoint.
func (s *Store) carryOut(st step) error {
	switch st.phase {
	case phaseCreating:
		return s.createSegment(st.segment)
	case phaseSyncing:
		return s.syncFiles()
	case phaseSaving:
		return s.saveCheckpoint(&st.snapshot)
	case phaseDropping:
		return s.dropSegments(st.drop)
	}
	return fmt.Errorf("a checkpoint has no step %v", st.phase)
}

// createSegment makes a segment's file, with its space, durable before the first batch goes there.
func (s *Store) createSegment(id uint64) error {
	name := segmentName(id)
	if err := s.removeFile(name); err != nil { // of an attempt that was cut short
		return err
	}
	f, err := s.fs.Create(name)
	if err != nil {
		return err
	}
	err = f.Allocate(s.cfg.segmentSize())
	if err == nil {
		err = s.syncFile(f, name)
	}
	if err == nil {
		err = s.syncDir(journalDir)
	}
	if err != nil {
		f.Close()
		return errors.Join(err, s.removeFile(name))
	}
	s.mu.Lock()
	s.journal[id] = f
	s.mu.Unlock()
	return nil
}

// syncFiles makes all key files durable that were written before.
func (s *Store) syncFiles() error {
	if !s.cfg.SyncEach {
		if err := s.fs.SyncAll(); err != nil {
			return s.fail(fmt.Errorf("sync the file system: %w", err))
		}
		return nil
	}
	folders := s.dirty.take()
	for i, dir := range folders {
		err := s.fs.SyncDir(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist): // discarded meanwhile
		case isShort(err):
			for _, dir := range folders[i:] {
				s.dirty.add(dir)
			}
			return err
		case err != nil:
			return s.fail(fmt.Errorf("sync %s: %w", dir, err))
		}
	}
	return nil
}

// saveCheckpoint puts a snapshot in the place of the last one, durably.
func (s *Store) saveCheckpoint(state *snapshot) error {
	if err := s.removeFile(checkpointTemp); err != nil {
		return err
	}
	f, err := s.fs.Create(checkpointTemp)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(state.encode(), 0)
	if err == nil {
		err = s.syncFile(f, checkpointTemp)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err := s.fs.Rename(checkpointTemp, checkpointName); err != nil {
		return err
	}
	return s.syncDir(".")
}

// dropSegments removes what the saved checkpoint covers.
func (s *Store) dropSegments(ids []uint64) error {
	for _, id := range ids {
		s.mu.Lock()
		f := s.journal[id]
		delete(s.journal, id)
		s.mu.Unlock()
		if f != nil {
			f.Close()
		}
		if err := s.removeFile(segmentName(id)); err != nil {
			return err
		}
	}
	return nil
}

// closeJournal closes the segments at the end of Run.
func (s *Store) closeJournal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, f := range s.journal {
		f.Close()
		delete(s.journal, id)
	}
}
