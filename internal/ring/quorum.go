package ring

import (
	"iter"
	"math/bits"
	"slices"
)

// ReplicasMax is the most holders that a partition has, before a move and after it.
const ReplicasMax = 7

// A Set is the holders of one partition in preference order.
// While Next is empty a quorum is a majority of Current; otherwise a majority of each. So a quorum in the middle of a move has a
// node in common with each one before the move, and with each one after it.
type Set struct {
	Epoch   uint64   // of the Table since which the set stands; a mere change of order is none
	Current []NodeID // 1 to ReplicasMax, no duplicates
	Next    []NodeID // empty unless the partition is moving; else as Current
}

// Members gives each node of the set once: Current in preference order, then who is in Next only.
func (s Set) Members() iter.Seq[NodeID] {
	return func(yield func(NodeID) bool) {
		for _, n := range s.Current {
			if !yield(n) {
				return
			}
		}
		for _, n := range s.Next {
			if !slices.Contains(s.Current, n) && !yield(n) {
				return
			}
		}
	}
}

// Holds tells whether node is a member, be it in Current or in Next.
func (s Set) Holds(node NodeID) bool {
	return slices.Contains(s.Current, node) || slices.Contains(s.Next, node)
}

// A Verdict is what the votes so far decide.
type Verdict uint8

// Won: a quorum said yes. Lost: no quorum can say yes any more. Open: neither yet.
const (
	Open Verdict = iota
	Won
	Lost
)

func (v Verdict) String() string {
	return [...]string{"open", "won", "lost"}[v]
}

// Votes holds the answers of a set's members to one question. It is a value: a copy goes its own way, and nothing is allocated.
type Votes struct {
	set      Set
	acks     uint16 // bit i: Current[i]; bit ReplicasMax+i: Next[i]
	refusals uint16
}

// Votes begins a vote in which nobody has answered.
func (s Set) Votes() Votes { return Votes{set: s} }

// Ack notes that node said yes. A node's first answer stays; one who is no member has no vote.
func (v *Votes) Ack(node NodeID) { v.acks |= v.seats(node) &^ v.refusals }

// Refuse notes that node said no, and otherwise is as Ack.
func (v *Votes) Refuse(node NodeID) { v.refusals |= v.seats(node) &^ v.acks }

// seats are the bits that count for node: one, or two if it is in both Current and Next.
func (v *Votes) seats(node NodeID) uint16 {
	var seats uint16
	if i := slices.Index(v.set.Current, node); i >= 0 {
		seats |= 1 << i
	}
	if i := slices.Index(v.set.Next, node); i >= 0 {
		seats |= 1 << (ReplicasMax + i)
	}
	return seats
}

// Verdict tells what the votes decide. Once Won or Lost it stays so, whatever arrives later.
func (v *Votes) Verdict() Verdict {
	const current, next = 1<<ReplicasMax - 1, (1<<ReplicasMax - 1) << ReplicasMax
	now := majority(len(v.set.Current), v.acks&current, v.refusals&current)
	if len(v.set.Next) == 0 {
		return now
	}
	then := majority(len(v.set.Next), v.acks&next, v.refusals&next)
	if now == Lost || then == Lost {
		return Lost
	}
	return min(now, then) // Open unless both are Won
}

func majority(nodes int, acks, refusals uint16) Verdict {
	enough := nodes/2 + 1
	if bits.OnesCount16(acks) >= enough {
		return Won
	}
	if nodes-bits.OnesCount16(refusals) < enough {
		return Lost
	}
	return Open
}
