package store

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/estorajed/estorajed/internal/register"
)

// Pace of the runner.
const (
	retryPause    = 500 * time.Millisecond // after the disk was found full
	restAfter     = 100 * time.Millisecond // without a batch the journal rests: files are written then, at the next look at the latest
	housekeep     = time.Second            // between two looks at the free space and at an idle journal
	drainPatience = 20 * time.Second       // for the files and the checkpoint at the end
	bufferKept    = 2 * defaultBatchBytes  // bytes of batch buffer that are not given back
	membersKept   = 128                    // callers that a Synced event names
)

// Run serves writes until ctx ends; then it takes no more, writes all key files, drops the journal by a checkpoint and returns. It returns
// nil also after a failed sync: reads go on without it.
func (s *Store) Run(ctx context.Context) error {
	var g errgroup.Group
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	g.Go(func() error { s.loop(work, s.journalWork, s.journalTurn()); return nil })
	for range s.cfg.FileWriters {
		g.Go(func() error { s.loop(work, s.fileWork, s.fileTurn); return nil })
	}
	g.Go(func() error { s.loop(work, s.stepWork, s.stepTurn); return nil })
	g.Go(func() error { s.housekeeping(work); return nil })
	<-ctx.Done()
	s.drain()
	stop()
	s.refuseQueue(register.ErrStopped)
	err := g.Wait()
	s.closeJournal()
	return err
}

// loop takes turns as long as there is work, then waits for a reminder.
func (s *Store) loop(ctx context.Context, work chan struct{}, turn func() (more bool, pause time.Duration)) {
	for {
		more, pause := turn()
		if more && pause == 0 {
			continue
		}
		reminder, again := work, (<-chan time.Time)(nil)
		if pause > 0 {
			reminder, again = nil, time.After(pause)
		}
		select {
		case <-ctx.Done():
			return
		case <-reminder:
		case <-again:
		}
	}
}

// drain refuses new writes and waits until all is at rest, or the store has failed, or patience ends: what is left then is in the journal.
func (s *Store) drain() {
	s.mu.Lock()
	s.stopped = true
	s.wakeWriters()
	s.mu.Unlock()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(drainPatience); time.Now().Before(deadline); {
		s.mu.Lock()
		resting := s.m.atRest()
		if !resting && s.m.idle() {
			s.m.askCheckpoint()
		}
		s.mu.Unlock()
		if resting {
			return
		}
		s.remindAll()
		<-tick.C
	}
}

func (s *Store) remindAll() {
	remind(s.journalWork)
	remind(s.fileWork)
	remind(s.stepWork)
}

// wakeWriters lets all look again who wait for room. The caller holds mu.
func (s *Store) wakeWriters() {
	if !s.turnedAway {
		return
	}
	s.turnedAway = false
	close(s.roomy)
	s.roomy = make(chan struct{})
}

// fail ends writing for good: after a failed sync nobody knows what the disk holds, and trying again would hide it.
func (s *Store) fail(err error) error {
	s.mu.Lock()
	first := s.m.failed == nil
	s.m.fail(err)
	s.wakeWriters()
	s.mu.Unlock()
	err = fmt.Errorf("%w: %w", register.ErrFailed, err)
	s.refuseQueue(err)
	if f := s.cfg.Events.Failed; f != nil && first {
		f(err)
	}
	return err
}

// refuseQueue answers those whose entries no batch will take any more.
func (s *Store) refuseQueue(cause error) {
	s.mu.Lock()
	refused := s.m.queue
	s.m.queue = nil
	s.mu.Unlock()
	for _, it := range refused {
		it.done <- s.giveUp(it, cause)
	}
}

// journalTurn writes one batch and makes it durable.
func (s *Store) journalTurn() func() (bool, time.Duration) {
	var buf []byte
	return func() (bool, time.Duration) {
		s.mu.Lock()
		b, ok := s.m.nextBatch()
		s.mu.Unlock()
		if !ok {
			return false, 0
		}
		buf = encodeBatch(buf, s.m.state.salt, b.header, b.items) // the salt never changes
		event, err := s.writeBatch(b, buf)
		s.finishBatch(b, int64(len(buf)), err)
		if f := s.cfg.Events.Synced; f != nil {
			f(event)
		}
		if cap(buf) > bufferKept {
			buf = nil
		}
		return true, 0
	}
}

// writeBatch carries out a batch: one write, one sync.
func (s *Store) writeBatch(b *batch, buf []byte) (Synced, error) {
	s.mu.RLock()
	f := s.journal[b.header.at.segment]
	s.mu.RUnlock()
	ev := Synced{Batch: b.header.number, Entries: len(b.items), Bytes: int64(len(buf)), Started: time.Now()}
	if s.cfg.Events.Synced != nil {
		for _, it := range b.items[:min(len(b.items), membersKept)] {
			ev.Members = append(ev.Members, it.ctx)
		}
	}
	if s.cfg.Events.Durable != nil {
		for _, it := range b.items {
			it.waited = ev.Started.Sub(it.queued)
		}
	}
	_, err := f.WriteAt(buf, b.header.at.offset)
	written := time.Now()
	ev.Write = written.Sub(ev.Started)
	if err == nil {
		err = f.Sync()
	}
	ev.Sync = time.Since(written)
	if err != nil {
		err = fmt.Errorf("write %s: %w", segmentName(b.header.at.segment), err)
	}
	ev.Err = err
	return ev, err
}

// finishBatch enters the batch into the books and answers those who wait for it.
func (s *Store) finishBatch(b *batch, length int64, failure error) {
	if failure != nil {
		s.mu.Lock()
		s.m.batchFailed()
		s.mu.Unlock()
		err := &register.UnknownError{Cause: s.fail(failure)}
		for _, it := range b.items {
			it.done <- err
		}
		return
	}
	s.mu.Lock()
	for _, it := range b.items {
		s.uncover(it)
	}
	s.m.batchDone(length)
	for _, it := range b.items {
		if it.kind == entryDiscard {
			s.folders[it.part] = folderName(it.part, it.gen)
		}
	}
	s.written = time.Now()
	if s.m.room() { // entries are counted in by what they may take at most; a batch is what they took
		s.wakeWriters()
	}
	s.mu.Unlock()
	for _, it := range b.items {
		if f := s.cfg.Events.Durable; f != nil {
			f(it.ctx, b.header.number, it.waited)
		}
		it.done <- nil
	}
	remind(s.fileWork)
	remind(s.stepWork)
}

// uncover marks what was read of older records as stale, since it becomes durable now. The caller holds mu.
func (s *Store) uncover(it *item) {
	switch it.kind {
	case entryPut, entryStaged:
		st := s.stripe(it.hash)
		st.seq++
		st.memo = nil
		s.supersede(it)
	case entryDiscard:
		for i := range s.stripes {
			s.stripes[i].seq++
			s.stripes[i].memo = nil
		}
		if s.cache != nil {
			s.cache.InvalidateAll()
		}
	}
}

// fileTurn writes one key file behind.
func (s *Store) fileTurn() (bool, time.Duration) {
	s.mu.Lock()
	due := s.m.filesDue(s.stopped || time.Since(s.written) > restAfter)
	var job fileJob
	if due {
		job, due = s.m.nextFile()
	}
	s.mu.Unlock()
	if !due {
		return s.sweepTurn()
	}
	remind(s.fileWork) // there may be more, for another writer
	start := time.Now()
	err := s.writeFile(job)
	s.finishFile(job, err)
	if f := s.cfg.Events.Filed; f != nil {
		f(job.item.rec.Value.Length, time.Since(start), err)
	}
	if passes(err) {
		return true, retryPause
	}
	return true, 0
}

// finishFile enters the end of a fileJob into the books. What passes is tried again; an error of the disk ends writing.
func (s *Store) finishFile(job fileJob, err error) {
	s.mu.Lock()
	if err == nil {
		s.keep(job)
	}
	s.m.fileDone(job, err == nil)
	s.stall(err)
	draining := s.m.check.phase == phaseFiling
	s.mu.Unlock()
	if err != nil && !passes(err) && !errors.Is(err, register.ErrFailed) {
		_ = s.fail(fmt.Errorf("write a key file: %w", err))
	}
	if draining {
		remind(s.stepWork)
	}
}

// stall notes whether the disk takes files, so that writers need not wait for a journal that cannot be emptied. The caller holds mu.
func (s *Store) stall(err error) {
	if err != nil && passes(err) {
		s.stalled = err
		s.wakeWriters()
		return
	}
	s.stalled = nil
}

func (s *Store) sweepTurn() (bool, time.Duration) {
	s.mu.Lock()
	job, ok := s.m.nextSweep()
	s.mu.Unlock()
	if !ok {
		return false, 0
	}
	err := s.sweep(job)
	switch {
	case err == nil:
		return true, 0
	case passes(err) || errors.Is(err, syscall.ENOTEMPTY): // a file was just being put there
		s.mu.Lock()
		s.m.sweepAgain(job)
		s.mu.Unlock()
		return false, 0 // until the next reminder
	}
	_ = s.fail(fmt.Errorf("remove what no longer counts: %w", err))
	return false, 0
}

// stepTurn carries out one step of a checkpoint.
func (s *Store) stepTurn() (bool, time.Duration) {
	s.mu.Lock()
	st, ok := s.m.nextStep()
	if ok && st.phase == phaseCreating {
		s.m.check.began = time.Now()
	}
	s.mu.Unlock()
	if !ok {
		return false, 0
	}
	err := s.carryOut(st)
	s.finishStep(st, err)
	if passes(err) {
		return true, retryPause
	}
	return true, 0
}

func (s *Store) finishStep(st step, err error) {
	s.mu.Lock()
	s.m.stepDone(st, err == nil)
	s.stall(err)
	if err == nil && (st.phase == phaseCreating || st.phase == phaseDropping) {
		s.wakeWriters()
	}
	if err == nil && st.phase == phaseSaving {
		s.saved = time.Now()
	}
	took := time.Since(s.m.check.began)
	s.mu.Unlock()
	remind(s.journalWork)
	remind(s.fileWork) // a checkpoint may wait for files
	if err != nil && !passes(err) && !errors.Is(err, register.ErrFailed) {
		err = s.fail(fmt.Errorf("checkpoint, %v: %w", st.phase, err))
	}
	if f := s.cfg.Events.Checkpointed; f != nil && (err != nil || st.phase == phaseDropping) {
		f(took, err)
	}
}

// housekeeping looks at the free space, and drops a journal that nobody writes to.
func (s *Store) housekeeping(ctx context.Context) {
	tick := time.NewTicker(housekeep)
	defer tick.Stop()
	full := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.mu.Lock()
		if s.m.idle() && time.Since(s.written) > s.cfg.IdleCheckpoint {
			s.m.askCheckpoint()
		}
		s.mu.Unlock()
		remind(s.stepWork)
		remind(s.fileWork)
		if s.space.look() != nil {
			continue
		}
		usage, now := s.space.now()
		if now != full {
			full = now
			report := s.cfg.Events.Room
			if full {
				report = s.cfg.Events.Full
			}
			if report != nil {
				report(usage)
			}
		}
	}
}
