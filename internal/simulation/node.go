package simulation

import (
	"errors"
	"syscall"
	"time"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
	"github.com/estorajed/estorajed/internal/store"
	"github.com/estorajed/estorajed/internal/store/disktest"
)

// A node is one member of the cluster. What is below 'memory' a crash takes away.
type node struct {
	id   ring.NodeID
	up   bool
	life int // grows at each start: its start number
	off  time.Duration
	wild bool // its clock was further ahead than others tolerate
	disk *disktest.Disk
	kept int // the epoch of the table on its disk
	deaf [nodesMax + 1]bool
	slow [nodesMax + 1]bool // messages from here to there are lost, or slow

	// memory
	stalled  time.Duration // does nothing before that
	parked   []event       // what would have happened meanwhile
	clock    register.Clock
	acceptor *register.Acceptor
	store    *store.Stepped
	work     work
	raising  bool
	raises   []raise                  // who waits for a higher ceiling
	awaiting map[*book][]func()       // requests that wait for a key's turn
	turns    map[*book]*turn          // writes that this node coordinates
	begun    map[handed]bool          // hand-overs that came in this life
	table    int                      // the epoch that it serves with
	learning bool                     // a newer table
	answered [partCount]uint64        // the newest epoch that it answered with, in any life
	holds    map[*book]register.Stamp // the ballot that it surely holds, in any life
}

// A raise waits until stamps of that time are covered by the durable ceiling.
type raise struct {
	time register.Time
	then func(error)
}

func newNode(w *world, id ring.NodeID) *node {
	return &node{
		id: id, off: w.upTo(400*time.Millisecond) - 200*time.Millisecond, kept: 1,
		disk: disktest.New(w.r), holds: make(map[*book]register.Stamp),
	}
}

// wall is what the node's wall clock says.
func (w *world) wall(n *node) time.Time { return time.Unix(era, 0).Add(w.now + n.off) }

// start brings a node up, or lets it crash again while it recovers.
func (w *world) start(n *node) {
	for {
		if w.chance(w.p.delicate * 10) {
			n.disk.CrashAfter(1 + w.r.IntN(60))
		}
		s, err := store.OpenStepped(store.Config{
			FS: n.disk, Partitions: partCount, Locate: w.locate, Salt: w.r.Uint32,
			SegmentBytes: 32 << 10, SegmentEntries: w.p.segment, BatchBytes: 8 << 10, CacheBytes: -1,
		})
		if err == nil {
			n.store = s
			break
		}
		if !n.disk.Crashed() {
			w.fail("%v does not start: %v", n.id, err)
			return
		}
		w.counts.fault(crashInRecovery)
		w.restartDisk(n)
	}
	n.disk.CrashAfter(-1)
	n.life++
	n.up = true
	n.stalled, n.parked = 0, nil
	ceiling := n.store.Ceiling()
	n.clock, n.acceptor = register.NewClock(n.id, ceiling), register.NewAcceptor(ceiling)
	n.work, n.raising, n.raises = work{}, false, nil
	n.awaiting, n.turns, n.begun = make(map[*book][]func()), make(map[*book]*turn), make(map[handed]bool)
	n.table, n.learning = n.kept, false
	w.logf("%v is up, life %d, ceiling and floor %v, epoch %d", n.id, n.life, register.Stamp{Time: ceiling}, n.table)
	w.recovered(n)
	n.disk.Inject(w.diskError)
	w.journal(n)
	w.behind(n)
}

// down is a crash: what was not synced may be lost, if the power went too.
func (w *world) down(n *node) {
	if !n.up {
		return
	}
	w.logf("%v CRASHES", n.id)
	n.up = false
	w.restartDisk(n)
	life := n.life
	d := w.upTo(w.p.downMax)
	if w.percent(60) {
		d = w.upTo(w.p.downFirst)
	}
	w.after(d, func() {
		if !n.up && n.life == life {
			if w.percent(30) && !w.well {
				n.off += w.upTo(2*time.Second) - time.Second
			}
			w.start(n)
		}
	})
}

func (w *world) restartDisk(n *node) {
	if w.percent(40) {
		w.counts.fault(processKilled)
		n.disk = n.disk.Kill()
		return
	}
	w.counts.fault(powerCut)
	n.disk = n.disk.Cut()
}

// delicate: now and then a node crashes soon after it has taken note of something that it must not forget.
func (w *world) delicate(n *node) {
	if w.chance(w.p.delicate) {
		w.on(n, w.upTo(5*time.Millisecond), func() {
			if !w.well {
				w.counts.fault(crashDelicate)
				w.down(n)
			}
		})
	}
}

// diskError draws an error of the disk.
func (w *world) diskError(op, _ string) error {
	if !w.chance(w.p.diskErrors) {
		return nil
	}
	switch op {
	case "create", "allocate", "mkdir", "rename":
		w.counts.fault(diskFull)
		return of(w.r, syscall.ENOSPC, syscall.EMFILE)
	case "sync", "syncdir", "syncall":
		if w.r.IntN(8) == 0 {
			w.counts.fault(syncFailed)
			return syscall.EIO
		}
	}
	return nil
}

// beat is what a node does each second.
func (w *world) beat(n *node) {
	now := n.clock.Time(w.wall(n))
	n.acceptor.Tick(now)
	if w.p.ahead > reserve && !n.acceptor.Covers(now.Add(reserve)) {
		w.raise(n, now.Add(reserve), func(error) {})
	}
	if n.store.Failed() != nil && w.percent(20) {
		w.down(n) // somebody looked into it, and started the node anew
	}
}

// raise has a ceiling above t made durable; then hears once that is so, or why not.
func (w *world) raise(n *node, t register.Time, then func(error)) {
	if n.acceptor.Covers(t) {
		then(nil)
		return
	}
	n.raises = append(n.raises, raise{t, then})
	if n.raising {
		return
	}
	n.raising = true
	ceiling := n.clock.Time(w.wall(n))
	for _, r := range n.raises {
		ceiling = max(ceiling, r.time)
	}
	ceiling = ceiling.Add(w.p.ahead)
	n.store.RaiseCeiling(ceiling, func(err error) {
		if n.disk.Crashed() {
			return
		}
		n.raising = false
		waiting := n.raises
		n.raises = nil
		if err == nil {
			n.acceptor.Raised(ceiling)
			w.counts.Raises++
		}
		for _, r := range waiting {
			if err != nil {
				r.then(err)
				continue
			}
			w.raise(n, r.time, r.then)
		}
	})
	w.journal(n)
}

// stamp draws a stamp of the node's own above the given time; then gets it once the durable ceiling lies above it.
func (w *world) stamp(n *node, above register.Time, then func(register.Stamp, error)) {
	if err := n.clock.Merge(above, w.wall(n)); err != nil {
		w.counts.fault(skewRefused)
		then(register.Stamp{}, err)
		return
	}
	s := n.clock.Now(w.wall(n))
	w.raise(n, s.Time, func(err error) { then(s, err) })
}

var errDisk = errors.New("the disk gives an error")

// locate is as of store.Config: a key's name says where it belongs.
func (w *world) locate(k key.Key) (hash uint64, partition int) {
	b := w.books[k[1]-'0']
	return b.hash, b.part
}
