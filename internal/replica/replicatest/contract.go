package replicatest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/replica"
)

// Run checks that stores made by open, empty ones, keep the contract of replica.Store.
func Run(t *testing.T, open func(t *testing.T) replica.Store) {
	for name, check := range map[string]func(s *suite){
		"what is put is what is shown":              (*suite).shown,
		"values of all lengths come back":           (*suite).lengths,
		"a tombstone is not the same as no record":  (*suite).tombstones,
		"a value that was given up leaves no trace": (*suite).unstaged,
		"what has no bytes here is not taken":       (*suite).noBytes,
		"an error of the body is the caller's":      (*suite).brokenBody,
		"the ceiling only rises":                    (*suite).ceiling,
		"readers see whole records only":            (*suite).concurrent,
		"a cancelled put is done or not":            (*suite).cancelled,
	} {
		t.Run(name, func(t *testing.T) { check(&suite{t, open(t), 0}) })
	}
}

type suite struct {
	*testing.T
	store replica.Store
	clock register.Time
}

func (s *suite) stamp() register.Stamp {
	s.clock++
	return register.Stamp{Time: s.clock, Node: 1}
}

// record makes the next version of something, with its value staged.
func (s *suite) record(kind register.Kind, value string) register.Record {
	s.Helper()
	r := register.Record{
		Operation: s.stamp(),
		Version:   s.stamp(),
		History:   []register.Past{{Version: s.stamp(), Operation: s.stamp()}, {Version: s.stamp()}},
		Kind:      kind,
	}
	r.Ballot = s.stamp()
	if kind == register.Data {
		r.Metadata = []register.Field{{Name: register.ContentType, Value: "text/plain"}, {Name: "x", Value: ""}}
		r.Value = s.stage(value)
	}
	return r
}

func (s *suite) stage(value string) register.Value {
	s.Helper()
	v, err := s.store.Stage(s.Context(), s.stamp(), strings.NewReader(value), int64(len(value)))
	if err != nil {
		s.Fatalf("Stage of %d bytes: %v", len(value), err)
	}
	if v.Length != int64(len(value)) || (v.Inline != nil || v.Length == 0) != (len(value) <= register.InlineMax) {
		s.Fatalf("Stage of %d bytes gives length %d, inline %v", len(value), v.Length, v.Inline != nil)
	}
	return v
}

func (s *suite) put(k key.Key, r register.Record) {
	s.Helper()
	if err := s.store.Put(s.Context(), k, r); err != nil {
		s.Fatalf("Put of %q at %v: %v", k, r.Ballot, err)
	}
}

// expect checks that k holds r, with those bytes.
func (s *suite) expect(k key.Key, r register.Record, value string) {
	s.Helper()
	head, err := s.store.Head(s.Context(), k)
	if err != nil {
		s.Fatalf("Head of %q: %v", k, err)
	}
	if !same(head, r) {
		s.Fatalf("Head of %q is %+v, want %+v", k, head, r)
	}
	rec, body, err := s.store.Read(s.Context(), k)
	if err != nil {
		s.Fatalf("Read of %q: %v", k, err)
	}
	if !same(rec, r) || (body != nil) != r.Present() {
		s.Fatalf("Read of %q is %+v with body %v, want %+v", k, rec, body != nil, r)
	}
	if body == nil {
		return
	}
	defer body.Close()
	got, err := io.ReadAll(body)
	if err != nil || string(got) != value {
		s.Fatalf("Read of %q gives %d bytes (%v), want %d", k, len(got), err, len(value))
	}
	half := int64(len(value) / 2)
	if at, err := body.Seek(half, io.SeekStart); err != nil || at != half {
		s.Fatalf("Seek to %d: %d, %v", half, at, err)
	}
	if got, err = io.ReadAll(body); err != nil || string(got) != value[half:] {
		s.Fatalf("from %d on %q gives %d bytes (%v), want %d", half, k, len(got), err, len(value)-int(half))
	}
}

// same compares all but where the bytes are.
func same(a, b register.Record) bool {
	return bytes.Equal(a.AppendFields(nil), b.AppendFields(nil))
}

func (s *suite) shown() {
	s.expect("k", register.Record{}, "")
	first := s.record(register.Data, "one")
	s.put("k", first)
	s.expect("k", first, "one")
	second := s.record(register.Data, "")
	s.put("k", second)
	s.expect("k", second, "")
	second.Ballot = s.stamp()
	second.Value.Inline = []byte{}
	s.put("k", second)
	s.expect("k", second, "")
	s.expect("another", register.Record{}, "")
}

func (s *suite) lengths() {
	for i, n := range []int{0, 1, 4095, 4096, register.InlineMax - 1, register.InlineMax, register.InlineMax + 1, 3*register.InlineMax + 17, 1 << 20} {
		k := key.Key(fmt.Sprint("of length ", n))
		value := strings.Repeat(fmt.Sprint(i), n)
		r := s.record(register.Data, value)
		s.put(k, r)
		s.expect(k, r, value)
	}
}

func (s *suite) tombstones() {
	grave := s.record(register.Tombstone, "")
	s.put("never there", grave)
	s.expect("never there", grave, "")
	s.put("k", s.record(register.Data, strings.Repeat("long", register.InlineMax)))
	grave = s.record(register.Tombstone, "")
	s.put("k", grave)
	s.expect("k", grave, "")
	again := s.record(register.Data, "again")
	s.put("k", again)
	s.expect("k", again, "again")
}

func (s *suite) unstaged() {
	long := strings.Repeat("long", register.InlineMax)
	s.store.Unstage(s.stage("short"))
	s.store.Unstage(s.stage(long))
	s.store.Unstage(register.Value{})
	r := s.record(register.Data, long)
	s.put("k", r)
	s.store.Unstage(r.Value) // it was accepted: nothing happens
	s.expect("k", r, long)
}

func (s *suite) noBytes() {
	for _, value := range []string{"short", strings.Repeat("long", register.InlineMax)} {
		k := key.Key(value[:4])
		r := s.record(register.Data, value)
		s.store.Unstage(r.Value)
		r.Value.Inline, r.Value.Stage = nil, register.Stamp{}
		var nothing *register.NothingError
		refused := func() {
			if err := s.store.Put(s.Context(), k, r); !errors.Is(err, register.ErrNoBytes) || !errors.As(err, &nothing) {
				s.Errorf("put of %d bytes that are nowhere: %v", len(value), err)
			}
		}
		refused()
		s.expect(k, register.Record{}, "")
		old := s.record(register.Data, "another version")
		r.Ballot = s.stamp()
		s.put(k, old)
		refused()
		s.expect(k, old, "another version")
		r.Ballot, r.Value = s.stamp(), s.stage(value)
		s.put(k, r)
		r.Ballot, r.Value.Inline, r.Value.Stage = s.stamp(), nil, register.Stamp{}
		s.put(k, r) // a higher ballot for what is here
		s.expect(k, r, value)
	}
}

func (s *suite) brokenBody() {
	broken := errors.New("the client went away")
	for _, n := range []int{0, 10, 2 * register.InlineMax} {
		body := io.MultiReader(strings.NewReader(strings.Repeat("x", n)), iotest.ErrReader(broken))
		if _, err := s.store.Stage(s.Context(), s.stamp(), body, -1); !errors.Is(err, broken) {
			s.Errorf("after %d bytes: %v, want %v in it", n, err, broken)
		}
	}
}

func (s *suite) ceiling() {
	for _, t := range []register.Time{10, 20, 15} {
		if err := s.store.RaiseCeiling(s.Context(), t); err != nil {
			s.Fatal(err)
		}
		if c := s.store.Ceiling(); c < t || c < 20 && t > 10 {
			s.Errorf("ceiling %d after it was raised to %d", c, t)
		}
	}
}

func (s *suite) concurrent() {
	const writers, writes = 4, 25
	var wg sync.WaitGroup
	records := make([][]register.Record, writers)
	for i := range writers {
		for j := range writes {
			records[i] = append(records[i], s.record(register.Data, strings.Repeat(fmt.Sprint(j%10), 100+j)))
		}
		k := key.Key(fmt.Sprint(i))
		wg.Go(func() {
			for _, r := range records[i] {
				if err := s.store.Put(s.Context(), k, r); err != nil {
					s.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range 2 * writes {
				rec, body, err := s.store.Read(s.Context(), k)
				if err != nil {
					s.Error(err)
					return
				}
				if body == nil {
					continue
				}
				b, err := io.ReadAll(body)
				body.Close()
				if at := slices.IndexFunc(records[i], func(r register.Record) bool { return same(r, rec) }); at < 0 || err != nil ||
					string(b) != strings.Repeat(fmt.Sprint(at%10), 100+at) {
					s.Errorf("record %v of %q comes with %d bytes (%v)", rec.Ballot, k, len(b), err)
				}
			}
		})
	}
	wg.Wait()
	for i := range writers {
		s.expect(key.Key(fmt.Sprint(i)), records[i][writes-1], strings.Repeat(fmt.Sprint((writes-1)%10), 100+writes-1))
	}
}

func (s *suite) cancelled() {
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	old, r := s.record(register.Data, "old"), s.record(register.Data, "new")
	s.put("k", old)
	switch err := s.store.Put(ctx, "k", r); {
	case err == nil:
		s.expect("k", r, "new")
	case errors.Is(err, context.Canceled):
		s.expect("k", old, "old")
	default:
		s.Errorf("a cancelled Put says %v", err)
	}
}
