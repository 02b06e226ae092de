package ring

import "strconv"

// A NodeID is a node's number in its cluster, drawn once when the node became a member and never given
// to another; 0 is no node.
type NodeID uint32

// String writes the number as people and logs see it: n1, n2, ...
func (n NodeID) String() string { return "n" + strconv.FormatUint(uint64(n), 10) }
