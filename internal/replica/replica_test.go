package replica_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/replica"
	"github.com/estorajed/estorajed/internal/replica/replicatest"
)

func newReplica(store replica.Store, events replica.Events) *replica.Replica {
	return replica.New(replica.Config{Node: 1, Store: store, Epoch: func(key.Key) uint64 { return 1 }, Events: events})
}

// driver asks a replica as a coordinator would.
type driver struct {
	testing.TB
	*replica.Replica
}

func (d driver) stamp() register.Stamp {
	d.Helper()
	s, err := d.Stamp(context.Background(), 0)
	if err != nil {
		d.Fatal(err)
	}
	return s
}

func (d driver) ask(k key.Key, m register.Message) register.Answer {
	d.Helper()
	m.Epoch = 1
	a, err := d.Ask(context.Background(), k, m)
	if err != nil {
		d.Fatalf("%v of %q: %v", m.Phase, k, err)
	}
	return a
}

func (d driver) prepare(k key.Key, b register.Stamp) register.Answer {
	d.Helper()
	return d.ask(k, register.Message{Phase: register.Prepare, Ballot: b})
}

func value(b register.Stamp) *register.Record {
	return &register.Record{Ballot: b, Version: b, Operation: b, Kind: register.Data, Value: register.Value{Length: 1, Inline: []byte("v")}}
}

func (d driver) accept(k key.Key, b register.Stamp) register.Answer {
	d.Helper()
	return d.ask(k, register.Message{Phase: register.Accept, Record: value(b)})
}

func (d driver) look(k key.Key) register.Answer {
	d.Helper()
	return d.ask(k, register.Message{Phase: register.Look})
}

func TestARoundMakesARecordDurable(t *testing.T) {
	store := &replicatest.Store{}
	d := driver{t, newReplica(store, replica.Events{})}
	b := d.stamp()
	if a := d.prepare("k", b); a.Reply != register.Promised || !a.Record.Ballot.IsZero() {
		t.Fatalf("prepare: %+v", a)
	}
	if a := d.accept("k", b); a.Reply != register.Accepted {
		t.Fatalf("accept: %+v", a)
	}
	if head, _ := store.Head(t.Context(), "k"); head.Ballot != b {
		t.Errorf("the store holds %v, want %v", head.Ballot, b)
	}
	if a := d.look("k"); a.Reply != register.Shown || a.Record.Ballot != b {
		t.Errorf("look: %+v", a)
	}
	if a := d.prepare("k", b); a.Reply != register.Refused || a.Rests != b {
		t.Errorf("prepare at the accepted ballot: %+v", a)
	}
	if n := store.Calls("Head"); n != 4 {
		t.Errorf("%d reads of the head, want one for each of prepare, look, prepare and this test", n)
	}
	if s := d.Status(); s.Promises != 0 || s.Waiting != 0 || s.Ceiling != store.Ceiling() || s.Clock < b.Time {
		t.Errorf("status %+v", s)
	}
}

func TestAnotherEpochIsRefused(t *testing.T) {
	var seen [2]uint64
	d := driver{t, newReplica(&replicatest.Store{}, replica.Events{
		Stale: func(_ context.Context, have, got uint64) { seen = [2]uint64{have, got} },
	})}
	a, err := d.Ask(t.Context(), "k", register.Message{Phase: register.Look, Epoch: 2})
	if err != nil || a.Reply != register.Stale || a.Epoch != 1 || seen != [2]uint64{1, 2} {
		t.Errorf("%+v, %v, event %v", a, err, seen)
	}
}

// The operations of an older epoch may count with other replicas than those of this one.
func TestAnOlderEpochIsRefused(t *testing.T) {
	r := replica.New(replica.Config{Node: 1, Store: &replicatest.Store{}, Epoch: func(key.Key) uint64 { return 3 }})
	for _, m := range []register.Message{{Phase: register.Look}, {Phase: register.Prepare, Ballot: register.Stamp{Time: 1, Node: 2}}, {Phase: register.Accept, Record: value(register.Stamp{Time: 1, Node: 2})}} {
		m.Epoch = 2
		if a, err := r.Ask(t.Context(), "k", m); err != nil || a.Reply != register.Stale || a.Epoch != 3 {
			t.Errorf("%v of epoch 2: %+v, %v", m.Phase, a, err)
		}
	}
}

func TestOnlyDurableStateAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sync := make(chan struct{})
		store := &replicatest.Store{}
		store.Before = func(_ context.Context, c replicatest.Call) error {
			if c.Method == "Put" {
				<-sync
			}
			return nil
		}
		d := driver{t, newReplica(store, replica.Events{})}
		low, mid, high := d.stamp(), d.stamp(), d.stamp()
		answers := make(chan string, 3)
		go func() { answers <- "accept " + d.accept("k", mid).Reply.String() }()
		synctest.Wait()
		go func() {
			a := d.prepare("k", high)
			answers <- "prepare " + a.Reply.String() + " " + a.Record.Ballot.String()
		}()
		go func() { answers <- "accept again " + d.accept("k", mid).Reply.String() }()
		synctest.Wait()
		if a := d.look("k"); !a.Record.Ballot.IsZero() {
			t.Errorf("%v is shown before it is durable", a.Record.Ballot)
		}
		if a := d.prepare("k", low); a.Reply != register.Refused {
			t.Errorf("a lower prepare is %v", a.Reply)
		}
		if a := d.prepare("another", low); a.Reply != register.Promised {
			t.Errorf("another key's prepare is %v", a.Reply)
		}
		if w := d.Status().Waiting; w != 2 {
			t.Errorf("%d wait, want the prepare and the second accept", w)
		}
		select {
		case a := <-answers:
			t.Fatalf("%q before anything is durable", a)
		default:
		}
		close(sync)
		got := map[string]bool{<-answers: true, <-answers: true, <-answers: true}
		if !got["accept accepted"] || !got["prepare promised "+mid.String()] || !got["accept again accepted"] && !got["accept again refused"] {
			t.Errorf("answers %v", got)
		}
		if w := store.Wrong(); len(w) > 0 {
			t.Error(w)
		}
	})
}

func TestAWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sync := make(chan struct{})
		store := &replicatest.Store{}
		store.Before = func(_ context.Context, c replicatest.Call) error {
			if c.Method == "Put" {
				<-sync
			}
			return nil
		}
		d := driver{t, newReplica(store, replica.Events{})}
		first, second := d.stamp(), d.stamp()
		go d.accept("k", first)
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			_, err := d.Ask(ctx, "k", register.Message{Phase: register.Accept, Record: value(second), Epoch: 1})
			ended <- err
		}()
		synctest.Wait()
		cancel()
		var nothing *register.NothingError
		if err := <-ended; !errors.Is(err, context.Canceled) || !errors.As(err, &nothing) {
			t.Errorf("%v, want it to be cancelled and to say that nothing was written", err)
		}
		close(sync)
		synctest.Wait()
		if s := d.Status(); s.Waiting != 0 || s.Promises != 0 {
			t.Errorf("status %+v", s)
		}
		if a := d.look("k"); a.Record.Ballot != first {
			t.Errorf("shown: %v, want %v", a.Record.Ballot, first)
		}
	})
}

func TestAFailedAcceptSaysWhetherSomethingWasWritten(t *testing.T) {
	for _, tc := range []struct {
		name    string
		fault   error
		is      error
		nothing bool
	}{
		{"a full disk", register.ErrFull, register.ErrFull, true},
		{"a store that is shutting down", register.ErrStopped, register.ErrStopped, true},
		{"a store that has failed before", register.ErrFailed, register.ErrFailed, true},
		{"cancelled before it was queued", context.Canceled, context.Canceled, true},
		{"its own sync failed", &register.UnknownError{Cause: register.ErrFailed}, register.ErrFailed, false},
		{"anything else", io.ErrShortWrite, io.ErrShortWrite, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fault := fmt.Errorf("journal: %w", tc.fault)
			store := &replicatest.Store{Before: func(_ context.Context, c replicatest.Call) error {
				if c.Method == "Put" {
					return fault
				}
				return nil
			}}
			d := driver{t, newReplica(store, replica.Events{})}
			_, err := d.Ask(t.Context(), "k", register.Message{Phase: register.Accept, Record: value(d.stamp()), Epoch: 1})
			var nothing *register.NothingError
			if !errors.Is(err, tc.is) || errors.As(err, &nothing) != tc.nothing {
				t.Errorf("error %v, says that nothing was written: %v, want %v", err, nothing != nil, tc.nothing)
			}
			if n := strings.Count(err.Error(), "outcome unknown"); n > 0 {
				t.Errorf("the replica speaks for the operation: %v", err)
			}
			fault = nil
			if a := d.accept("k", d.stamp()); a.Reply != register.Accepted {
				t.Errorf("once the fault is over: %+v", a)
			}
		})
	}
}

func TestADamagedCopyIsSilentUnlessItIsWrittenAnew(t *testing.T) {
	store := &replicatest.Store{}
	anew := 0
	d := driver{t, newReplica(store, replica.Events{Anew: func(context.Context, *register.DamageError) { anew++ }})}
	d.accept("k", d.stamp())
	store.Damage("k")
	var damage *register.DamageError
	for _, m := range []register.Message{
		{Phase: register.Look, Epoch: 1},
		{Phase: register.Prepare, Ballot: d.stamp(), Epoch: 1},
		{Phase: register.Accept, Record: value(d.stamp()), Epoch: 1},
	} {
		if a, err := d.Ask(t.Context(), "k", m); !errors.As(err, &damage) {
			t.Errorf("%v: %+v, %v", m.Phase, a, err)
		}
	}
	b := d.stamp()
	a := d.ask("k", register.Message{Phase: register.Prepare, Ballot: b, Anew: true})
	if a.Reply != register.Promised || !a.Damaged || anew != 1 {
		t.Fatalf("prepare to write it anew: %+v, %d events", a, anew)
	}
	if a := d.accept("k", b); a.Reply != register.Accepted {
		t.Fatalf("accept: %+v", a)
	}
	if a := d.look("k"); a.Record.Ballot != b {
		t.Errorf("shown: %v, want %v", a.Record.Ballot, b)
	}
}

func TestATimeTooFarAheadIsNotFollowed(t *testing.T) {
	d := driver{t, newReplica(&replicatest.Store{}, replica.Events{})}
	ahead := d.stamp()
	ahead.Time = ahead.Time.Add(2 * register.MaxAhead)
	var skew *register.SkewError
	if _, err := d.Ask(t.Context(), "k", register.Message{Phase: register.Prepare, Ballot: ahead, Epoch: 1}); !errors.As(err, &skew) {
		t.Errorf("prepare: %v", err)
	}
	if _, err := d.Stamp(t.Context(), ahead.Time); !errors.As(err, &skew) {
		t.Errorf("stamp: %v", err)
	}
	if s := d.stamp(); !s.Less(ahead) {
		t.Errorf("the clock was carried away to %v", s)
	}
}

func TestConcurrentRoundsKeepTheOrderOfBallots(t *testing.T) {
	const workers, rounds, keys = 8, 60, 3
	store := &replicatest.Store{}
	d := driver{t, newReplica(store, replica.Events{})}
	ctx, cancel := context.WithCancel(t.Context())
	var run, work sync.WaitGroup
	run.Go(func() { _ = d.Run(ctx) })
	var mu sync.Mutex
	newest := map[key.Key]register.Stamp{} // acknowledged
	drawn := map[register.Stamp]bool{}
	for w := range workers {
		work.Go(func() {
			for i := range rounds {
				k := key.Key(fmt.Sprint((w + i) % keys))
				b := d.stamp()
				mu.Lock()
				if drawn[b] {
					t.Errorf("stamp %v was drawn twice", b)
				}
				drawn[b] = true
				before := newest[k]
				mu.Unlock()
				a := d.prepare(k, b)
				if a.Reply != register.Promised {
					continue
				}
				if a.Record.Ballot.Less(before) {
					t.Errorf("promise %v of %q shows %v; %v had been acknowledged", b, k, a.Record.Ballot, before)
				}
				if d.accept(k, b).Reply == register.Accepted {
					mu.Lock()
					if newest[k].Less(b) {
						newest[k] = b
					}
					mu.Unlock()
				}
				if a := d.look(k); a.Record.Ballot.Less(before) {
					t.Errorf("%v of %q is shown; %v had been acknowledged", a.Record.Ballot, k, before)
				}
			}
		})
	}
	work.Wait()
	cancel()
	run.Wait()
	if w := store.Wrong(); len(w) > 0 {
		t.Error(w)
	}
	for k, b := range newest {
		if a := d.look(k); a.Record.Ballot.Less(b) {
			t.Errorf("%q holds %v; %v was acknowledged", k, a.Record.Ballot, b)
		}
	}
}
