package register

import "slices"

// Tags is a list of entity tags out of a condition header. The zero Tags is a header that was not sent.
type Tags struct {
	Sent     bool    // the header was there, even if nothing in it can match
	Any      bool    // "*"
	Versions []Stamp // the tags that are versions of ours; all others match nothing
}

func (t Tags) match(r *Record) bool {
	return r.Present() && (t.Any || slices.Contains(t.Versions, r.Version))
}

// A Condition is what must hold of a key's state for an operation to go on (RFC 9110, section 13.1).
// The zero Condition always holds.
type Condition struct {
	IfMatch     Tags
	IfNoneMatch Tags
}

// Holds tells whether the condition holds while current is the key's state.
func (c Condition) Holds(current *Record) bool {
	if c.IfMatch.Sent && !c.IfMatch.match(current) {
		return false
	}
	return !c.IfNoneMatch.Sent || !c.IfNoneMatch.match(current)
}

// A Change is what a client wants of a key: a new value, or its removal, if a condition holds.
type Change struct {
	Kind      Kind // Data or Tombstone
	Metadata  []Field
	Condition Condition
}

// An Outcome is what a finished write tells its client.
type Outcome struct {
	Version  Stamp // of the key's state now
	Replaced bool  // there was a value before, or nobody knows any more
}
