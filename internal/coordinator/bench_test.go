package coordinator_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/estorajed/estorajed/internal/key"
)

// The disk in memory takes part: staging a body costs it 3 allocations, reading one 1.
func BenchmarkWrite(b *testing.B) {
	for _, nodes := range []int{1, 3} {
		b.Run(fmt.Sprint(nodes), func(b *testing.B) {
			m := newCluster(b, nodes, nil).nodes[0]
			value := bytes.Repeat([]byte("x"), 1024)
			var body bytes.Reader
			b.ReportAllocs()
			for b.Loop() {
				body.Reset(value)
				if _, err := m.Write(b.Context(), "key", put, &body, int64(len(value))); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkWriteInParallel(b *testing.B) {
	m := newCluster(b, 1, nil).nodes[0]
	value := bytes.Repeat([]byte("x"), 1024)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		var body bytes.Reader
		for i := 0; pb.Next(); i++ {
			body.Reset(value)
			if _, err := m.Write(b.Context(), key.Key("key"), put, &body, int64(len(value))); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkRead(b *testing.B) {
	for _, nodes := range []int{1, 3} {
		b.Run(fmt.Sprint(nodes), func(b *testing.B) {
			m := newCluster(b, nodes, nil).nodes[0]
			m.mustPut(b, "key", "value")
			b.ReportAllocs()
			for b.Loop() {
				_, body, err := m.Coordinator.Read(b.Context(), "key", false)
				if err != nil {
					b.Fatal(err)
				}
				body.Close()
			}
		})
	}
}

func TestAWriteToOneReplicaAllocatesLittle(t *testing.T) {
	m := newCluster(t, 1, nil).nodes[0]
	value := []byte("value")
	var body bytes.Reader
	got := testing.AllocsPerRun(200, func() {
		body.Reset(value)
		if _, err := m.Write(context.Background(), "key", put, &body, int64(len(value))); err != nil {
			t.Fatal(err)
		}
	})
	if got > 8 { // operation, carriage, history; the rest is the disk's in memory
		t.Errorf("%v allocations", got)
	}
}
