package acceptance

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A state is what one write makes of a key. Sequences of a key rise by one with each write that is tried, so that the
// zero state is 'never written' and a larger sequence is a later write.
type state struct {
	seq     uint64
	present bool // else deleted, or never written
}

func (s state) String() string {
	switch {
	case s.present:
		return fmt.Sprintf("write %d", s.seq)
	case s.seq > 0:
		return fmt.Sprintf("delete %d", s.seq)
	}
	return "nothing"
}

// An account is what the only writer of a key knows about it.
type account struct {
	key   string
	tried uint64   // sequence of the last write that was tried
	acked state    // the newest that was acknowledged, or read
	etag  string   // of acked, or "" if it is not known
	open  []state  // by writes that were neither acknowledged nor refused: each may take effect until the daemon is dead
	story []string // the last events, for the message of a violation
}

const storyMax = 12

// note adds an event to the story.
func (a *account) note(format string, args ...any) {
	if len(a.story) == storyMax {
		a.story = slices.Delete(a.story, 0, 1)
	}
	a.story = append(a.story, time.Now().Format("05.000 ")+fmt.Sprintf(format, args...))
}

// A violation is a broken promise, as opposed to a request that failed honestly.
type violation string

func (v violation) Error() string { return string(v) }

// check compares what a GET gave with what may be there, and adopts it: what was once read is as durable as what was acknowledged.
// An answer that is neither a value nor 'not found' is an error, but not a violation.
func (a *account) check(got answer) error {
	seen, err := a.seen(got)
	if err != nil {
		return err
	}
	if at := slices.Index(a.open, seen); at >= 0 {
		a.acked, a.open = seen, slices.Delete(a.open, at, at+1)
	}
	if seen != a.acked {
		return violation(fmt.Sprintf("key %.60q shows %s; acknowledged: %s, unknown: %v: %s; so far:\n\t%s",
			a.key, a.describe(seen), a.acked, a.open, a.breach(seen), strings.Join(a.story, "\n\t")))
	}
	a.note("read %s", a.describe(seen))
	a.etag = got.etag()
	return nil
}

// forget closes what is open: whoever was at work on it is dead, and a read did not find it.
func (a *account) forget() {
	a.open = nil
	a.note("restart")
}

// seen reads the state out of an answer. An absent key stands for the state that may be absent, if there is one.
func (a *account) seen(got answer) (state, error) {
	switch got.status {
	case http.StatusNotFound:
		if !a.acked.present {
			return a.acked, nil
		}
		if at := slices.IndexFunc(a.open, func(s state) bool { return !s.present }); at >= 0 {
			return a.open[at], nil
		}
		return state{}, nil
	case http.StatusOK:
		seq, err := readValue(a.key, got.body)
		return state{seq, true}, err
	}
	return state{}, fmt.Errorf("read key %.60q: %s", a.key, got)
}

func (a *account) describe(seen state) string {
	if !seen.present {
		return "nothing"
	}
	return seen.String()
}

// breach names the promise that is broken when seen is read.
func (a *account) breach(seen state) string {
	switch {
	case !seen.present:
		return "an acknowledged write is lost"
	case seen.seq > a.tried:
		return "nobody wrote that"
	case !a.acked.present:
		return "a deleted key is back"
	case seen.seq < a.acked.seq:
		return "older than acknowledged"
	}
	return "a write that was refused is there"
}

// certain tells whether the key can show nothing but acked.
func (a *account) certain() bool { return len(a.open) == 0 }

// next begins a write: of a value, or a delete. Until settle or refuse is called, it is open.
func (a *account) next(present bool) state {
	a.tried++
	s := state{a.tried, present}
	a.open = append(a.open, s)
	a.note("try %s", s)
	return s
}

// settle notes that the write begun last was acknowledged.
func (a *account) settle(etag string) {
	last := len(a.open) - 1
	a.acked, a.etag = a.open[last], etag
	a.open = a.open[:last]
	a.note("acknowledged %s, version %s", a.acked, etag)
}

// refuse notes that the write begun last was answered with 'nothing was changed'.
func (a *account) refuse() {
	last := len(a.open) - 1
	a.note("refused %s", a.open[last])
	a.open = a.open[:last]
}

// makeValue builds a value that says itself what it is: key, sequence, and the checksum of a body of the given size.
func makeValue(key string, seq uint64, size int) []byte {
	body := make([]byte, size)
	source := rand.NewChaCha8(sha256.Sum256(fmt.Appendf(nil, "%d %s", seq, key)))
	_, _ = source.Read(body) // never fails
	return append(fmt.Appendf(nil, "%q %d %x\n", key, seq, sha256.Sum256(body)), body...)
}

// readValue checks what makeValue built and gives the sequence.
func readValue(key string, value []byte) (uint64, error) {
	head, body, ok := bytes.Cut(value, []byte("\n"))
	name := fmt.Sprintf("%q ", key)
	rest, mine := strings.CutPrefix(string(head), name)
	if !ok || !mine {
		return 0, violation(fmt.Sprintf("key %.60q shows a value that is not its own: %.100q of %d bytes", key, value, len(value)))
	}
	var seq uint64
	var sum string
	if _, err := fmt.Sscanf(rest, "%d %s", &seq, &sum); err != nil {
		return 0, violation(fmt.Sprintf("key %.60q shows a torn head: %.100q", key, head))
	}
	if sum != fmt.Sprintf("%x", sha256.Sum256(body)) {
		return 0, violation(fmt.Sprintf("key %.60q shows write %d torn: %d bytes do not match their checksum", key, seq, len(body)))
	}
	return seq, nil
}
