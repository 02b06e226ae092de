package register

import (
	"fmt"
	"testing"
	"time"

	"github.com/estorajed/estorajed/internal/ring"
)

// bal is a ballot, version or operation that is easy to read.
func bal(t int, node ring.NodeID) Stamp { return Stamp{Time(t), node} }

func prepare(b Stamp) Message { return Message{Phase: Prepare, Ballot: b} }
func accept(b Stamp) Message  { return Message{Phase: Accept, Record: &Record{Ballot: b, Kind: Data}} }

func learn(b Stamp, evidence int) Message {
	return Message{Phase: Learn, Record: &Record{Ballot: b, Kind: Data}, Evidence: Time(evidence)}
}

// A copy is one key at one acceptor, with a disk that does at once what it is told.
type copied struct {
	a     *Acceptor
	disk  Record
	loads int
}

func newCopy(ceiling int, accepted Stamp) *copied {
	c := &copied{a: NewAcceptor(0), disk: Record{Ballot: accepted}}
	c.a.Raised(Time(ceiling))
	return c
}

func (c *copied) ask(m Message) Answer {
	q := c.a.Begin("k", m)
	for {
		switch q.Step() {
		case Done:
			return q.Answer()
		case LoadRecord:
			c.loads++
			q.Loaded(c.disk)
		case StoreRecord:
			c.disk = *m.Record
			q.Stored()
		case RaiseCeiling:
			return Answer{Reply: Stale} // stands for: it wants a higher ceiling
		case AwaitTurn:
			return Answer{}
		}
	}
}

func TestPromiseAndAcceptFollowThePaper(t *testing.T) {
	for _, tc := range []struct {
		name  string
		asked []Message
		want  string // the last reply, and what a refusal rests on
	}{
		{"a first prepare is granted", []Message{prepare(bal(10, 1))}, "promised"},
		{"a lower prepare is refused", []Message{prepare(bal(10, 2)), prepare(bal(10, 1))}, "refused a-2"},
		{"a promise is given once", []Message{prepare(bal(10, 1)), prepare(bal(10, 1))}, "refused a-1"},
		{"a higher prepare is granted", []Message{prepare(bal(10, 1)), prepare(bal(10, 2))}, "promised"},
		{"an accept at its promise is taken", []Message{prepare(bal(10, 1)), accept(bal(10, 1))}, "accepted"},
		{"an accept below the promise is refused", []Message{prepare(bal(10, 2)), accept(bal(10, 1))}, "refused a-2"},
		{"an accept above all promises is taken", []Message{prepare(bal(10, 2)), accept(bal(11, 1))}, "accepted"},
		{"an accept counts as a promise", []Message{accept(bal(10, 2)), prepare(bal(10, 1))}, "refused a-2"},
		{"no prepare at the accepted ballot", []Message{accept(bal(10, 2)), prepare(bal(10, 2))}, "refused a-2"},
		{"no accept below the accepted ballot", []Message{accept(bal(10, 2)), accept(bal(10, 1))}, "refused a-2"},
		{"an accept that comes twice is acknowledged twice", []Message{accept(bal(10, 2)), accept(bal(10, 2))}, "accepted"},
		{"what is at or below the floor is not promised", []Message{prepare(bal(4, 9))}, "refused 5-0"},
		{"what is at or below the floor is not accepted", []Message{accept(bal(4, 9))}, "refused 5-0"},
		{"what is just above the floor is", []Message{prepare(bal(5, 1))}, "promised"},
		{"a promise lies below the ceiling", []Message{prepare(bal(100, 1))}, "stale"},
		{"an accept lies below the ceiling", []Message{accept(bal(100, 1))}, "stale"},
		{"a chosen state is learned whatever was promised", []Message{prepare(bal(20, 1)), learn(bal(10, 1), 5)}, "accepted"},
		{"a learned state stands in an accept's way", []Message{prepare(bal(20, 1)), learn(bal(30, 1), 5), accept(bal(20, 1))}, "refused 1e-1"},
		{"a learned state is shown", []Message{learn(bal(30, 1), 5), {Phase: Look}}, "shown 1e-1"},
		{"an older state is not learned", []Message{accept(bal(30, 1)), learn(bal(10, 1), 5), {Phase: Look}}, "shown 1e-1"},
		{"nothing is learned on evidence from below the floor", []Message{learn(bal(30, 1), 4)}, "refused 5-0"},
		{"a promise shows what is accepted", []Message{accept(bal(30, 1)), prepare(bal(31, 1))}, "promised 1e-1"},
		{"looking promises nothing", []Message{{Phase: Look}, prepare(bal(6, 1))}, "promised"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newCopy(100, Stamp{})
			c.a.Raise(5)
			var answer Answer
			for _, m := range tc.asked {
				answer = c.ask(m)
			}
			got := answer.Reply.String()
			if answer.Reply == Refused {
				got += " " + answer.Rests.String()
			} else if !answer.Record.Ballot.IsZero() {
				got += " " + answer.Record.Ballot.String()
			}
			if got != tc.want {
				t.Errorf("answer %q, want %q", got, tc.want)
			}
		})
	}
}

func TestRequestsWaitForAnAcceptThatIsBeingMadeDurable(t *testing.T) {
	for _, tc := range []struct {
		name  string
		asked Message
		first Step   // while ballot 10-1 is being made durable
		then  string // afterwards
	}{
		{"a higher prepare waits and shows it", prepare(bal(11, 1)), AwaitTurn, "promised a-1"},
		{"a lower prepare is refused at once", prepare(bal(9, 1)), Done, "refused"},
		{"a higher accept waits", accept(bal(11, 1)), AwaitTurn, "accepted"},
		{"the same accept waits, and is acknowledged when it is durable", accept(bal(10, 1)), AwaitTurn, "accepted"},
		{"a lower accept is refused at once", accept(bal(9, 1)), Done, "refused"},
		{"looking shows what is durable", Message{Phase: Look}, LoadRecord, "shown a-1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newCopy(100, Stamp{})
			writer := c.a.Begin("k", accept(bal(10, 1)))
			if s := writer.Step(); s != LoadRecord {
				t.Fatalf("the accept's first step is %d", s)
			}
			writer.Loaded(Record{})
			if s := writer.Step(); s != StoreRecord {
				t.Fatalf("the accept's second step is %d", s)
			}
			q := c.a.Begin("k", tc.asked)
			if s := q.Step(); s != tc.first {
				t.Fatalf("step %d, want %d", s, tc.first)
			}
			other := c.a.Begin("another key", prepare(bal(9, 1)))
			if s := other.Step(); s != LoadRecord {
				t.Errorf("a request of another key waits too: step %d", s)
			}
			c.disk = *writer.Message.Record
			writer.Stored()
			if writer.Step() != Done || writer.Answer().Reply != Accepted {
				t.Fatalf("the accept ends as %+v", writer.Answer())
			}
			for q.Step() != Done {
				switch q.Step() {
				case LoadRecord:
					q.Loaded(c.disk)
				case StoreRecord:
					q.Stored()
				default:
					t.Fatalf("it still waits: step %d", q.Step())
				}
			}
			got := q.Answer().Reply.String()
			if b := q.Answer().Record.Ballot; !b.IsZero() {
				got += " " + b.String()
			}
			if got != tc.then {
				t.Errorf("answer %q, want %q", got, tc.then)
			}
		})
	}
}

func TestAFailedStoreIsNeitherShownNorForgotten(t *testing.T) {
	c := newCopy(100, bal(3, 1))
	q := c.a.Begin("k", accept(bal(10, 1)))
	q.Step()
	q.Loaded(c.disk)
	if s := q.Step(); s != StoreRecord {
		t.Fatalf("step %d", s)
	}
	q.Fail()
	if q.Step() != Done || q.Answer().Reply != 0 {
		t.Errorf("a failed request answers %+v", q.Answer())
	}
	if a := c.ask(Message{Phase: Look}); a.Record.Ballot != bal(3, 1) {
		t.Errorf("shown is %v, which is not on disk", a.Record.Ballot)
	}
	if a := c.ask(prepare(bal(9, 1))); a.Reply != Refused {
		t.Errorf("a ballot below the one that may be on disk is %v", a.Reply)
	}
	c.disk.Ballot = bal(10, 1) // it was written after all
	if a := c.ask(accept(bal(10, 1))); a.Reply != Accepted {
		t.Errorf("the same accept again is %v", a.Reply)
	}
	if c.disk.Kind != None {
		t.Error("the same accept again was stored again")
	}
}

func TestARestartForgetsNoPromise(t *testing.T) {
	c := newCopy(100, Stamp{})
	c.ask(prepare(bal(99, 1)))
	c.a = NewAcceptor(100)
	for _, m := range []Message{prepare(bal(98, 1)), accept(bal(98, 1)), prepare(bal(99, 2))} {
		if a := c.ask(m); a.Reply != Refused || a.Rests != bal(100, 0) {
			t.Errorf("%v at %v after a restart: %+v, want it refused by the floor", m.Phase, m.ballot(), a)
		}
	}
	c.a.Raised(200)
	if a := c.ask(prepare(bal(100, 1))); a.Reply != Promised {
		t.Errorf("a prepare above the floor is %v", a.Reply)
	}
}

func TestTheFloorNeverPassesTheCeiling(t *testing.T) {
	a := NewAcceptor(0)
	a.Raised(100)
	a.Raise(200)
	if a.Floor() != 100 {
		t.Errorf("floor %v, ceiling %v", a.Floor(), a.Ceiling())
	}
	a.Raised(50)
	if a.Ceiling() != 100 {
		t.Errorf("the ceiling fell to %v", a.Ceiling())
	}
}

func TestTheFloorRisesWithTime(t *testing.T) {
	a := NewAcceptor(0)
	now := TimeOf(time.UnixMilli(1_000_000))
	a.Raised(now.Add(time.Second))
	a.Tick(now)
	if want := now.Add(-Window); a.Floor() != want {
		t.Errorf("floor %v, want %v", a.Floor(), want)
	}
	a.Tick(Time(5)) // a clock that has just begun
	if want := now.Add(-Window); a.Floor() != want {
		t.Errorf("floor %v after an early time, want %v", a.Floor(), want)
	}
}

func TestOnlyPromisesThatNothingElseTellsOfAreRemembered(t *testing.T) {
	c := newCopy(100, Stamp{})
	c.ask(prepare(bal(10, 1)))
	if n := c.a.Promises(); n != 1 {
		t.Fatalf("%d promises are remembered, want 1", n)
	}
	c.ask(accept(bal(10, 1)))
	if n := c.a.Promises(); n != 0 {
		t.Errorf("%d promises are remembered though the accepted record tells", n)
	}
	if c.loads != 1 {
		t.Errorf("a write cost %d reads of the record, want 1", c.loads)
	}
	c.ask(prepare(bal(20, 1)))
	c.a.Raise(21)
	if n := c.a.Promises(); n != 0 {
		t.Errorf("%d promises are remembered though the floor tells", n)
	}
	c.ask(learn(bal(30, 1), 25))
	c.ask(prepare(bal(5, 1)))
	if n := c.a.Promises(); n != 0 {
		t.Errorf("%d keys are remembered with no promise", n)
	}
}

func TestTooManyPromisesRaiseTheFloor(t *testing.T) {
	a := NewAcceptor(0)
	a.limit = 100
	a.Raised(1 << 40)
	for i := range 1000 {
		q := a.Begin(fmt.Sprint(i), prepare(bal(1000+i, 1)))
		q.Step()
		q.Loaded(Record{})
		if q.Step(); q.Answer().Reply != Promised {
			t.Fatalf("promise %d: %+v", i, q.Answer())
		}
		if a.Promises() > a.limit {
			t.Fatalf("%d promises are remembered, limit %d", a.Promises(), a.limit)
		}
	}
	for i := range 1000 { // each is still kept, be it by the table or by the floor
		q := a.Begin(fmt.Sprint(i), accept(bal(999+i, 2)))
		if q.Step() != Done || q.Answer().Reply != Refused {
			t.Fatalf("an accept below promise %d is not refused: %+v", i, q.Answer())
		}
	}
}

func TestADamagedCopyGivesNoAnswer(t *testing.T) {
	anew := prepare(bal(10, 1))
	anew.Anew = true
	for _, tc := range []struct {
		name   string
		m      Message
		answer bool
	}{
		{"prepare", prepare(bal(10, 1)), false},
		{"look", Message{Phase: Look}, false},
		{"accept", accept(bal(10, 1)), false},
		{"learn", learn(bal(10, 1), 5), false},
		{"prepare of a write that replaces it unseen, where there is no other", anew, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := NewAcceptor(0)
			a.Raised(100)
			q := a.Begin("k", tc.m)
			if s := q.Step(); s != LoadRecord {
				t.Fatalf("step %d", s)
			}
			if got := q.Unreadable(); got != tc.answer {
				t.Fatalf("it goes on: %v", got)
			}
			if q.Step() != Done {
				t.Fatal("it is not over")
			}
			if got := q.Answer(); (got.Reply != 0) != tc.answer || got.Damaged != tc.answer {
				t.Errorf("answer %+v", got)
			}
			next := a.Begin("k", prepare(bal(20, 1)))
			if s := next.Step(); s != LoadRecord {
				t.Errorf("the key's turn was not given back: step %d", s)
			}
		})
	}
}
