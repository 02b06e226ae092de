package register

import (
	"slices"
	"time"
)

// Window is how long an acceptor remembers a promise that nothing came of. Ballots that are older are refused.
const Window = 10 * time.Second

// MaxPromises is how many promises an acceptor remembers one by one. When there are more, the floor rises early.
const MaxPromises = 1 << 16

// An Acceptor holds what one replica must remember to answer for its keys: who has been promised what, and which keys have an
// accept that is being made durable. The records themselves are on disk; it is told of them. It decides only: a runner carries
// requests through it (Request), one Step after the other, and does what the steps say.
//
// Promises cost no sync. Instead, two times stand for those that are lost or forgotten:
//   - the ceiling is durable, and every promise, every accept and every ballot of this node's own lies below it;
//   - the floor is in memory and rises with time, never above the ceiling. "Nothing at or below the floor is promised or accepted."
//
// So a promise below the floor need not be remembered, which keeps the table small, and a node that comes back starts its floor at the
// ceiling, above all that it may have promised. A promise at the ballot that is accepted and durable need not be remembered either.
//
// It is not safe for concurrent use: the runner guards it.
type Acceptor struct {
	floor   Time
	ceiling Time
	cells   map[string]cell // bounded by limit, but for keys whose turn is taken
	limit   int
}

// A cell is one key's state, while there is more to know of it than the disk tells.
type cell struct {
	promised Stamp // no lower ballot is accepted, none as high is promised
	accepted Stamp // of the newest durable record, if known; zero: there is none
	known    bool
	writing  Stamp // of the record that is being made durable, or zero
	turn     bool  // a request has the key's turn: it reads or writes the disk
}

// NewAcceptor makes the acceptor of a node that has just started: floor and clock begin at the durable ceiling.
func NewAcceptor(ceiling Time) *Acceptor {
	return &Acceptor{floor: ceiling, ceiling: ceiling, cells: map[string]cell{}, limit: MaxPromises}
}

// Floor is the time at or below which nothing is promised or accepted any more.
func (a *Acceptor) Floor() Time { return a.floor }

// Ceiling is the durable ceiling as far as the acceptor was told.
func (a *Acceptor) Ceiling() Time { return a.ceiling }

// Promises is how many keys are remembered.
func (a *Acceptor) Promises() int { return len(a.cells) }

// Covers tells whether a stamp of that time may be promised, accepted or, if it is this node's own, leave the node.
func (a *Acceptor) Covers(t Time) bool { return t < a.ceiling }

// Raised says that a ceiling is durable now.
func (a *Acceptor) Raised(ceiling Time) { a.ceiling = max(a.ceiling, ceiling) }

// Tick lets the floor rise to Window before now, the node's hybrid time, and forgets the promises that it stands for from then on.
func (a *Acceptor) Tick(now Time) {
	if now > Time(0).Add(Window) {
		a.Raise(now.Add(-Window))
	}
}

// Raise lifts the floor, at most to the ceiling, and forgets the promises below.
func (a *Acceptor) Raise(floor Time) {
	floor = min(floor, a.ceiling)
	if floor <= a.floor {
		return
	}
	a.floor = floor
	for k, c := range a.cells {
		if !c.turn && !a.under().Less(c.promised) {
			delete(a.cells, k)
		}
	}
}

// under is the floor as a ballot: no ballot that any node draws equals it.
func (a *Acceptor) under() Stamp { return Stamp{Time: a.floor} }

// give takes the key's turn for one request. If too much is remembered, the floor rises over the older half of it.
func (a *Acceptor) give(k string, c cell) {
	if _, there := a.cells[k]; !there && len(a.cells) >= a.limit {
		a.Raise(a.median() + 1)
	}
	c.turn = true
	a.cells[k] = c
}

// back returns the key's turn. What remains is forgotten if disk and floor tell as much.
func (a *Acceptor) back(k string, c cell) {
	c.turn, c.writing = false, Stamp{}
	if !a.under().Less(c.promised) || c.known && !c.accepted.Less(c.promised) {
		delete(a.cells, k)
		return
	}
	a.cells[k] = c
}

// median is the time of the promise in the middle of those that are remembered.
func (a *Acceptor) median() Time {
	times := make([]Time, 0, len(a.cells))
	for _, c := range a.cells {
		times = append(times, c.promised.Time)
	}
	slices.Sort(times)
	return times[len(times)/2]
}
