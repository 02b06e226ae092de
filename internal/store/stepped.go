package store

import (
	"context"
	"io"
	"slices"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
)

// A Stepped is a Store that does its work piece by piece, when its owner says so: for simulations, in which one goroutine decides what
// happens when. What Run does in its goroutines is cut where anything may come in between: a piece of work is taken, and later carried
// out, or never, if the process ends before. What a call has waited for is reported as soon as it is known, to its done.
//
// It is not safe for concurrent use. A crash needs no call: it is forgotten, and its disk opened anew.
type Stepped struct {
	s      *Store
	queued []call // in the order in which they were queued
	kept   []call // wait for room in the journal
}

// A call is an item and who waits for it.
type call struct {
	it   *item
	done func(error)
}

// OpenStepped is Open for a Stepped.
func OpenStepped(cfg Config) (*Stepped, error) {
	s, err := open(cfg)
	if err != nil {
		return nil, err
	}
	return &Stepped{s: s}, nil
}

// Ceiling is as of Store.
func (d *Stepped) Ceiling() register.Time { return d.s.Ceiling() }

// Head is as of Store.
func (d *Stepped) Head(k key.Key) (register.Record, error) { return d.s.Head(context.Background(), k) }

// Read is as of Store.
func (d *Stepped) Read(k key.Key) (register.Record, io.ReadSeekCloser, error) {
	return d.s.Read(context.Background(), k)
}

// Failed is why the store takes no more writes, nil while it does.
func (d *Stepped) Failed() error { return d.s.m.failed }

// Put is as of Store.
func (d *Stepped) Put(k key.Key, rec register.Record, done func(error)) {
	it, err := d.s.entryFor(context.Background(), k, rec)
	if err != nil {
		done(&register.NothingError{Cause: err})
		return
	}
	d.write(call{it, done})
}

// RaiseCeiling is as of Store.
func (d *Stepped) RaiseCeiling(t register.Time, done func(error)) {
	d.write(call{&item{entry: entry{kind: entryCeiling, ceiling: t}, ctx: context.Background()}, done})
}

// Stage is as of Store, but for this: however short the value is, it becomes a file, so that a run need not move many bytes.
func (d *Stepped) Stage(id register.Stamp, body io.Reader) (register.Value, error) {
	return d.s.stageFile(context.Background(), id, body)
}

// Unstage is as of Store.
func (d *Stepped) Unstage(v register.Value) { d.s.Unstage(v) }

// write queues a call, or keeps it while the journal has no room.
func (d *Stepped) write(c call) {
	c.it.done = make(chan error, 1)
	wait, err := d.s.enqueue(context.Background(), c.it)
	switch {
	case err != nil:
		c.done(d.s.giveUp(c.it, err))
	case wait != nil:
		d.kept = append(d.kept, c)
	default:
		d.queued = append(d.queued, c)
	}
}

// report tells those who wait what has become known, and queues anew who waited for room.
func (d *Stepped) report() {
	for i := 0; i < len(d.queued); i++ {
		c := d.queued[i]
		select {
		case err := <-c.it.done:
			d.queued = slices.Delete(d.queued, i, i+1)
			i--
			c.done(err)
		default:
		}
	}
	kept := d.kept
	d.kept = nil
	for _, c := range kept {
		d.write(c)
	}
}

// Batch takes what is queued as one batch of the journal; do writes it and makes it durable. There is one at a time.
func (d *Stepped) Batch() (do func(), ok bool) {
	b, ok := d.s.m.nextBatch()
	if !ok {
		return nil, false
	}
	buf := encodeBatch(nil, d.s.m.state.salt, b.header, b.items)
	return func() {
		_, err := d.s.writeBatch(b, buf)
		d.s.finishBatch(b, int64(len(buf)), err)
		d.report()
	}, true
}

// File takes a key file that is to be written behind; do writes it.
func (d *Stepped) File() (do func(), ok bool) {
	job, ok := d.s.m.nextFile()
	if !ok {
		return nil, false
	}
	return func() {
		d.s.finishFile(job, d.s.writeFile(job))
		d.report()
	}, true
}

// Checkpoint takes the next step of a checkpoint, if it is time for one; do carries it out, and tells whether it was the last.
func (d *Stepped) Checkpoint() (do func() (over bool), ok bool) {
	st, ok := d.s.m.nextStep()
	if !ok {
		return nil, false
	}
	return func() bool {
		err := d.s.carryOut(st)
		d.s.finishStep(st, err)
		d.report()
		return st.phase == phaseDropping && err == nil
	}, true
}

// AskCheckpoint wants a checkpoint although the journal is not full.
func (d *Stepped) AskCheckpoint() { d.s.m.askCheckpoint() }

// Sweep takes away one thing that no longer counts, if there is any.
func (d *Stepped) Sweep() bool {
	more, _ := d.s.sweepTurn()
	d.report()
	return more
}
