package acceptance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	outageClients  = 4 // at each of the nodes that are left
	outageKeys     = 64
	beforeOutage   = time.Second / 2        // of load, to know what is usual
	duringOutage   = 5 * time.Second / 2    // of load without the node
	noticed        = time.Second            // after which nobody waits for the dead node any more, and before which nobody waits longer
	nobodyWaits    = 600 * time.Millisecond // is longer than any request takes on a busy machine, and shorter than any wait for a dead node
	outagePatience = 20 * time.Second       // within which what must come back is back
)

// TestOneOfThreeNodesIsMissing takes a node away under load. Every request that begins at the others after that must succeed; those
// of the first second may wait a second, those after it do not wait at all.
func TestOneOfThreeNodesIsMissing(t *testing.T) {
	for _, tc := range []struct {
		name    string
		missing []int
		away    func(crew, int)
		back    func(crew, int)
	}{
		{"killed", []int{0, 1, 2}, func(c crew, i int) { c.Nodes[i].Kill() }, crew.launch},
		{"stopped", []int{1}, func(c crew, i int) { c.signal(i, syscall.SIGSTOP) }, func(c crew, i int) { c.signal(i, syscall.SIGCONT) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := startCrew(t, 3)
			for _, missing := range tc.missing { // one of three leads etcd
				l := c.traffic(t, func(i int) bool { return i != missing })
				<-time.After(beforeOutage) // not waiting for anything: it is the length of the load
				gone := time.Now()
				tc.away(c, missing)
				<-time.After(duringOutage)
				requests := l.end()
				usual, first, later := longest(requests, gone)
				t.Logf("without %s: %d requests; the longest took %v before, %v in the first second after, %v later", NodeName(missing), len(requests), usual, first, later)
				for _, r := range requests {
					if r.err != nil && !r.began.Before(gone) {
						t.Errorf("%v after %s was gone: %v", r.began.Sub(gone), NodeName(missing), r.err)
					}
				}
				if first > noticed+nobodyWaits {
					t.Errorf("a request waited %v for a node that is gone", first)
				}
				if later > max(nobodyWaits, 3*usual) {
					t.Errorf("a request waited %v for a node that has been gone for a second", later)
				}
				tc.back(c, missing)
				c.servesWhatIsTrue(missing) // from its first answer on, whether it says that it is ready or not
				eventually(t, outagePatience, func() error { return c.Nodes[missing].Ready(t.Context()) })
			}
		})
	}
}

// servesWhatIsTrue demands that a node which comes back gives right answers from its first one on: what the others acknowledged meanwhile,
// it knows.
func (c crew) servesWhatIsTrue(back int) {
	c.t.Helper()
	others, returned := c.client((back+1)%3, 1), c.client(back, 1)
	var last string
	eventually(c.t, outagePatience, func() error {
		for n := range 20 {
			last = fmt.Sprintf("%d of %s", n, time.Now())
			if got, err := others.put(c.t.Context(), "true", last); err != nil || got.status >= 300 {
				return fmt.Errorf("put: %v %w", got, err)
			}
			got, err := returned.get(c.t.Context(), "true")
			if err != nil {
				return err
			}
			if got.status == http.StatusServiceUnavailable || got.status == http.StatusGatewayTimeout {
				return fmt.Errorf("get: %s", got)
			}
			if got.status != http.StatusOK || string(got.body) != last {
				c.t.Fatalf("%s is back and reads %s %q, want %q", NodeName(back), got, got.body, last)
			}
		}
		return nil
	})
}

// A request is what became of one request of a load.
type request struct {
	began time.Time
	took  time.Duration
	err   error // why it did not succeed
}

// A traffic is clients at work, until end.
type traffic struct {
	ctx     context.Context
	cancel  context.CancelFunc
	done    sync.WaitGroup
	clients int

	mu       sync.Mutex // guards requests
	requests []request
}

// traffic lets clients write, read and delete at the nodes that are chosen.
func (c crew) traffic(t *testing.T, chosen func(i int) bool) *traffic {
	l := newTraffic(t)
	for i := range c.Nodes {
		if chosen(i) {
			l.add(c.client(i, outageClients), outageClients)
		}
	}
	return l
}

func newTraffic(t *testing.T) *traffic {
	l := &traffic{}
	l.ctx, l.cancel = context.WithCancel(t.Context())
	return l
}

// add puts n clients to work.
func (l *traffic) add(at client, n int) {
	for range n {
		l.clients++
		first := l.clients * 5
		l.done.Go(func() { l.work(at, first) })
	}
}

// count is how many requests have ended so far.
func (l *traffic) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.requests)
}

// work sends one request after the other. Each goes on to its end when the traffic does, so that none is cut off and counted as failed.
func (l *traffic) work(at client, first int) {
	for n := first; l.ctx.Err() == nil; n++ {
		r := request{began: time.Now()}
		r.err = ordinary(context.WithoutCancel(l.ctx), at, n)
		r.took = time.Since(r.began)
		l.mu.Lock()
		l.requests = append(l.requests, r)
		l.mu.Unlock()
	}
}

// ordinary does the n-th operation of a mix of those that always succeed.
func ordinary(ctx context.Context, at client, n int) error {
	key := fmt.Sprint("load/", n*7%outageKeys)
	method, want, body := http.MethodGet, []int{http.StatusOK, http.StatusNotFound}, io.Reader(nil)
	switch n % 4 {
	case 0:
		method, want, body = http.MethodPut, []int{http.StatusOK, http.StatusCreated}, strings.NewReader("value")
	case 1:
		if n%3 == 0 {
			method, want = http.MethodDelete, []int{http.StatusNoContent}
		}
	}
	got, err := at.do(ctx, method, key, body)
	if err != nil {
		return err
	}
	if !slices.Contains(want, got.status) {
		return fmt.Errorf("%s %s: %s", method, key, got)
	}
	return nil
}

// end stops the clients and gives what became of their requests.
func (l *traffic) end() []request {
	l.cancel()
	l.done.Wait()
	return l.requests
}

// longest gives the longest time that a request took: of those that had ended when the node was gone, of those that began within
// the first second after, and of the rest. Those that were under way at that moment may have been the dead node's to answer.
func longest(requests []request, gone time.Time) (usual, first, later time.Duration) {
	for _, r := range requests {
		switch {
		case r.began.Add(r.took).Before(gone):
			usual = max(usual, r.took)
		case r.began.Before(gone):
		case r.began.Before(gone.Add(noticed)):
			first = max(first, r.took)
		default:
			later = max(later, r.took)
		}
	}
	return usual, first, later
}

func TestTwoOfThreeNodesAreMissing(t *testing.T) {
	c := startCrew(t, 3)
	last := c.client(0, 1)
	mustAnswer(t, http.StatusCreated)(last.put(t.Context(), "key", "value"))
	for _, tc := range []struct {
		name string
		away func(int)
		back func(int)
	}{
		{"killed", func(i int) { c.Nodes[i].Kill() }, func(i int) { c.node(i).start() }},
		{"stopped", func(i int) { c.signal(i, syscall.SIGSTOP) }, func(i int) { c.signal(i, syscall.SIGCONT) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.away(1)
			tc.away(2)
			for name, do := range map[string]func() (answer, error){
				"put":    func() (answer, error) { return last.put(t.Context(), "key", "other") },
				"delete": func() (answer, error) { return last.delete(t.Context(), "key") },
				"get":    func() (answer, error) { return last.get(t.Context(), "key") },
			} {
				eventually(t, outagePatience, func() error { // until it is noticed, the outcome of a write may be unknown
					began := time.Now()
					got, err := do()
					if err != nil {
						return err
					}
					if got.status < http.StatusInternalServerError {
						t.Fatalf("%s with one of three: %s", name, got)
					}
					if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || time.Since(began) > noticed {
						return fmt.Errorf("%s with one of three: %s, Retry-After %q, after %v; want 503 at once", name, got, got.header.Get("Retry-After"), time.Since(began))
					}
					return nil
				})
			}
			got, err := last.getEventual(t.Context(), "key")
			if err != nil || got.status != http.StatusOK {
				t.Errorf("an eventual read with one of three: %v %v", got, err)
			}
			tc.back(1)
			eventually(t, outagePatience, func() error {
				got, err := last.put(t.Context(), "key", "value")
				if err != nil || got.status >= 300 {
					return errors.Join(err, errors.New(got.String()))
				}
				return nil
			})
			if got := mustAnswer(t, http.StatusOK)(c.client(1, 1).get(t.Context(), "key")); string(got.body) != "value" {
				t.Errorf("the node that is back reads %q", got.body)
			}
			tc.back(2)
			c.servesWhatIsTrue(2)
		})
	}
}
