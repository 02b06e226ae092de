package simulation

import (
	"math/bits"
	"time"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
)

// fault is a kind of thing that goes wrong, as counted.
type fault int

const (
	messageLost fault = iota
	messageDoubled
	messageLate
	messageCut
	unreachable
	slowSync
	processKilled
	powerCut
	crashInRecovery
	crashDelicate
	crashAmid
	stallAmid
	skewRefused
	handOverRepeated
	epochChanged
	diskFull
	syncFailed
	copyRotten
	// what faults draws from
	crashOne
	crashAll
	crashAtDisk
	cutOne
	slowOne
	stallOne
	stallForGood
	jumpOne
	jumpTooFar
	faultCount
)

func (f fault) String() string {
	return [...]string{
		"messages lost", "messages doubled", "messages late", "messages into a cut", "connections refused", "slow syncs", "processes killed",
		"power cuts", "crashes in recovery", "crashes at a delicate moment", "crashes amid a proposal", "stalls amid a proposal", "messages from too far ahead",
		"hand-overs repeated", "epochs", "disk full", "syncs failed", "copies rotten", "crashes", "crashes of all nodes", "crashes at a call to the disk",
		"one-way cuts", "slow ways", "stalls", "stalls to the end", "clock jumps", "clock jumps too far",
	}[f]
}

// everyFault is what goes wrong where a profile names nothing else.
var everyFault = []fault{crashOne, crashOne, crashAtDisk, crashAll, cutOne, cutOne, cutOne, slowOne, stallOne, stallOne, stallForGood, jumpOne, jumpOne}

// faults has something go wrong now and then.
func (w *world) faults() {
	if w.p.faults == 0 {
		return
	}
	left := faultsMax
	var again func()
	again = func() {
		if w.well || left == 0 {
			return
		}
		left--
		w.goWrong(of(w.r, w.p.list...), of(w.r, w.nodes...))
		w.after(w.p.faults/2+w.upTo(w.p.faults), again)
	}
	w.after(w.upTo(w.p.faults), again)
}

// A run has a limited number of faults, so that its clients get on with something too.
const (
	faultsMax = 80
	epochsMax = 12
)

func (w *world) goWrong(f fault, n *node) {
	other := of(w.r, w.nodes...)
	switch f {
	case crashOne:
		w.down(n)
	case crashAtDisk:
		n.disk.CrashAfter(1 + w.r.IntN(40))
	case crashAll:
		if !w.percent(10) {
			return
		}
		for _, n := range w.nodes {
			w.down(n)
		}
	case cutOne:
		w.logf("%v no longer reaches %v", n.id, other.id)
		n.deaf[other.id] = true
		w.after(w.upTo(time.Second), func() { n.deaf[other.id] = false })
	case slowOne:
		n.slow[other.id] = true
	case stallOne:
		w.stallFor(n, w.upTo(w.p.stall))
	case stallForGood:
		if !w.percent(10) {
			return
		}
		w.stallFor(n, endOfTime)
	case jumpOne:
		f = w.jump(n)
	}
	w.counts.fault(f)
}

// stallFor has a node do nothing for so long; then it goes on where it was. Its wall clock does not stop.
func (w *world) stallFor(n *node, d time.Duration) {
	w.logf("%v stalls for %v", n.id, d)
	n.stalled = max(n.stalled, w.now+d)
	w.after(n.stalled-w.now, func() { w.goOn(n) })
}

// goOn ends a stall: all that has come meanwhile is done now.
func (w *world) goOn(n *node) {
	if n.stalled > w.now {
		return
	}
	for _, e := range n.parked {
		e.at = w.now + w.upTo(5*time.Millisecond)
		w.queue.push(e)
	}
	n.parked = nil
}

// jump moves a node's wall clock. Where some clocks are so wrong that the others no longer listen to them, the others' must not be far from each
// other, or one of them would listen and be carried away in turn; and the wrong ones must be too few to matter.
func (w *world) jump(n *node) fault {
	wild := 0
	for _, n := range w.nodes {
		wild += count(n.wild)
	}
	sane := (register.MaxAhead - time.Hour) / 2 // two clocks that are off in opposite directions still hear each other
	if w.p.wild {
		sane = time.Hour
	}
	n.off = max(min(n.off+w.upTo(2*w.p.jump)-w.p.jump, sane), -sane)
	f := jumpOne
	if w.p.wild && (n.wild || wild < (w.p.replicas-1)/2 && w.percent(20)) {
		n.wild = true
		n.off = register.MaxAhead + 2*time.Hour + w.upTo(register.MaxAhead)
		f = jumpTooFar
	}
	w.logf("%v: wall clock is off by %v", n.id, n.off)
	return f
}

// rot damages a copy of a key on the disk, of a minority of its copies at most.
func (w *world) rot(n *node, b *book) {
	if b.rotten&(1<<n.id) == 0 && bits.OnesCount16(b.rotten)+1 > (len(b.members)-1)/2 {
		return
	}
	name := key.FileName(b.key)
	for _, folder := range n.disk.Names("keys") {
		for _, path := range []string{folder + "/" + name, folder + "/deleted/" + name} {
			if n.disk.Rot(path, -1-w.r.Int64N(400)) {
				b.rotten |= 1 << n.id
				w.counts.fault(copyRotten)
				w.logf("%v: %s is damaged", n.id, path)
			}
		}
	}
}
