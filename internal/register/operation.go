package register

import (
	"errors"
	"fmt"
	"time"

	"github.com/estorajed/estorajed/internal/ring"
)

// Limits of one operation. How long it may take is the shell's to say (Timeout, Expire).
const (
	roundsMax  = 64                   // rounds, before it gives up
	looksMax   = 2                    // times that a read finds differing states before it settles
	pauseFirst = 2 * time.Millisecond // upper bound of the pause after the first round; doubled from round to round
	doublings  = 5                    // at most so often
)

// An Entry names a write: where it entered the cluster, and what that node knows of earlier coordinators' work on it.
type Entry struct {
	Operation Stamp // drawn where the write entered, before any ballot for it
	Last      Stamp // no ballot above this one: whoever takes over works above. Zero: none, nobody will take over
	Taker     bool  // an earlier coordinator may have sent an accept
}

// An Operation is one client operation upon one key, at its coordinator: a value to be stepped until it is decided. It holds
// no clock, starts no goroutine and sends nothing. Its shell does, in a loop:
//
//	for !op.Decided() {
//		if op.Idle() {
//			wait up to op.Pause(); draw a ballot above op.Rests() if op.NeedsBallot(); op.Begin(set, ballot)
//		}
//		send op.Outbox()
//		op.Deliver(answer), or op.Fail(no answer), or op.Timeout() when the round takes too long, or op.Expire()
//	}
//	return op.Outcome()
//
// Each round counts with one Set; an operation that goes on after a change of the ring begins a round with the new one.
// Writes are in write.go, reads in read.go; the rounds themselves here.
type Operation struct {
	change    Change // of a write
	value     Value
	entry     Entry
	write     bool
	sent      bool      // a proposal of its own was given out
	first     Stamp     // version of the first of these
	last      Stamp     // version of the latest
	proposals int       // rounds that came to an accept, of its own record or of one that it settles
	base      Stamp     // version of the state that it was built on, zero: no record
	attempts  []attempt // proposals of its own, by version
	look      bool      // read: the next round looks, and does not settle
	looks     int       // read: times that the states differed since it last settled

	set      ring.Set
	stage    stage
	round    uint32
	rounds   int
	ballot   Stamp
	rests    Stamp // highest ballot that a refusal rested on
	refused  bool  // somebody refused in this round
	cause    error // why a replica gave no answer; the latest
	votes    ring.Votes
	sights   []sight // answers of this round, one a replica
	proposal *Record
	sources  []ring.NodeID // of the bytes of a proposal that is a found state
	settling bool          // the proposal is a state that was found
	then     end           // the outcome, once the proposal is accepted
	outbox   []Message
	out      bool // the outbox was given out
	answered int  // replicas that showed their state in the latest round
	quorums  int  // phases that had their quorum
	end      end

	none      Record // 'no record', to point at
	oneTry    [1]attempt
	one       [1]sight // backs sights, outbox and proposal of a first round with a single replica
	oneOut    [1]Message
	oneRecord Record
}

// stage is what an operation is waiting for.
type stage uint8

const (
	idle      stage = iota // the shell, to begin a round
	looking                // states
	preparing              // promises
	accepting              // acknowledgements
	decided
)

// A sight is what one replica answered in this round.
type sight struct {
	from ring.NodeID
	Answer
}

type end struct {
	outcome Outcome
	record  *Record
	err     error
	changed bool // the change was applied; else this is a refusal, and rests on record
	lost    bool // looking again will not tell more
}

// Decided tells whether the operation is over.
func (o *Operation) Decided() bool { return o.stage == decided }

// Outcome is what to tell the client of a decided write. Errors: ErrPrecondition with the state that it rests on; *UnknownError;
// *QuorumError, whose Partition is still to be filled in; if there is one replica only, why it gave no answer.
func (o *Operation) Outcome() (Outcome, error) { return o.end.outcome, o.end.err }

// State is the chosen state that a decided operation rests on, for reads: the key's state. If no round was needed it is as its replica
// showed it, which need not be all of the record. Errors as of Outcome.
func (o *Operation) State() (Record, error) {
	if o.end.record == nil {
		return Record{}, o.end.err
	}
	return *o.end.record, o.end.err
}

// Report is what to tell the node where a decided write entered.
func (o *Operation) Report() Report {
	return Report{Outcome: o.end.outcome, Changed: o.end.changed, Sent: o.sent, Lost: o.end.lost, Err: o.end.err}
}

// Sent tells whether an accept of the operation's own may have reached a replica.
func (o *Operation) Sent() bool { return o.sent }

// Settles tells whether the operation is proposing a state anew that it found.
func (o *Operation) Settles() bool { return o.stage == accepting && o.settling }

// Quorums is how many phases had their quorum so far.
func (o *Operation) Quorums() int { return o.quorums }

// Awaits tells whether answers to that round are waited for.
func (o *Operation) Awaits(round uint32) bool {
	return o.round == round && o.stage != idle && o.stage != decided
}

// Phase is the phase that is under way, 0 if none is.
func (o *Operation) Phase() Phase {
	return [...]Phase{looking: Look, preparing: Prepare, accepting: Accept, decided: 0}[o.stage]
}

// Rounds is how many rounds were begun.
func (o *Operation) Rounds() int { return o.rounds }

// Idle tells that a round must begin, after a pause.
func (o *Operation) Idle() bool { return o.stage == idle }

// Pause is the longest pause before the next round; the shell draws a random part of it, so that duels end.
func (o *Operation) Pause() time.Duration {
	if o.rounds == 0 {
		return 0
	}
	return pauseFirst << min(o.rounds-1, doublings)
}

// NeedsBallot tells whether the next round is for a proposal: its ballot must lie above Rests.
func (o *Operation) NeedsBallot() bool { return !o.look }

// Rests is the highest ballot that a refusal has named.
func (o *Operation) Rests() Stamp { return o.rests }

// Begin starts a round upon the replicas of set; ballot must never have been drawn before, and is ignored if none is needed.
func (o *Operation) Begin(set ring.Set, ballot Stamp) {
	o.set = set
	o.rounds++
	o.refused = false
	switch {
	case o.rounds > roundsMax:
		o.giveUp()
	case o.look:
		o.enter(looking, Message{Phase: Look})
	case !o.entry.Last.IsZero() && o.entry.Last.Less(ballot):
		o.cause = errLast // the entry node may have handed it on
		o.giveUp()
	default:
		o.ballot = ballot
		o.enter(preparing, Message{Phase: Prepare, Ballot: ballot, Anew: o.anew()})
	}
}

var errLast = errors.New("the coordinator was too slow, another one may have taken over")

// enter begins a phase: m goes to every replica.
func (o *Operation) enter(s stage, m Message) {
	o.stage = s
	o.round++
	o.votes = o.set.Votes()
	if o.sights == nil {
		o.sights, o.outbox = o.one[:0], o.oneOut[:0]
	}
	o.sights, o.outbox, o.out = o.sights[:0], o.outbox[:0], false
	m.Epoch, m.Round = o.set.Epoch, o.round
	for node := range o.set.Members() {
		m.To = node
		o.outbox = append(o.outbox, m)
	}
}

// Outbox gives what is to be sent now, each message once. It is valid until the operation is stepped again.
func (o *Operation) Outbox() []Message {
	if o.out {
		return nil
	}
	o.out = true
	o.sent = o.sent || o.write && o.stage == accepting && !o.settling
	return o.outbox
}

// Deliver takes in a replica's answer to a message of that round. Answers to earlier rounds, and all but a replica's first, count nothing.
func (o *Operation) Deliver(from ring.NodeID, round uint32, answer Answer) {
	if o.stage == decided || round != o.round || o.seen(from) {
		return
	}
	switch {
	case answer.Reply == Shown && (o.stage == looking || o.stage == idle):
		o.note(from, answer)
		o.compare()
	case o.stage == idle:
		// the round is over
	case answer.Reply == Promised && o.stage == preparing:
		o.note(from, answer)
		if o.won() {
			o.decide()
		}
	case answer.Reply == Accepted && o.stage == accepting:
		o.votes.Ack(from)
		if o.won() {
			o.finish(o.then)
		}
	case answer.Reply == Refused:
		o.rests = highest(o.rests, answer.Rests)
		o.refused = true
		o.without(from)
	case answer.Reply == Stale:
		o.refused = true
		o.again()
	}
}

func (o *Operation) note(from ring.NodeID, answer Answer) {
	o.sights = append(o.sights, sight{from, answer})
	o.answered = len(o.sights)
	o.votes.Ack(from)
}

// Fail takes note that a replica gives no answer in that round, and why.
func (o *Operation) Fail(from ring.NodeID, round uint32, cause error) {
	if o.stage == decided || o.stage == idle || round != o.round || o.seen(from) {
		return
	}
	o.cause = cause
	if _, nothing := errors.AsType[*NothingError](cause); nothing && o.stage == accepting && o.alone() && o.proposals == 1 {
		o.sent = false // the only proposal there was, and it will never be accepted
	}
	o.without(from)
}

func (o *Operation) won() bool {
	if o.votes.Verdict() != ring.Won {
		return false
	}
	o.quorums++
	return true
}

func (o *Operation) seen(from ring.NodeID) bool {
	for i := range o.sights {
		if o.sights[i].from == from {
			return true
		}
	}
	return false
}

// without counts a replica out of this round.
func (o *Operation) without(from ring.NodeID) {
	o.votes.Refuse(from)
	if o.votes.Verdict() != ring.Lost {
		return
	}
	if o.refused || o.sent && !o.alone() {
		o.again()
		return
	}
	o.giveUp()
}

// Timeout says that the round has taken too long.
func (o *Operation) Timeout() {
	if o.stage != decided && o.stage != idle {
		o.again()
	}
}

// again ends the round without a result: there will be another one.
func (o *Operation) again() {
	o.stage = idle
	o.round++ // what still comes in counts nothing
	o.out = true
	o.look = !o.write // whoever was in a read's way may have settled it
}

// Expire ends the operation: its time is up.
func (o *Operation) Expire() {
	if o.stage != decided {
		o.giveUp()
	}
}

// giveUp ends the operation without a result. It is unknown what becomes of a write that somebody has begun to accept.
func (o *Operation) giveUp() {
	replicas := 0
	for range o.set.Members() {
		replicas++
	}
	switch {
	case o.write && o.sent && o.alone() && o.cause != nil:
		o.finish(end{err: &UnknownError{o.cause}})
	case o.write && (o.sent || o.entry.Taker):
		o.unknown(fmt.Errorf("too few of %d replicas confirmed it", replicas))
	case o.alone() && o.cause != nil:
		o.finish(end{err: o.cause})
	default:
		o.finish(end{err: &QuorumError{Answered: o.answered, Replicas: replicas, Cause: o.cause}})
	}
}

func (o *Operation) unknown(why error) {
	if o.cause != nil {
		why = fmt.Errorf("%w: %w", why, o.cause)
	}
	o.finish(end{err: &UnknownError{why}})
}

func (o *Operation) finish(e end) {
	o.end, o.stage, o.out = e, decided, true
}

// alone tells whether one replica is all there is: then its copy is the majority.
func (o *Operation) alone() bool { return Alone(o.set) }

// Alone tells whether one replica is all there is: then what is durable there is chosen, and reading it needs no operation.
func Alone(set ring.Set) bool { return len(set.Current) == 1 && len(set.Next) == 0 }
