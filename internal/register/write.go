package register

import "errors"

// NewWrite begins a write: change, if its condition holds, with the bytes that value describes.
func NewWrite(change Change, value Value, entry Entry) *Operation {
	return &Operation{write: true, change: change, value: value, entry: entry}
}

// anew tells whether the write may replace a copy that cannot be read: it is the only one, and the change asks nothing of it.
func (o *Operation) anew() bool {
	return o.write && o.alone() && !o.change.Condition.IfMatch.Sent && !o.change.Condition.IfNoneMatch.Sent
}

// decide goes on from a quorum of promises.
func (o *Operation) decide() {
	newest, floor, damaged := o.newest()
	if !o.write {
		o.settleRead(newest)
		return
	}
	version, fresh := o.trace(newest, floor)
	if !fresh {
		return
	}
	switch {
	case !o.change.Condition.Holds(newest):
		o.refuse(newest, ErrPrecondition)
	case o.nothingToDelete(newest) && !damaged:
		o.refuse(newest, nil) // nothing to delete: success, and a read like a refusal
	default:
		o.build(newest, floor, version, damaged)
	}
}

// nothingToDelete tells whether there is no value, for sure. Once a tombstone of this delete may be somewhere, 'no record' is not enough, as it cannot
// be settled: then the delete is written down like any other.
func (o *Operation) nothingToDelete(newest *Record) bool {
	unsettled := newest.Ballot.IsZero() && (o.sent || o.entry.Taker)
	return o.change.Kind == Tombstone && !newest.Present() && !unsettled
}

func (o *Operation) settleRead(newest *Record) {
	if newest.Ballot.IsZero() {
		o.finish(end{record: newest}) // a majority of 'no record' is absent
		return
	}
	o.settle(newest, end{})
}

var errLost = errors.New("other writes came in between, and the key's history does not reach back to this one")

// lose ends a write of which nobody can tell any more whether it was applied.
func (o *Operation) lose() {
	o.unknown(errLost)
	o.end.lost = true
}

// trace looks for an earlier attempt of this very write, its own or an earlier coordinator's, before the change is evaluated: a write
// whose accept was cut short may have landed at a minority, and be carried on by somebody else's round. It decides the
// operation, or it proves that no attempt was applied, or ever will be: then the change may be evaluated (fresh), and if it was built on the
// same state before, it keeps the version that it had.
func (o *Operation) trace(newest *Record, floor Stamp) (version Stamp, fresh bool) {
	tried, none := o.sent, newest.Ballot.IsZero()
	first := o.entry.Operation // all versions of this operation lie above it
	if tried && !o.entry.Taker {
		first = o.first // whoever takes over works at ballots above mine
	}
	top := newest.Version
	if none {
		top = floor // what was purged lay below it
	}
	past := newest.find(o.entry.Operation)
	switch {
	case !none && newest.Operation == o.entry.Operation:
		o.settle(o.whole(newest), o.success(newest.Version)) // mine: complete it
	case past != nil && o.known(newest):
		o.finish(o.success(past.Version)) // mine was applied, and replaced since
	case past != nil:
		o.settle(newest, o.success(past.Version))
	case tried && newest.Version == o.base && (!none || floor.Less(first)):
		return o.last, true // what I built on still stands: the same proposal again
	case top.Less(first):
		return Stamp{}, true // versions grow along the chain: mine is not in it
	case !none && newest.reachesBelow(first):
		return Stamp{}, true // the chain is known back to before mine, and mine is not in it
	case !tried && !o.entry.Taker:
		return Stamp{}, true // nobody has sent an accept
	default:
		o.lose()
	}
	return Stamp{}, false
}

// refuse ends the write without a change: err, or nil if there was nothing to change. This rests on the newest state, which must be
// chosen, or settled first; once an accept of this write may be somewhere, settled at the operation's own ballot.
func (o *Operation) refuse(newest *Record, err error) {
	e := end{outcome: Outcome{Version: newest.Version, Replaced: newest.Present()}, record: newest, err: err}
	sent, none := o.sent || o.entry.Taker, newest.Ballot.IsZero()
	switch {
	case !sent && (none || o.known(newest)):
		o.finish(e)
	case none:
		o.lose()
	default:
		o.settle(newest, e)
	}
}

// build proposes the change upon the newest state, under the version of an earlier attempt upon the same state if there was one.
func (o *Operation) build(newest *Record, floor, version Stamp, damaged bool) {
	o.base = newest.Version
	if version.IsZero() {
		version = o.ballot
		o.last = version
		if o.attempts == nil {
			o.attempts = o.oneTry[:0]
		}
		o.attempts = append(o.attempts, attempt{version, newest.Present() || damaged})
		if !o.sent {
			o.first = version
		}
	}
	r := Record{
		Ballot:    o.ballot,
		Version:   version,
		Operation: o.entry.Operation,
		History:   newest.extend(floor),
		Kind:      o.change.Kind,
	}
	if r.Kind == Data {
		r.Metadata, r.Value = o.change.Metadata, o.value
	}
	o.propose(r, o.success(version))
}

// An attempt is a proposal of a write's own: its version, and whether the state that it was built on had a value.
type attempt struct {
	version  Stamp
	replaces bool
}

// success is the outcome once the attempt of that version counts. That need not be the latest one: one that was given up for lost may be
// carried on by somebody else. Of an attempt of another coordinator it is not known what it replaces: then nothing is said to be new.
func (o *Operation) success(version Stamp) end {
	e := end{outcome: Outcome{Version: version, Replaced: true}, changed: true}
	for _, a := range o.attempts {
		if a.version == version {
			e.outcome.Replaced = a.replaces
		}
	}
	return e
}

// whole is a record of this very operation with its value's bytes, as far as they are at hand here: nobody need fetch them then.
func (o *Operation) whole(r *Record) *Record {
	own := *r
	if own.Kind == Data {
		own.Value.Inline, own.Value.Stage = o.value.Inline, o.value.Stage
	}
	return &own
}

// find looks an operation up in the states that r replaced.
func (r *Record) find(operation Stamp) *Past {
	for i := range r.History {
		if r.History[i].Operation == operation {
			return &r.History[i]
		}
	}
	return nil
}

// reachesBelow tells whether the history leaves out no version from that one on.
func (r *Record) reachesBelow(version Stamp) bool {
	n := len(r.History)
	return n > 0 && r.History[n-1].Version.Less(version)
}

// extend makes the history of a record that replaces r. Everything at or below the floor may be in the past of 'no record': so that
// is the version it counts with.
func (r *Record) extend(floor Stamp) []Past {
	if r.Ballot.IsZero() {
		return []Past{{Version: floor}}
	}
	h := make([]Past, 0, HistoryDepth)
	h = append(h, Past{r.Version, r.Operation})
	return append(h, r.History[:min(len(r.History), HistoryDepth-1)]...)
}
