package peer

import (
	"time"

	"github.com/estorajed/estorajed/internal/peer/wire"
	"github.com/estorajed/estorajed/internal/ring"
)

// Kind is what is asked of another node.
type Kind uint8

// The kinds. Fetch and Stage are streams of their own, all others envelopes.
const (
	KindAsk Kind = iota
	KindRead
	KindCarry
	KindGet
	KindUnstage
	KindTable
	KindCancel
	KindStage
	KindFetch
)

func (k Kind) String() string {
	return [...]string{"ask", "read", "carry", "get", "unstage", "table", "cancel", "stage", "fetch"}[k]
}

// kindOf is the kind of an envelope that was found to be sound.
func kindOf(e *wire.Envelope) Kind { return Kind(e.GetKind() - wire.Kind_ASK) }

// Reasons for which a peer went down.
const (
	DownSilent  = "silent"  // nothing was heard of it for DownAfter
	DownBroken  = "broken"  // the connection broke
	DownStopped = "stopped" // it said that it stops
)

// Events are the facts that this room reports while it works. A nil func is silent. They are called on goroutines that others
// wait for, outside of all locks: they must be quick.
type Events struct {
	// Message: a question or an answer was sent (out) or came.
	Message func(kind Kind, out bool)
	// Frame: a message of gRPC was sent or came, with so many bytes.
	Frame func(out bool, bytes int)
	// Refused: somebody was not talked to, or something could not be read; from is a node or an address, text says what is wrong.
	Refused func(reason, from, text string)
	// Up: a session with the node stands.
	Up func(node ring.NodeID, start uint64, after time.Duration)
	// Down: the session with the node ended.
	Down func(node ring.NodeID, reason string, cause error)
	// Failed: a session with the node could not be made.
	Failed func(node ring.NodeID, cause error)
	// Overloaded: an operation was turned away, as too much waits for the node, or too much of the node's is worked on here.
	Overloaded func(node ring.NodeID)
}

func (e *Events) message(k Kind, out bool) {
	if e.Message != nil {
		e.Message(k, out)
	}
}

func (e *Events) overloaded(node ring.NodeID) {
	if e.Overloaded != nil {
		e.Overloaded(node)
	}
}
