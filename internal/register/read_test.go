package register

import (
	"errors"
	"testing"

	"github.com/estorajed/estorajed/internal/ring"
)

// show begins a look and delivers these states, from the first member on.
func show(o *Operation, set ring.Set, seen ...Answer) {
	o.Begin(set, Stamp{})
	for i, m := range o.Outbox() {
		if i < len(seen) {
			seen[i].Reply = Shown
			o.Deliver(m.To, m.Round, seen[i])
		}
	}
}

func TestAMajorityWithOneBallotProvesTheValueChosen(t *testing.T) {
	five := ring.Set{Epoch: 1, Current: []ring.NodeID{1, 2, 3, 4, 5}}
	moving := ring.Set{Epoch: 2, Current: []ring.NodeID{1, 2, 3}, Next: []ring.NodeID{3, 4, 5}}
	one := ring.Set{Epoch: 1, Current: []ring.NodeID{1}}
	none, old, recent := Answer{}, Answer{Record: state(Data, 0x20, 0x20)}, Answer{Record: state(Data, 0x30, 0x30)}
	raised := Answer{Record: state(Data, 0x25, 0x20)}
	grave := Answer{Record: state(Tombstone, 0x30, 0x30)}
	proven := Answer{Record: grave.Record, Proven: true}
	for _, tc := range []struct {
		name string
		set  ring.Set
		seen []Answer
		want string // the version read, or what it does next
	}{
		{"two of three agree", three, []Answer{old, old}, "20-1"},
		{"the only one", one, []Answer{recent}, "30-1"},
		{"one of three proves nothing", three, []Answer{old}, "waits"},
		{"two that differ prove nothing", three, []Answer{old, recent}, "again"},
		{"the same version at another ballot is not the same", three, []Answer{old, raised}, "again"},
		{"two agree, whatever the third holds", three, []Answer{old, recent, old}, "20-1"},
		{"a majority of 'no record' is absent", three, []Answer{none, none}, "0-0"},
		{"no record and a tombstone are different answers", three, []Answer{none, grave}, "again"},
		{"no record and a proven tombstone are the same", three, []Answer{none, proven}, "0-0"},
		{"two tombstones agree", three, []Answer{grave, grave}, "30-1"},
		{"three of five", five, []Answer{old, recent, old, recent, old}, "20-1"},
		{"a majority of the old set alone", moving, []Answer{old, old, recent}, "waits"},
		{"a majority of each set", moving, []Answer{old, recent, old, old}, "20-1"},
		{"a majority of each set answered, but no ballot has both", moving, []Answer{old, old, recent, recent}, "again"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := NewRead()
			if o.NeedsBallot() {
				t.Error("a look needs a ballot")
			}
			show(o, tc.set, tc.seen...)
			got := "waits"
			if o.Idle() {
				got = "again"
			}
			if o.Decided() {
				r, err := o.State()
				if err != nil {
					t.Fatal(err)
				}
				got = r.Version.String()
			}
			if got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}

func TestAReadThatSeesAWriteInFlightLooksAgainAndThenSettles(t *testing.T) {
	old, recent := Answer{Record: state(Data, 0x20, 0x20)}, Answer{Record: state(Data, 0x30, 0x30)}
	o := NewRead()
	for range looksMax + 1 {
		if o.NeedsBallot() {
			t.Fatal("it settles without having looked again")
		}
		show(o, three, old, recent)
	}
	if !o.Idle() || !o.NeedsBallot() {
		t.Fatal("it does not settle")
	}
	o.Begin(three, bal(0x50, 9))
	promise(o, 0, old.Record, recent.Record)
	if !o.Settles() {
		t.Fatal("it proposes nothing")
	}
	r := o.Outbox()[0].Record
	if r.Version != recent.Record.Version || r.Ballot != bal(0x50, 9) || r.Operation != recent.Record.Operation {
		t.Errorf("it proposes %+v, want the newest state at its own ballot", r)
	}
	o.Deliver(1, o.round, Answer{Reply: Refused, Rests: bal(0x60, 8)})
	if o.Idle() {
		t.Error("one refusal of three ends the round")
	}
	o.Deliver(2, o.round, Answer{Reply: Refused, Rests: bal(0x58, 8)})
	if !o.Idle() || o.NeedsBallot() {
		t.Error("after a refused settle it does not look again")
	}
	if o.Rests() != bal(0x60, 8) {
		t.Errorf("rests on %v, want the highest that was named", o.Rests())
	}
	if o.Sent() {
		t.Error("a read has nothing of its own to send")
	}
}

func TestALateAnswerSparesAReadTheNextRound(t *testing.T) {
	old, recent := Answer{Record: state(Data, 0x20, 0x20)}, Answer{Record: state(Data, 0x30, 0x30)}
	o := NewRead()
	show(o, three, old, recent)
	if !o.Idle() {
		t.Fatal("it does not pause")
	}
	recent.Reply = Shown
	o.Deliver(3, o.round, recent)
	if r, err := o.State(); !o.Decided() || err != nil || r.Version != bal(0x30, 1) {
		t.Errorf("state %v, %v", r.Version, err)
	}
}

func TestAnswersToEarlierRoundsCountNothing(t *testing.T) {
	o := NewWrite(put, Value{}, Entry{Operation: bal(40, 9)})
	o.Begin(three, bal(0x50, 9))
	early := o.Outbox()[0].Round
	o.Timeout()
	if !o.Idle() {
		t.Fatal("it does not go on after a timeout")
	}
	o.Deliver(1, early, Answer{Reply: Promised})
	o.Begin(three, bal(0x51, 9))
	o.Deliver(1, early, Answer{Reply: Promised})
	o.Deliver(2, early, Answer{Reply: Refused})
	o.Deliver(3, early, Answer{Reply: Promised})
	if o.Phase() != Prepare {
		t.Error("promises to an earlier ballot were counted")
	}
	now := o.Outbox()[0].Round
	o.Deliver(1, now, Answer{Reply: Promised})
	o.Deliver(1, now, Answer{Reply: Promised})
	if o.Phase() != Prepare {
		t.Error("one replica was counted twice")
	}
}

func TestAnOperationThatGivesUpSaysWhetherItDidAnything(t *testing.T) {
	cause := errors.New("not reached")
	begun := func(change Change) *Operation {
		o := NewWrite(change, Value{}, Entry{Operation: bal(40, 9)})
		o.Begin(three, bal(0x50, 9))
		return o
	}
	for _, tc := range []struct {
		name    string
		o       func() *Operation
		unknown bool
		answers int
	}{
		{"before any answer", func() *Operation { return begun(put) }, false, 0},
		{"a promise short of a majority", func() *Operation {
			o := begun(put)
			promise(o, 0, Record{})
			return o
		}, false, 1},
		{"with accepts out", func() *Operation {
			o := begun(put)
			promise(o, 0, Record{}, Record{})
			o.Outbox()
			return o
		}, true, 0},
		{"with the accepts still in its hands", func() *Operation {
			o := begun(put)
			promise(o, 0, Record{}, Record{})
			return o
		}, false, 2},
		{"settling what it was refused by", func() *Operation {
			o := begun(putAbsent)
			promise(o, 0, state(Data, 0x20, 0x20), Record{})
			o.Outbox()
			return o
		}, false, 2},
		{"a read that settles", func() *Operation {
			o := NewRead()
			o.look = false
			o.Begin(three, bal(0x50, 9))
			promise(o, 0, state(Data, 0x20, 0x20), Record{})
			o.Outbox()
			return o
		}, false, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := tc.o()
			o.Fail(3, o.round, cause)
			o.Expire()
			_, err := o.Outcome()
			var unknown *UnknownError
			var quorum *QuorumError
			if errors.As(err, &unknown) != tc.unknown || errors.As(err, &quorum) == tc.unknown || !errors.Is(err, cause) {
				t.Fatalf("error %v", err)
			}
			if quorum != nil && (quorum.Answered != tc.answers || quorum.Replicas != 3) {
				t.Errorf("%+v, want %d of 3 answers", quorum, tc.answers)
			}
		})
	}
}

func TestWithoutAQuorumItGivesUpAtOnceUnlessSomebodyRefused(t *testing.T) {
	o := NewWrite(put, Value{}, Entry{Operation: bal(40, 9)})
	o.Begin(three, bal(0x50, 9))
	o.Fail(1, o.round, errors.New("down"))
	if o.Decided() {
		t.Fatal("a majority could still answer")
	}
	o.Fail(2, o.round, errors.New("down"))
	if !o.Decided() {
		t.Error("it goes on, though nobody could promise")
	}
	o = NewRead()
	o.Begin(three, Stamp{})
	o.Fail(1, o.round, errors.New("down"))
	o.Fail(3, o.round, errors.New("down"))
	if !o.Decided() {
		t.Error("it goes on, though nobody could answer")
	}
	o = NewWrite(put, Value{}, Entry{Operation: bal(40, 9)})
	for range roundsMax {
		o.Begin(three, bal(0x50, 9))
		o.Deliver(1, o.round, Answer{Reply: Refused, Rests: bal(0x60, 1)})
		o.Fail(2, o.round, errors.New("down"))
		if !o.Idle() {
			t.Fatal("it does not try again at a higher ballot")
		}
	}
	o.Begin(three, bal(0x50, 9))
	if !o.Decided() {
		t.Errorf("it goes on after %d rounds", roundsMax)
	}
}

func TestAnOutdatedEpochEndsTheRound(t *testing.T) {
	o := NewWrite(put, Value{}, Entry{Operation: bal(40, 9)})
	o.Begin(three, bal(0x50, 9))
	o.Deliver(1, o.round, Answer{Reply: Stale, Epoch: 2})
	if !o.Idle() {
		t.Fatal("it goes on with the old set")
	}
	o.Begin(ring.Set{Epoch: 2, Current: []ring.NodeID{4}}, bal(0x51, 9))
	if out := o.Outbox(); len(out) != 1 || out[0].To != 4 || out[0].Epoch != 2 {
		t.Errorf("messages %+v, want one to n4 in epoch 2", out)
	}
}

func TestTheOnlyReplicasErrorIsTheOperations(t *testing.T) {
	one := ring.Set{Epoch: 1, Current: []ring.NodeID{1}}
	begin := func() *Operation {
		o := NewWrite(put, Value{}, Entry{Operation: bal(40, 9)})
		o.Begin(one, bal(0x50, 9))
		if !o.Outbox()[0].Anew {
			t.Error("an unconditional write to the only copy does not offer to write it anew")
		}
		return o
	}
	for _, tc := range []struct {
		name    string
		fail    func(o *Operation)
		unknown bool
	}{
		{"no promise", func(o *Operation) { o.Fail(1, o.round, ErrStopped) }, false},
		{"a record that was surely not written", func(o *Operation) {
			promiseOutbox(o)
			o.Fail(1, o.round, &NothingError{ErrStopped})
		}, false},
		{"a record that may have been written", func(o *Operation) {
			promiseOutbox(o)
			o.Fail(1, o.round, ErrStopped)
		}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := begin()
			tc.fail(o)
			_, err := o.Outcome()
			var unknown *UnknownError
			var quorum *QuorumError
			if !o.Decided() || !errors.Is(err, ErrStopped) || errors.As(err, &unknown) != tc.unknown || errors.As(err, &quorum) {
				t.Errorf("error %v", err)
			}
			if o.Sent() != tc.unknown {
				t.Errorf("sent: %v", o.Sent())
			}
		})
	}
}

// promiseOutbox has the only replica promise, and takes the accept out.
func promiseOutbox(o *Operation) {
	o.Deliver(1, o.round, Answer{Reply: Promised})
	o.Outbox()
}

func TestADamagedOnlyCopyIsWrittenAnew(t *testing.T) {
	one := ring.Set{Epoch: 1, Current: []ring.NodeID{1}}
	for _, tc := range []struct {
		name   string
		change Change
		anew   bool
		want   string
	}{
		{"put", put, true, "propose value 50-9 then replaced 50-9"},
		{"delete", del, true, "propose tombstone 50-9 then replaced 50-9"},
		{"a condition needs to see what it replaces", putOver20, false, "undecided"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := NewWrite(tc.change, Value{}, Entry{Operation: bal(40, 9)})
			o.Begin(one, bal(0x50, 9))
			m := o.Outbox()[0]
			if m.Anew != tc.anew {
				t.Errorf("anew: %v", m.Anew)
			}
			if m.Anew {
				o.Deliver(1, m.Round, Answer{Reply: Promised, Damaged: true, Floor: 5})
				if h := o.proposal.History; len(h) != 1 || h[0].Version != bal(0x50, 0) {
					t.Errorf("history %v, want that anything below the ballot may be in the past", h)
				}
			}
			if got := verdict(o); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
	o := NewWrite(put, Value{}, Entry{Operation: bal(40, 9)})
	o.Begin(three, bal(0x50, 9))
	if o.Outbox()[0].Anew {
		t.Error("a damaged copy is written anew though there are others")
	}
}
