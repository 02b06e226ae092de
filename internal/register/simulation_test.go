package register

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/estorajed/estorajed/internal/ring"
)

// A world is three replicas of one key and the clients of five nodes, in virtual time, from a seed: messages are lost, doubled and
// overtake each other, syncs take long, nodes crash amid everything and come back with another wall clock.
type world struct {
	t     testing.TB
	r     *rand.Rand
	now   time.Duration
	queue []event
	seq   int
	set   ring.Set
	nodes []*node // node number i is nodes[i-1]; the first three are replicas
	drop  int     // per mille of messages, and so on
	twice int
	late  int
	crash int // per mille of delicate moments
	well  bool

	parent  map[Stamp]Stamp         // of a version: the one that it was built on
	made    map[Stamp]Record        // by version
	holders map[Stamp][]ring.NodeID // ballot: who ever held it durably
	top     Record                  // chosen, with the highest ballot
	told    Stamp                   // newest version that a client was told of
	never   map[Stamp]string        // operations of which a client was told that they did nothing
	count   struct{ success, refused, nothing, unknown, reads, crashes int }
}

type event struct {
	at  time.Duration
	seq int
	do  func()
}

type node struct {
	id       ring.NodeID
	life     int
	up       bool
	off      time.Duration // error of the wall clock
	clock    Clock
	acceptor *Acceptor
	waiting  []func()
	writing  []Record // handed to the disk, not yet known durable
	disk     Record
	ceiling  Time
}

func newWorld(t testing.TB, seed uint64) *world {
	w := &world{
		t: t, r: rand.New(rand.NewPCG(seed, 7)), set: ring.Set{Epoch: 1, Current: []ring.NodeID{1, 2, 3}},
		parent: map[Stamp]Stamp{}, made: map[Stamp]Record{}, holders: map[Stamp][]ring.NodeID{}, never: map[Stamp]string{},
	}
	pick := func(from ...int) int { return from[w.r.IntN(len(from))] }
	w.drop, w.twice, w.late, w.crash = pick(0, 20, 100, 250), pick(0, 50), pick(0, 30, 150), pick(0, 0, 5, 30)
	for i := range 5 {
		n := &node{id: ring.NodeID(i + 1), off: w.upTo(400 * time.Millisecond)}
		w.nodes = append(w.nodes, n)
		w.start(n)
	}
	return w
}

func (w *world) upTo(d time.Duration) time.Duration { return time.Duration(w.r.Int64N(int64(d) + 1)) }
func (w *world) chance(perMille int) bool           { return !w.well && w.r.IntN(1000) < perMille }
func (w *world) wall(n *node) time.Time             { return time.Unix(1_000_000_000, 0).Add(w.now + n.off) }

func (w *world) after(d time.Duration, do func()) {
	w.seq++
	e := event{w.now + d, w.seq, do}
	i, _ := slices.BinarySearchFunc(w.queue, e, func(a, b event) int {
		if a.at != b.at {
			return int(b.at - a.at)
		}
		return b.seq - a.seq
	})
	w.queue = slices.Insert(w.queue, i, e)
}

// run lets the world go on while there is something to do and more says so.
func (w *world) run(more func() bool) {
	for len(w.queue) > 0 && more() {
		e := w.queue[len(w.queue)-1]
		w.queue = w.queue[:len(w.queue)-1]
		w.now = e.at
		e.do()
	}
}

// on does it later at a node, if that has not crashed meanwhile.
func (w *world) on(n *node, d time.Duration, do func()) {
	life := n.life
	w.after(d, func() {
		if n.up && n.life == life {
			do()
		}
	})
}

// send carries something to another node, with the sender's time: lost, late, doubled.
func (w *world) send(from, to *node, do func()) {
	heard := from.clock.Time(w.wall(from))
	for range 1 + min(w.r.IntN(1000)+1, 1)*btoi(w.chance(w.twice)) {
		if from != to && w.chance(w.drop) {
			continue
		}
		d := w.upTo(3 * time.Millisecond)
		if w.chance(w.late) {
			d += w.upTo(2 * Window)
		}
		w.after(d, func() {
			if to.up && to.clock.Merge(heard, w.wall(to)) == nil {
				do()
			}
		})
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (w *world) start(n *node) {
	n.up = true
	n.clock, n.acceptor = NewClock(n.id, n.ceiling), NewAcceptor(n.ceiling)
}

// delicate: now and then a node crashes just after something that it must not forget.
func (w *world) delicate(n *node) {
	if w.chance(w.crash) {
		w.on(n, w.upTo(5*time.Millisecond), func() { w.kill(n) })
	}
}

func (w *world) kill(n *node) {
	w.count.crashes++
	for _, r := range n.writing { // the sync had not returned: either
		if w.r.IntN(2) == 0 && n.disk.Ballot.Less(r.Ballot) {
			w.durable(n, r)
		}
	}
	n.life++
	n.up, n.waiting, n.writing = false, nil, nil
	w.after(w.upTo(200*time.Millisecond), func() {
		n.off += w.upTo(2*time.Second) - time.Second
		w.start(n)
	})
}

func (w *world) raise(n *node, t Time) {
	n.ceiling = max(n.ceiling, t.Add(2*time.Second))
	n.acceptor.Raised(n.ceiling)
}

func (w *world) stamp(n *node, above Stamp) Stamp {
	_ = n.clock.Merge(above.Time, w.wall(n))
	s := n.clock.Now(w.wall(n))
	if !n.acceptor.Covers(s.Time) {
		w.raise(n, s.Time)
	}
	return s
}

// carry takes a request through its steps at a replica.
func (w *world) carry(n *node, q *Request, reply func(Answer)) {
	next := func() { w.carry(n, q, reply) }
	switch q.Step() {
	case Done:
		waiting := n.waiting
		n.waiting = nil
		reply(q.Answer())
		for _, ask := range waiting {
			ask()
		}
	case AwaitTurn:
		n.waiting = append(n.waiting, next)
	case RaiseCeiling:
		w.on(n, w.upTo(2*time.Millisecond), func() {
			w.raise(n, q.Message.Time())
			next()
		})
	case LoadRecord:
		w.on(n, w.upTo(time.Millisecond), func() {
			q.Loaded(n.disk)
			next()
		})
	case StoreRecord:
		r := *q.Message.Record
		n.writing = append(n.writing, r)
		d := w.upTo(5 * time.Millisecond)
		if w.chance(w.late) {
			d += w.upTo(Window)
		}
		w.delicate(n)
		w.on(n, d, func() {
			n.writing = slices.DeleteFunc(n.writing, func(x Record) bool { return x.Ballot == r.Ballot })
			if !n.disk.Ballot.Less(r.Ballot) {
				w.t.Fatalf("n%d is told to put ballot %v over %v", n.id, r.Ballot, n.disk.Ballot)
			}
			w.durable(n, r)
			q.Stored()
			next()
		})
	}
}

// durable notes what is on a disk now, and checks what must hold of it.
func (w *world) durable(n *node, r Record) {
	n.disk = r
	if old, ok := w.made[r.Version]; ok && (old.Operation != r.Operation || old.Kind != r.Kind || old.Value.Sum != r.Value.Sum || w.parent[r.Version] != base(r)) {
		w.t.Fatalf("version %v has two contents: %+v and %+v", r.Version, old, r)
	}
	w.made[r.Version], w.parent[r.Version] = r, base(r)
	if !w.parent[r.Version].Less(r.Version) {
		w.t.Fatalf("version %v was built on %v", r.Version, w.parent[r.Version])
	}
	if slices.Contains(w.holders[r.Ballot], n.id) {
		return
	}
	w.holders[r.Ballot] = append(w.holders[r.Ballot], n.id)
	if len(w.holders[r.Ballot]) == 2 {
		w.chosen(r)
	}
}

// base is the version that a record was built on; zero for 'no record'.
func base(r Record) Stamp {
	if r.History[0].Operation.IsZero() {
		return Stamp{}
	}
	return r.History[0].Version
}

func (w *world) chosen(r Record) {
	older, newer := w.top, r
	if newer.Ballot.Less(older.Ballot) {
		older, newer = newer, older
	}
	if !w.within(older.Version, newer.Version) {
		w.t.Fatalf("chosen version %v is lost: %v was chosen at %v after %v", older.Version, newer.Version, newer.Ballot, older.Ballot)
	}
	if why := w.never[r.Operation]; why != "" {
		w.t.Fatalf("operation %v has an effect, but its client was told: %s", r.Operation, why)
	}
	w.top = newer
}

// within tells whether old is version or in its past.
func (w *world) within(old, version Stamp) bool {
	for ; !version.IsZero(); version = w.parent[version] {
		if version == old {
			return true
		}
	}
	return old.IsZero()
}

// perform runs an operation at a node, until its coordinator decides it or crashes.
func (w *world) perform(n *node, op *Operation, done func()) {
	var step func()
	deadline := w.now + 5*time.Second
	step = func() {
		if !op.Decided() && w.now > deadline && !w.well {
			op.Expire()
		}
		if op.Decided() {
			done()
			return
		}
		if op.Idle() {
			rounds := op.Rounds()
			w.on(n, w.upTo(op.Pause()), func() {
				if op.Idle() && op.Rounds() == rounds {
					var ballot Stamp
					if op.NeedsBallot() {
						ballot = w.stamp(n, op.Rests())
					}
					op.Begin(w.set, ballot)
					step()
				}
			})
		}
		for _, m := range op.Outbox() {
			w.on(n, 200*time.Millisecond, func() {
				if op.Awaits(m.Round) {
					op.Timeout()
					step()
				}
			})
			to := w.nodes[m.To-1]
			if m.Phase == Accept {
				w.delicate(n)
			}
			w.send(n, to, func() {
				q := to.acceptor.Begin("k", m)
				w.carry(to, &q, func(a Answer) {
					w.delicate(to)
					w.send(to, n, func() {
						if was := op.Decided(); !was {
							op.Deliver(m.To, m.Round, a)
							step()
						}
					})
				})
			})
		}
	}
	step()
}

// client does so many operations at random nodes, one after the other.
func (w *world) client(left int, ended func()) {
	if left == 0 {
		ended()
		return
	}
	w.after(w.upTo(30*time.Millisecond), func() {
		n := w.nodes[w.r.IntN(len(w.nodes))]
		if !n.up {
			w.client(left, ended)
			return
		}
		over := false
		next := func() {
			if !over {
				over = true
				w.client(left-1, ended)
			}
		}
		w.after(6*time.Second, next) // its node has crashed: it hears nothing
		if w.r.IntN(3) == 0 {
			w.read(n, next)
			return
		}
		w.write(n, next)
	})
}

func (w *world) read(n *node, next func()) {
	before, op := w.told, NewRead()
	w.perform(n, op, func() {
		defer next()
		if state, err := op.State(); err == nil {
			w.count.reads++
			w.tell(before, state.Version, "read")
		}
	})
}

// tell checks what a client hears against what anybody had heard before it asked.
func (w *world) tell(before, version Stamp, what string) {
	if !w.within(before, version) {
		w.t.Fatalf("%s tells of %v, though %v had been told before it began", what, version, before)
	}
	if !w.within(version, w.top.Version) {
		w.t.Fatalf("%s tells of %v, which is not chosen; that is %v", what, version, w.top.Version)
	}
	if w.told.Less(version) {
		w.told = version
	}
}

func (w *world) write(n *node, next func()) {
	change := Change{Kind: Data}
	var expect Stamp
	switch w.r.IntN(4) {
	case 0:
		change.Kind = Tombstone
	case 1:
		change.Condition.IfNoneMatch = Tags{Sent: true, Any: true}
	case 2:
		expect = w.told
		change.Condition.IfMatch = Tags{Sent: true, Versions: []Stamp{expect}}
	}
	id := w.stamp(n, Stamp{})
	before := w.told
	op := NewWrite(change, Value{Sum: w.r.Uint64()}, Entry{Operation: id})
	w.perform(n, op, func() {
		defer next()
		outcome, err := op.Outcome()
		var unknown *UnknownError
		state, _ := op.State()
		switch {
		case errors.As(err, &unknown):
			w.count.unknown++
			return
		case errors.Is(err, ErrPrecondition) || err == nil && change.Kind == Tombstone && !outcome.Replaced && state.Operation != id:
			w.count.refused++
			w.never[id] = fmt.Sprint("refused: ", err)
			if change.Condition.Holds(&state) && (err != nil || state.Present()) {
				w.t.Fatalf("refused on %+v", state)
			}
			w.tell(before, outcome.Version, "refusal")
			return
		case err != nil:
			w.count.nothing++
			w.never[id] = err.Error()
			return
		}
		w.count.success++
		if outcome.Version == before || w.made[outcome.Version].Operation != id {
			w.t.Fatalf("operation %v is told version %v, made by %v", id, outcome.Version, w.made[outcome.Version].Operation)
		}
		old := w.made[w.parent[outcome.Version]]
		if !change.Condition.Holds(&old) || change.Kind == Tombstone && !old.Present() {
			w.t.Fatalf("operation %v was applied to %+v, on which its condition does not hold", id, old)
		}
		w.tell(before, outcome.Version, "write")
	})
}

func simulate(t testing.TB, seed uint64) *world {
	w := newWorld(t, seed)
	clients := 2 + w.r.IntN(3)
	busy := clients
	for range clients {
		w.client(4+w.r.IntN(8), func() { busy-- })
	}
	beat := func() {}
	beat = func() {
		for _, n := range w.nodes {
			if n.up {
				n.acceptor.Tick(n.clock.Time(w.wall(n)))
			}
		}
		if !w.well {
			w.after(time.Second, beat)
		}
	}
	beat()
	w.run(func() bool { return busy > 0 })
	w.well = true
	before, told := w.told, 0
	for _, n := range w.nodes {
		w.after(3*Window, func() { // what is late is over too
			w.read(n, func() { told++ })
		})
	}
	reads := w.count.reads
	w.run(func() bool { return told < len(w.nodes) })
	if w.count.reads-reads < len(w.nodes) {
		t.Fatalf("after all faults are over %d of %d reads succeed", w.count.reads-reads, len(w.nodes))
	}
	if !w.within(before, w.told) {
		t.Fatalf("in the end %v is read; %v had been told", w.told, before)
	}
	for operation, why := range w.never {
		for v := w.top.Version; !v.IsZero(); v = w.parent[v] {
			if w.made[v].Operation == operation {
				t.Fatalf("operation %v is in the past, but its client was told: %s", operation, why)
			}
		}
	}
	return w
}

func TestAcknowledgedStatesAreNeverLost(t *testing.T) {
	seeds := uint64(2500)
	if checked {
		seeds = 400
	}
	var sum struct{ success, refused, nothing, unknown, reads, crashes int }
	for seed := range seeds {
		ok := t.Run("", func(t *testing.T) {
			defer func() {
				if t.Failed() {
					t.Logf("seed %d", seed)
				}
			}()
			c := simulate(t, seed).count
			sum.success += c.success
			sum.refused += c.refused
			sum.nothing += c.nothing
			sum.unknown += c.unknown
			sum.reads += c.reads
			sum.crashes += c.crashes
		})
		if !ok {
			return
		}
	}
	t.Logf("%+v", sum)
	if sum.success == 0 || sum.refused == 0 || sum.unknown == 0 || sum.crashes == 0 {
		t.Errorf("the schedules are too kind: %+v", sum)
	}
}
