package ring_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/estorajed/estorajed/internal/ring"
)

// A yardstick is what a plan is measured by, straight from the definitions in Plan's comment, by other means than the planner's.
type yardstick struct {
	replicas int // of each partition
	apart    int // the most that one zone may have of a partition
	zone     map[ring.NodeID]string
	zones    map[string][]ring.Member
	share    map[ring.NodeID]float64
}

func newYardstick(members []ring.Member, replicas, partitions int) *yardstick {
	d := &yardstick{zone: map[ring.NodeID]string{}, zones: map[string][]ring.Member{}, share: map[ring.NodeID]float64{}}
	for _, m := range members {
		if m.State != ring.Active {
			continue
		}
		if m.Zone == "" {
			m.Zone = fmt.Sprint("alone ", m.ID)
		}
		d.zone[m.ID] = m.Zone
		d.zones[m.Zone] = append(d.zones[m.Zone], m)
	}
	d.replicas = min(replicas, len(d.zone))
	for room := 0; room < d.replicas; {
		d.apart++
		room = 0
		for _, zone := range d.zones {
			room += min(d.apart, len(zone))
		}
	}
	q := float64(partitions)
	level := bisect(q*float64(d.replicas), func(level float64) float64 {
		sum := 0.0
		for _, zone := range d.zones {
			sum += min(q*float64(d.apart), pour(zone, level, q))
		}
		return sum
	})
	for _, zone := range d.zones {
		inside := level
		if full := q * float64(d.apart); pour(zone, level, q) > full {
			inside = bisect(full, func(level float64) float64 { return pour(zone, level, q) })
		}
		for _, m := range zone {
			d.share[m.ID] = min(q, inside*float64(m.Weight))
		}
	}
	return d
}

// pour is what the nodes take if each unit of weight gets level and no node more than q.
func pour(nodes []ring.Member, level, q float64) float64 {
	sum := 0.0
	for _, m := range nodes {
		sum += min(q, level*float64(m.Weight))
	}
	return sum
}

// bisect finds where f, which does not fall, reaches want.
func bisect(want float64, f func(float64) float64) float64 {
	low, high := 0.0, want
	for range 200 {
		middle := (low + high) / 2
		if f(middle) < want {
			low = middle
			continue
		}
		high = middle
	}
	return high
}

// rounded is a node's share rounded down, and whether it may be rounded up instead.
func (d *yardstick) rounded(n ring.NodeID) (low int, up bool) {
	share := d.share[n]
	if whole := math.Round(share); math.Abs(share-whole) < 1e-8 {
		return int(whole), false
	}
	return int(share), true
}

// mustMove is a number of moves below which no balanced table is possible. Of the replicas that a node has, at most its share, rounded down,
// can stay with it, and one more if its share is rounded up; the rounded shares must sum up, so only so many are rounded up.
// Whatever does not stay is moved. Zones and double copies may force more moves.
func (d *yardstick) mustMove(from *ring.Table) int {
	has := map[ring.NodeID]int{}
	for _, s := range from.Sets {
		for _, n := range heading(s) {
			has[n]++
		}
	}
	stay, gain, pool := 0, 0, d.replicas*len(from.Sets)
	for n := range d.share {
		low, up := d.rounded(n)
		pool -= low
		stay += min(has[n], low)
		if up && has[n] > low {
			gain++
		}
	}
	return d.replicas*len(from.Sets) - stay - min(gain, pool)
}

// An edge of the residual network: something that could be done otherwise, and how many more moves that would take.
type edge struct{ from, to, cost int }

// wasteful tells whether another table, as balanced as this one, is reached from the same table with fewer moves.
//
// Tables are flows: a unit for each replica goes from its partition to a zone of that partition, to a node, to the node's share. By a theorem of
// Klein (1967) a flow costs the least that any of its size costs if and only if its residual network has no cycle of negative
// cost. Bellman and Ford's relaxation comes to rest if and only if there is no such cycle. So this needs no second planner.
func (d *yardstick) wasteful(from, to *ring.Table) bool {
	edges, vertices := d.residual(from, to)
	cost := make([]int, vertices)
	for range vertices {
		rest := true
		for _, e := range edges {
			if cost[e.from]+e.cost < cost[e.to] {
				cost[e.to] = cost[e.from] + e.cost
				rest = false
			}
		}
		if rest {
			return false
		}
	}
	return true
}

func (d *yardstick) residual(from, to *ring.Table) (edges []edge, vertices int) {
	const pool = 0 // whose share is rounded up
	vertices = 1
	node := map[ring.NodeID]int{}
	all, _ := held(to)
	for n := range d.share {
		node[n] = vertices
		low, up := d.rounded(n)
		if up && all[n] == low {
			edges = append(edges, edge{vertices, pool, 0})
		}
		if all[n] > low {
			edges = append(edges, edge{pool, vertices, 0})
		}
		vertices++
	}
	for p, s := range to.Sets {
		was := map[ring.NodeID]bool{}
		for _, n := range heading(from.Sets[p]) {
			was[n] = true
		}
		partition := vertices
		vertices++
		for _, members := range d.zones {
			zone, count := vertices, 0
			vertices++
			for _, m := range members {
				cost := 1
				if was[m.ID] {
					cost = 0
				}
				if s.Holds(m.ID) {
					count++
					edges = append(edges, edge{node[m.ID], zone, -cost})
					continue
				}
				edges = append(edges, edge{zone, node[m.ID], cost})
			}
			if count < d.apart {
				edges = append(edges, edge{partition, zone, 0})
			}
			if count > 0 {
				edges = append(edges, edge{zone, partition, 0})
			}
		}
	}
	return edges, vertices
}

// The judge is judged: a plan made without a look at the current table is balanced, but moves too much.
func TestWastefulPlanIsNoticed(t *testing.T) {
	members := cluster(t, "a@x b@x c@y d@y e@z f@z")
	current := plan(t, empty(t, 64), members, 3)
	members = append(members, cluster(t, "g@z")...)
	ideal := newYardstick(members, 3, 64)
	if ideal.wasteful(current, plan(t, current, members, 3)) {
		t.Error("a frugal plan is called wasteful")
	}
	fresh := plan(t, empty(t, 64), members, 3)
	if moved(current, fresh) <= ideal.mustMove(current) || !ideal.wasteful(current, fresh) {
		t.Errorf("a plan with %d moves, where %d would do, is not called wasteful", moved(current, fresh), ideal.mustMove(current))
	}
}
