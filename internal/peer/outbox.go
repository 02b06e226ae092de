package peer

import (
	"fmt"
	"runtime"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/estorajed/estorajed/internal/peer/wire"
	"github.com/estorajed/estorajed/internal/register"
)

// An item is one envelope on its way into a batch. Once pushed, all but deadline belongs to its outbox.
type item struct {
	envelope *wire.Envelope
	deadline time.Time // zero: none
	size     int       // bytes
	taken    bool      // it is, or will be, sent
	gone     bool      // withdrawn before that
}

// An outbox holds the envelopes that wait for one stream. Whoever pushes never waits; one goroutine takes them out, as many at a
// time as there are, within the limits of a batch.
type outbox struct {
	wake chan struct{} // capacity 1: there is something to take, or it was closed

	mu      sync.Mutex // guards the fields below
	queue   []*item    // at most waitingMax, gone ones included
	spare   []*item    // the queue's other half, while a batch is made of it
	bytes   int        // of those in the queue; at most waitingBytes
	sealed  bool       // nothing is let in any more, but what waits is sent
	closed  bool       // nor is that
	closing bool       // what is taken next says that the server stops
}

func newOutbox() *outbox { return &outbox{wake: make(chan struct{}, 1)} }

var errTooLong = fmt.Errorf("an envelope of more than %d bytes cannot be sent", envelopeMax)

// push leaves an item to be sent. With a closed outbox it does nothing. Errors: register.ErrOverload if there is no room, errTooLong.
func (o *outbox) push(it *item) error {
	if it.size = proto.Size(it.envelope); it.size > envelopeMax {
		return errTooLong
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || o.sealed {
		return nil
	}
	if len(o.queue) >= waitingMax || o.bytes+it.size > waitingBytes {
		return register.ErrOverload
	}
	o.add(it)
	return nil
}

// force is push without a limit for all that waits, for what is bounded by other means.
func (o *outbox) force(it *item) {
	if it.size = proto.Size(it.envelope); it.size > envelopeMax {
		it.envelope = &wire.Envelope{Id: it.envelope.GetId(), Kind: it.envelope.GetKind(), Fault: encodeFault(errTooLong)}
		it.size = proto.Size(it.envelope)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed && !o.sealed {
		o.add(it)
	}
}

func (o *outbox) add(it *item) {
	o.queue = append(o.queue, it)
	o.bytes += it.size
	o.signal()
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// withdraw gives up on an item; it tells whether that is too late, as it is, or will be, sent.
func (o *outbox) withdraw(it *item) (taken bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	it.gone = !it.taken
	return it.taken
}

// announce has the next batch say that the server stops.
func (o *outbox) announce() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closing = true
	o.signal()
}

// seal lets nothing in any more; pump returns once all that waits is sent.
func (o *outbox) seal() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sealed = true
	o.signal()
}

// close lets nothing in any more. What waits is never sent.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed, o.queue, o.bytes = true, nil, 0
	o.signal()
}

// waiting is how much there is to be sent.
func (o *outbox) waiting() (envelopes, bytes int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.queue), o.bytes
}

// take makes a batch of what waits; nil if nothing does. Once the outbox is not open any more, there will be none.
func (o *outbox) take() (batch *wire.Batch, open bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue) == 0 && !o.closing || o.closed {
		return nil, !o.closed && !o.sealed
	}
	batch = &wire.Batch{Closing: o.closing, Envelopes: make([]*wire.Envelope, 0, min(len(o.queue), batchEnvelopes))}
	o.closing = false
	now := time.Now()
	n, bytes := 0, 0
	for _, it := range o.queue {
		if n > 0 && (len(batch.Envelopes) == batchEnvelopes || bytes+it.size > batchBytes) {
			break
		}
		n++
		o.bytes -= it.size
		if it.gone {
			continue
		}
		it.taken = true
		bytes += it.size
		if !it.deadline.IsZero() {
			it.envelope.TimeoutMicros = uint64(max(it.deadline.Sub(now).Microseconds(), 1))
		}
		batch.Envelopes = append(batch.Envelopes, it.envelope)
	}
	rest := append(o.spare[:0], o.queue[n:]...)
	clear(o.queue)
	o.spare, o.queue = o.queue[:0], rest
	return batch, true
}

// pump sends what waits, batch after batch, until the outbox is closed, over ends, or sending fails. Before it takes a batch it lets run
// whoever can: they may have something to add. That costs nothing while nobody can.
func (o *outbox) pump(over <-chan struct{}, send func(*wire.Batch) error) error {
	for {
		select {
		case <-over:
			return nil
		case <-o.wake:
		}
		for {
			runtime.Gosched()
			batch, open := o.take()
			if !open {
				return nil
			}
			if batch == nil {
				break
			}
			if err := send(batch); err != nil {
				return err
			}
		}
	}
}
