package acceptance

import (
	"bytes"
	"fmt"
	"net/http"
	"testing"
)

const (
	clusterHuge  = 4         // values of the longest kind at a time
	clusterBound = 200 << 20 // bytes of resident set of one node; all values together are 256 MiB, in three copies
	clusterLarge = 1 << 20   // bytes of a value that travels on a stream of its own
)

// TestMemoryOfAClusterDoesNotGrowWithTheSizeOfValues writes and reads values of 64 MiB at nodes that hold them and at nodes that do not.
func TestMemoryOfAClusterDoesNotGrowWithTheSizeOfValues(t *testing.T) {
	c := startCrew(t, 4)
	at := c.clients(clusterHuge)
	for round := range 2 { // first created, then replaced
		together(t, clusterHuge, func(i int) error { return putHuge(t.Context(), at[(i+round)%4], i) })
	}
	for round := range 4 {
		together(t, clusterHuge, func(i int) error { return getHuge(t.Context(), at[(i+round)%4], i) })
	}
	for i, d := range c.Nodes {
		now, peak, err := d.Memory()
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("resident set of %s: %d MiB at the peak, %d MiB at the end", NodeName(i), peak>>20, now>>20)
		if peak > clusterBound {
			t.Errorf("the resident set of %s reached %d MiB, want at most %d", NodeName(i), peak>>20, clusterBound>>20)
		}
	}
}

func TestLargeValuesThroughANodeWithoutACopy(t *testing.T) {
	c := startCrew(t, 5)
	c.acquainted()
	for n := range 20 {
		key := fmt.Sprint("large/", n)
		at := c.client(c.outside(key), 1)
		value := makeValue(key, uint64(n), clusterLarge)
		mustAnswer(t, http.StatusCreated)(at.do(t.Context(), http.MethodPut, key, bytes.NewReader(value)))
		if got := mustAnswer(t, http.StatusOK)(at.get(t.Context(), key)); !bytes.Equal(got.body, value) {
			t.Errorf("%s reads as %d bytes that differ", key, len(got.body))
		}
		part := mustAnswer(t, http.StatusPartialContent)(at.do(t.Context(), http.MethodGet, key, nil, "Range", "bytes=500000-500099"))
		if !bytes.Equal(part.body, value[500000:500100]) {
			t.Errorf("a part of %s reads as %d bytes that differ", key, len(part.body))
		}
	}
}
