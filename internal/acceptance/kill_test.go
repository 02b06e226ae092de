package acceptance

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"
)

const (
	kills        = 10
	crowdClients = 16
	crowdKeys    = 25                     // of each client
	loadPatience = 60 * time.Second       // for the load between two kills; it takes about a second
	startingUp   = 100 * time.Millisecond // within which a daemon may die while it recovers
)

func TestKilledUnderLoadNothingAcknowledgedIsLost(t *testing.T) {
	seed := newSeed(t)
	rng := rand.New(rand.NewPCG(seed, seed))
	s := newSubject(t, t.TempDir())
	s.start()
	crowd := newCrowd(newClient(s.Daemon, crowdClients), crowdClients, crowdKeys, seed)

	for kill := range kills {
		underLoad(t, crowd, 500+rng.Int64N(4000), s.Kill)
		if kill%3 == 2 { // now and then it dies again while it recovers
			if err := s.Launch(); err != nil {
				t.Fatal(err)
			}
			<-time.After(time.Duration(rng.Int64N(int64(startingUp)))) // not waiting for anything: the moment of the fault
			s.Kill()
		}
		s.start()
		if err := crowd.audit(t.Context()); err != nil {
			t.Fatalf("after kill %d: %v", kill+1, err)
		}
	}
	s.stop()
	s.start()
	if err := crowd.audit(t.Context()); err != nil {
		t.Fatalf("after a clean stop: %v", err)
	}
	for op := range crowd.acks {
		if op != opIfStale && crowd.acks[op].Load() == 0 { // that is always refused, and so counts as nothing
			t.Errorf("no operation of kind %d was acknowledged: the test proves nothing about them", op)
		}
	}
	t.Logf("%d operations acknowledged, %d kills", crowd.total(), kills)
}

// underLoad lets the crowd work until it has so many more acknowledgements, then strikes while it works on, and returns
// when all clients have noticed.
func underLoad(t testing.TB, crowd *crowd, acks int64, strike func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), loadPatience)
	defer cancel()
	done := make(chan error, 1)
	target := crowd.total() + acks
	go func() { done <- crowd.run(ctx) }()
	err := Await(ctx, func() error {
		if n := crowd.total(); n < target && len(done) == 0 {
			return context.DeadlineExceeded
		}
		return nil
	})
	strike()
	cancel()
	if broken := <-done; broken != nil {
		t.Fatal(broken)
	}
	if err != nil {
		t.Fatalf("%d of %d operations acknowledged within %v: %v", crowd.total()-target+acks, acks, loadPatience, crowd.stopped())
	}
}
