package ring

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// WeightMax is the largest weight of a member.
const WeightMax = 1 << 20

// State is where a member stands between joining and leaving.
type State uint8

// Only an active member holds data. A draining one gives its partitions away; a removed one is gone, and so is what it held.
const (
	Active State = iota
	Draining
	Removed
)

func (s State) String() string {
	return [...]string{"active", "draining", "removed"}[s]
}

// A Member is a node as the planner sees it.
type Member struct {
	ID     NodeID
	Weight uint32 // its share relative to the others', up to WeightMax; 0 holds nothing
	Zone   string // nodes of one zone may fail together; "" is a zone of its own for each node
	State  State
}

// Plan makes the table that members should have, with so many replicas of each partition, or as many as there are members to hold
// them. It is deterministic, whatever the order of members. What it promises, first things first:
//
//  1. No node holds a partition twice, and no zone has more replicas of a partition than it must: one while there are as many zones
//     as replicas, otherwise the smallest number with which all replicas find a place.
//  2. Each node's number of replicas is its ideal share, rounded down or up. The ideal share is by weight as far as rule 1 allows:
//     a node too heavy for the ring holds every partition once, a zone too heavy holds what a zone may and divides that among its
//     nodes by weight, and the others divide the rest by weight.
//  3. As few replicas are moved as rules 1 and 2 allow. Moved is a replica whose node did not hold the partition before.
//  4. Of what a node holds, it comes first in the preference order for one in replicas, rounded down or up. The further places are
//     dealt out in the same way. Whoever stood at a place keeps it as far as that goes.
//
// Zones come before weights because copies that die together are one copy. Where that is too dear, give zones like weights.
//
// The result is where to arrive, with no partition moving; the way there may take many tables. It is reckoned from where current's
// partitions are or, if they move, where they are going. If nothing is to change it is current itself. Otherwise it is of the next
// epoch, and so are those of its sets that differ in more than order; parts are shared with current.
func Plan(current *Table, members []Member, replicas int) (*Table, error) {
	if err := current.checkSize(); err != nil {
		return nil, err
	}
	active, err := holders(members)
	if err != nil {
		return nil, err
	}
	if replicas < 1 || replicas > ReplicasMax {
		return nil, fmt.Errorf("%d replicas of a partition are not possible: take 1 to %d", replicas, ReplicasMax)
	}
	p := newPlanner(current, active, min(replicas, len(active)))
	p.place()
	p.order()
	return p.table(current), nil
}

// holders are the members that can hold data, by number.
func holders(members []Member) ([]Member, error) {
	members = slices.SortedFunc(slices.Values(members), func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	for i, m := range members {
		if m.ID == 0 || i > 0 && m.ID == members[i-1].ID {
			return nil, fmt.Errorf("members: node number %d stands for no node, or for two", m.ID)
		}
		if m.Weight > WeightMax {
			return nil, fmt.Errorf("weight of %v is %d; at most %d is allowed", m.ID, m.Weight, WeightMax)
		}
	}
	members = slices.DeleteFunc(members, func(m Member) bool { return m.State != Active || m.Weight == 0 })
	if len(members) == 0 {
		return nil, errors.New("no member can hold data: each is draining, removed, or of weight 0")
	}
	if len(members) > NodesMax {
		return nil, fmt.Errorf("%d members are to hold data; at most %d are allowed", len(members), NodesMax)
	}
	return members, nil
}

// A planner carries a plan from placing to ordering. Nodes are known by their index among the active members, so that a list
// of nodes is a list of small numbers.
type planner struct {
	members  []Member
	replicas int
	zone     []int   // of each node: the index of its zone
	before   [][]int // by partition: who holds it now and still may, in preference order
	after    [][]int // by partition: who is to hold it
}

func newPlanner(current *Table, active []Member, replicas int) *planner {
	p := &planner{members: active, replicas: replicas, zone: make([]int, len(active))}
	index := make(map[NodeID]int, len(active))
	zones := map[string]int{}
	count := 0
	for n, m := range active {
		index[m.ID] = n
		z, known := zones[m.Zone]
		if !known || m.Zone == "" {
			z = count
			count++
			zones[m.Zone] = z
		}
		p.zone[n] = z
	}
	p.before = make([][]int, len(current.Sets))
	for i, s := range current.Sets {
		for _, id := range s.heading() {
			if n, ok := index[id]; ok {
				p.before[i] = append(p.before[i], n)
			}
		}
	}
	return p
}

// heading is where the partition is or, if it moves, where it is going.
func (s Set) heading() []NodeID {
	if len(s.Next) > 0 {
		return s.Next
	}
	return s.Current
}

// place finds the holders of every partition.
func (p *planner) place() {
	apart, shares := idealShares(p.members, p.zone, p.replicas, len(p.before))
	a := newAssignment(p.members, p.zone, shares)
	a.places, a.apart, a.old = p.replicas, apart, p.before
	p.after = a.solve()
}

// order puts each partition's holders into preference order, place after place: each place is an assignment of its own, of one
// node to each partition, where a node may get as many as its even share of the places that it has not yet got.
func (p *planner) order() {
	apart := make([]int, len(p.members)) // no two nodes share a zone here
	for n := range apart {
		apart[n] = n
	}
	left := p.after
	ordered := make([][]int, len(left))
	for places := p.replicas; places > 0; places-- {
		a := newAssignment(p.members, apart, evenShares(left, len(p.members), places))
		a.places, a.apart = 1, 1
		a.may = left
		a.old = make([][]int, len(left))
		for i := range left {
			a.old[i] = firstOf(p.before[i], left[i])
		}
		for i, chosen := range a.solve() {
			ordered[i] = append(ordered[i], chosen[0])
			left[i] = slices.DeleteFunc(left[i], func(n int) bool { return n == chosen[0] })
		}
	}
	p.after = ordered
}

// firstOf is the first of order that is in list, as a list of one or none.
func firstOf(order, list []int) []int {
	for i, n := range order {
		if slices.Contains(list, n) {
			return order[i : i+1 : i+1]
		}
	}
	return nil
}

// table writes down what was planned.
func (p *planner) table(current *Table) *Table {
	next := &Table{Epoch: current.Epoch + 1, Sets: make([]Set, len(p.after))}
	changed := false
	for i, list := range p.after {
		s := Set{Epoch: next.Epoch, Current: make([]NodeID, len(list))}
		for place, n := range list {
			s.Current[place] = p.members[n].ID
		}
		old := current.Sets[i]
		if len(old.Next) == 0 && slices.Equal(slices.Sorted(slices.Values(old.Current)), slices.Sorted(slices.Values(s.Current))) {
			s.Epoch = old.Epoch
		}
		if len(old.Next) == 0 && slices.Equal(old.Current, s.Current) {
			s.Current = old.Current
		} else {
			changed = true
		}
		next.Sets[i] = s
	}
	if !changed {
		return current
	}
	return next
}
