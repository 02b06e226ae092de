package store

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/estorajed/estorajed/internal/register"
)

// turn does one thing.
func (w *simWorld) turn() {
	switch n := w.rng.IntN(100); {
	case n < 22:
		w.put()
	case n < 24:
		w.discard()
	case n < 26:
		w.raise()
	case n < 45:
		w.journal()
	case n < 65:
		w.file()
	case n < 80:
		w.checkpoint()
	case n < 83:
		w.d.Sweep()
	case n < 95:
		w.read(w.keys[w.rng.IntN(len(w.keys))])
	case n < 97:
		w.disk.CrashAfter(1 + w.rng.IntN(25))
	case n < 98:
		w.disk.CrashAfter(1)
		_ = w.disk.SyncDir(".")
	case n < 99:
		w.d.AskCheckpoint()
	}
	w.answers()
}

func (w *simWorld) put() {
	k := w.keys[w.rng.IntN(len(w.keys))]
	w.ballot++
	b := register.Stamp{Time: register.Time(w.ballot), Node: 1}
	rec := register.Record{Ballot: b, Version: b, Operation: b, Kind: register.Data}
	content := ""
	switch n := w.rng.IntN(10); {
	case n < 3:
		rec.Kind = register.Tombstone
	default:
		content = strings.Repeat(fmt.Sprintf("%s@%d|", k, w.ballot), 1+w.rng.IntN(90))
		rec.Value = register.Value{Length: int64(len(content)), Sum: xxhash.Sum64String(content)}
		if n < 8 {
			rec.Value.Inline = []byte(content)
			break
		}
		rec.Value.Stage = b
		if !w.stage(b, content) {
			return
		}
		w.counts.staged++
	}
	it, err := w.s.entryFor(w.ctx, k, rec)
	if err != nil {
		return
	}
	w.submit(it)
	if it.gen != 0 {
		w.model[k].allowed[b] = written{it.gen, rec.Kind, content}
	}
}

// stage does what Stage does with longer values.
func (w *simWorld) stage(id register.Stamp, content string) bool {
	f, err := w.s.fs.Create(uploadPath(id))
	if err != nil {
		return false
	}
	v, err := w.s.fill(w.ctx, f, strings.NewReader(content))
	if err != nil {
		return false
	}
	w.s.staged[id] = v
	return true
}

func (w *simWorld) submit(it *item) {
	it.done = make(chan error, 1)
	it.ctx = w.ctx
	wait, err := w.s.enqueue(w.ctx, it)
	if wait != nil || err != nil {
		it.gen = 0
		_ = w.s.giveUp(it, err)
		return
	}
	w.logf("submit kind %d %q part %d gen %d ballot %v after %v", it.kind, it.key, it.part, it.gen, it.rec.Ballot, it.prior.ballot)
	w.waiting = append(w.waiting, waiting{it, it.key})
}

func (w *simWorld) discard() {
	w.submit(&item{entry: entry{kind: entryDiscard, part: w.rng.IntN(simPartitions)}})
}

func (w *simWorld) raise() {
	w.ballot++
	w.submit(&item{entry: entry{kind: entryCeiling, ceiling: register.Time(w.ballot)}})
}

// journal takes a batch, or writes the one that was taken.
func (w *simWorld) journal() {
	if w.batch == nil {
		w.batch, _ = w.d.Batch()
		return
	}
	do := w.batch
	w.batch = nil
	do()
	w.logf("batch %d of segment %d ends at %d", w.s.m.batches, w.s.m.durable.segment, w.s.m.durable.offset)
}

// file takes a file job, or carries out one that was taken.
func (w *simWorld) file() {
	if w.rng.IntN(2) == 0 {
		if do, ok := w.d.File(); ok {
			w.files = append(w.files, do)
		}
		return
	}
	if len(w.files) == 0 {
		return
	}
	i := w.rng.IntN(len(w.files))
	do := w.files[i]
	w.files = slices.Delete(w.files, i, i+1)
	do()
	w.logf("a file; %d slots are left", len(w.s.m.slots))
}

// checkpoint takes a step, or carries out the one that was taken.
func (w *simWorld) checkpoint() {
	if w.step == nil {
		w.step, _ = w.d.Checkpoint()
		return
	}
	do, phase := w.step, w.s.m.check.phase
	w.step = nil
	over := do()
	w.logf("checkpoint %v, then %v", phase, w.s.m.check.phase)
	if over {
		w.counts.checkpoints++
	}
}
