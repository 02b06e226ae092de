package register

import (
	"fmt"
	"time"

	"github.com/estorajed/estorajed/internal/ring"
)

// MaxAhead is how far ahead of this node's wall clock another node's time may be. Messages from further ahead are
// refused: one bad clock must not carry all others away.
const MaxAhead = 24 * time.Hour

// A Clock is the hybrid logical clock of one node: it draws stamps that no other event of the cluster bears, above all that it
// drew or heard of before. After a restart it begins at the durable ceiling, and a stamp of its own may leave the node only
// when it lies below the durable ceiling (Acceptor.Covers): so no stamp is drawn twice, even if the wall clock went back.
//
// It is not safe for concurrent use: whoever holds it guards it.
type Clock struct {
	node ring.NodeID
	last Time // drawn or heard of
}

// NewClock makes the clock of a node that was given that number; ceiling is the durable ceiling, 0 on a node's first start.
func NewClock(node ring.NodeID, ceiling Time) Clock {
	return Clock{node: node, last: ceiling}
}

// Now draws a stamp: above every earlier one, and not before wall.
func (c *Clock) Now(wall time.Time) Stamp {
	c.last = max(c.last+1, TimeOf(wall))
	return Stamp{c.last, c.node}
}

// Time is the hybrid time at that moment. Stamps drawn from here on lie above it.
func (c *Clock) Time(wall time.Time) Time {
	c.last = max(c.last, TimeOf(wall))
	return c.last
}

// Merge takes note of a time that was heard from another node. It fails with *SkewError, and changes nothing, if that time is
// news and more than MaxAhead in the future: then the message that carried it must not be acted on.
func (c *Clock) Merge(heard Time, wall time.Time) error {
	if heard <= c.last {
		return nil // it carries this clock nowhere, even if the wall clock was put back
	}
	if heard > TimeOf(wall.Add(MaxAhead)) {
		return &SkewError{Ahead: heard.Wall().Sub(wall)}
	}
	c.last = heard
	return nil
}

// A SkewError says that a message came from a node whose clock runs too far ahead of this one's.
type SkewError struct {
	Ahead time.Duration
}

func (e *SkewError) Error() string {
	return fmt.Sprintf("the sender's clock is %v ahead of this node's, more than the %v that are allowed: correct the clocks",
		e.Ahead.Round(time.Second), MaxAhead)
}
