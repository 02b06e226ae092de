package ring

import "slices"

// A search looks for the cheapest way to fill one more place of any partition, moving on what stands in the way: the shortest path
// in the residual network of the assignment. Its steps are
//
//	partition -> node      gives the partition a place at the node              0 if the node is of old, else 1
//	node -> slot           takes a place from it: the slot is that of a partition   -1 if it is not of old, else 0
//	slot -> node           gives the place to another node of the same zone     as partition -> node
//	slot -> partition      the place may go to any zone                         0
//	node -> pool -> node   rounds up the one's share instead of the other's     0
//
// from a partition with an empty place to a node with a low unit left, or to the pool while not all shares to be rounded up are.
// Where each path so used is a shortest one, the flow stays the cheapest of its size (Ahuja, Magnanti and Orlin, section 9.7), and no cycle is
// negative, so the search below, Bellman and Ford's with a queue, ends.
type search struct {
	*assignment
	free bool // take steps of cost 0 only

	cost   []int // of the best way to each vertex; unreachable if none is known
	from   []int // the vertex before it on that way
	queue  []int // of vertices whose way has become better
	queued []bool
}

const unreachable = 1 << 30

// Vertices are numbered: partitions, then nodes, then slots (places for each partition), then the pool.
func (s *search) node(n int) int    { return len(s.got) + n }
func (s *search) slot(i, k int) int { return len(s.got) + len(s.count) + i*s.places + k }
func (s *search) poolAt() int       { return s.slot(len(s.got), 0) }

// augment fills one more place by the cheapest way; free: only if that costs nothing. It tells whether there was one.
var searches int

func (a *assignment) augment(free bool) bool {
	searches++
	s := &search{assignment: a, free: free}
	size := s.poolAt() + 1
	s.cost, s.from, s.queued = make([]int, size), make([]int, size), make([]bool, size)
	for v := range s.cost {
		s.cost[v], s.from[v] = unreachable, -1
	}
	for i, list := range a.got {
		if len(list) < a.places {
			s.reach(i, -1, 0)
		}
	}
	for len(s.queue) > 0 {
		v := s.queue[0]
		s.queue = s.queue[1:]
		s.queued[v] = false
		s.leave(v)
	}
	end := s.end()
	if end < 0 {
		return false
	}
	s.apply(end)
	return true
}

func (s *search) reach(v, from, cost int) {
	if cost >= s.cost[v] {
		return
	}
	s.cost[v], s.from[v] = cost, from
	if !s.queued[v] {
		s.queued[v] = true
		s.queue = append(s.queue, v)
	}
}

// leave takes every step from v.
func (s *search) leave(v int) {
	nodes, slots, pool := s.node(0), s.slot(0, 0), s.poolAt()
	if v < nodes {
		for _, n := range s.may(v) {
			if s.inZone(v, s.zone[n]) < s.apart {
				s.offer(v, v, n)
			}
		}
		return
	}
	if v < slots {
		s.leaveNode(v, v-nodes)
		return
	}
	if v < pool {
		i := (v - slots) / s.places
		s.reach(i, v, s.cost[v])
		for _, n := range s.peers[s.zone[s.got[i][(v-slots)%s.places]]] {
			s.offer(v, i, n)
		}
		return
	}
	for n := range s.count {
		if s.count[n] > s.share[n].low {
			s.reach(s.node(n), v, s.cost[v])
		}
	}
}

// offer gives partition i a place at node n, on the way through v.
func (s *search) offer(v, i, n int) {
	price := s.price(i, n)
	if price > 0 && s.free || slices.Contains(s.got[i], n) {
		return
	}
	s.reach(s.node(n), v, s.cost[v]+price)
}

func (s *search) leaveNode(v, n int) {
	if s.count[n] < s.share[n].low {
		return // a way may end here; to go on could not make it cheaper
	}
	if s.count[n] == s.share[n].low && s.share[n].fraction > 0 {
		s.reach(s.poolAt(), v, s.cost[v])
	}
	for i, list := range s.got {
		if k := slices.Index(list, n); k >= 0 {
			s.reach(s.slot(i, k), v, s.cost[v]-s.price(i, n))
		}
	}
}

func (s *search) price(i, n int) int {
	if slices.Contains(s.old[i], n) {
		return 0
	}
	return 1
}

// end is the vertex at which the cheapest way ends, or -1.
func (s *search) end() int {
	end := -1
	best := unreachable
	for n := range s.count {
		if v := s.node(n); s.count[n] < s.share[n].low && s.cost[v] < best {
			end, best = v, s.cost[v]
		}
	}
	if v := s.poolAt(); s.extra < s.pool && s.cost[v] < best {
		end = v
	}
	return end
}

// apply goes the way back from its end and does what its steps say: first all that is taken, for slots are known by their place.
func (s *search) apply(end int) {
	type place struct{ partition, node int }
	var given, taken []place
	nodes, slots, pool := s.node(0), s.slot(0, 0), s.poolAt()
	isNode := func(v int) bool { return nodes <= v && v < slots }
	isSlot := func(v int) bool { return slots <= v && v < pool }
	for v := end; s.from[v] >= 0; v = s.from[v] {
		from := s.from[v]
		if isNode(v) && from < nodes {
			given = append(given, place{from, v - nodes})
		}
		if isNode(v) && isSlot(from) {
			given = append(given, place{(from - slots) / s.places, v - nodes})
		}
		if isSlot(v) {
			taken = append(taken, place{(v - slots) / s.places, from - nodes})
		}
	}
	for _, p := range taken {
		s.take(p.partition, p.node)
	}
	for _, p := range given {
		s.give(p.partition, p.node)
	}
}
