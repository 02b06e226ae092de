package acceptance

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

const (
	eras          = 9
	eraKeys       = 6
	eraDirect     = 2 // clients at each node
	eraBalanced   = 4 // and at the balancer
	eraLead       = 300 * time.Millisecond
	eraFault      = 1500 * time.Millisecond // how long a node is away, at most
	eraRest       = 300 * time.Millisecond
	eraPause      = 10 * time.Millisecond // between two requests of a client, at most: what is judged must be found in bounded time
	historyAtMost = 0.05                  // share of unknown outcomes; it is about one in a hundred
)

// TestHistoriesUnderKillsAndStalls lets clients work at the nodes and at the balancer while one node after the other is killed or
// stopped, and judges the history of each key. Each era has keys of its own and one fault, so that a key's history stays short.
func TestHistoriesUnderKillsAndStalls(t *testing.T) {
	seed := newSeed(t)
	rng := rand.New(rand.NewPCG(seed, 0))
	c := startCrew(t, 3)
	h := &historian{began: time.Now(), causes: map[string]int{}}
	balanced := c.balanced()
	for era := range eras {
		ctx, cancel := context.WithCancel(t.Context())
		var clients sync.WaitGroup
		enter := func(server interface{ Address() string }, n int) {
			for range n {
				w := h.client(newClient(server, 1), era, rand.New(rand.NewPCG(seed, uint64(h.clients)+1)))
				clients.Go(func() { w.work(ctx) })
			}
		}
		for _, d := range c.Nodes {
			enter(d, eraDirect)
		}
		enter(balanced, eraBalanced)
		c.fault(rng, era%2 == 0)
		cancel()
		clients.Wait()
		for i := range c.Nodes { // what each node shows in the end
			w := h.client(c.client(i, 1), era, rng)
			for key := range eraKeys {
				w.do(t.Context(), histGet, key)
			}
		}
	}
	all, unknown := h.operations()
	t.Logf("%d operations, %d of them of unknown outcome; requests that failed: %v", len(all), unknown, h.causes)
	if len(all) < 200*eras {
		t.Error("there were too few operations to prove anything")
	}
	if share := float64(unknown) / float64(len(all)); share > historyAtMost {
		t.Errorf("%.1f %% of all outcomes are unknown", 100*share)
	}
	judge(t, all)
}

// fault takes one node away for a while, by SIGKILL or SIGSTOP, in the middle of an era.
func (c crew) fault(rng *rand.Rand, kill bool) {
	c.t.Helper()
	victim := rng.IntN(len(c.Nodes))
	<-time.After(eraLead + upTo(rng, eraLead)) // not waiting for anything: the moment of the fault
	if kill {
		c.Nodes[victim].Kill()
	} else {
		c.signal(victim, syscall.SIGSTOP)
	}
	<-time.After(upTo(rng, eraFault))
	if kill {
		c.node(victim).start()
	} else {
		c.signal(victim, syscall.SIGCONT)
	}
	<-time.After(eraRest)
}

// upTo draws a time below d.
func upTo(rng *rand.Rand, d time.Duration) time.Duration { return time.Duration(rng.Int64N(int64(d))) }

// A historian notes what clients do and are told.
type historian struct {
	began   time.Time
	clients int
	values  atomic.Uint64 // ids given so far

	mu     sync.Mutex // guards the fields below
	done   []porcupine.Operation
	causes map[string]int // of requests that failed
}

// operations is the history. What is unknown returns after everything else.
func (h *historian) operations() (all []porcupine.Operation, unknown int) {
	end := time.Since(h.began).Nanoseconds() + 1
	for _, op := range h.done {
		if op.Output.(histOutput).how == histUnknown {
			unknown++
			op.Return = end
		}
		all = append(all, op)
	}
	return all, unknown
}

// client gives another client of one goroutine.
func (h *historian) client(c client, era int, rng *rand.Rand) *witness {
	h.clients++
	return &witness{historian: h, client: c, id: h.clients, era: era, rng: rng, seen: map[string]version{}}
}

// A witness is one client of a history.
type witness struct {
	*historian
	client client
	id     int
	era    int
	rng    *rand.Rand
	seen   map[string]version // what it last saw of each key
}

type version struct {
	value uint64
	etag  string
}

func (w *witness) work(ctx context.Context) {
	for ctx.Err() == nil {
		w.do(context.WithoutCancel(ctx), w.rng.IntN(histIfAbsent+1), w.rng.IntN(eraKeys))
		<-time.After(upTo(w.rng, eraPause)) // how often it asks
	}
}

// do sends one request and notes it, unless it surely did nothing.
func (w *witness) do(ctx context.Context, kind, n int) {
	in := histInput{key: fmt.Sprintf("era/%d/%d", w.era, n), kind: kind}
	var header []string
	switch last := w.seen[in.key]; kind {
	case histIfMatch:
		if last.etag == "" {
			return
		}
		in.expects, header = last.value, []string{"If-Match", last.etag}
	case histIfAbsent:
		header = []string{"If-None-Match", "*"}
	}
	began := time.Since(w.began).Nanoseconds()
	var got answer
	var err error
	switch kind {
	case histGet:
		got, err = w.client.get(ctx, in.key)
	case histDelete:
		got, err = w.client.delete(ctx, in.key)
	default:
		in.value = w.values.Add(1)
		got, err = w.client.put(ctx, in.key, strconv.FormatUint(in.value, 10), header...)
	}
	ended := time.Since(w.began).Nanoseconds()
	out, happened := w.conclude(in, got, err)
	w.mu.Lock()
	defer w.mu.Unlock()
	if cause := causeOf(got, err); cause != "" {
		w.causes[cause]++
	}
	if happened {
		w.done = append(w.done, porcupine.Operation{ClientId: w.id, Input: in, Call: began, Output: out, Return: ended})
	}
}

// conclude is what an answer says of the operation; happened is false if that is nothing.
func (w *witness) conclude(in histInput, got answer, err error) (out histOutput, happened bool) {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return out, false
	case err != nil || got.status >= http.StatusInternalServerError:
		return histOutput{how: histUnknown}, in.kind != histGet && (err != nil || !got.untouched())
	case got.status == http.StatusPreconditionFailed:
		return histOutput{how: histRefused}, true
	case got.status >= http.StatusBadRequest && (in.kind != histGet || got.status != http.StatusNotFound):
		return out, false // 429, which says that nothing was begun
	}
	out.created = got.status == http.StatusCreated
	if in.kind == histGet && got.status == http.StatusOK {
		out.value, err = strconv.ParseUint(string(got.body), 10, 64)
		if err != nil {
			out.value = 1 << 63 // nobody wrote that
		}
		w.seen[in.key] = version{out.value, got.etag()}
	}
	if in.kind != histGet && in.kind != histDelete {
		w.seen[in.key] = version{in.value, got.etag()}
	}
	return out, true
}
