package ring

import "slices"

// A search looks for the cheapest way to fill one more place of any partition, moving on what stands in the way: the shortest path
// in the residual network of the assignment. Its steps are
//
//	partition -> node     gives the partition a place at the node         0 if the node is of old, else 1
//	node -> slot          takes a place from it, out of a partition       0 if the node is of old, else -1
//	slot -> node          gives that place to another node of the zone    as partition -> node
//	slot -> partition     lets that place go to any zone                  0
//	node -> pool -> node  rounds up the one's share, not the other's      0
//
// from a partition with an empty place to a node with a low unit left, or to the pool while not all that may be rounded up are. If each
// path taken is a shortest one the flow stays the cheapest of its size (Ahuja, Magnanti and Orlin, section 9.7); then no cycle is
// negative, and the search, Bellman and Ford's with a queue, ends.
type search struct {
	*assignment
	free bool // take no step that costs

	cost   []int // by vertex: of the best way known to it, or unreachable
	from   []int // by vertex: the one before it on that way, or -1
	queue  []int // vertices to which a better way was found
	queued []bool

	worst   []int // by zone: no node of it has a higher cost
	highest int   // no zone has a worse one
}

const unreachable = 1 << 30

func newSearch(a *assignment) *search {
	s := &search{assignment: a, worst: make([]int, len(a.peers))}
	size := s.pooled() + 1
	s.cost, s.from, s.queued = make([]int, size), make([]int, size), make([]bool, size)
	return s
}

// Vertices are numbered: partitions, then nodes, then slots (places for each partition), then the pool.
func (s *search) node(n int) int    { return len(s.got) + n }
func (s *search) slot(i, k int) int { return len(s.got) + len(s.held) + i*s.places + k }
func (s *search) pooled() int       { return s.slot(len(s.got), 0) }

// augment fills one more place by the cheapest way; free: only if that costs nothing. It tells whether there was one.
func (s *search) augment(free bool) bool {
	s.free = free
	for v := range s.cost {
		s.cost[v], s.from[v] = unreachable, -1
	}
	for z := range s.worst {
		s.worst[z] = unreachable
	}
	s.highest = unreachable
	for i, list := range s.got {
		if len(list) < s.places {
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
	nodes, slots, pool := s.node(0), s.slot(0, 0), s.pooled()
	if v < nodes {
		s.leavePartition(v)
		return
	}
	if v < slots {
		s.leaveNode(v, v-nodes)
		return
	}
	if v < pool {
		s.leaveSlot(v, (v-slots)/s.places, (v-slots)%s.places)
		return
	}
	for n := range s.held {
		if len(s.held[n]) > s.share[n].low {
			s.reach(s.node(n), v, s.cost[v])
		}
	}
}

func (s *search) leavePartition(i int) {
	for _, n := range s.old[i] {
		if s.inZone(i, s.zone[n]) < s.apart && !slices.Contains(s.got[i], n) {
			s.reach(s.node(n), i, s.cost[i])
		}
	}
	if s.free || s.highest <= s.cost[i]+1 {
		return
	}
	if s.may != nil {
		for _, n := range s.may[i] {
			s.offer(i, i, s.zone[n])
		}
		return
	}
	s.highest = 0
	for z := range s.peers {
		if s.inZone(i, z) < s.apart {
			s.offer(i, i, z)
		}
		s.highest = max(s.highest, s.worst[z])
	}
}

func (s *search) leaveNode(v, n int) {
	if len(s.held[n]) < s.share[n].low {
		return // a way may end here; to go on could not make it cheaper
	}
	if len(s.held[n]) == s.share[n].low && s.share[n].fraction > 0 {
		s.reach(s.pooled(), v, s.cost[v])
	}
	for _, i := range s.held[n] {
		s.reach(s.slot(i, slices.Index(s.got[i], n)), v, s.cost[v]-s.price(i, n))
	}
}

func (s *search) leaveSlot(v, i, k int) {
	s.reach(i, v, s.cost[v])
	zone := s.zone[s.got[i][k]]
	for _, n := range s.old[i] {
		if s.zone[n] == zone && !slices.Contains(s.got[i], n) {
			s.reach(s.node(n), v, s.cost[v])
		}
	}
	if !s.free {
		s.offer(v, i, zone)
	}
}

// offer lets partition i, on the way through v, have any node of a zone at the full price. Once all nodes there can be had as
// cheaply, which is soon, it need not look at them: that makes a search take the time of the slots, not of all pairs.
func (s *search) offer(v, i, zone int) {
	cost := s.cost[v] + 1
	if s.worst[zone] <= cost {
		return
	}
	s.worst[zone] = 0
	for _, n := range s.peers[zone] {
		if s.allows(i, n) {
			s.reach(s.node(n), v, cost)
		}
		s.worst[zone] = max(s.worst[zone], s.cost[s.node(n)])
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
	end, best := -1, unreachable
	for n := range s.held {
		if v := s.node(n); len(s.held[n]) < s.share[n].low && s.cost[v] < best {
			end, best = v, s.cost[v]
		}
	}
	if v := s.pooled(); s.extra < s.pool && s.cost[v] < best {
		end = v
	}
	return end
}

// apply goes the way back from its end and does what its steps say: first all that is taken, for slots are known by their place.
func (s *search) apply(end int) {
	type place struct{ partition, node int }
	var given, taken []place
	nodes, slots, pool := s.node(0), s.slot(0, 0), s.pooled()
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
