package ring

import (
	"cmp"
	"slices"
)

// An assignment gives every partition so many different nodes, every node its share, and parts with as little of the old as it can.
//
// It is a flow of least cost (Ford and Fulkerson; successive shortest paths: Ahuja, Magnanti and Orlin, 'Network Flows', 1993, section
// 9.7): each partition sends out one unit for each of its places, a unit goes through a zone, where at most apart of the partition may pass,
// to a node, and there into one of the low units that the node must get, or else into the common pool of the units by which shares are
// rounded up. A unit that goes where it went of old is free, any other costs 1. A flow that fills all places exists, for the ideal
// shares are one, in fractions; hence one in whole units exists. Most of it is found by two simple passes; only what they cannot settle
// is left to the search for paths, which makes the result exact: see search.
type assignment struct {
	places int      // of each partition
	apart  int      // the most nodes of one zone in a partition
	old    [][]int  // by partition: nodes that cost nothing
	may    [][]int  // by partition: the nodes that it may have, old among them; nil: any
	id     []NodeID // of each node; ties are broken by number, not by index, so that they fall the same in the next plan
	zone   []int    // of each node
	peers  [][]int  // of each zone: its nodes
	share  []share  // of each node
	pool   int      // how many shares are to be rounded up

	got   [][]int // by partition: nodes
	held  [][]int // by node: partitions; got turned around
	extra int     // how many nodes hold more than low
}

func newAssignment(members []Member, zone []int, shares []share) *assignment {
	a := &assignment{zone: zone, share: shares, peers: make([][]int, 1+slices.Max(zone)), held: make([][]int, len(members))}
	for n, m := range members {
		a.id = append(a.id, m.ID)
		a.peers[zone[n]] = append(a.peers[zone[n]], n)
	}
	return a
}

// solve fills every place. It takes ways of cost 0 while there are any, and only then others: fill's, which all cost 1 and so are
// shortest, and those that search finds.
func (a *assignment) solve() [][]int {
	a.got = make([][]int, len(a.old))
	a.pool = a.places * len(a.old)
	for _, s := range a.share {
		a.pool -= s.low
	}
	a.keep()
	s := newSearch(a)
	for s.augment(true) {
	}
	a.fill()
	for s.augment(false) {
	}
	for _, list := range a.got {
		if len(list) != a.places {
			panic("ring: shares that cannot be assigned")
		}
	}
	return a.got
}

// keep takes over of the old what there is room for. First a partition gives up what is too much for its places or its zones; then each
// node gives up what is too much for its share, most readily from partitions that have given up least: a partition that loses a
// replica must find a new one, and a few nodes with room cannot be the new ones of the same partition twice.
func (a *assignment) keep() {
	for i, list := range a.old {
		for _, n := range list {
			a.give(i, n)
		}
	}
	target := a.targets()
	for i := range a.got {
		for n := a.surplus(i, target); n >= 0; n = a.surplus(i, target) {
			a.take(i, n)
		}
	}
	target = a.targets()
	for n := range target {
		excess := len(a.held[n]) - target[n]
		if excess <= 0 {
			continue
		}
		list := slices.SortedFunc(slices.Values(a.held[n]), func(i, j int) int {
			return cmp.Or(len(a.got[j])-len(a.got[i]), cmp.Compare(a.mix(i, n), a.mix(j, n)))
		})
		for _, i := range list[:excess] {
			a.take(i, n)
		}
	}
}

// surplus is a node that partition i has too much, the one that is furthest above its target; or -1.
func (a *assignment) surplus(i int, target []int) int {
	crowded := slices.ContainsFunc(a.got[i], func(n int) bool { return a.inZone(i, a.zone[n]) > a.apart })
	if !crowded && len(a.got[i]) <= a.places {
		return -1
	}
	worst := -1
	for _, n := range a.got[i] {
		if crowded && a.inZone(i, a.zone[n]) <= a.apart {
			continue
		}
		if worst < 0 || len(a.held[n])-target[n] > len(a.held[worst])-target[worst] {
			worst = n
		}
	}
	return worst
}

// targets rounds the shares to whole numbers: up for those who have more than low already, then for the largest fractions.
func (a *assignment) targets() []int {
	target := make([]int, len(a.share))
	var up []int
	for n, s := range a.share {
		target[n] = s.low
		if s.fraction > 0 {
			up = append(up, n)
		}
	}
	slices.SortFunc(up, func(m, n int) int {
		return cmp.Or(a.over(n)-a.over(m), cmp.Compare(a.share[n].fraction, a.share[m].fraction), cmp.Compare(m, n))
	})
	for _, n := range up[:a.pool] {
		target[n]++
	}
	return target
}

func (a *assignment) over(n int) int {
	if len(a.held[n]) > a.share[n].low {
		return 1
	}
	return 0
}

// fill gives the empty places away, each to the node whose zone, and then who itself, lacks most: what is wanted most often must not be
// left to the end, when too few partitions are left to take it (Gale and Ryser). Ties fall by a hash, so that a node has its
// partitions together with many others rather than always with the same few: if it fails, many take over its load and fill its place.
func (a *assignment) fill() {
	target := a.targets()
	lack := make([]int, len(a.peers)) // of each zone
	for n := range target {
		lack[a.zone[n]] += target[n] - len(a.held[n])
	}
	for i := range a.got {
		for len(a.got[i]) < a.places {
			n := a.neediest(i, target, lack)
			if n < 0 {
				break
			}
			a.give(i, n)
			lack[a.zone[n]]--
		}
	}
}

func (a *assignment) neediest(i int, target, lack []int) int {
	best := -1
	for n := range target {
		if len(a.held[n]) >= target[n] || !a.allows(i, n) || a.inZone(i, a.zone[n]) >= a.apart {
			continue
		}
		if best < 0 || a.needs(n, best, i, target, lack) > 0 {
			best = n
		}
	}
	return best
}

// needs compares how much m and n need a place of partition i: what a zone lacks counts for each of the places that a partition has for it.
func (a *assignment) needs(m, n, i int, target, lack []int) int {
	zm, zn := a.zone[m], a.zone[n]
	return cmp.Or(
		lack[zm]*min(a.apart, len(a.peers[zn]))-lack[zn]*min(a.apart, len(a.peers[zm])),
		(target[m]-len(a.held[m]))-(target[n]-len(a.held[n])),
		cmp.Compare(a.mix(i, m), a.mix(i, n)),
	)
}

// allows tells whether partition i, which may be full, could use n.
func (a *assignment) allows(i, n int) bool {
	return !slices.Contains(a.got[i], n) && (a.may == nil || slices.Contains(a.may[i], n))
}

func (a *assignment) give(i, n int) {
	a.got[i] = append(a.got[i], n)
	a.held[n] = append(a.held[n], i)
	if len(a.held[n]) == a.share[n].low+1 {
		a.extra++
	}
}

func (a *assignment) take(i, n int) {
	if len(a.held[n]) == a.share[n].low+1 {
		a.extra--
	}
	a.got[i] = slices.DeleteFunc(a.got[i], func(m int) bool { return m == n })
	a.held[n] = slices.DeleteFunc(a.held[n], func(j int) bool { return j == i })
}

// inZone is how many nodes of a zone partition i has got.
func (a *assignment) inZone(i, zone int) int {
	count := 0
	for _, n := range a.got[i] {
		if a.zone[n] == zone {
			count++
		}
	}
	return count
}

// mix scatters partition and node (the finalizer of SplitMix64: Steele, Lea and Flood, 2014).
func (a *assignment) mix(i, n int) uint64 {
	x := uint64(i)<<32 | uint64(a.id[n])
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
