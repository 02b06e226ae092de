package register

import "github.com/estorajed/estorajed/internal/ring"

// NewRead begins a read. It looks at a majority: if that shows the same ballot, the state is chosen and the read is over, with no ballot
// drawn and nothing written. If they differ, a write is in flight, most likely: it looks again; then it settles, that is,
// it proposes the newest state anew in a round of its own. After a refused settle it looks again, else readers keep each other from finishing.
func NewRead() *Operation { return &Operation{look: true} }

// compare goes on from the states seen so far, once they are a quorum.
func (o *Operation) compare() {
	if o.stage == idle {
		o.compareLate()
		return
	}
	if !o.won() {
		return
	}
	if i, ok := o.agreed(); ok {
		o.finish(end{record: o.chosen(i)})
		return
	}
	o.stage = idle
	o.looks++
	if o.looks > looksMax {
		o.looks, o.look = 0, false
	}
}

// compareLate takes in a state that comes while another round is due: it may spare that.
func (o *Operation) compareLate() {
	if i, ok := o.agreed(); ok {
		o.finish(end{record: o.chosen(i)})
	}
}

// agreed finds a state that a quorum of the answers shows: the place of its sight, or -1 for 'no record'. No record and a
// proven tombstone are the same state; an unproven tombstone is another one.
func (o *Operation) agreed() (int, bool) {
	none := o.set.Votes()
	for i := range o.sights {
		if o.sights[i].Record.Ballot.IsZero() || o.sights[i].Proven {
			none.Ack(o.sights[i].from)
		}
	}
	if none.Verdict() == ring.Won {
		return -1, true
	}
	for i := range o.sights {
		same := o.set.Votes()
		for j := range o.sights {
			if o.sights[i].Record.Ballot == o.sights[j].Record.Ballot {
				same.Ack(o.sights[j].from)
			}
		}
		if same.Verdict() == ring.Won {
			return i, true
		}
	}
	return 0, false
}

func (o *Operation) chosen(i int) *Record {
	if i < 0 {
		return &o.none
	}
	return &o.sights[i].Record
}

// newest is the record with the highest ballot among the answers, the zero Record if none has one, and the highest floor of them. A
// copy that will be written anew may have held anything up to the ballot.
func (o *Operation) newest() (newest *Record, floor Stamp, damaged bool) {
	newest = &o.none
	for i := range o.sights {
		s := &o.sights[i]
		if newest.Ballot.Less(s.Record.Ballot) {
			newest = &s.Record
		}
		floor = highest(floor, Stamp{Time: s.Floor})
		if s.Damaged {
			damaged = true
			floor = highest(floor, Stamp{Time: o.ballot.Time})
		}
	}
	return newest, floor, damaged
}

// known tells whether the newest state in this quorum of promises is proven to be chosen. Evidence for an older one is none for it.
func (o *Operation) known(newest *Record) bool {
	i, ok := o.agreed()
	if !ok {
		return false
	}
	if i >= 0 {
		return o.sights[i].Record.Ballot == newest.Ballot
	}
	if newest.Ballot.IsZero() {
		return true
	}
	for j := range o.sights {
		if o.sights[j].Proven && o.sights[j].Record.Ballot == newest.Ballot {
			return true
		}
	}
	return false
}

// settle proposes the newest state anew, at this operation's ballot; if that is accepted, e is the outcome.
func (o *Operation) settle(newest *Record, e end) {
	again := *newest
	again.Ballot = o.ballot
	o.sources = o.holders(newest)
	o.propose(again, e)
	o.settling = true
}

// holders are the replicas that showed newest's version, if its bytes are not at hand.
func (o *Operation) holders(newest *Record) (nodes []ring.NodeID) {
	if newest.Value.Inline != nil || newest.Value.Length == 0 {
		return nil
	}
	for i := range o.sights {
		if s := &o.sights[i]; s.Record.Version == newest.Version {
			nodes = append(nodes, s.from)
		}
	}
	return nodes
}

// propose sends the accepts of this round.
func (o *Operation) propose(r Record, e end) {
	if o.proposal == nil {
		o.proposal = &o.oneRecord
	} else {
		o.proposal = new(Record) // an earlier one may still be on its way
	}
	*o.proposal, o.settling = r, false
	o.proposals++
	e.record = o.proposal
	o.then = e
	o.enter(accepting, Message{Phase: Accept, Record: o.proposal, Sources: o.sources})
	o.sources = nil
}
