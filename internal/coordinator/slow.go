package coordinator

import (
	"sync/atomic"
	"time"

	"github.com/estorajed/estorajed/internal/ring"
)

// slow knows which nodes were late with an answer a moment ago. Two nodes may share a place: it is a hint, for the order in which to ask.
type slow struct {
	until [256]atomic.Int64 // nanoseconds since 1970
}

func (s *slow) at(node ring.NodeID) *atomic.Int64 { return &s.until[int(node)%len(s.until)] }

// is tells whether the node was late a moment ago.
func (s *slow) is(node ring.NodeID, now time.Time) bool {
	until := s.at(node).Load()
	return until > 0 && now.UnixNano() < until
}

// mark notes that the node was late.
func (s *slow) mark(node ring.NodeID, until time.Time) { s.at(node).Store(until.UnixNano()) }
