//go:build !race

package register

import (
	"testing"

	"github.com/estorajed/estorajed/internal/ring"
)

// The race detector allocates for itself, so this is built without it.
func TestAWriteToOneReplicaAllocatesItsOperationAndItsHistory(t *testing.T) {
	one := ring.Set{Epoch: 1, Current: []ring.NodeID{1}}
	got := testing.AllocsPerRun(100, func() {
		o := NewWrite(put, Value{}, Entry{Operation: bal(40, 9)})
		o.Begin(one, bal(0x50, 9))
		m := o.Outbox()[0]
		o.Deliver(1, m.Round, Answer{Reply: Promised, Record: Record{Ballot: bal(0x30, 1), Version: bal(0x30, 1), Kind: Data}})
		m = o.Outbox()[0]
		o.Deliver(1, m.Round, Answer{Reply: Accepted})
		if !o.Decided() {
			t.Fatal("undecided")
		}
	})
	if got > 2 {
		t.Errorf("%v allocations, want 2", got)
	}
}
