package simulation

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
)

// Limits of one run.
const (
	eventsMax = 4_000_000        // then it is taken to be stuck
	linger    = 3 * time.Second  // after the faults and what is late, for what is still on its way
	endOfTime = 400 * time.Hour  // of virtual time, for one run
	lookLimit = 30 * time.Second // for a read after the faults
	beat      = 1 * time.Second  // between two heartbeats of a node
	reserve   = 3 * time.Second  // of the ceiling that a heartbeat sees to, as in replica
	traceMost = 200_000          // lines
	era       = 1_000_000_000    // seconds since 1970 at which time begins
	partCount = 2                // partitions
)

// A world is one run: a cluster, its clients and all that happens to it.
type world struct {
	seed  uint64
	r     *rand.Rand
	p     profile
	now   time.Duration
	queue queue
	nodes []*node // node number i is nodes[i-1]
	books []*book // by key
	parts [partCount][]ring.NodeID
	epoch [][partCount]uint64 // by table: since when each partition's set stands; the last is the newest

	well    bool // the faults are over
	busy    int  // clients that are not done
	clock   int64
	history []*act
	entries map[register.Stamp]*act // writes by their operation
	broken  string                  // the first rule that was broken
	counts  Counts

	tracing bool
	trace   []string
}

// newWorld makes the cluster of that seed; profile is its name, or "" for whichever the seed draws.
func newWorld(seed uint64, profile string) *world {
	r := rand.New(rand.NewPCG(seed, 0x5ca1ab1e))
	w := &world{seed: seed, r: r, p: draw(r, profile), entries: make(map[register.Stamp]*act)}
	w.epoch = [][partCount]uint64{{1, 1}}
	for part := range w.parts {
		for i := range w.p.replicas {
			w.parts[part] = append(w.parts[part], ring.NodeID(1+(i+2*part)%w.p.nodes))
		}
	}
	for i := range w.p.keys + w.p.cold {
		w.books = append(w.books, newBook(w, i))
	}
	for i := range w.p.nodes {
		w.nodes = append(w.nodes, newNode(w, ring.NodeID(i+1)))
	}
	return w
}

func (w *world) upTo(d time.Duration) time.Duration { return time.Duration(w.r.Int64N(int64(d) + 1)) }

func (w *world) between(a, b time.Duration) time.Duration { return a + w.upTo(b-a) }

// chance is true in so many of a thousand cases, and never once the faults are over.
func (w *world) chance(perMille int) bool {
	return perMille > 0 && !w.well && w.r.IntN(1000) < perMille
}

// percent is true in so many of a hundred cases.
func (w *world) percent(n int) bool { return w.r.IntN(100) < n }

func (w *world) node(id ring.NodeID) *node { return w.nodes[id-1] }

// after lets something happen later, at no node.
func (w *world) after(d time.Duration, do func()) {
	w.queue.push(event{at: w.now + d, do: do})
}

// on lets something happen later at a node, if that has not crashed meanwhile.
func (w *world) on(n *node, d time.Duration, do func()) {
	w.queue.push(event{at: w.now + d, node: n, life: n.life, do: do})
}

// step lets one thing happen.
func (w *world) step() {
	e := w.queue.pop()
	w.now = max(w.now, e.at)
	w.counts.Events++
	n := e.node
	switch {
	case n == nil:
		e.do()
		return
	case !n.up || e.life != anyLife && e.life != n.life:
		return
	case n.stalled > w.now:
		n.parked = append(n.parked, e)
		return
	}
	e.do()
	if n.up && n.disk.Crashed() {
		w.down(n)
	}
}

// until lets things happen until over says so, or nothing is left to happen, or a rule is broken.
func (w *world) until(over func() bool) {
	for w.queue.len() > 0 && w.broken == "" && !over() {
		w.step()
		if w.counts.Events > eventsMax || w.now > endOfTime {
			w.fail("the run does not end: %d events, %v", w.counts.Events, w.now)
		}
	}
}

// fail notes that a rule was broken; the first counts.
func (w *world) fail(format string, args ...any) {
	if w.broken == "" {
		w.broken = fmt.Sprintf(format, args...)
		w.logf("BROKEN: %s", w.broken)
	}
}

func (w *world) logf(format string, args ...any) {
	if w.tracing && len(w.trace) < traceMost {
		w.trace = append(w.trace, fmt.Sprintf("%12v ", w.now)+fmt.Sprintf(format, args...))
	}
}

// run lets clients and faults do their work, ends the faults, and looks at everything once more.
func (w *world) run() {
	w.logf("seed %d: %s", w.seed, w.describe())
	for _, n := range w.nodes {
		w.start(n)
	}
	w.heartbeat()
	w.coldWrites()
	w.busy = w.p.clients
	for c := range w.p.clients {
		w.client(c, w.p.operations)
	}
	w.faults()
	w.background()
	w.until(func() bool { return w.busy == 0 })
	w.heal()
	w.lookAround("right after the faults")
	rest := w.now + w.p.lateMost + w.p.syncLate + linger
	w.until(func() bool { return w.now > rest })
	w.lookAround("when nothing is on its way any more")
	if w.broken == "" {
		w.finalCheck()
	}
	if w.broken == "" {
		w.checkHistory()
	}
	w.counts.close(w)
}

func (w *world) describe() string {
	p := &w.p
	return fmt.Sprintf("profile %q, %d nodes, %d keys (%d of them cold), partitions at %v\n%+v", p.name, p.nodes, p.keys+p.cold, p.cold, w.parts, *p)
}

// heartbeat lets floors rise and ceilings be raised ahead, as replica.Run does.
func (w *world) heartbeat() {
	for _, n := range w.nodes {
		w.on(n, 0, func() { w.beat(n) })
	}
	w.after(beat, w.heartbeat)
}

// heal ends all faults.
func (w *world) heal() {
	w.logf("all faults are over")
	w.well = true
	for _, n := range w.nodes {
		n.deaf = [nodesMax + 1]bool{}
		n.slow = [nodesMax + 1]bool{}
		n.stalled = min(n.stalled, w.now)
		w.goOn(n)
		switch {
		case n.up && (n.store.Failed() != nil || n.disk.Crashed()):
			w.down(n)
			fallthrough
		case !n.up:
			w.start(n)
		default:
			n.disk.CrashAfter(-1)
			n.disk.Inject(nil)
		}
	}
}
