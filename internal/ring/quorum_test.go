package ring_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/estorajed/estorajed/internal/ring"
)

// nodes makes a list of nodes from letters: a is 1, b is 2 and so on.
func nodes(letters string) []ring.NodeID {
	var list []ring.NodeID
	for _, c := range letters {
		list = append(list, ring.NodeID(c-'a'+1))
	}
	return list
}

func TestVerdict(t *testing.T) {
	for _, tc := range []struct {
		name, current, next, acks, refusals string
		want                                ring.Verdict
	}{
		{"one of one decides", "a", "", "a", "", ring.Won},
		{"one refusal of one decides", "a", "", "", "a", ring.Lost},
		{"one of two is not enough", "ab", "", "a", "", ring.Open},
		{"two nodes need both", "ab", "", "a", "b", ring.Lost},
		{"two of three decide", "abc", "", "ab", "", ring.Won},
		{"one refusal of three decides nothing", "abc", "", "a", "c", ring.Open},
		{"two refusals of three decide", "abc", "", "a", "bc", ring.Lost},
		{"half of four is not enough", "abcd", "", "ab", "", ring.Open},
		{"half of four refusing decides", "abcd", "", "", "ab", ring.Lost},
		{"strangers have no vote", "abc", "", "axyz", "pq", ring.Open},
		{"four of seven decide", "abcdefg", "", "defg", "abc", ring.Won},
		{"one majority is not enough while moving", "abc", "cde", "abc", "", ring.Open},
		{"the other majority is not enough either", "abc", "cde", "cde", "", ring.Open},
		{"a node in both sets counts twice", "abc", "cde", "bcd", "", ring.Won},
		{"its refusal counts twice too", "abc", "bcd", "", "bc", ring.Lost},
		{"one set refusing decides", "abc", "cde", "abc", "de", ring.Lost},
		{"sets with no node in common", "abc", "def", "abde", "", ring.Won},
		{"seven to seven others", "abcdefg", "hijklmn", "abcdhijk", "", ring.Won},
		{"seven to seven others, one short", "abcdefg", "hijklmn", "abcdhij", "lmn", ring.Open},
		{"nobody holds it", "", "", "", "", ring.Lost},
	} {
		votes := ring.Set{Current: nodes(tc.current), Next: nodes(tc.next)}.Votes()
		for _, n := range nodes(tc.acks) {
			votes.Ack(n)
		}
		for _, n := range nodes(tc.refusals) {
			votes.Refuse(n)
		}
		if got := votes.Verdict(); got != tc.want {
			t.Errorf("%s: %s|%s with acks %q and refusals %q is %v, want %v", tc.name, tc.current, tc.next, tc.acks, tc.refusals, got, tc.want)
		}
	}
}

func TestFirstAnswerOfANodeStays(t *testing.T) {
	votes := ring.Set{Current: nodes("ab"), Next: nodes("bc")}.Votes()
	votes.Ack(1)
	votes.Ack(2)
	votes.Refuse(2)
	votes.Refuse(3)
	votes.Ack(3)
	if got := votes.Verdict(); got != ring.Lost {
		t.Errorf("after c refused the verdict is %v, want lost", got)
	}
}

// Every pair of sets of up to four nodes, and every way in which their members may have answered, against the definition.
func TestVerdictIsAMajorityOfEachSetAndFinal(t *testing.T) {
	lists := []string{"a", "ab", "abc", "abcd", "bcd", "cde", "de", "c", "e"}
	for _, current := range lists {
		for _, next := range append(lists, "") {
			set := ring.Set{Current: nodes(current), Next: nodes(next)}
			members := slices.Collect(set.Members())
			every := 1
			for range members {
				every *= 3
			}
			for answers := range every {
				checkVerdict(t, set, members, answers)
			}
		}
	}
}

// checkVerdict reads the members' answers as digits to the base of 3: none, ack, refusal.
func checkVerdict(t *testing.T, set ring.Set, members []ring.NodeID, answers int) {
	t.Helper()
	votes := set.Votes()
	acks, refusals := map[ring.NodeID]bool{}, map[ring.NodeID]bool{}
	for _, n := range members {
		before := votes.Verdict()
		switch answers % 3 {
		case 1:
			votes.Ack(n)
			acks[n] = true
		case 2:
			votes.Refuse(n)
			refusals[n] = true
		}
		answers /= 3
		if before != ring.Open && votes.Verdict() != before {
			t.Fatalf("%v: a verdict turned from %v into %v", set, before, votes.Verdict())
		}
	}
	want := ring.Won
	for _, list := range [][]ring.NodeID{set.Current, set.Next} {
		yes, no := 0, 0
		for _, n := range list {
			if acks[n] {
				yes++
			}
			if refusals[n] {
				no++
			}
		}
		if len(list) == 0 {
			continue
		}
		if len(list)-no < len(list)/2+1 {
			want = ring.Lost
		}
		if yes < len(list)/2+1 && want != ring.Lost {
			want = ring.Open
		}
	}
	if got := votes.Verdict(); got != want {
		t.Fatalf("%v with acks %v and refusals %v is %v, want %v", set, acks, refusals, got, want)
	}
}

func TestMembersComeOnceInPreferenceOrder(t *testing.T) {
	set := ring.Set{Current: nodes("cab"), Next: nodes("dbce")}
	if got := slices.Collect(set.Members()); !slices.Equal(got, nodes("cabde")) {
		t.Errorf("Members() = %v, want %v", got, nodes("cabde"))
	}
	for n := range set.Members() {
		if !set.Holds(n) {
			t.Errorf("%v is a member that holds nothing", n)
		}
	}
	if set.Holds(6) {
		t.Error("a stranger holds the partition")
	}
}

func TestVotingAllocatesNothing(t *testing.T) {
	for replicas := 1; replicas <= ring.ReplicasMax; replicas++ {
		set := ring.Set{Current: nodes("abcdefg"[:replicas]), Next: nodes("bcdefgh"[:replicas])}
		allocs := testing.AllocsPerRun(100, func() {
			votes := set.Votes()
			for n := range set.Members() {
				votes.Ack(n)
			}
			if votes.Verdict() != ring.Won {
				t.Fatal("all said yes, and it is not won")
			}
		})
		if allocs != 0 {
			t.Errorf("a vote among %d replicas allocates %v times, want 0", replicas, allocs)
		}
	}
}

func TestPartitionIsTheTopBits(t *testing.T) {
	for _, tc := range []struct {
		hash       uint64
		partitions int
		want       int
	}{
		{1<<64 - 1, 1, 0},
		{0, 1024, 0},
		{1<<54 - 1, 1024, 0},
		{1 << 54, 1024, 1},
		{1<<64 - 1, 1024, 1023},
		{0x8000000000000000, 2, 1},
		{0x7fffffffffffffff, 2, 0},
		{0xabcd << 48, 1 << 14, 0xabcd >> 2},
	} {
		if got := ring.Partition(tc.hash, tc.partitions); got != tc.want {
			t.Errorf("Partition(%#x, %d) = %d, want %d", tc.hash, tc.partitions, got, tc.want)
		}
	}
}

func TestNewTableTakesAPowerOfTwoOnly(t *testing.T) {
	for q, ok := range map[int]bool{-4: false, 0: false, 1: true, 2: true, 3: false, 1000: false, 1024: true, 16384: true, 32768: false} {
		table, err := ring.New(q)
		if (err == nil) != ok || ok && len(table.Sets) != q {
			t.Errorf("New(%d) fails with %v, want ok %v", q, err, ok)
		}
	}
}

func ExampleSet_Votes() {
	set := ring.Set{Current: []ring.NodeID{1, 2, 3}, Next: []ring.NodeID{1, 2, 4}} // node 4 is taking over from node 3
	votes := set.Votes()
	votes.Ack(1)
	votes.Ack(3)
	fmt.Println(votes.Verdict()) // a majority of 1, 2, 3 but not of 1, 2, 4
	votes.Ack(2)
	fmt.Println(votes.Verdict())
	// Output:
	// open
	// won
}
