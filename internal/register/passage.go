package register

import (
	"errors"

	"github.com/estorajed/estorajed/internal/ring"
)

// A Report is what a coordinator says of a write in the end.
type Report struct {
	Outcome Outcome
	Changed bool  // the change was applied; if not, and Err tells no more, there was nothing to delete
	Sent    bool  // an accept of the write may have reached a replica
	Lost    bool  // Err is an *UnknownError that no other coordinator could do better about
	Err     error // as of Operation.Outcome, or why the write was not begun
	Clock   Time  // of the coordinator, for the entry node to merge: its next last ballot lies in that one's future; 0: not told
}

// answers tells whether the write is decided by r: applied, or refused for a reason that rests on the key's state.
func (r *Report) answers() bool {
	return r.Err == nil || errors.Is(r.Err, ErrPrecondition)
}

// An Order is a write on its way to a coordinator.
type Order struct {
	Entry  Entry
	Change Change
	Value  Value // inline, or staged at the replicas
	Clock  Time  // of the node that hands it over, at that moment: the coordinator's ballots lie above
}

// A Passage is a write at the node where it entered the cluster. That node hands it to one coordinator after the other, itself
// included, until one has decided it. It is as pure as an Operation; its shell does, in a loop:
//
//	for !p.Decided() {
//		turn, entry := p.Hand(last)
//		have a coordinator work on it, and call p.Answer with its report; or p.Overdue if a distant one is not waited for any longer,
//		and then see to it that the clock has passed p.Passed() before the next p.Hand; or p.GiveUp
//	}
//
// Two coordinators may be at work at the same time, as an earlier one may be merely slow. That they do not undo each other's work rests on
// the last ballot: an earlier one prepares nothing above it, and all ballots of a later one are above it, however slow the earlier one is. So
// for a later one the state that its first promises show is final as far as the earlier ones go. A success counts from whichever
// coordinator it comes, since a write is applied at most once. A refusal counts only from the one that has the turn: an earlier one
// may have refused on a state that came before the write was applied by a later one.
type Passage struct {
	operation Stamp
	turn      int
	last      Stamp // of the turn; zero if the entry node itself has it
	passed    Time  // what the entry node's clock must have passed before the next turn
	sent      bool  // some coordinator may have sent an accept
	decided   bool
	report    Report
}

// NewPassage begins the passage of the write that is called operation, a stamp drawn at the entry node.
func NewPassage(operation Stamp) *Passage { return &Passage{operation: operation} }

// Hand begins the next turn and gives what its coordinator must know. last is the highest ballot that the coordinator may use,
// LastBallot of a time still to come; zero if it is the entry node itself, which works until it reports.
func (p *Passage) Hand(last Stamp) (turn int, e Entry) {
	p.turn++
	p.last = last
	return p.turn, Entry{Operation: p.operation, Last: last, Taker: p.sent}
}

// LastBallot is the highest ballot of that time, whoever draws it.
func LastBallot(t Time) Stamp { return Stamp{Time: t, Node: ^ring.NodeID(0)} }

// Turns is how many turns were begun.
func (p *Passage) Turns() int { return p.turn }

// Answer takes in the report of the coordinator that has, or had, that turn. One that was not begun at all is reported with why, and not Sent.
func (p *Passage) Answer(turn int, r Report) {
	current := turn == p.turn
	switch {
	case p.decided:
	case r.answers() && (current || r.Changed):
		p.decided, p.report = true, r
	case !current:
	case r.Lost:
		p.decided, p.report = true, r
	default:
		if r.Sent {
			p.unclear()
		}
		p.report = r
	}
}

// unclear notes that accepts of the coordinator which has the turn may be on their way, at ballots up to its last: it may be over for
// that coordinator, but its clock may be ahead of the entry node's. The next one must lie above these, too.
func (p *Passage) unclear() {
	p.sent = true
	p.passed = max(p.passed, p.last.Time)
}

// Overdue says that the distant coordinator which has the turn is not waited for any longer: it may be dead, or slow.
func (p *Passage) Overdue() { p.unclear() }

// Passed is what the entry node's clock must have passed before the next turn: it may be moved there.
func (p *Passage) Passed() Time { return p.passed }

// GiveUp ends the passage: there is nobody left to turn to, for that cause, or no time.
func (p *Passage) GiveUp(cause error) {
	if p.decided {
		return
	}
	p.decided = true
	if _, unknown := errors.AsType[*UnknownError](cause); p.sent && !unknown {
		cause = &UnknownError{cause}
	}
	p.report = Report{Sent: p.sent, Err: cause}
}

// Decided tells whether the passage is over.
func (p *Passage) Decided() bool { return p.decided }

// Sent tells whether some coordinator may have sent an accept.
func (p *Passage) Sent() bool { return p.sent }

// Report is the latest that counts: of a decided passage, what to tell the client.
func (p *Passage) Report() Report { return p.report }
