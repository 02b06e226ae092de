// Package replicatest helps to test what stands above and below a replica: a Store in memory, with faults on demand, and the contract
// that every Store keeps.
package replicatest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"sync"

	"github.com/cespare/xxhash/v2"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
)

// A Call is one call of a Store's method: its name, and the key and record if it has any.
type Call struct {
	Method string
	Key    key.Key
	Record *register.Record
}

// Store is a disk in memory. The zero Store is empty. It is safe for concurrent use.
type Store struct {
	// Before, if set, is called before a call takes effect. It may block: the call is under way. An error is the call's, and
	// nothing has happened. Constant once the store is in use.
	Before func(ctx context.Context, c Call) error
	// After, if set, is called when a call has taken effect; an error is the call's all the same.
	After func(c Call) error

	mu      sync.Mutex // guards the fields below
	copies  map[key.Key]stored
	staged  map[register.Stamp][]byte
	damaged map[key.Key]bool
	ceiling register.Time
	calls   map[string]int
	wrong   []string
}

type stored struct {
	record register.Record
	bytes  []byte
}

// Calls is how often a method was called.
func (s *Store) Calls(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[method]
}

// Wrong is what callers did that they must not.
func (s *Store) Wrong() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wrong
}

// Staged is how many values are staged that have not been accepted or given up.
func (s *Store) Staged() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.staged)
}

// Damage makes the copy of k unreadable until it is written anew.
func (s *Store) Damage(k key.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.damaged == nil {
		s.damaged = map[key.Key]bool{}
	}
	s.damaged[k] = true
}

// Crash is the disk as the next start of the node finds it: what is durable, and none of the faults.
func (s *Store) Crash() *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &Store{copies: maps.Clone(s.copies), ceiling: s.ceiling, damaged: maps.Clone(s.damaged)}
}

func (s *Store) before(ctx context.Context, c Call) error {
	s.mu.Lock()
	if s.calls == nil {
		s.calls = map[string]int{}
	}
	s.calls[c.Method]++
	s.mu.Unlock()
	if s.Before == nil {
		return nil
	}
	return s.Before(ctx, c)
}

func (s *Store) after(c Call) error {
	if s.After == nil {
		return nil
	}
	return s.After(c)
}

// Head is replica.Store's.
func (s *Store) Head(ctx context.Context, k key.Key) (register.Record, error) {
	if err := s.before(ctx, Call{Method: "Head", Key: k}); err != nil {
		return register.Record{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.damaged[k] {
		return register.Record{}, &register.DamageError{Where: string(k), What: "made so by the test"}
	}
	return s.copies[k].record, nil
}

// Read is replica.Store's.
func (s *Store) Read(ctx context.Context, k key.Key) (register.Record, io.ReadSeekCloser, error) {
	if err := s.before(ctx, Call{Method: "Read", Key: k}); err != nil {
		return register.Record{}, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.damaged[k] {
		return register.Record{}, nil, &register.DamageError{Where: string(k), What: "made so by the test"}
	}
	c := s.copies[k]
	if !c.record.Present() {
		return c.record, nil, nil
	}
	return c.record, body{bytes.NewReader(c.bytes)}, nil
}

type body struct{ *bytes.Reader }

func (body) Close() error { return nil }

// Stage is replica.Store's.
func (s *Store) Stage(ctx context.Context, id register.Stamp, from io.Reader, size int64) (register.Value, error) {
	if err := s.before(ctx, Call{Method: "Stage"}); err != nil {
		return register.Value{}, err
	}
	b, err := io.ReadAll(from)
	if err != nil {
		return register.Value{}, fmt.Errorf("stage %v: %w", id, err)
	}
	if size >= 0 && int64(len(b)) != size {
		return register.Value{}, fmt.Errorf("stage %v: %w", id, io.ErrUnexpectedEOF)
	}
	v := register.Value{Length: int64(len(b)), Sum: xxhash.Sum64(b)}
	if len(b) <= register.InlineMax {
		v.Inline = b
		return v, nil
	}
	v.Stage = id
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.staged == nil {
		s.staged = map[register.Stamp][]byte{}
	}
	s.staged[id] = b
	return v, nil
}

// Unstage is replica.Store's.
func (s *Store) Unstage(v register.Value) {
	_ = s.before(context.Background(), Call{Method: "Unstage"})
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.staged, v.Stage)
}

// Put is replica.Store's.
func (s *Store) Put(ctx context.Context, k key.Key, rec register.Record) error {
	call := Call{Method: "Put", Key: k, Record: &rec}
	if err := s.before(ctx, call); err != nil {
		return err
	}
	if err := s.put(k, rec); err != nil {
		return &register.NothingError{Cause: err}
	}
	return s.after(call)
}

func (s *Store) put(k key.Key, rec register.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.copies[k]
	if !old.record.Ballot.Less(rec.Ballot) {
		s.wrong = append(s.wrong, fmt.Sprintf("ballot %v of %q was put over %v", rec.Ballot, k, old.record.Ballot))
		return nil
	}
	b := rec.Value.Inline
	if staged, is := s.staged[rec.Value.Stage]; is {
		b = staged
		delete(s.staged, rec.Value.Stage)
	}
	if int64(len(b)) != rec.Value.Length {
		if old.record.Version != rec.Version || s.damaged[k] {
			return fmt.Errorf("version %v: %w", rec.Version, register.ErrNoBytes)
		}
		b = old.bytes // a higher ballot for what is here
	}
	rec.Value.Stage = register.Stamp{}
	if s.copies == nil {
		s.copies = map[key.Key]stored{}
	}
	s.copies[k] = stored{rec, b}
	delete(s.damaged, k)
	return nil
}

// Ceiling is replica.Store's.
func (s *Store) Ceiling() register.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ceiling
}

// RaiseCeiling is replica.Store's.
func (s *Store) RaiseCeiling(ctx context.Context, t register.Time) error {
	if err := s.before(ctx, Call{Method: "RaiseCeiling"}); err != nil {
		return err
	}
	s.mu.Lock()
	s.ceiling = max(s.ceiling, t)
	s.mu.Unlock()
	return s.after(Call{Method: "RaiseCeiling"})
}
