package register

import (
	"errors"
	"slices"
	"testing"

	"github.com/estorajed/estorajed/internal/ring"
)

var three = ring.Set{Epoch: 1, Current: []ring.NodeID{1, 2, 3}}

// state is a record accepted at ballot time b: version and operation are drawn by node 1, the operation one tick before.
func state(kind Kind, b, version int, past ...int) Record {
	r := Record{Ballot: bal(b, 1), Version: bal(version, 1), Operation: bal(version-1, 1), Kind: kind}
	for _, v := range past {
		r.History = append(r.History, Past{bal(v, 1), bal(v-1, 1)})
	}
	return r
}

// mine is the same, of the operation under test.
func mine(kind Kind, b, version int, past ...int) Record {
	r := state(kind, b, version, past...)
	r.Version, r.Operation = bal(version, 9), bal(40, 9)
	return r
}

// promise delivers promises that show these states, from node 1 on, at the floor.
func promise(o *Operation, floor int, seen ...Record) {
	out := o.Outbox()
	for i, r := range seen {
		o.Deliver(out[i].To, out[i].Round, Answer{Reply: Promised, Record: r, Floor: Time(floor)})
	}
}

// verdict says in short what the operation proposes now, if anything, and what its outcome is once that is accepted.
func verdict(o *Operation) string {
	s := ""
	if o.Phase() == Accept {
		r := o.Outbox()[0].Record
		s = "propose " + r.Kind.String() + " " + r.Version.String() + " then "
		for node := range o.set.Members() {
			o.Deliver(node, o.round, Answer{Reply: Accepted})
		}
	}
	if !o.Decided() {
		return s + "undecided"
	}
	outcome, err := o.Outcome()
	var unknown *UnknownError
	switch {
	case errors.As(err, &unknown):
		return s + "unknown"
	case errors.Is(err, ErrPrecondition):
		return s + "refused " + outcome.Version.String()
	case err != nil:
		return s + err.Error()
	case outcome.Replaced:
		return s + "replaced " + outcome.Version.String()
	}
	return s + "done " + outcome.Version.String()
}

var (
	put       = Change{Kind: Data}
	del       = Change{Kind: Tombstone}
	putAbsent = Change{Kind: Data, Condition: Condition{IfNoneMatch: Tags{Sent: true, Any: true}}}
	putOver20 = Change{Kind: Data, Condition: Condition{IfMatch: Tags{Sent: true, Versions: []Stamp{bal(0x20, 1)}}}}
)

func TestAFirstAttemptEvaluatesTheNewestState(t *testing.T) {
	none, value, grave := Record{}, state(Data, 0x21, 0x20, 0x10), state(Tombstone, 0x21, 0x20, 0x10)
	older := state(Data, 0x15, 0x15, 0x10)
	for _, tc := range []struct {
		name   string
		change Change
		seen   []Record
		want   string
	}{
		{"no record at a majority is absent", put, []Record{none, none}, "propose value 50-9 then done 50-9"},
		{"a put replaces the newest state", put, []Record{older, value}, "propose value 50-9 then replaced 50-9"},
		{"a put upon a tombstone replaces nothing", put, []Record{grave, grave}, "propose value 50-9 then done 50-9"},
		{"a delete leaves a tombstone", del, []Record{value, value}, "propose tombstone 50-9 then replaced 50-9"},
		{"deleting nothing is success without a write", del, []Record{none, none}, "done 0-0"},
		{"deleting what is deleted too", del, []Record{grave, grave}, "done 20-1"},
		{"but it rests on a settled state", del, []Record{grave, older}, "propose tombstone 20-1 then done 20-1"},
		{"no record and a tombstone are different answers", del, []Record{grave, none}, "propose tombstone 20-1 then done 20-1"},
		{"If-None-Match: * on a value is refused", putAbsent, []Record{value, value}, "refused 20-1"},
		{"a refusal rests on the newest state, settled first", putAbsent, []Record{value, older}, "propose value 20-1 then refused 20-1"},
		{"If-None-Match: * on a tombstone holds", putAbsent, []Record{grave, older}, "propose value 50-9 then done 50-9"},
		{"If-None-Match: * on no record holds", putAbsent, []Record{none, none}, "propose value 50-9 then done 50-9"},
		{"If-Match on its version holds", putOver20, []Record{value, older}, "propose value 50-9 then replaced 50-9"},
		{"If-Match on another is refused", putOver20, []Record{older, older}, "refused 15-1"},
		{"If-Match on nothing is refused", putOver20, []Record{none, none}, "refused 0-0"},
		{"a condition comes before 'nothing to delete'", Change{Kind: Tombstone, Condition: putOver20.Condition}, []Record{none, none}, "refused 0-0"},
		{"one promise is no majority", put, []Record{value}, "undecided"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := NewWrite(tc.change, Value{}, Entry{Operation: bal(0x40, 9)})
			o.Begin(three, bal(0x50, 9))
			promise(o, 5, tc.seen...)
			if got := verdict(o); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}

func TestAProvenTombstoneIsAsNoRecord(t *testing.T) {
	grave := state(Tombstone, 0x21, 0x20, 0x10)
	o := NewWrite(del, Value{}, Entry{Operation: bal(0x40, 9)})
	o.Begin(three, bal(0x50, 9))
	out := o.Outbox()
	o.Deliver(1, out[0].Round, Answer{Reply: Promised, Record: grave, Proven: true})
	o.Deliver(2, out[0].Round, Answer{Reply: Promised})
	if got, want := verdict(o), "done 20-1"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// After an attempt at ballot 50 upon the state with version 20, that reached nobody knows whom, a second one finds other states.
func TestALaterAttemptLooksBeforeItEvaluates(t *testing.T) {
	base := state(Data, 0x21, 0x20, 0x10)
	for _, tc := range []struct {
		name   string
		change Change
		first  Record // what the first attempt was built on
		floor  int    // at the second attempt
		seen   []Record
		want   string
	}{
		{
			"the newest is mine: complete it", put, base, 5,
			[]Record{mine(Data, 0x50, 0x50, 0x20), base},
			"propose value 50-9 then replaced 50-9",
		},
		{
			"mine was replaced: success, once that is settled", put, base, 5,
			[]Record{withMine(state(Data, 0x58, 0x58, 0x50, 0x20), 0), base},
			"propose value 58-1 then replaced 50-9",
		},
		{
			"mine was replaced by what is chosen: success", put, base, 5,
			[]Record{withMine(state(Data, 0x58, 0x58, 0x57, 0x50), 1), withMine(state(Data, 0x58, 0x58, 0x57, 0x50), 1)},
			"replaced 50-9",
		},
		{
			"what I built on is still the newest: the same again, same version", put, base, 5,
			[]Record{base, base},
			"propose value 50-9 then replaced 50-9",
		},
		{
			"also at a higher ballot", put, base, 5,
			[]Record{state(Data, 0x55, 0x20, 0x10), base},
			"propose value 50-9 then replaced 50-9",
		},
		{
			"the newest is older than my first attempt: evaluate afresh", put, base, 5,
			[]Record{state(Data, 0x55, 0x48, 0x20), base},
			"propose value 60-9 then replaced 60-9",
		},
		{
			"the history reaches back before my first attempt: evaluate afresh", put, base, 5,
			[]Record{state(Data, 0x58, 0x58, 0x57, 0x48), base},
			"propose value 60-9 then replaced 60-9",
		},
		{
			"the history does not reach back so far", put, base, 5,
			[]Record{state(Data, 0x5a, 0x5a, 0x59, 0x58, 0x57, 0x56, 0x55, 0x54, 0x53, 0x52), base},
			"unknown",
		},
		{
			"nothing was there and nothing is: the same again", put,
			Record{},
			0x4f,
			[]Record{{}, {}},
			"propose value 50-9 then done 50-9",
		},
		{
			"nothing is there, but the floor has passed my attempt", put,
			Record{},
			0x51,
			[]Record{{}, {}},
			"unknown",
		},
		{
			"what I built on is gone, and the floor has not passed my attempt", put, base, 0x4f,
			[]Record{{}, {}},
			"propose value 60-9 then done 60-9",
		},
		{
			"a refusal now is settled at my own ballot, though it is chosen", putAbsent,
			Record{},
			5,
			[]Record{base, base},
			"propose value 20-1 then refused 20-1",
		},
		{
			"nothing is left to delete: settled too", del, base, 5,
			[]Record{state(Tombstone, 0x48, 0x48, 0x20), state(Tombstone, 0x48, 0x48, 0x20)},
			"propose tombstone 48-1 then done 48-1",
		},
		{
			"a refusal that rests on no record cannot be settled", putOver20, base, 5,
			[]Record{{}, {}},
			"unknown",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := NewWrite(tc.change, Value{}, Entry{Operation: bal(40, 9)})
			o.Begin(three, bal(0x50, 9))
			promise(o, 5, tc.first, tc.first)
			if out := o.Outbox(); o.Phase() != Accept || len(out) != 3 {
				t.Fatalf("the first attempt was not sent: %s", verdict(o))
			}
			o.Timeout()
			o.Begin(three, bal(0x60, 9))
			promise(o, tc.floor, tc.seen...)
			if got := verdict(o); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}

func TestTheFirstAttemptIsTheOneToLookFor(t *testing.T) {
	o := NewWrite(put, Value{}, Entry{Operation: bal(0x40, 9)})
	attempt := func(ballot int, seen Record) {
		o.Begin(three, bal(ballot, 9))
		promise(o, 5, seen, seen)
		if o.Outbox(); o.Phase() == Accept {
			o.Timeout()
		}
	}
	attempt(0x50, state(Data, 0x21, 0x20, 0x10))
	attempt(0x60, state(Data, 0x55, 0x48, 0x20)) // afresh: the first was not applied
	attempt(0x70, state(Data, 0x65, 0x58, 0x57))
	if got := verdict(o); got != "unknown" {
		t.Errorf("%s, want unknown: the attempt at 50 may be in the past of 57", got)
	}
}

// withMine makes the i-th state of the history the operation's own.
func withMine(r Record, i int) Record {
	r.History[i] = Past{Version: bal(0x50, 9), Operation: bal(40, 9)}
	return r
}

func TestATakerKnowsThatAnAcceptMayHaveBeenSent(t *testing.T) {
	base := state(Data, 0x21, 0x20, 0x10)
	for _, tc := range []struct {
		name   string
		change Change
		floor  int
		seen   []Record
		want   string
	}{
		{"it completes the operation's record", put, 5, []Record{mine(Data, 0x30, 0x30, 0x20), base}, "propose value 30-9 then replaced 30-9"},
		{"a state from before the operation: evaluate", put, 5, []Record{base, base}, "propose value 50-9 then replaced 50-9"},
		{
			"the history reaches back before the operation: evaluate", put, 5,
			[]Record{state(Data, 0x49, 0x49, 0x20), base},
			"propose value 50-9 then replaced 50-9",
		},
		{"it does not", put, 5, []Record{state(Data, 0x49, 0x49, 0x48), base}, "unknown"},
		{"its refusal is settled", putAbsent, 5, []Record{base, base}, "propose value 20-1 then refused 20-1"},
		{"no record from before the operation: evaluate", put, 0x1f, []Record{{}, {}}, "propose value 50-9 then done 50-9"},
		{"no record, but the floor has passed the operation", put, 0x2f, []Record{{}, {}}, "unknown"},
		{"'nothing there' cannot be settled: the delete is written down", del, 0x1f, []Record{{}, {}}, "propose tombstone 50-9 then done 50-9"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := NewWrite(tc.change, Value{}, Entry{Operation: bal(40, 9), Taker: true})
			o.Begin(three, bal(0x50, 9))
			promise(o, tc.floor, tc.seen...)
			if got := verdict(o); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}

// A first attempt replaces a value and is cut short; a second one, upon a delete that came in between, is too. Then the first one turns out to
// have been carried on: what counts is what that one replaced.
func TestAnOutcomeIsThatOfTheAttemptThatCounts(t *testing.T) {
	value, grave := state(Data, 0x21, 0x20, 0x10), state(Tombstone, 0x30, 0x30, 0x20)
	o := NewWrite(put, Value{}, Entry{Operation: bal(0x40, 9)})
	for i, seen := range []Record{value, grave} {
		o.Begin(three, bal(0x50+0x10*i, 9))
		promise(o, 5, seen, seen)
		if m := o.Outbox(); m[0].Phase != Accept || m[0].Record.Version != bal(0x50+0x10*i, 9) {
			t.Fatalf("attempt %d: %+v", i, m)
		}
		o.Timeout()
	}
	o.Begin(three, bal(0x70, 9))
	first := state(Data, 0x50, 0x50, 0x20)
	first.Version, first.Operation = bal(0x50, 9), bal(0x40, 9)
	promise(o, 5, grave, first)
	if got, want := verdict(o), "propose value 50-9 then replaced 50-9"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// A put-if-absent builds on a delete that is not chosen, and its accept lands at one replica only. Its second attempt meets the
// value that is chosen, at the other two. To say 412 from what was seen would be wrong: a round over the first replica could still
// complete the write. At the operation's own ballot it cannot.
func TestATakerCompletesWithTheValueAtHand(t *testing.T) {
	stage, inline := bal(39, 9), []byte("value")
	for _, tc := range []struct {
		name  string
		value Value
	}{
		{"inline", Value{Length: 5, Sum: 7, Inline: inline}},
		{"staged", Value{Length: InlineMax + 1, Sum: 7, Stage: stage}},
	} {
		o := NewWrite(put, tc.value, Entry{Operation: bal(40, 9), Taker: true})
		o.Begin(three, bal(100, 9))
		found := mine(Data, 60, 60)
		found.Value = Value{Length: tc.value.Length, Sum: tc.value.Sum}
		promise(o, 0, Record{}, found)
		m := o.Outbox()[0]
		if v := m.Record.Value; string(v.Inline) != string(tc.value.Inline) || v.Stage != tc.value.Stage || v.Length != tc.value.Length {
			t.Errorf("%s: the proposal holds %+v", tc.name, v)
		}
		if staged := tc.value.Inline == nil; len(m.Sources) > 0 != staged {
			t.Errorf("%s: sources %v", tc.name, m.Sources)
		}
		if m.Record.Version != found.Version || m.Record.Ballot != bal(100, 9) || !o.Settles() {
			t.Errorf("%s: %+v", tc.name, m.Record)
		}
	}
}

func TestARefusedWriteIsNeverCarriedOn(t *testing.T) {
	replicas := map[ring.NodeID]*copied{1: newCopy(1<<20, Stamp{}), 2: newCopy(1<<20, Stamp{}), 3: newCopy(1<<20, Stamp{})}
	value, grave := state(Data, 0x20, 0x20, 0x10), state(Tombstone, 0x25, 0x25, 0x20)
	replicas[1].disk, replicas[2].disk, replicas[3].disk = value, value, grave
	exchange := func(o *Operation, with ...ring.NodeID) {
		for out := o.Outbox(); len(out) > 0; out = o.Outbox() {
			for _, m := range out {
				if slices.Contains(with, m.To) {
					o.Deliver(m.To, m.Round, replicas[m.To].ask(m))
				}
			}
		}
	}
	o := NewWrite(putAbsent, Value{Sum: 9}, Entry{Operation: bal(0x40, 9)})
	o.Begin(three, bal(0x50, 9))
	for _, m := range o.Outbox() {
		if m.To != 2 {
			o.Deliver(m.To, m.Round, replicas[m.To].ask(m))
		}
	}
	exchange(o, 3)
	o.Timeout()
	o.Begin(three, bal(0x60, 9))
	exchange(o, 1, 2)
	if got, want := verdict(o), "refused 20-1"; got != want {
		t.Fatalf("%s, want %s", got, want)
	}
	read := NewRead()
	for !read.Decided() {
		read.Begin(three, bal(0x70, 8))
		exchange(read, 1, 3)
	}
	if got, err := read.State(); err != nil || got.Version != value.Version {
		t.Errorf("afterwards %v is read (%v), want %v", got.Version, err, value.Version)
	}
}

func TestHistoryHoldsTheLastStates(t *testing.T) {
	r := Record{}
	for i := range 12 {
		next := state(Data, 0x10+i, 0x10+i)
		next.History = r.extend(bal(7, 0))
		r = next
	}
	if len(r.History) != HistoryDepth {
		t.Fatalf("history of %d states, want %d", len(r.History), HistoryDepth)
	}
	for i, p := range r.History {
		if want := bal(0x10+10-i, 1); p.Version != want || p.Operation != bal(0x10+9-i, 1) {
			t.Errorf("history[%d] = %v, want version %v", i, p, want)
		}
	}
}

func TestTheFloorStandsForThePastOfNoRecord(t *testing.T) {
	o := NewWrite(put, Value{}, Entry{Operation: bal(0x40, 9)})
	o.Begin(three, bal(0x50, 9))
	out := o.Outbox()
	o.Deliver(1, out[0].Round, Answer{Reply: Promised, Floor: 0x30})
	o.Deliver(2, out[0].Round, Answer{Reply: Promised, Floor: 0x20})
	h := o.Outbox()[0].Record.History
	if len(h) != 1 || h[0] != (Past{Version: bal(0x30, 0)}) {
		t.Errorf("history %v, want the highest floor, 30-0", h)
	}
}

func TestNoBallotAboveTheLast(t *testing.T) {
	o := NewWrite(put, Value{}, Entry{Operation: bal(0x40, 9), Last: bal(0x50, 9)})
	o.Begin(three, bal(0x50, 9))
	if o.Decided() {
		t.Fatal("the last ballot itself is not used")
	}
	promise(o, 5, Record{}, Record{})
	if o.Sent() {
		t.Error("it counts as sent before anybody took the messages")
	}
	o.Outbox()
	o.Timeout()
	o.Begin(three, bal(0x50, 10))
	if got := verdict(o); got != "unknown" || !o.Sent() {
		t.Errorf("%s, sent %v; want it to give up and to say that it sent an accept", got, o.Sent())
	}
	o = NewWrite(put, Value{}, Entry{Operation: bal(0x40, 9), Last: bal(0x50, 9)})
	o.Begin(three, bal(0x51, 9))
	var quorum *QuorumError
	if _, err := o.Outcome(); !errors.As(err, &quorum) || o.Sent() {
		t.Errorf("error %v, sent %v; want it to give up and to say that it sent nothing", err, o.Sent())
	}
}
