package store

import "github.com/estorajed/estorajed/internal/key"

// A fileJob is work: write the key file of a durable record, report to fileDone.
type fileJob struct {
	key    key.Key
	item   *item
	folder string
}

// nextFile gives the record whose file has waited longest.
func (m *machine) nextFile() (fileJob, bool) {
	for len(m.files) > 0 && m.failed == nil {
		k := m.files[0]
		m.files = m.files[1:]
		s := m.slots[k]
		if s == nil || !s.enqueued {
			continue // discarded meanwhile
		}
		s.enqueued = false
		if s.shown == nil || s.filing != nil {
			continue
		}
		s.filing = s.shown
		m.filing++
		return fileJob{key: k, item: s.shown, folder: folderName(s.shown.part, s.shown.gen)}, true
	}
	if len(m.files) == 0 {
		m.files = nil
	}
	return fileJob{}, false
}

// filesDue tells whether it is time to write key files. While the journal is busy they can wait, up to a bound: a key that is written
// again meanwhile needs one file, not two, and the processor belongs to those who wait for an answer.
func (m *machine) filesDue(resting bool) bool {
	return resting || m.check.phase == phaseFiling ||
		int64(len(m.slots)) > m.limits.segmentEntries/4 || m.owed > m.limits.segmentBytes/4
}

// fileDone: the file is there, or, if not written, is to be tried again.
func (m *machine) fileDone(job fileJob, written bool) {
	m.filing--
	s := m.slots[job.key]
	s.filing = nil
	switch {
	case s.shown == nil: // discarded meanwhile
	case written && s.shown == job.item:
		m.segmentOf(job.item).unfiled--
		m.owed -= int64(len(job.item.rec.Value.Inline))
		if s.last == job.item {
			s.last = nil
		}
		s.shown = nil
	default:
		m.enqueue(job.key, s)
	}
	if job.item.kind == entryStaged && s.shown != job.item {
		m.sweeps = append(m.sweeps, sweepJob{file: stagePath(job.item.rec.Value.Stage)}) // where it is needed no more, if it is still there
	}
	if job.item.gen < m.state.parts[job.item.part].gen {
		m.sweeps = append(m.sweeps, sweepJob{folder: job.folder}) // it may have made the folder anew
	}
	m.release(job.key, s)
}

func (m *machine) enqueue(k key.Key, s *slot) {
	if s.filing == nil && !s.enqueued {
		s.enqueued = true
		m.files = append(m.files, k)
	}
}

// A sweepJob is work without haste: take away what no longer counts, a staged file or a folder of an older generation. If it is
// not done before the process ends, recovery finds it again.
type sweepJob struct {
	file   string
	folder string
}

// sweepAgain: a sweep could not be done now.
func (m *machine) sweepAgain(job sweepJob) { m.sweeps = append(m.sweeps, job) }

func (m *machine) nextSweep() (sweepJob, bool) {
	if len(m.sweeps) == 0 || m.failed != nil {
		return sweepJob{}, false
	}
	job := m.sweeps[0]
	m.sweeps = m.sweeps[1:]
	return job, true
}
