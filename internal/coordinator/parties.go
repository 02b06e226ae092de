package coordinator

import (
	"context"
	"io"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
)

// Replica is one holder of keys, be it in this process or elsewhere. It is safe for concurrent use.
type Replica interface {
	// Ask gives the answer to one message about k. An error says that there is none; *register.NothingError that, besides, the
	// record of an accept was not and will not be written there.
	Ask(ctx context.Context, k key.Key, m register.Message) (register.Answer, error)
	// Read gives the replica's own copy and, if it is Present, its bytes; the caller closes body.
	Read(ctx context.Context, k key.Key) (rec register.Record, body io.ReadSeekCloser, err error)
	// Stage takes a value's bytes off body, under id. size is the expected length, or -1.
	Stage(ctx context.Context, id register.Stamp, body io.Reader, size int64) (register.Value, error)
	// Unstage gives up a staged value that was not accepted.
	Unstage(v register.Value)
}

// Local is this node's own replica.
type Local interface {
	Replica
	// Open answers a Look and gives, besides, the bytes of the record that it shows, if that is Present; the caller closes body.
	Open(ctx context.Context, k key.Key, m register.Message) (a register.Answer, body io.ReadSeekCloser, err error)
}

// Peer is another node: a holder of keys and a coordinator. It may say more of its silence by a method Why() string.
type Peer interface {
	Replica
	// Carry hands a write over and returns its report. A report whose Err is register.ErrUnreachable, and not Sent, says that it surely was
	// not begun there. An error says that no report came: it may have been begun.
	Carry(ctx context.Context, k key.Key, o register.Order) (register.Report, error)
	// Get has a linearizable read coordinated there. body is nil unless rec.Present(); the caller closes it, and keeps ctx until then.
	Get(ctx context.Context, k key.Key) (rec register.Record, body io.ReadSeekCloser, err error)
	// Up tells whether it is worth asking: it was heard of within the last moments.
	Up() bool
	// Ready tells whether it takes requests besides: a node that drains answers for its copies, but coordinates nothing new.
	Ready() bool
}

// Clock draws this node's stamps: above the given time, and below the durable ceiling.
type Clock interface {
	Stamp(ctx context.Context, above register.Time) (register.Stamp, error)
	// Merge takes note of a time that another node's message named.
	Merge(heard register.Time) error
}
