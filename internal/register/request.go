package register

// A Step says what has to happen before a request can be answered.
type Step uint8

// The steps. After each but the first the request is stepped again, once what it names has happened; LoadRecord and StoreRecord
// are reported to the request before.
const (
	Done         Step = iota // the request is over
	AwaitTurn                // another request has the key's turn: wait until it is over
	RaiseCeiling             // make a ceiling above the message's ballot durable and tell Acceptor.Raised
	LoadRecord               // read the key's newest durable record, then Loaded, Unreadable or Fail
	StoreRecord              // make the message's record durable, then Stored or Fail
)

// A Request is one message on its way through an acceptor. Requests of one key take turns: while one reads the key's record or makes
// an accept durable, the others wait, so what is promised, shown and acknowledged is always the durable state and never
// overtaken. A crash loses the request and the acceptor, and nothing else.
type Request struct {
	Key     string
	Message Message

	a      *Acceptor
	held   bool // it has the key's turn
	todo   Step // LoadRecord or StoreRecord, until that is reported
	loaded bool // answer.Record is what the disk holds
	stored bool
	done   bool
	answer Answer
}

// Begin takes in a message about that key; nothing has happened yet.
func (a *Acceptor) Begin(k string, m Message) Request {
	return Request{Key: k, Message: m, a: a}
}

// Step tells what has to happen next. Until that has happened it says the same; once it is Done it stays so.
func (q *Request) Step() Step {
	switch {
	case q.done:
		return Done
	case q.todo != Done:
		return q.todo
	case q.stored:
		return q.conclude()
	case q.loaded:
		return q.judge(q.a.cells[q.Key])
	case q.Message.Phase == Look:
		return q.await(LoadRecord)
	default:
		return q.enter()
	}
}

// Answer is what to reply once the request is Done; its Reply is 0 if there is none.
func (q *Request) Answer() Answer { return q.answer }

// Loaded reports the key's newest durable record; the zero Record if there is none.
func (q *Request) Loaded(newest Record) {
	q.answer.Record, q.loaded, q.todo = newest, true, Done
}

// Unreadable reports that the key's copy is damaged. It tells whether the request goes on all the same; if not it is over
// without an answer: "a damaged copy gives no answer, never 'absent'".
func (q *Request) Unreadable() bool {
	if q.Message.Phase != Prepare || !q.Message.Anew {
		q.Fail()
		return false
	}
	q.answer.Damaged, q.loaded, q.todo = true, true, Done
	return true
}

// Stored reports that the message's record is durable.
func (q *Request) Stored() { q.stored, q.todo = true, Done }

// Fail reports that the step could not be carried out, or was given up. The request is over without an answer. A record that was being
// stored may have become durable or not: the next request looks.
func (q *Request) Fail() {
	q.done, q.answer = true, Answer{}
	if !q.held {
		return
	}
	c := q.a.cells[q.Key]
	if !c.writing.IsZero() {
		c.known = false
	}
	q.leave(c)
}

// enter decides what can be decided without the disk, else takes the key's turn.
func (q *Request) enter() Step {
	c, b := q.a.cells[q.Key], q.Message.ballot()
	if r := q.against(c); b.Less(r) || b == r && q.Message.Phase == Prepare {
		return q.refuse(r)
	}
	if c.turn {
		return AwaitTurn
	}
	if q.Message.Phase != Learn && !q.a.Covers(b.Time) {
		return RaiseCeiling
	}
	q.a.give(q.Key, c)
	q.held = true
	if c.known && q.Message.Phase != Prepare {
		return q.judge(q.a.cells[q.Key])
	}
	return q.await(LoadRecord)
}

// against is the highest ballot that stands in the message's way: an accept may be as high as its promise, a prepare may not.
func (q *Request) against(c cell) Stamp {
	if q.Message.Phase == Learn {
		return Stamp{} // what is chosen is chosen, whatever has been promised
	}
	return highest(q.a.under(), c.promised, c.writing, c.accepted)
}

// judge decides with the key's turn and in knowledge of what is accepted here.
func (q *Request) judge(c cell) Step {
	if q.loaded && !q.answer.Damaged {
		c.accepted = q.answer.Record.Ballot
	}
	c.known = true
	switch q.Message.Phase {
	case Look:
		return q.show(Shown)
	case Prepare:
		return q.promise(c)
	case Learn:
		return q.learn(c)
	default:
		return q.accept(c)
	}
}

// "Returns a conflict if it already saw a greater ballot number ... persists the ballot number as a promise" (Rystsov 2018, 2.2).
func (q *Request) promise(c cell) Step {
	if r := q.against(c); !r.Less(q.Message.Ballot) {
		q.leave(c)
		return q.refuse(r)
	}
	c.promised = q.Message.Ballot
	q.leave(c)
	return q.show(Promised)
}

// "Returns a conflict if it already saw a greater ballot number, ... marks the received tuple (ballot, value) as the accepted value."
func (q *Request) accept(c cell) Step {
	b := q.Message.ballot()
	if r := q.against(c); b.Less(r) {
		q.leave(c)
		return q.refuse(r)
	}
	if b == c.accepted {
		q.leave(c)
		return q.acknowledge()
	}
	c.promised, c.writing = b, b
	q.a.cells[q.Key] = c
	return q.await(StoreRecord)
}

// A state known to be chosen may be installed whatever has been promised, unless its evidence was gathered so long ago that a
// tombstone after it may have been purged meanwhile.
func (q *Request) learn(c cell) Step {
	if q.Message.Evidence < q.a.floor {
		q.leave(c)
		return q.refuse(q.a.under())
	}
	if !c.accepted.Less(q.Message.ballot()) {
		q.leave(c)
		return q.acknowledge()
	}
	c.writing = q.Message.ballot()
	q.a.cells[q.Key] = c
	return q.await(StoreRecord)
}

// conclude answers for a record that has become durable.
func (q *Request) conclude() Step {
	c := q.a.cells[q.Key]
	c.accepted, c.known = c.writing, true
	q.leave(c)
	return q.acknowledge()
}

func (q *Request) await(todo Step) Step {
	q.todo = todo
	return todo
}

func (q *Request) leave(c cell) {
	q.held = false
	q.a.back(q.Key, c)
}

func (q *Request) refuse(rests Stamp) Step {
	q.answer = Answer{Reply: Refused, Rests: rests}
	q.done = true
	return Done
}

func (q *Request) acknowledge() Step {
	q.answer = Answer{Reply: Accepted}
	q.done = true
	return Done
}

// show answers with the record. The floor is taken after the record was read: 'no record' counts as a version as high as that.
func (q *Request) show(r Reply) Step {
	q.answer.Reply, q.answer.Floor = r, q.a.floor
	q.done = true
	return Done
}

func highest(s ...Stamp) Stamp {
	top := s[0]
	for _, x := range s[1:] {
		if top.Less(x) {
			top = x
		}
	}
	return top
}
