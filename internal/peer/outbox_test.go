package peer

import (
	"errors"
	"testing"
	"time"

	"github.com/estorajed/estorajed/internal/peer/wire"
	"github.com/estorajed/estorajed/internal/register"
)

// posted is an outbox with so many envelopes of so many bytes each.
func posted(t *testing.T, n, bytes int) (*outbox, []*item) {
	t.Helper()
	box, items := newOutbox(), make([]*item, n)
	for i := range items {
		items[i] = &item{envelope: &wire.Envelope{Id: uint64(i + 1), Key: make([]byte, bytes)}}
		if err := box.push(items[i]); err != nil {
			t.Fatalf("%d of %d: %v", i, n, err)
		}
	}
	return box, items
}

func TestAnOutboxIsBounded(t *testing.T) {
	for name, n := range map[string][2]int{"in envelopes": {waitingMax, 0}, "in bytes": {waitingBytes / mebibyte, mebibyte - 100}} {
		box, _ := posted(t, n[0], n[1])
		if err := box.push(&item{envelope: &wire.Envelope{Key: make([]byte, n[1]+2000)}}); !errors.Is(err, register.ErrOverload) {
			t.Errorf("%s: %v", name, err)
		}
		for sent := 0; sent < n[0]; {
			batch, open := box.take()
			if batch == nil || !open {
				t.Fatalf("%s: %d of %d were sent", name, sent, n[0])
			}
			sent += len(batch.GetEnvelopes())
		}
		if err := box.push(&item{envelope: &wire.Envelope{}}); err != nil {
			t.Errorf("%s, once there is room: %v", name, err)
		}
	}
	if err := newOutbox().push(&item{envelope: &wire.Envelope{Key: make([]byte, envelopeMax)}}); !errors.Is(err, errTooLong) {
		t.Errorf("an endless envelope: %v", err)
	}
}

func TestBatchesAreBoundedAndInOrder(t *testing.T) {
	for name, tc := range map[string]struct{ n, bytes, each int }{
		"in envelopes": {3*batchEnvelopes + 7, 0, batchEnvelopes},
		"in bytes":     {50, 60 << 10, 8},
		"but for one":  {3, batchBytes + 1, 1},
	} {
		box, _ := posted(t, tc.n, tc.bytes)
		for next := uint64(1); next <= uint64(tc.n); {
			batch, _ := box.take()
			if n := len(batch.GetEnvelopes()); n > tc.each || n == 0 {
				t.Fatalf("%s: %d envelopes in a batch, at most %d may be", name, n, tc.each)
			}
			for _, e := range batch.GetEnvelopes() {
				if e.GetId() != next {
					t.Fatalf("%s: %d comes instead of %d", name, e.GetId(), next)
				}
				next++
			}
		}
		if envelopes, bytes := box.waiting(); envelopes != 0 || bytes != 0 {
			t.Errorf("%s: %d envelopes of %d bytes are left", name, envelopes, bytes)
		}
	}
}

func TestWhatIsWithdrawnInTimeIsNotSent(t *testing.T) {
	box, items := posted(t, 3, 10)
	if box.withdraw(items[1]) {
		t.Error("it counts as sent")
	}
	batch, _ := box.take()
	if got := batch.GetEnvelopes(); len(got) != 2 || got[0].GetId() != 1 || got[1].GetId() != 3 {
		t.Errorf("%v are sent", got)
	}
	if !box.withdraw(items[0]) {
		t.Error("what was sent counts as withdrawn")
	}
}

func TestTimeInTheQueueCounts(t *testing.T) {
	box := newOutbox()
	for _, left := range []time.Duration{time.Hour, -time.Hour} {
		if err := box.push(&item{envelope: &wire.Envelope{}, deadline: time.Now().Add(left)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := box.push(&item{envelope: &wire.Envelope{}}); err != nil {
		t.Fatal(err)
	}
	batch, _ := box.take()
	got := batch.GetEnvelopes()
	if micros := got[0].GetTimeoutMicros(); micros == 0 || micros > uint64(time.Hour.Microseconds()) {
		t.Errorf("an hour is told as %d us", micros)
	}
	if got[1].GetTimeoutMicros() != 1 || got[2].GetTimeoutMicros() != 0 {
		t.Errorf("a deadline that is over is told as %d us, none as %d", got[1].GetTimeoutMicros(), got[2].GetTimeoutMicros())
	}
}

func TestAnOutboxEndsInOneOfTwoWays(t *testing.T) {
	for _, sealed := range []bool{true, false} {
		box, _ := posted(t, 3, 0)
		end := box.close
		if sealed {
			end = box.seal
		}
		end()
		if err := box.push(&item{envelope: &wire.Envelope{}}); err != nil {
			t.Error(err)
		}
		sent := 0
		if err := box.pump(nil, func(b *wire.Batch) error { sent += len(b.GetEnvelopes()); return nil }); err != nil {
			t.Error(err)
		}
		if want := map[bool]int{true: 3, false: 0}[sealed]; sent != want {
			t.Errorf("sealed %v: %d were sent, not %d", sealed, sent, want)
		}
	}
}

func TestValuesAreToBeFetchedWhileAnswersPileUp(t *testing.T) {
	box := newOutbox()
	w := &work{talk: &talk{server: &server{peers: New(Config{})}, box: box}}
	give := func() *wire.Copy {
		e, err := w.copied(dataRecord(3), newValue([]byte("abc")), nil)
		if err != nil {
			t.Fatal(err)
		}
		return e.GetCopy()
	}
	if give().GetLong() {
		t.Error("a short value is to be fetched")
	}
	for range answersBytes/mebibyte + 1 {
		box.force(&item{envelope: &wire.Envelope{Table: make([]byte, mebibyte)}})
	}
	if !give().GetLong() {
		t.Error("a value is added to what nobody takes")
	}
	box.force(&item{envelope: &wire.Envelope{Id: 9, Table: make([]byte, envelopeMax)}})
	var last *wire.Envelope
	for batch, _ := box.take(); batch != nil; batch, _ = box.take() {
		last = batch.GetEnvelopes()[len(batch.GetEnvelopes())-1]
	}
	if last.GetId() != 9 || last.GetFault() == nil || last.GetTable() != nil {
		t.Errorf("an answer that is too long becomes %v", last.GetFault())
	}
}
