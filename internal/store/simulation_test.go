package store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/store/disktest"
)

// The store's own code over a simulated disk, one step at a time, in an order drawn from a seed: what a runner does in goroutines is
// done here by a dice. Crashes come at any call to the disk, also during recovery.

var (
	simSeed    = flag.Uint64("seed", 0, "replay one run of TestSimulation")
	simBase    = flag.Uint64("base", 0, "the first seed of TestSimulation; 0: of the clock")
	simSeconds = flag.Int("seconds", 10, "how long TestSimulation looks for a failure")
)

const (
	simPartitions = 4
	simKeys       = 10
	simSteps      = 400 // of one run
)

// TestSimulation: no acknowledged record is lost, none is torn, none is older than acknowledged, nothing discarded comes back.
func TestSimulation(t *testing.T) {
	if *simSeed != 0 {
		w := runSim(t, *simSeed)
		t.Log(strings.Join(w.trace, "\n"))
		return
	}
	base := cmp.Or(*simBase, uint64(time.Now().UnixNano()))
	var total simCounts
	deadline := time.Now().Add(time.Duration(*simSeconds) * time.Second)
	runs := uint64(0)
	for ; time.Now().Before(deadline); runs++ {
		w := runSim(t, base+runs)
		if t.Failed() {
			t.Fatalf("after %d runs seed %d fails; its last steps:\n%s\nreplay with: make simulate-store SEED=%d",
				runs+1, base+runs, strings.Join(w.trace[max(0, len(w.trace)-40):], "\n"), base+runs)
		}
		total.add(w.counts)
	}
	t.Logf("%d runs from seed %d: %+v", runs, base, total)
	if total.recoveries == 0 || total.broken == 0 || total.acknowledged == 0 || total.checkpoints == 0 || total.discards == 0 || total.staged == 0 {
		t.Errorf("the runs did not do enough to prove anything: %+v", total)
	}
}

type simCounts struct {
	steps, calls, acknowledged, recoveries, broken, kills, checkpoints, discards, staged int
}

func (c *simCounts) add(o simCounts) {
	c.steps += o.steps
	c.calls += o.calls
	c.acknowledged += o.acknowledged
	c.recoveries += o.recoveries
	c.broken += o.broken
	c.kills += o.kills
	c.checkpoints += o.checkpoints
	c.discards += o.discards
	c.staged += o.staged
}

// written is what the model knows of one submitted record.
type written struct {
	gen     uint32
	kind    register.Kind
	content string
}

// modelKey is what the store may answer for one key: a submitted record, none below surely.
type modelKey struct {
	allowed map[register.Stamp]written // by ballot
	least   register.Stamp             // the highest ballot acknowledged or shown in leastGen; zero: none
	leastG  uint32
}

// waiting is a submitted item whose answer is still to come.
type waiting struct {
	it *item
	k  key.Key
}

type simWorld struct {
	t    *testing.T
	rng  *rand.Rand
	disk *disktest.Disk
	d    *Stepped
	s    *Store // of d

	keys     []key.Key
	model    map[key.Key]*modelKey
	gens     [simPartitions]uint32 // acknowledged
	ceiling  register.Time         // acknowledged
	ballot   uint64
	waiting  []waiting
	ctx      context.Context
	batch    func() // work that was taken and not yet carried out
	files    []func()
	step     func() bool
	syncEach bool
	fault    func(op, name string) error // of a disk that is short of room, or fails; nil for a sound one

	trace  []string
	counts simCounts
}

func simLocate(k key.Key) (uint64, int) {
	h := xxhash.Sum64String(string(k))
	return h, int(h >> 62)
}

func runSim(t *testing.T, seed uint64) *simWorld {
	rng := rand.New(rand.NewPCG(seed, 1))
	w := &simWorld{t: t, rng: rng, disk: disktest.New(rng), model: make(map[key.Key]*modelKey), ctx: context.Background()}
	w.syncEach = rng.IntN(4) == 0
	w.fault = faults(rng)
	for i := range simKeys {
		k := key.Key(fmt.Sprintf("key/%d", i))
		w.keys = append(w.keys, k)
		w.model[k] = &modelKey{allowed: make(map[register.Stamp]written)}
	}
	for p := range w.gens {
		w.gens[p] = 1
	}
	w.open()
	for range simSteps {
		if t.Failed() {
			return w
		}
		w.counts.steps++
		w.turn()
		if w.disk.Crashed() || w.s.m.failed != nil && w.rng.IntN(4) == 0 {
			w.crash()
		}
	}
	w.rest()
	w.counts.calls += w.disk.Calls()
	return w
}

func (w *simWorld) logf(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf(format, args...))
}

func (w *simWorld) failf(format string, args ...any) {
	w.logf("FAIL "+format, args...)
	w.t.Errorf(format, args...)
}

func (w *simWorld) config() Config {
	return Config{
		FS: w.disk, Partitions: simPartitions, Locate: simLocate, SyncEach: w.syncEach,
		Salt: w.rng.Uint32, SegmentBytes: 8 << 10, SegmentEntries: 12, CacheBytes: -1,
	}
}

// open recovers, with crashes on the way, until it succeeds; then the store's whole state is checked.
func (w *simWorld) open() {
	w.disk.Inject(nil)
	for {
		if w.rng.IntN(3) == 0 {
			w.disk.CrashAfter(1 + w.rng.IntN(60))
		}
		d, err := OpenStepped(w.config())
		if err == nil {
			w.disk.CrashAfter(-1)
			w.d, w.s = d, d.s
			for _, g := range d.s.m.segments {
				w.logf("recovered segment %d: %d bytes, %d entries", g.id, g.end, g.entries)
			}
			break
		}
		if !w.disk.Crashed() {
			w.failf("recovery failed: %v", err)
			return
		}
		w.counts.broken++
		w.logf("crash during recovery: %v", err)
		w.restart()
	}
	w.checkRecovered()
	w.disk.Inject(w.fault)
}

// faults draws what is wrong with the disk of one run: most often nothing.
func faults(rng *rand.Rand) func(op, name string) error {
	once := func(ops string, errs ...error) func(op, name string) error {
		return func(op, _ string) error {
			if strings.Contains(ops, op+" ") && rng.IntN(40) == 0 {
				return errs[rng.IntN(len(errs))]
			}
			return nil
		}
	}
	switch rng.IntN(8) {
	case 0:
		return once("create allocate mkdir rename ", syscall.ENOSPC, syscall.EMFILE)
	case 1:
		return once("create open syncdir list ", syscall.EMFILE)
	case 2:
		return once("sync syncdir syncall ", syscall.EIO)
	}
	return nil
}

func (w *simWorld) restart() {
	w.counts.calls += w.disk.Calls()
	if w.rng.IntN(2) == 0 {
		w.counts.kills++
		w.disk = w.disk.Kill()
		return
	}
	w.disk = w.disk.Cut()
}

func (w *simWorld) crash() {
	w.logf("CRASH")
	w.counts.recoveries++
	w.waiting, w.batch, w.files, w.step = nil, nil, nil, nil
	w.restart()
	w.open()
}

// answers takes what was acknowledged into the model.
func (w *simWorld) answers() {
	w.waiting = slices.DeleteFunc(w.waiting, func(a waiting) bool {
		select {
		case err := <-a.it.done:
			if err != nil {
				return true
			}
		default:
			return false
		}
		w.counts.acknowledged++
		switch a.it.kind {
		case entryDiscard:
			w.counts.discards++
			w.gens[a.it.part] = max(w.gens[a.it.part], a.it.gen)
		case entryCeiling:
			w.ceiling = max(w.ceiling, a.it.ceiling)
		default:
			w.shown(a.k, a.it.rec.Ballot, a.it.gen)
		}
		return true
	})
}

// shown: from now on nothing older may be answered.
func (w *simWorld) shown(k key.Key, b register.Stamp, gen uint32) {
	m := w.model[k]
	if gen > m.leastG || gen == m.leastG && m.least.Less(b) {
		m.least, m.leastG = b, gen
	}
}

// read checks what the store answers for a key, and that it stays so.
func (w *simWorld) read(k key.Key) {
	rec, body, err := w.s.Read(w.ctx, k)
	if w.disk.Crashed() || errors.Is(err, register.ErrOverload) {
		return
	}
	if err != nil {
		w.failf("read %q: %v", k, err)
		return
	}
	_, part := simLocate(k)
	gen := w.s.m.state.parts[part].gen
	m := w.model[k]
	if rec.Kind == register.None {
		if m.leastG == gen && !m.least.IsZero() {
			w.failf("%q: nothing there, but ballot %v was acknowledged", k, m.least)
		}
		return
	}
	want, ok := m.allowed[rec.Ballot]
	switch {
	case !ok:
		w.failf("%q: ballot %v was never submitted, or cut off earlier", k, rec.Ballot)
		return
	case want.gen != gen:
		w.failf("%q: ballot %v is of generation %d, which was discarded (now %d)", k, rec.Ballot, want.gen, gen)
	case want.gen == m.leastG && rec.Ballot.Less(m.least):
		w.failf("%q: ballot %v is older than the acknowledged %v", k, rec.Ballot, m.least)
	case want.kind != rec.Kind:
		w.failf("%q: ballot %v is a %v, want %v", k, rec.Ballot, rec.Kind, want.kind)
	}
	if body != nil {
		got, err := io.ReadAll(body)
		body.Close()
		if w.disk.Crashed() {
			return
		}
		if err != nil || string(got) != want.content {
			w.failf("%q: ballot %v has %d bytes that differ from the %d written: %v", k, rec.Ballot, len(got), len(want.content), err)
		}
	}
	w.shown(k, rec.Ballot, gen)
}

// checkRecovered checks everything after a recovery; from now on only what is there, and what comes, is allowed.
func (w *simWorld) checkRecovered() {
	for p, gen := range w.gens {
		if got := w.s.m.state.parts[p].gen; got < gen {
			w.failf("partition %d is of generation %d, but %d was acknowledged", p, got, gen)
		} else {
			w.gens[p] = got
		}
	}
	if got := w.s.Ceiling(); got < w.ceiling {
		w.failf("the ceiling is %d, but %d was acknowledged", got, w.ceiling)
	}
	w.ceiling = w.s.Ceiling()
	for _, k := range w.keys {
		w.read(k)
		m := w.model[k]
		rec, err := w.s.Head(w.ctx, k)
		if err != nil {
			w.failf("head of %q: %v", k, err)
		}
		_, part := simLocate(k)
		for b := range m.allowed {
			if b != rec.Ballot {
				delete(m.allowed, b)
			}
		}
		if rec.Kind == register.None {
			m.least, m.leastG = register.Stamp{}, w.gens[part]
		}
	}
	w.checkDigests()
}

// checkDigests compares what the store keeps incrementally with what a look at every key gives.
func (w *simWorld) checkDigests() {
	var want [simPartitions]partition
	for _, k := range w.keys {
		hash, part := simLocate(k)
		rec, err := w.s.Head(w.ctx, k)
		if err != nil {
			w.failf("head of %q: %v", k, err)
		}
		want[part].replace(hash, prior{}, &rec)
	}
	for p := range want {
		want[p].gen = w.s.m.state.parts[p].gen
		if got := w.s.m.state.parts[p]; got != want[p] {
			w.failf("partition %d: the digest kept is %v, a look at the keys gives %v", p, got, want[p])
		}
	}
}

// rest lets all work be done, then looks at the disk as an operator would.
func (w *simWorld) rest() {
	w.disk.CrashAfter(-1)
	w.disk.Inject(nil)
	if w.s.m.failed != nil {
		w.crash()
		w.disk.Inject(nil)
	}
	w.s.stopped = true
	for i := 0; !w.s.m.atRest(); i++ {
		if i > 10_000 {
			w.failf("the store does not come to rest: %d slots, %d entries, checkpoint %v", len(w.s.m.slots), w.s.m.entries, w.s.m.check.phase)
			return
		}
		if w.s.m.idle() {
			w.s.m.askCheckpoint()
		}
		w.journal()
		w.file()
		w.checkpoint()
		w.d.Sweep()
		w.answers()
	}
	if w.s.m.failed != nil {
		w.failf("the store failed: %v", w.s.m.failed)
		return
	}
	w.checkDigests()
	found := make(map[string]bool)
	for _, k := range w.keys {
		w.read(k)
		rec, _ := w.s.Head(w.ctx, k)
		if rec.Kind == register.None {
			continue
		}
		_, part := simLocate(k)
		name := keyPath(folderName(part, w.s.m.state.parts[part].gen), k, rec.Kind)
		found[name] = true
		b, err := w.s.readFile(name)
		if err != nil || !bytes.HasPrefix(b, []byte(w.model[k].allowed[rec.Ballot].content)) {
			w.failf("at rest, %s does not begin with the value of %q: %v", name, k, err)
		}
	}
	for _, name := range w.list(keysDir) {
		if !found[name] {
			w.failf("at rest there is a file that is no key's: %s", name)
		}
	}
	if left := w.list(stagingDir); len(left) > 0 && w.s.m.batches > 0 {
		w.failf("at rest there are staged files: %v", left)
	}
}

// list gives all files below a folder.
func (w *simWorld) list(dir string) []string {
	var all []string
	names, err := w.s.fs.List(dir)
	if err != nil {
		w.failf("list %s: %v", dir, err)
	}
	for _, name := range names {
		path := dir + "/" + name
		if _, _, isFolder := parseFolder(name); isFolder || name == deletedDir {
			all = append(all, w.list(path)...)
			continue
		}
		all = append(all, path)
	}
	return all
}

// TestSimulationRepeatsItself: a seed names a run, or replaying would be of no use.
func TestSimulationRepeatsItself(t *testing.T) {
	for seed := range uint64(20) {
		a, b := runSim(t, seed+1), runSim(t, seed+1)
		if !slices.Equal(a.trace, b.trace) {
			t.Errorf("seed %d: two runs differ", seed+1)
		}
	}
}
