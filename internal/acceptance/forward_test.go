package acceptance

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// by is who coordinated a request, and how many hops away.
func (a answer) by() (coordinator, hops string) {
	return a.header.Get("Estorajed-Coordinator"), a.header.Get("Estorajed-Hops")
}

// TestRequestsAreForwardedOnceAtMost writes and reads at each of five nodes, of which three hold a key. All writes of a key are
// coordinated by the same node, wherever they enter.
func TestRequestsAreForwardedOnceAtMost(t *testing.T) {
	c := startCrew(t, 5)
	c.acquainted()
	forwarded := 0
	for n := range 20 {
		key := fmt.Sprint("key/", n)
		holders := c.holders(n%5, key)
		if len(holders) != 3 {
			t.Fatalf("%s is held by %v", key, holders)
		}
		check := func(got answer, entry, coordinator string, wanted []string) {
			t.Helper()
			name, hops := got.by()
			want := "1"
			if name == entry {
				want = "0"
			}
			if hops != want || !slices.Contains(wanted, name) || coordinator != "" && name != coordinator {
				t.Errorf("%s, held by %v, entered at %s: coordinated by %q, %q hops away", key, holders, entry, name, hops)
			}
			if hops == "1" {
				forwarded++
			}
		}
		for i := range 5 {
			entry, at := NodeName(i), c.client(i, 1)
			got, err := at.put(t.Context(), key, entry)
			if err != nil || got.status >= 300 {
				t.Fatalf("put: %v %v", got, err)
			}
			check(got, entry, holders[0], holders)
			reader := holders
			if slices.Contains(holders, entry) {
				reader = []string{entry}
			}
			got = mustAnswer(t, http.StatusOK)(at.get(t.Context(), key))
			check(got, entry, "", reader)
			if string(got.body) != entry {
				t.Errorf("%s reads %q at %s, want %q", key, got.body, entry, entry)
			}
		}
		got := mustAnswer(t, http.StatusNoContent)(c.client(n%5, 1).delete(t.Context(), key))
		check(got, NodeName(n%5), holders[0], holders)
	}
	if forwarded == 0 {
		t.Error("nothing was forwarded: the test proves nothing")
	}
}

// TestOneTraceCoversTheWholeWrite writes through the balancer to a node without a copy: its trace leads from the client over balancer, entry node
// and coordinator down to the sync of the journal of each replica that was needed.
func TestOneTraceCoversTheWholeWrite(t *testing.T) {
	sink := newSink(t)
	c := startCrew(t, 5, "-otlp-endpoint="+sink.url, "-trace-sample=0")
	c.acquainted()
	key := "traced"
	holders := c.holders(0, key)
	entry := slices.IndexFunc(c.Nodes, func(d *Daemon) bool {
		return !slices.ContainsFunc(holders, func(h string) bool { return slices.Contains(d.Flags, "-name="+h) })
	})
	b := balance(t, []string{c.Nodes[entry].Address()}, "BALANCER_TRACING=on", "OTEL_EXPORTER_OTLP_ENDPOINT="+sink.url, "OTEL_BSP_SCHEDULE_DELAY=100")
	const id, client = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	got := mustAnswer(t, http.StatusCreated)(newClient(b, 1).put(t.Context(), key, "value", "Traceparent", "00-"+id+"-"+client+"-01"))
	if got.traceID() != id {
		t.Errorf("the response carries the trace id %q", got.traceID())
	}
	if name, hops := got.by(); hops != "1" || name != holders[0] {
		t.Errorf("coordinated by %q, %q hops away; the key is held by %v", name, hops, holders)
	}
	var spans tree
	eventually(t, exportPatience, func() error {
		spans = sink.trace(id)
		return spans.wholeWrite(client)
	})
	t.Logf("the spans of one write:\n%s", spans)
}

// wholeWrite tells what a forwarded write's trace lacks. Its root is the client, of which there is no span; everything hangs together below
// that, down to the syncs at the coordinator and at another replica.
func (t tree) wholeWrite(client string) error {
	const carried, synced = "balance > PUT /{key} > coordinate put > peer carry > peer carry > ", "store put > journal sync"
	roots := 0
	lacking := []string{carried + synced, carried + "peer ask accept > peer ask accept > " + synced}
	for _, span := range t {
		path, err := t.pathFrom(span, client)
		if err != nil {
			return err
		}
		if len(path) == 1 {
			roots++
		}
		lacking = slices.DeleteFunc(lacking, func(want string) bool { return want == strings.Join(path, " > ") })
	}
	if roots != 1 || len(lacking) > 0 {
		return fmt.Errorf("%d spans with %d roots; there is no %q:\n%s", len(t), roots, lacking, t)
	}
	return nil
}
