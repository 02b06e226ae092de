package replica_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/replica"
	"github.com/estorajed/estorajed/internal/replica/replicatest"
)

func TestEveryStampLiesBelowTheDurableCeiling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &replicatest.Store{}
		d := driver{t, newReplica(store, replica.Events{})}
		for range 20 {
			if s := d.stamp(); s.Time >= store.Ceiling() {
				t.Fatalf("stamp %v, ceiling %v", s, store.Ceiling())
			}
			time.Sleep(time.Second)
		}
	})
}

func TestAfterARestartNothingIsDrawnOrTakenThatMayHaveBeenBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &replicatest.Store{}
		d := driver{t, newReplica(store, replica.Events{})}
		promised := d.stamp()
		d.prepare("k", promised)
		last := d.stamp()
		again := driver{t, newReplica(store.Crash(), replica.Events{})}
		if a := again.accept("k", promised); a.Reply != register.Refused {
			t.Errorf("an accept that might break a forgotten promise: %+v", a)
		}
		s := again.stamp()
		if !last.Less(s) {
			t.Errorf("stamp %v after a restart, %v before", s, last)
		}
		if a := again.prepare("k", s); a.Reply != register.Promised {
			t.Errorf("prepare: %+v", a)
		}
	})
}

func TestAnIdleNodeWritesNothingAndABusyOneDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &replicatest.Store{}
		waited := 0
		d := driver{t, newReplica(store, replica.Events{Raised: func(_ register.Time, _ time.Duration, asked bool, _ error) {
			if asked {
				waited++
			}
		}})}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- d.Run(ctx) }()
		time.Sleep(time.Hour)
		if n := store.Calls("RaiseCeiling"); n != 0 {
			t.Errorf("an idle node raised its ceiling %d times", n)
		}
		for range 600 {
			b := d.stamp()
			d.prepare("k", b)
			d.accept("k", b)
			time.Sleep(100 * time.Millisecond)
		}
		if waited != 1 {
			t.Errorf("a busy node waited for its ceiling %d times, want only the first time", waited)
		}
		if n := store.Calls("RaiseCeiling"); n < 10 || n > 30 {
			t.Errorf("a minute's work raised the ceiling %d times, want about 20", n)
		}
		n := store.Calls("RaiseCeiling")
		time.Sleep(time.Hour)
		if more := store.Calls("RaiseCeiling") - n; more > 2 {
			t.Errorf("the ceiling was raised %d times in an hour in which nothing happened", more)
		}
		if s := d.Status(); s.Floor > s.Ceiling || s.Clock.Wall().Sub(s.Floor.Wall()) > time.Hour+time.Minute {
			t.Errorf("status %+v", s)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestTheFloorRisesAndPromisesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := driver{t, newReplica(&replicatest.Store{}, replica.Events{})}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go d.Run(ctx)
		b := d.stamp()
		d.prepare("k", b)
		if s := d.Status(); s.Promises != 1 {
			t.Fatalf("status %+v", s)
		}
		for range 2 * int(register.Window/time.Second) {
			d.stamp()
			time.Sleep(time.Second)
		}
		if s := d.Status(); s.Promises != 0 || s.Floor <= b.Time {
			t.Errorf("status %+v, want the floor above %v", s, b)
		}
		if a := d.accept("k", b); a.Reply != register.Refused {
			t.Errorf("an accept below the floor: %+v", a)
		}
	})
}

func TestAWallClockThatIsPutBackStopsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &replicatest.Store{}
		ahead := register.TimeOf(time.Now().Add(30 * 24 * time.Hour))
		if err := store.RaiseCeiling(t.Context(), ahead); err != nil {
			t.Fatal(err)
		}
		d := driver{t, newReplica(store, replica.Events{})}
		b := d.stamp()
		if a := d.prepare("k", b); a.Reply != register.Promised {
			t.Errorf("prepare: %+v", a)
		}
		if a := d.accept("k", b); a.Reply != register.Accepted {
			t.Errorf("accept: %+v", a)
		}
	})
}

func TestWithoutACeilingNothingIsPromised(t *testing.T) {
	broken := errors.New("no room for the ceiling")
	store := &replicatest.Store{Before: func(_ context.Context, c replicatest.Call) error {
		if c.Method == "RaiseCeiling" {
			return broken
		}
		return nil
	}}
	d := driver{t, newReplica(store, replica.Events{})}
	if _, err := d.Stamp(t.Context(), 0); !errors.Is(err, broken) {
		t.Errorf("Stamp: %v", err)
	}
	b := register.Stamp{Time: register.TimeOf(time.Now()), Node: 2}
	if _, err := d.Ask(t.Context(), "k", register.Message{Phase: register.Prepare, Ballot: b, Epoch: 1}); !errors.Is(err, broken) {
		t.Errorf("prepare: %v", err)
	}
	if s := d.Status(); s.Promises != 0 {
		t.Errorf("status %+v", s)
	}
}
