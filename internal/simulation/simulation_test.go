package simulation

import (
	"cmp"
	"flag"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	simSeed    = flag.Uint64("seed", 0, "replay one run of TestSimulation")
	simBase    = flag.Uint64("base", 0, "the first seed of TestSimulation; 0: of the clock")
	simSeconds = flag.Int("seconds", defaultSeconds, "how long TestSimulation looks for a failure")
	simSeeds   = flag.Uint64("seeds", 1<<62, "how many seeds TestSimulation looks at, at most")
	simProfile = flag.String("profile", "", "the profile of all runs; none: each seed draws its own")
)

// TestSimulation: whatever goes wrong, each key behaves as if there were one copy, and nobody is told what is not so.
func TestSimulation(t *testing.T) {
	if *simSeed != 0 {
		replay(t, *simSeed)
		return
	}
	base := cmp.Or(*simBase, uint64(time.Now().UnixNano())%1_000_000_000_000)
	total, failed := search(base, time.Now().Add(time.Duration(*simSeconds)*time.Second))
	t.Logf("from seed %d, profile %q\n%v", base, *simProfile, total)
	if failed != 0 {
		replay(t, failed)
		t.Fatalf("after %d seeds seed %d fails; replay with: make simulate SEED=%d%s", failed-base+1, failed, failed, profileArgument())
	}
	if *simProfile == "" && total.Seeds > 2000 {
		for f, n := range total.faults {
			if n == 0 {
				t.Errorf("the runs did not do enough to prove anything: no %v", fault(f))
			}
		}
	}
}

func profileArgument() string {
	if *simProfile == "" {
		return ""
	}
	return " PROFILE='" + *simProfile + "'"
}

// search runs seed after seed on all processors until the deadline, or one fails; that one is returned.
func search(base uint64, deadline time.Time) (*Counts, uint64) {
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // runs are short, and leave much behind
	var (
		mu     sync.Mutex // guards total and failed
		total  = &Counts{}
		failed uint64
		next   atomic.Uint64
		stop   atomic.Bool
		wg     sync.WaitGroup
	)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for !stop.Load() && time.Now().Before(deadline) {
				n := next.Add(1) - 1
				if n >= *simSeeds {
					return
				}
				w := newWorld(base+n, *simProfile)
				w.run()
				mu.Lock()
				total.Add(&w.counts)
				if w.broken != "" && (failed == 0 || base+n < failed) {
					failed = base + n
				}
				mu.Unlock()
				if w.broken != "" {
					stop.Store(true)
				}
			}
		})
	}
	wg.Wait()
	return total, failed
}

// replay runs one seed with a trace.
func replay(t *testing.T, seed uint64) {
	w := newWorld(seed, *simProfile)
	w.tracing = true
	w.run()
	t.Log(w.describe())
	const shown = 400
	if *simSeed != 0 {
		t.Log("\n" + strings.Join(w.trace, "\n"))
	} else {
		t.Log("the last of its trace:\n" + strings.Join(w.trace[max(0, len(w.trace)-shown):], "\n"))
	}
	t.Log("\n" + w.counts.String())
	if w.broken == "" {
		return
	}
	t.Errorf("seed %d: %s", seed, w.broken)
	files, err := w.draw(os.TempDir())
	if err != nil {
		t.Errorf("no picture: %v", err)
	}
	t.Logf("porcupine's pictures: %s", strings.Join(files, " "))
}

// TestASeedNamesARun: or replaying would be of no use.
func TestASeedNamesARun(t *testing.T) {
	for seed := range uint64(2 * len(profiles)) {
		var traces [2][]string
		for i := range traces {
			w := newWorld(seed+1, "")
			w.tracing = true
			w.run()
			traces[i] = w.trace
		}
		if !slices.Equal(traces[0], traces[1]) {
			t.Errorf("seed %d: two runs differ", seed+1)
		}
	}
}
