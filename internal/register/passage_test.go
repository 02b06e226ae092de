package register

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/estorajed/estorajed/internal/ring"
)

var (
	success   = Report{Outcome: Outcome{Version: bal(0x50, 9)}, Changed: true, Sent: true}
	nothingTo = Report{Outcome: Outcome{Version: bal(0x20, 1)}}
	refusal   = Report{Outcome: Outcome{Version: bal(0x20, 1)}, Err: ErrPrecondition}
	tooLate   = Report{Err: &QuorumError{Cause: errLast}}
	cutShort  = Report{Sent: true, Err: &UnknownError{errLast}}
	hopeless  = Report{Sent: true, Lost: true, Err: &UnknownError{errLost}}
	notBegun  = Report{Err: ErrOverload}
)

// told says in short what the client hears.
func told(r Report) string {
	var unknown *UnknownError
	switch {
	case errors.As(r.Err, &unknown):
		return "unknown"
	case errors.Is(r.Err, ErrPrecondition):
		return "refused"
	case r.Err != nil:
		return "nothing happened"
	case r.Changed:
		return "done"
	}
	return "nothing there"
}

// A step of a passage: a turn is handed on, elsewhere or to the entry node itself; a report of some turn comes; a turn is overdue; all is given up.
func TestAPassageGoesFromCoordinatorToCoordinator(t *testing.T) {
	elsewhere := func(p *Passage, last Time) string {
		turn, e := p.Hand(LastBallot(last))
		return fmt.Sprintf("turn %d%s", turn, taker(e))
	}
	here := func(p *Passage) string {
		turn, e := p.Hand(Stamp{})
		return fmt.Sprintf("turn %d%s", turn, taker(e))
	}
	for _, tc := range []struct {
		name  string
		steps func(p *Passage) []string // what the turns were told
		turns string
		want  string // what the client is told; "" if nothing yet
	}{
		{
			"the first coordinator decides",
			func(p *Passage) []string { s := elsewhere(p, 100); p.Answer(1, success); return []string{s} },
			"turn 1", "done",
		},
		{
			"a refusal of who has the turn counts",
			func(p *Passage) []string { s := elsewhere(p, 100); p.Answer(1, refusal); return []string{s} },
			"turn 1", "refused",
		},
		{
			"so does that there is nothing to delete",
			func(p *Passage) []string { s := here(p); p.Answer(1, nothingTo); return []string{s} },
			"turn 1", "nothing there",
		},
		{
			"who gave up before it sent anything leaves no trace: the next one is a first one",
			func(p *Passage) []string { a := elsewhere(p, 100); p.Answer(1, tooLate); return []string{a, here(p)} },
			"turn 1, turn 2", "",
		},
		{
			"after one that had sent an accept comes a taker",
			func(p *Passage) []string { a := here(p); p.Answer(1, cutShort); return []string{a, elsewhere(p, 200)} },
			"turn 1, turn 2 as taker", "",
		},
		{
			"after one that says nothing too",
			func(p *Passage) []string { a := elsewhere(p, 100); p.Overdue(); return []string{a, here(p)} },
			"turn 1, turn 2 as taker", "",
		},
		{
			"once somebody may have sent an accept, all later ones are takers, whatever came of those between",
			func(p *Passage) []string {
				a := elsewhere(p, 100)
				p.Overdue()
				b := elsewhere(p, 200)
				p.Answer(2, notBegun)
				return []string{a, b, here(p)}
			},
			"turn 1, turn 2 as taker, turn 3 as taker", "",
		},
		{
			"a success of an earlier coordinator counts",
			func(p *Passage) []string {
				s := []string{elsewhere(p, 100)}
				p.Overdue()
				s = append(s, here(p))
				p.Answer(1, success)
				return s
			},
			"turn 1, turn 2 as taker", "done",
		},
		{
			"a refusal of an earlier coordinator does not: it may have come before the write was applied by a later one",
			func(p *Passage) []string {
				s := []string{elsewhere(p, 100)}
				p.Overdue()
				s = append(s, here(p))
				p.Answer(1, refusal)
				p.Answer(1, nothingTo)
				return s
			},
			"turn 1, turn 2 as taker", "",
		},
		{
			"nor does that an earlier one knows no more",
			func(p *Passage) []string {
				s := []string{elsewhere(p, 100)}
				p.Overdue()
				s = append(s, here(p))
				p.Answer(1, hopeless)
				return s
			},
			"turn 1, turn 2 as taker", "",
		},
		{
			"where no history tells any more nobody else is asked",
			func(p *Passage) []string { s := here(p); p.Answer(1, hopeless); return []string{s} },
			"turn 1", "unknown",
		},
		{
			"what was decided stays",
			func(p *Passage) []string {
				s := []string{elsewhere(p, 100)}
				p.Answer(1, success)
				p.Answer(1, refusal)
				p.GiveUp(ErrOverload)
				return s
			},
			"turn 1", "done",
		},
		{
			"giving up what nobody sent says that nothing happened",
			func(p *Passage) []string {
				s := []string{elsewhere(p, 100)}
				p.Answer(1, notBegun)
				p.GiveUp(ErrOverload)
				return s
			},
			"turn 1", "nothing happened",
		},
		{
			"giving up what somebody may have sent says that it is unknown",
			func(p *Passage) []string {
				s := []string{elsewhere(p, 100)}
				p.Overdue()
				p.GiveUp(ErrOverload)
				return s
			},
			"turn 1", "unknown",
		},
		{
			"even if the last one was not begun",
			func(p *Passage) []string {
				s := []string{here(p)}
				p.Answer(1, cutShort)
				s = append(s, elsewhere(p, 100))
				p.Answer(2, notBegun)
				p.GiveUp(ErrOverload)
				return s
			},
			"turn 1, turn 2 as taker", "unknown",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := NewPassage(bal(0x40, 9))
			turns := strings.Join(tc.steps(p), ", ")
			got := ""
			if p.Decided() {
				got = told(p.Report())
			}
			if turns != tc.turns || got != tc.want {
				t.Errorf("%s: told %q, want %s: %q", turns, got, tc.turns, tc.want)
			}
		})
	}
}

func taker(e Entry) string {
	if e.Taker {
		return " as taker"
	}
	return ""
}

func TestEveryLaterBallotLiesAboveAllEarlierOnes(t *testing.T) {
	p := NewPassage(bal(0x40, 9))
	if _, e := p.Hand(LastBallot(100)); e.Operation != bal(0x40, 9) || e.Last.Time != 100 || p.Passed() != 0 {
		t.Fatalf("entry %+v, passed %v", e, p.Passed())
	}
	p.Overdue()
	if p.Passed() != 100 {
		t.Errorf("the clock must have passed %v, want the last ballot of turn 1", p.Passed())
	}
	p.Hand(LastBallot(300))
	p.Answer(2, cutShort)
	if p.Passed() != 300 {
		t.Errorf("one that has reported may have accepts on their way up to its last ballot, yet the clock must have passed only %v", p.Passed())
	}
	p.Hand(LastBallot(200))
	p.Overdue()
	if p.Passed() != 300 {
		t.Errorf("the clock must have passed %v, want the highest last ballot of all", p.Passed())
	}
	highest := Stamp{Time: 200, Node: ^ring.NodeID(0)}
	if LastBallot(200) != highest || !LastBallot(200).Less(Stamp{Time: 201}) {
		t.Errorf("LastBallot(200) = %v", LastBallot(200))
	}
}

// A coordinator that is merely slow prepares nothing above the last ballot, and a success of it still counts.
func TestASlowCoordinatorStopsAtItsLastBallot(t *testing.T) {
	p := NewPassage(bal(0x40, 9))
	turn, e := p.Hand(LastBallot(0x60))
	o := NewWrite(del, Value{}, e)
	o.Begin(three, bal(0x50, 9))
	promise(o, 5, state(Data, 0x21, 0x20, 0x10), state(Data, 0x21, 0x20, 0x10))
	for _, m := range o.Outbox() { // sent, and lost
		if m.Phase != Accept {
			t.Fatalf("%v, want an accept", m.Phase)
		}
	}
	o.Timeout()
	o.Begin(three, bal(0x61, 9))
	if !o.Decided() || !o.Report().Sent {
		t.Fatalf("it goes on above its last ballot: %+v", o.Report())
	}
	p.Answer(turn, o.Report())
	if _, e := p.Hand(Stamp{}); !e.Taker || p.Decided() {
		t.Errorf("the next coordinator is told %+v", e)
	}
}
