package ring_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"github.com/estorajed/estorajed/internal/ring"
)

// A world is a cluster with its table, and what the table should be by the definitions alone, none of it taken from the planner.
type world struct {
	rng      *rand.Rand
	members  []ring.Member
	replicas int // asked for
	table    *ring.Table
	nextID   ring.NodeID
	zones    int // how many there are to choose from; 0: none
	heaviest uint32
}

// Each seed is a cluster that lives through changes. One alone: go test -run TestPlanKeepsItsPromises/seed=17, or any number
// at all with SEED=4711 in the environment.
func TestPlanKeepsItsPromises(t *testing.T) {
	seeds := []uint64{}
	for seed := range uint64(50) {
		seeds = append(seeds, seed)
	}
	if text, ok := os.LookupEnv("SEED"); ok {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seeds = []uint64{seed}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			w := newWorld(t, rand.New(rand.NewPCG(seed, 0)))
			for step := range 4 {
				what := w.change(step)
				next, err := ring.Plan(w.table, w.members, w.replicas)
				if err != nil {
					t.Fatal(err)
				}
				if err := w.check(next); err != nil {
					t.Fatalf("step %d, %s: %d members, %d partitions, %d replicas: %v", step, what, len(w.members), len(next.Sets), w.replicas, err)
				}
				w.table = w.halfway(next)
			}
		})
	}
}

func newWorld(t *testing.T, rng *rand.Rand) *world {
	w := &world{
		rng:      rng,
		replicas: pick(rng, 1, 2, 3, 3, 3, 3, 5, 7),
		table:    empty(t, pick(rng, 1, 16, 256, 1024, 1024)),
		zones:    pick(rng, 0, 0, 2, 3, 4, 10),
		heaviest: pick[uint32](rng, 1, 3, 10, 1000, ring.WeightMax),
	}
	for range 1 + rng.IntN(pick(rng, 3, 10, 40, 200)) {
		w.join()
	}
	return w
}

func pick[T any](rng *rand.Rand, choices ...T) T { return choices[rng.IntN(len(choices))] }

func (w *world) join() {
	w.nextID += ring.NodeID(1 + w.rng.IntN(3))
	w.members = append(w.members, ring.Member{ID: w.nextID, Weight: 1 + w.rng.Uint32N(w.heaviest), Zone: w.zone()})
}

// zone is one of the zones, small ones among them, or now and then none.
func (w *world) zone() string {
	if w.zones == 0 || w.rng.IntN(10) == 0 {
		return ""
	}
	return fmt.Sprint("z", w.rng.IntN(1+w.rng.IntN(w.zones)))
}

// change does to the cluster what operators do.
func (w *world) change(step int) string {
	one := &w.members[w.rng.IntN(len(w.members))]
	switch {
	case step == 0:
		return "first table"
	case w.rng.IntN(3) == 0:
		w.join()
		return "join"
	case w.rng.IntN(3) == 0:
		one.State = pick(w.rng, ring.Draining, ring.Removed)
		w.join()
		return fmt.Sprintf("%v leaves and another comes", one.ID)
	case w.rng.IntN(3) == 0:
		one.Weight = 1 + w.rng.Uint32N(w.heaviest)
		return fmt.Sprintf("%v is reweighed", one.ID)
	case w.rng.IntN(3) == 0:
		w.replicas = pick(w.rng, 1, 2, 3, 4, 5)
		return "another number of replicas"
	}
	for i := range w.members {
		if w.rng.IntN(4) == 0 {
			w.members[i].Weight = 1 + w.rng.Uint32N(w.heaviest)
			w.members[i].Zone = w.zone()
		}
	}
	return "new weights and zones"
}

// halfway has carried out some of the moves, is amid some, and has the others still before it.
func (w *world) halfway(target *ring.Table) *ring.Table {
	table := &ring.Table{Epoch: target.Epoch + 1, Sets: slices.Clone(target.Sets)}
	for p, old := range w.table.Sets {
		if len(old.Current) == 0 {
			continue
		}
		switch w.rng.IntN(4) {
		case 0:
			table.Sets[p] = old
		case 1:
			table.Sets[p] = ring.Set{Epoch: table.Epoch, Current: old.Current, Next: target.Sets[p].Current}
		}
	}
	return table
}

func (w *world) check(next *ring.Table) error {
	ideal := newYardstick(w.members, w.replicas, len(next.Sets))
	for _, check := range []func(*ring.Table, *yardstick) error{w.apart, w.balanced, w.ordered, w.fewest, w.repeatable} {
		if err := check(next, ideal); err != nil {
			return err
		}
	}
	return nil
}

// apart: distinct nodes that may hold data, in as many zones as there are.
func (w *world) apart(next *ring.Table, ideal *yardstick) error {
	for p, s := range next.Sets {
		zones, seen := map[string]int{}, map[ring.NodeID]bool{}
		for _, n := range s.Current {
			zone, active := ideal.zone[n]
			zones[zone]++
			if !active || seen[n] || zones[zone] > ideal.apart {
				return fmt.Errorf("partition %d: %v has %v, which is not active, twice there, or too many of one zone (%d may be)", p, s.Current, n, ideal.apart)
			}
			seen[n] = true
		}
		if len(s.Current) != ideal.replicas || len(s.Next) != 0 {
			return fmt.Errorf("partition %d: %v | %v, want %d holders", p, s.Current, s.Next, ideal.replicas)
		}
		if len(ideal.zones) >= ideal.replicas && len(zones) != ideal.replicas {
			return fmt.Errorf("partition %d: %v is in %d zones of %d", p, s.Current, len(zones), len(ideal.zones))
		}
	}
	return nil
}

// balanced: each node within one partition of its ideal share.
func (w *world) balanced(next *ring.Table, ideal *yardstick) error {
	all, _ := held(next)
	for n, share := range ideal.share {
		if low, up := ideal.rounded(n); all[n] != low && (all[n] != low+1 || !up) {
			return fmt.Errorf("%v holds %d replicas, want %.3f", n, all[n], share)
		}
	}
	return nil
}

// ordered: each node comes first in its even part of what it holds.
func (w *world) ordered(next *ring.Table, ideal *yardstick) error {
	all, first := held(next)
	for n := range all {
		if low := all[n] / ideal.replicas; first[n] != low && (first[n] != low+1 || all[n]%ideal.replicas == 0) {
			return fmt.Errorf("%v comes first in %d partitions of %d, with %d replicas", n, first[n], all[n], ideal.replicas)
		}
	}
	return nil
}

func (w *world) fewest(next *ring.Table, ideal *yardstick) error {
	if got, bound := moved(w.table, next), ideal.mustMove(w.table); got < bound {
		return fmt.Errorf("%d replicas are moved, fewer than the %d that must be: the bound is wrong", got, bound)
	}
	if ideal.wasteful(w.table, next) {
		return fmt.Errorf("%d replicas are moved, and fewer would do", moved(w.table, next))
	}
	return nil
}

// repeatable: the same for members in any order, and nothing to do once it is reached; a table that can be written down.
func (w *world) repeatable(next *ring.Table, _ *yardstick) error {
	members := slices.Clone(w.members)
	w.rng.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	if twin, err := ring.Plan(w.table, members, w.replicas); err != nil || !reflect.DeepEqual(twin, next) {
		return fmt.Errorf("members in another order give another table, %v", err)
	}
	if again, err := ring.Plan(next, members, w.replicas); err != nil || again != next {
		return fmt.Errorf("planned again, %d replicas are moved, %v", moved(next, again), err)
	}
	b, err := next.Encode()
	if err != nil {
		return err
	}
	if read, err := ring.Decode(b); err != nil || !reflect.DeepEqual(read, next) {
		return fmt.Errorf("the table is read back as another, %v", err)
	}
	return nil
}
