package register

import (
	"errors"
	"testing"
)

// A next coordinator must know whether an earlier one may have sent an accept, and lie above all of its ballots.
func TestAPassageKeepsItsTurnsApart(t *testing.T) {
	failed := errors.New("no way to the others")
	unknown := &UnknownError{Cause: failed}
	operation := Stamp{Time: 5, Node: 1}
	last := LastBallot(100)
	for _, tc := range []struct {
		name   string
		last   Stamp // of the first turn
		step   func(p *Passage)
		taker  bool
		passed Time
		over   bool
	}{
		{"not begun", last, func(p *Passage) { p.Answer(1, Report{Err: failed}) }, false, 0, false},
		{"overdue", last, func(p *Passage) { p.Overdue() }, true, 100, false},
		{"begun elsewhere, and given up", last, func(p *Passage) { p.Answer(1, Report{Sent: true, Err: unknown}) }, true, 100, false},
		{"begun here, and given up", Stamp{}, func(p *Passage) { p.Answer(1, Report{Sent: true, Err: unknown}) }, true, 0, false},
		{"applied", last, func(p *Passage) { p.Answer(1, Report{Sent: true, Changed: true}) }, false, 0, true},
		{"refused", last, func(p *Passage) { p.Answer(1, Report{Err: ErrPrecondition}) }, false, 0, true},
		{"lost", last, func(p *Passage) { p.Answer(1, Report{Sent: true, Lost: true, Err: unknown}) }, false, 0, true},
	} {
		p := NewPassage(operation)
		if turn, e := p.Hand(tc.last); turn != 1 || e.Taker || e.Operation != operation || e.Last != tc.last {
			t.Fatalf("%s: turn %d, %+v", tc.name, turn, e)
		}
		tc.step(p)
		if p.Decided() != tc.over || p.Passed() != tc.passed {
			t.Errorf("%s: decided %v, passed %d; want %v, %d", tc.name, p.Decided(), p.Passed(), tc.over, tc.passed)
		}
		if tc.over {
			continue
		}
		if turn, e := p.Hand(Stamp{}); turn != 2 || e.Taker != tc.taker {
			t.Errorf("%s: turn %d, %+v; want taker %v", tc.name, turn, e, tc.taker)
		}
	}
}

func TestOfAnEarlierCoordinatorOnlyASuccessCounts(t *testing.T) {
	for _, tc := range []struct {
		name   string
		report Report
		counts bool
	}{
		{"success", Report{Sent: true, Changed: true}, true},
		{"nothing to delete", Report{}, false},
		{"refusal", Report{Err: ErrPrecondition}, false},
		{"lost", Report{Sent: true, Lost: true, Err: &UnknownError{}}, false},
	} {
		p := NewPassage(Stamp{Time: 5, Node: 1})
		p.Hand(LastBallot(100))
		p.Overdue()
		p.Hand(Stamp{})
		p.Answer(1, tc.report)
		if p.Decided() != tc.counts {
			t.Errorf("%s: decided %v, want %v", tc.name, p.Decided(), tc.counts)
		}
	}
}

func TestGivingUpSaysWhetherSomethingMayHaveHappened(t *testing.T) {
	failed := errors.New("no time")
	for _, sent := range []bool{false, true} {
		p := NewPassage(Stamp{Time: 5, Node: 1})
		p.Hand(LastBallot(100))
		if sent {
			p.Overdue()
		}
		p.GiveUp(failed)
		var unknown *UnknownError
		if r := p.Report(); !errors.Is(r.Err, failed) || errors.As(r.Err, &unknown) != sent || r.Sent != sent {
			t.Errorf("sent %v: %+v", sent, r)
		}
	}
}
