package simulation

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/estorajed/estorajed/internal/register"
)

// kind is what a client wants.
type kind uint8

const (
	read kind = iota
	put
	putIfMatch
	putIfAbsent
	del
	delIfMatch
)

func (k kind) String() string {
	return [...]string{"GET", "PUT", "PUT If-Match", "PUT If-None-Match: *", "DELETE", "DELETE If-Match"}[k]
}

// What clients do in a run.
var kindMixes = [][]kind{
	{read, read, put, put, del, putIfMatch, putIfAbsent, delIfMatch},
	{read, read, put, del, del, putIfAbsent},
	{read, put, putIfMatch, putIfMatch, del},
	{read, putIfAbsent, del, del},
	{read, read, read, put, del},
	{read, put, del},
}

// result is what a client was told.
type result uint8

const (
	open    result = iota // nothing, or that nobody knows
	done                  // success
	absent                // nothing was there to delete
	refused               // the condition does not hold
	nothing               // surely nothing happened
)

func (r result) String() string {
	return [...]string{"unknown", "done", "nothing there", "refused", "nothing happened"}[r]
}

// An act is one operation of a client, from the client's side.
type act struct {
	client   int
	book     *book
	kind     kind
	value    int32 // of a put: its number
	expected int32 // of If-Match: the number of the value that must be there; -1: none will do
	version  register.Stamp
	began    int64
	ended    int64
	result   result
	got      int32          // of a read: the number of the value, 0 for absent
	replaced bool           // of a put that is done: a value was replaced
	exact    bool           // replaced can be relied on
	final    bool           // a look after the faults
	late     bool           // the client had gone when it was answered
	before   register.Stamp // the newest version that anybody had been told of when it began
	then     func()
}

func (a *act) String() string {
	s := fmt.Sprintf("%v %s", a.kind, a.book.key)
	if a.kind == put || a.kind == putIfMatch || a.kind == putIfAbsent {
		s += fmt.Sprintf(" <- %d", a.value)
	}
	if a.kind == putIfMatch || a.kind == delIfMatch {
		s += fmt.Sprintf(" (is %d)", a.expected)
	}
	if a.kind == read && a.result == done {
		return fmt.Sprintf("%s -> %d", s, a.got)
	}
	return s + ": " + a.result.String()
}

// tick is the moment of something that clients see: two of them are never the same.
func (w *world) tick() int64 {
	w.clock++
	return w.clock
}

// model is one key as a single copy behaves: a value's number, 0 for absent.
var model = porcupine.Model{
	Init: func() any { return int32(0) },
	Step: func(state, input, _ any) (bool, any) {
		a, now := input.(*act), state.(int32)
		ok, next := a.apply(now)
		return ok, next
	},
	DescribeOperation: func(input, _ any) string { return input.(*act).String() },
	DescribeState:     func(state any) string { return fmt.Sprint(state) },
}

// apply tells whether the act can have had its result in that state, and the state that comes of it.
func (a *act) apply(now int32) (possible bool, next int32) {
	holds := true // its condition
	switch a.kind {
	case read:
		return a.got == now, now
	case putIfMatch, delIfMatch:
		holds = now != 0 && now == a.expected
	case putIfAbsent:
		holds = now == 0
	}
	next = a.value
	if a.kind == del || a.kind == delIfMatch {
		next = 0
	}
	switch a.result {
	case done:
		// A delete that was taken over may be written down although there is nothing: 'nothing there' cannot be settled.
		return holds && (!a.exact || a.replaced == (now != 0)), next
	case absent:
		return holds && now == 0, now
	case refused:
		return !holds, now
	default:
		if !holds {
			return true, now
		}
		return true, next
	}
}

// undecided is how long porcupine may take for one key.
const undecided = 20 * time.Second

// checkHistory checks each key's history.
func (w *world) checkHistory() {
	for _, b := range w.books {
		history := w.historyOf(b)
		switch porcupine.CheckOperationsTimeout(model, history, undecided) {
		case porcupine.Illegal:
			w.fail("%s: the history is not linearizable", b.key)
		case porcupine.Unknown:
			w.fail("%s: porcupine has not decided within %v", b.key, undecided)
		}
	}
}

// historyOf is what clients of a key saw. What surely did nothing is no part of it, nor is what told its client nothing.
//
// A write whose client was not told may have happened at any time since it began, and a history with many of these would take
// porcupine for ever. But the books know more. If in the end it is not among the states that were chosen, it has not happened, and must not
// serve as an excuse for what others saw. If it is, its place among them is known, and it may as well have happened as early as that place
// allows: right after the last begin of whatever was told of an earlier state.
func (w *world) historyOf(b *book) (list []porcupine.Operation) {
	earliest := w.earliest(b)
	for i, a := range w.history {
		told := a.result != open && !a.late
		if a.book != b || a.result == nothing || a.kind == read && !told {
			continue
		}
		op := porcupine.Operation{ClientId: a.client, Input: a, Call: a.began * chainMax, Return: a.ended * chainMax}
		if !told {
			at, happened := earliest[a]
			if !happened {
				continue
			}
			op.Call, op.Return, op.ClientId = at, at, 100+i // the client has gone on
		}
		list = append(list, op)
	}
	return list
}

// chainMax is more than the states of a key in one run: so many moments lie between two of which clients know.
const chainMax = 1 << 12

// earliest gives the earliest moments of the writes that are among the chosen states.
func (w *world) earliest(b *book) map[*act]int64 {
	begun := make(map[register.Stamp]int64) // by version: the last begin of those that were told of it
	for _, a := range w.history {
		if a.book == b && a.result != nothing && a.result != open {
			begun[a.version] = max(begun[a.version], a.began)
		}
	}
	var chain []register.Stamp // newest first
	for v := b.top.Version; !v.IsZero(); v = b.parent[v] {
		chain = append(chain, v)
	}
	at, last := make(map[*act]int64), begun[register.Stamp{}]
	for i, v := range slices.Backward(chain) {
		a := w.entries[b.made[v].Operation]
		last = max(last, a.began)
		at[a] = last*chainMax + int64(len(chain)-i)
		last = max(last, begun[v])
	}
	return at
}

// draw writes porcupine's picture of each key's history into dir and tells the files.
func (w *world) draw(dir string) (files []string, err error) {
	for _, b := range w.books {
		_, info := porcupine.CheckOperationsVerbose(model, w.historyOf(b), undecided)
		path := filepath.Join(dir, fmt.Sprintf("estorajed-seed-%d-%s.html", w.seed, b.key))
		f, err := os.Create(path)
		if err != nil {
			return files, err
		}
		err = porcupine.Visualize(model, info, f)
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return files, err
		}
		files = append(files, path)
	}
	return files, nil
}
