package ring

// A share is how many replicas a node should hold: low and a fraction. It may be rounded down, and up unless the fraction is 0.
type share struct {
	low      int
	fraction uint64 // in units of 2^-20, rounded up
}

func newShare(n, d uint64) share {
	return share{low: int(n / d), fraction: (n%d<<20 + d - 1) / d}
}

// idealShares divides replicas times partitions among the nodes by weight, as far as rule 1 of Plan allows, and says how many
// replicas of a partition one zone may hold.
//
// It is the picture of water in vessels: a node is a vessel as wide as its weight, all stand in the same water, and the level
// is what a unit of weight gets. A node is closed once it holds every partition, a zone once it holds what a zone may; the water that
// they do not take raises the level for the others. (Max-min fairness; Bertsekas and Gallager, 'Data Networks', 1992, section 6.5.2.)
// All numbers are exact fractions: every machine must find the same shares.
func idealShares(members []Member, zone []int, replicas, partitions int) (apart int, shares []share) {
	zones := make([][]uint64, len(members)) // weights; there are as many zones as nodes at most
	for n, m := range members {
		zones[zone[n]] = append(zones[zone[n]], uint64(m.Weight))
	}
	w := water{node: uint64(partitions), zone: uint64(partitions)}
	for apart = 1; room(zones, apart) < replicas; apart++ {
		w.zone += uint64(partitions)
	}
	common := w.level(zones, uint64(replicas*partitions))
	levels := make([]level, len(zones))
	for z, weights := range zones {
		levels[z] = common
		if w.full(weights, common) {
			inside := water{node: w.node, zone: w.zone + 1} // one that the poured water does not fill
			levels[z] = inside.level([][]uint64{weights}, w.zone)
		}
	}
	for n, m := range members {
		l := levels[zone[n]]
		held := min(l.water*uint64(m.Weight), w.node*l.width)
		shares = append(shares, newShare(held, l.width))
	}
	return apart, shares
}

// room is how many replicas of one partition find a place if a zone takes no more than apart of them.
func room(zones [][]uint64, apart int) int {
	sum := 0
	for _, weights := range zones {
		sum += min(apart, len(weights))
	}
	return sum
}

// water knows how much a node and a zone can take.
type water struct {
	node, zone uint64
}

// A level is how much a unit of weight gets: a fraction.
type level struct {
	water, width uint64 // at most 2^17 and 2^32
}

// level finds how high the water stands once total has been poured. Whoever is full at a level is full at any higher one, so the
// search only ever closes vessels, and ends.
func (w water) level(zones [][]uint64, total uint64) level {
	l := level{0, 1}
	for {
		next := level{total, 0}
		for _, weights := range zones {
			if w.full(weights, l) {
				next.water -= w.zone
				continue
			}
			for _, weight := range weights {
				if l.water*weight >= w.node*l.width {
					next.water -= w.node
					continue
				}
				next.width += weight
			}
		}
		if next.width == 0 || next.water*l.width == l.water*next.width { // all are full to the drop, or it stands still
			return l
		}
		l = next
	}
}

// full tells whether a zone can take no more at level l.
func (w water) full(weights []uint64, l level) bool {
	sum := uint64(0)
	for _, weight := range weights {
		sum += min(l.water*weight, w.node*l.width)
	}
	return sum >= w.zone*l.width
}

// evenShares gives each node its part of the next place in the preference order: what it still has, divided by the places left.
func evenShares(left [][]int, nodes, places int) []share {
	held := make([]int, nodes)
	for _, list := range left {
		for _, n := range list {
			held[n]++
		}
	}
	shares := make([]share, nodes)
	for n := range shares {
		shares[n] = newShare(uint64(held[n]), uint64(places))
	}
	return shares
}
