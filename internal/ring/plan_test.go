package ring_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/estorajed/estorajed/internal/ring"
)

// cluster makes members out of "name[:weight][@zone][!state]": "a b:2 c@east d!draining". Node a is number 1, b is 2.
func cluster(t *testing.T, text string) []ring.Member {
	t.Helper()
	var members []ring.Member
	for word := range strings.FieldsSeq(text) {
		m := ring.Member{ID: nodes(word[:1])[0], Weight: 1}
		word, state, _ := strings.Cut(word[1:], "!")
		m.State = map[string]ring.State{"": ring.Active, "draining": ring.Draining, "removed": ring.Removed}[state]
		word, m.Zone, _ = strings.Cut(word, "@")
		if word != "" {
			if _, err := fmt.Sscanf(word, ":%d", &m.Weight); err != nil {
				t.Fatalf("%q: %v", text, err)
			}
		}
		members = append(members, m)
	}
	return members
}

func plan(t *testing.T, current *ring.Table, members []ring.Member, replicas int) *ring.Table {
	t.Helper()
	table, err := ring.Plan(current, members, replicas)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func empty(t *testing.T, partitions int) *ring.Table {
	t.Helper()
	table, err := ring.New(partitions)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// held counts each node's replicas, and at how many of them it comes first.
func held(table *ring.Table) (all, first map[ring.NodeID]int) {
	all, first = map[ring.NodeID]int{}, map[ring.NodeID]int{}
	for _, s := range table.Sets {
		first[s.Current[0]]++
		for _, n := range s.Current {
			all[n]++
		}
	}
	return all, first
}

// heading is where a partition is or is going.
func heading(s ring.Set) []ring.NodeID {
	if len(s.Next) > 0 {
		return s.Next
	}
	return s.Current
}

// moved counts the replicas that are to be copied.
func moved(from, to *ring.Table) int {
	count := 0
	for p := range to.Sets {
		for _, n := range to.Sets[p].Current {
			if !slices.Contains(heading(from.Sets[p]), n) {
				count++
			}
		}
	}
	return count
}

func TestShareFollowsWeightAsFarAsCopiesAllow(t *testing.T) {
	for _, tc := range []struct {
		name, members string
		replicas      int
		want          string // replicas of a, b, c, ... among 64 partitions
	}{
		{"one node holds all", "a", 3, "64"},
		{"two nodes hold two copies", "a b", 3, "64 64"},
		{"three nodes hold all", "a b:5 c:9", 3, "64 64 64"},
		{"equal weights", "a b c d", 3, "48 48 48 48"},
		{"one copy by weight", "a b:2 c:5", 1, "8 16 40"},
		{"a node too heavy holds every partition once, the others share the rest", "a:1000 b c d e", 3, "64 32 32 32 32"},
		{"weights that only just fit", "a:2 b c", 2, "64 32 32"},
		{"two too heavy, one only because of the other", "a:1000 b:3 c d", 3, "64 64 32 32"},
		{"weight 0 holds nothing", "a b:0 c", 1, "32 0 32"},
		{"a draining and a removed node hold nothing", "a b!draining c!removed d", 2, "64 0 0 64"},
		{"zones come before weights", "a@x b@y c@z d@z e@z f@z", 3, "64 64 16 16 16 16"},
		{"within a full zone, by weight", "a@x b@y c:3@z d@z", 3, "64 64 48 16"},
		{"more zones than copies leave room for weights", "a@x b@x c@y d@y e@z f@z g@w h@w", 2, "16 16 16 16 16 16 16 16"},
		{"one zone full, the rest by weight", "a:9@x b@y c@z d@w", 2, "64 22 21 21"},
		{"fewer zones than copies: as few as possible in one", "a@x b@x c@x d@y", 3, "43 43 42 64"},
		{"one zone is no zone", "a@x b@x c@x d@x", 3, "48 48 48 48"},
		{"no zone is a zone of its own", "a b c@x d@x", 3, "64 64 32 32"},
		{"the largest weights", "a:1048576 b:1048576 c:1", 1, "32 32 0"},
	} {
		all, _ := held(plan(t, empty(t, 64), cluster(t, tc.members), tc.replicas))
		var got []string
		for i := range len(strings.Fields(tc.members)) {
			got = append(got, fmt.Sprint(all[ring.NodeID(i+1)]))
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%s: %s with %d replicas hold %v, want %v", tc.name, tc.members, tc.replicas, got, tc.want)
		}
	}
}

func TestChangeMovesWhatItMustAndNoMore(t *testing.T) {
	for _, tc := range []struct {
		name, before, after   string
		replicas, replicasNow int
		want                  int // copies among 64 partitions
	}{
		{"nothing changes", "a b c d", "a b c d", 3, 3, 0},
		{"a fourth node takes its share", "a b c", "a b c d", 3, 3, 48},
		{"a drained node's share is spread", "a b c d e", "a b c d e!draining", 3, 3, 38},
		{"a node replaces another", "a b c d", "a b c d!removed e", 3, 3, 48},
		{"twice the weight: from 16 to 25.6, rounded down", "a b c d", "a:2 b c d", 1, 1, 9},
		{"one more copy", "a b c d", "a b c d", 2, 3, 64},
		{"one copy less", "a b c d", "a b c d", 3, 2, 0},
		{"from one node to three", "a", "a b c", 3, 3, 128},
		{"from three nodes to one", "a b c", "a b!removed c!removed", 3, 3, 0},
		{"zones that suit where the copies are", "a b c", "a@x b@y c@z", 3, 3, 0},
		{"a new zone takes a copy of each", "a@x b@x c@x", "a@x b@x c@x d@y", 2, 2, 64},
	} {
		before := plan(t, empty(t, 64), cluster(t, tc.before), tc.replicas)
		after := plan(t, before, cluster(t, tc.after), tc.replicasNow)
		if got := moved(before, after); got != tc.want {
			t.Errorf("%s: from %s to %s, %d replicas are moved, want %d", tc.name, tc.before, tc.after, got, tc.want)
		}
	}
}

func TestNoNodeHasAMirror(t *testing.T) {
	table := plan(t, empty(t, 1024), cluster(t, "a b c d e f g h i j"), 3)
	together := map[[2]ring.NodeID]int{}
	for _, s := range table.Sets {
		for _, m := range s.Current {
			for _, n := range s.Current {
				together[[2]ring.NodeID{m, n}]++
			}
		}
	}
	for m := ring.NodeID(1); m <= 10; m++ {
		for n := m + 1; n <= 10; n++ {
			if got := together[[2]ring.NodeID{m, n}]; got < 34 || got > 136 { // 68 is even
				t.Errorf("%v and %v hold %d partitions together, want about 68", m, n, got)
			}
		}
	}
}

func TestDeadNodesTurnFallsToManyOthers(t *testing.T) {
	table := plan(t, empty(t, 1024), cluster(t, "a b c d e f g h i j"), 3)
	second := map[[2]ring.NodeID]int{}
	for _, s := range table.Sets {
		second[[2]ring.NodeID(s.Current)]++
	}
	for m := ring.NodeID(1); m <= 10; m++ {
		for n := ring.NodeID(1); n <= 10; n++ {
			if got := second[[2]ring.NodeID{m, n}]; m != n && (got < 1 || got > 34) { // 11 is even
				t.Errorf("%v follows %v in %d partitions, want about 11", n, m, got)
			}
		}
	}
}

func TestFirstPlaceStaysWithWhoHadIt(t *testing.T) {
	before := plan(t, empty(t, 1024), cluster(t, "a b c d e f g"), 3)
	after := plan(t, before, cluster(t, "a b c d e f g h"), 3)
	changed, must := 0, 0
	for p, s := range after.Sets {
		if first := before.Sets[p].Current[0]; first != s.Current[0] {
			changed++
			if s.Current[0] == 8 || !s.Holds(first) {
				must++
			}
		}
	}
	if changed > must {
		t.Errorf("%d partitions are led by another node, want only the %d that must be", changed, must)
	}
}

func TestEpochsTellWhatChanged(t *testing.T) {
	first := plan(t, empty(t, 64), cluster(t, "a b c"), 3)
	if first.Epoch != 1 || first.Sets[0].Epoch != 1 {
		t.Errorf("the first table is of epoch %d, its first set of %d, want 1 and 1", first.Epoch, first.Sets[0].Epoch)
	}
	if again := plan(t, first, cluster(t, "a b c"), 3); again != first {
		t.Errorf("a plan that changes nothing is of epoch %d, want the table itself", again.Epoch)
	}
	joined := plan(t, first, cluster(t, "a b c d"), 3)
	for p, s := range joined.Sets {
		want := uint64(1)
		if s.Holds(4) {
			want = 2
		}
		if s.Epoch != want || joined.Epoch != 2 {
			t.Errorf("in the second table, of epoch %d, the set %v of partition %d is of epoch %d, want %d", joined.Epoch, s.Current, p, s.Epoch, want)
		}
	}
}

func TestMovingPartitionIsPlannedFromWhereItGoes(t *testing.T) {
	first := plan(t, empty(t, 64), cluster(t, "a b c"), 3)
	target := plan(t, first, cluster(t, "a b c d"), 3)
	moving := &ring.Table{Epoch: 2, Sets: slices.Clone(first.Sets)}
	for p := range moving.Sets {
		if target.Sets[p].Holds(4) {
			moving.Sets[p].Epoch = 2
			moving.Sets[p].Next = target.Sets[p].Current
		}
	}
	arrived := plan(t, moving, cluster(t, "a b c d"), 3)
	for p, s := range arrived.Sets {
		if len(s.Next) > 0 || !slices.Equal(s.Current, target.Sets[p].Current) {
			t.Errorf("partition %d: %v -> %v is planned to be %v, want the latter", p, moving.Sets[p].Current, moving.Sets[p].Next, s.Current)
		}
	}
	if arrived.Epoch != 3 {
		t.Errorf("the table in which nothing moves any more is of epoch %d, want 3", arrived.Epoch)
	}
}

func TestPlanKeepsItsInputs(t *testing.T) {
	members := cluster(t, "d c@x b!draining a:2@x")
	first := plan(t, empty(t, 64), cluster(t, "a b c"), 3)
	tableCopy, membersCopy := &ring.Table{Epoch: first.Epoch}, slices.Clone(members)
	for _, s := range first.Sets {
		tableCopy.Sets = append(tableCopy.Sets, ring.Set{Epoch: s.Epoch, Current: slices.Clone(s.Current)})
	}
	plan(t, first, members, 2)
	if !reflect.DeepEqual(first, tableCopy) || !reflect.DeepEqual(members, membersCopy) {
		t.Error("Plan has changed what it was given")
	}
}

func TestImpossiblePlanIsRefused(t *testing.T) {
	many := make([]ring.Member, ring.NodesMax+1)
	for i := range many {
		many[i] = ring.Member{ID: ring.NodeID(i + 1), Weight: 1}
	}
	for _, tc := range []struct {
		name     string
		members  []ring.Member
		replicas int
		says     string
	}{
		{"nobody", nil, 3, "no member can hold data"},
		{"nobody who may", cluster(t, "a!draining b!removed c:0"), 3, "no member can hold data"},
		{"no replicas", cluster(t, "a"), 0, "0 replicas"},
		{"eight replicas", cluster(t, "a"), 8, "take 1 to 7"},
		{"one number for two", cluster(t, "a b a!removed"), 3, "node number 1"},
		{"number 0", []ring.Member{{Weight: 1}}, 3, "node number 0"},
		{"a weight over the limit", cluster(t, "a:1048577"), 3, "weight of n1 is 1048577"},
		{"too many members", many, 3, "4097 members"},
	} {
		if _, err := ring.Plan(empty(t, 64), tc.members, tc.replicas); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: Plan fails with %v, want %q", tc.name, err, tc.says)
		}
	}
	if _, err := ring.Plan(&ring.Table{Sets: make([]ring.Set, 3)}, cluster(t, "a"), 3); err == nil {
		t.Error("a table of 3 partitions is planned for")
	}
}

func ExamplePlan() {
	table, _ := ring.New(4)
	members := []ring.Member{{ID: 1, Weight: 1}, {ID: 2, Weight: 1}}
	table, _ = ring.Plan(table, members, 2)
	for p, set := range table.Sets {
		fmt.Println(p, set.Current)
	}
	members = append(members, ring.Member{ID: 3, Weight: 2}) // twice the weight: half of the 8 replicas
	table, _ = ring.Plan(table, members, 2)
	fmt.Println("after a third node came:")
	for p, set := range table.Sets {
		fmt.Println(p, set.Current)
	}
	// Output:
	// 0 [n2 n1]
	// 1 [n1 n2]
	// 2 [n1 n2]
	// 3 [n2 n1]
	// after a third node came:
	// 0 [n3 n1]
	// 1 [n2 n3]
	// 2 [n1 n3]
	// 3 [n3 n2]
}

// Everything is planned anew: the dearest case at the size of a large cluster.
func BenchmarkPlan(b *testing.B) {
	members := make([]ring.Member, 200)
	for i := range members {
		members[i] = ring.Member{ID: ring.NodeID(i + 1), Weight: uint32(1 + i%7), Zone: fmt.Sprint("zone ", i%5)}
	}
	current, err := ring.New(1024)
	if err != nil {
		b.Fatal(err)
	}
	if current, err = ring.Plan(current, members, 3); err != nil {
		b.Fatal(err)
	}
	for i := range members {
		members[i].Weight = uint32(1 + i%11)
	}
	for b.Loop() {
		if _, err := ring.Plan(current, members, 3); err != nil {
			b.Fatal(err)
		}
	}
}
