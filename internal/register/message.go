package register

import (
	"github.com/estorajed/estorajed/internal/ring"
)

// Phase is what a message asks of a replica.
type Phase uint8

// The phases of an operation. Look asks for the accepted state and promises nothing; Prepare and Accept are the two halves of a
// Paxos round; Learn brings a state that is known to be chosen.
const (
	Look Phase = iota + 1
	Prepare
	Accept
	Learn
)

func (p Phase) String() string {
	return [...]string{"none", "look", "prepare", "accept", "learn"}[p]
}

// A Message is one question of an operation to one replica. It is about one key, which only the shell knows.
type Message struct {
	To    ring.NodeID
	Epoch uint64 // of the Set that the operation counts with
	Round uint32 // the answer is delivered with it; an answer to an earlier round counts nothing
	Phase Phase
	// Anew goes with a Prepare: there is no other replica, and the change does not look at what it replaces. A damaged copy
	// promises all the same, so that the key can be written anew.
	Anew     bool
	Ballot   Stamp   // of Prepare
	Record   *Record // of Accept and Learn, under its own ballot; not to be changed
	Evidence Time    // of Learn: the hybrid time at which the asker began to gather its evidence
	// Sources, of Accept and Learn, are replicas that showed the record's version. Who has not got the value's bytes, and is not sent
	// them with the record, takes them from there.
	Sources []ring.NodeID
}

// ballot is the proposal that the message works for.
func (m *Message) ballot() Stamp {
	if m.Record != nil {
		return m.Record.Ballot
	}
	return m.Ballot
}

// Time is the latest hybrid time that the message names: whoever hears it merges it.
func (m *Message) Time() Time { return max(m.ballot().Time, m.Evidence) }

// Reply is what a replica makes of a message.
type Reply uint8

// The replies. Shown answers Look and promises nothing. Refused and Stale say that nothing was changed.
const (
	Refused  Reply = iota + 1 // a higher ballot, or the floor, stands in the way
	Stale                     // the epoch is not the one in which this replica holds the key
	Shown                     // Record is the newest durable state
	Promised                  // the same, and no lower ballot will be taken from now on
	Accepted                  // the record, or one as new, is durable here
)

func (r Reply) String() string {
	return [...]string{"none", "refused", "stale", "shown", "promised", "accepted"}[r]
}

// An Answer is what one replica says to one message. It shows and acknowledges only what is on stable storage there.
type Answer struct {
	Reply   Reply
	Rests   Stamp  // of Refused: the next ballot must lie above it
	Epoch   uint64 // of Stale: the replica's
	Floor   Time   // of Shown and Promised: nothing at or below it is promised or accepted any more
	Record  Record // of Shown and Promised; of Shown a remote replica may fill in Ballot, Version and Kind alone
	Proven  bool   // of Shown and Promised: the record is a tombstone that all replicas are known to hold
	Damaged bool   // of Promised: the copy here is unreadable and will be written anew
}
