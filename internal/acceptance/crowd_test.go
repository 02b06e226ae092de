package acceptance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// A crowd is a number of clients that write to a daemon at the same time, each the only writer of its own keys.
type crowd struct {
	writers []*writer
	acks    [opCount]atomic.Int64 // acknowledged, by kind of operation
	doubt   atomic.Bool           // while it is set no answer counts: writes stay open
}

// The kinds of operation that a crowd mixes.
const (
	opPutSmall = iota // up to smallMax bytes
	opPutLarge        // more than travels in the journal
	opDelete
	opIfMatch     // with the right version: must succeed
	opIfStale     // with an old version: must be refused
	opIfNoneMatch // '*': succeeds if there is nothing
	opGet
	opNothing // none of the mix: writes that had nothing to change, since a condition did not hold or there was nothing to delete
	opCount
)

const (
	smallMax = 8 << 10
	largeMin = 64<<10 + 1
	largeMax = 256 << 10
)

// mix is how many of a hundred operations are of each kind.
var mix = [opCount]int{opPutSmall: 45, opPutLarge: 8, opDelete: 15, opIfMatch: 12, opIfStale: 5, opIfNoneMatch: 5, opGet: 10}

// newCrowd gives clients writers with keys keys each. Their choices follow from the seed.
func newCrowd(c client, clients, keys int, seed uint64) *crowd {
	crowd := &crowd{}
	for i := range clients {
		w := &writer{client: c, acks: &crowd.acks, doubt: &crowd.doubt, rng: rand.New(rand.NewPCG(seed, uint64(i)))}
		for j := range keys {
			w.accounts = append(w.accounts, &account{key: keyName(i*keys + j)})
		}
		crowd.writers = append(crowd.writers, w)
	}
	return crowd
}

// keyName gives the n-th key; among them are some that have every right to make trouble.
func keyName(n int) string {
	switch n % 10 {
	case 7:
		return fmt.Sprintf("../höhle/ %d%%/", n)
	case 8:
		return fmt.Sprintf("a//b/./\x00\n%d", n)
	case 9:
		return strings.Repeat("long/", 200) + strconv.Itoa(n)
	}
	return fmt.Sprintf("load/%d", n)
}

// total is how many operations were acknowledged so far.
func (c *crowd) total() int64 {
	var sum int64
	for i := range c.acks {
		sum += c.acks[i].Load()
	}
	return sum
}

// run lets all clients write until ctx ends or the daemon is gone; it returns the promises that it saw broken.
func (c *crowd) run(ctx context.Context) error {
	return c.each(func(w *writer) error { return w.work(ctx) })
}

// endure lets all clients try until ctx ends, whatever they are answered; it returns the promises that it saw broken.
func (c *crowd) endure(ctx context.Context) error {
	return c.each(func(w *writer) error {
		for ctx.Err() == nil {
			if err := w.work(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

// writesAcknowledged is total without what changed nothing.
func (c *crowd) writesAcknowledged() int64 {
	return c.total() - c.acks[opGet].Load() - c.acks[opNothing].Load()
}

// audit reads every key after a restart, when nothing is under way any more, and compares it with the ledger.
func (c *crowd) audit(ctx context.Context) error {
	return c.each(func(w *writer) error {
		var broken []error
		for _, a := range w.accounts {
			got, err := w.client.get(ctx, a.key)
			if err == nil {
				err = a.check(got)
			}
			broken = append(broken, err)
			a.forget()
		}
		return errors.Join(broken...)
	})
}

// survey is audit while the daemon lives on: what is open stays open.
func (c *crowd) survey(ctx context.Context) error {
	return c.each(func(w *writer) error {
		var broken []error
		for _, a := range w.accounts {
			broken = append(broken, w.read(ctx, a))
		}
		return errors.Join(broken...)
	})
}

// stopped tells why the clients ended their last run. It must not run any more.
func (c *crowd) stopped() error {
	var errs []error
	for _, w := range c.writers {
		errs = append(errs, w.stopped)
	}
	return errors.Join(errs...)
}

func (c *crowd) each(do func(*writer) error) error {
	results := make([]error, len(c.writers))
	var wg sync.WaitGroup
	for i, w := range c.writers {
		wg.Go(func() { results[i] = do(w) })
	}
	wg.Wait()
	return errors.Join(results...)
}

// A writer is one client of a crowd. Its methods are for one goroutine.
type writer struct {
	client   client
	rng      *rand.Rand
	accounts []*account
	acks     *[opCount]atomic.Int64
	doubt    *atomic.Bool
	stopped  error // why work ended, if no promise was broken
}

// work does one operation after the other. It ends without error when a request gets no answer (the daemon is dead) or ctx
// ends, and with an error when an answer breaks a promise.
func (w *writer) work(ctx context.Context) error {
	for {
		err := w.step(ctx)
		if v := violation(""); errors.As(err, &v) {
			return err
		}
		if err != nil || ctx.Err() != nil {
			w.stopped = err
			return nil
		}
	}
}

// step does one operation on one key. Errors: a violation, or whatever kept the request from being answered.
func (w *writer) step(ctx context.Context) error {
	a := w.accounts[w.rng.IntN(len(w.accounts))]
	op := w.pick()
	if !a.certain() && (op == opIfMatch || op == opIfStale || op == opIfNoneMatch) {
		op = opGet // nobody can say what is to come of the condition
	}
	switch op {
	case opPutLarge:
		return w.write(ctx, op, a, largeMin+w.rng.IntN(largeMax-largeMin), true)
	case opDelete:
		return w.delete(ctx, a)
	case opIfMatch:
		if a.etag == "" {
			return nil
		}
		return w.write(ctx, op, a, w.rng.IntN(smallMax), true, "If-Match", a.etag)
	case opIfStale:
		return w.write(ctx, op, a, w.rng.IntN(smallMax), false, "If-Match", `"1-1"`)
	case opIfNoneMatch:
		return w.write(ctx, op, a, w.rng.IntN(smallMax), !a.acked.present, "If-None-Match", "*")
	case opGet:
		return w.read(ctx, a)
	}
	return w.write(ctx, op, a, w.rng.IntN(smallMax), true)
}

func (w *writer) pick() int {
	n := w.rng.IntN(100)
	for op, share := range mix {
		if n -= share; n < 0 {
			return op
		}
	}
	return opPutSmall
}

// read gets a key and checks it.
func (w *writer) read(ctx context.Context, a *account) error {
	got, err := w.client.get(ctx, a.key)
	if err != nil {
		return err
	}
	if w.doubt.Load() {
		return nil
	}
	w.acks[opGet].Add(1)
	return a.check(got)
}

// write puts a new value; holds tells whether the condition in header holds.
func (w *writer) write(ctx context.Context, op int, a *account, size int, holds bool, header ...string) error {
	want := []int{http.StatusCreated, http.StatusOK}
	switch {
	case !holds:
		want = []int{http.StatusPreconditionFailed}
	case a.certain() && a.acked.present:
		want = want[1:]
	case a.certain():
		want = want[:1]
	}
	s := a.next(true)
	value := makeValue(a.key, s.seq, size)
	got, err := w.client.do(ctx, http.MethodPut, a.key, bytes.NewReader(value), header...)
	if err != nil {
		return err
	}
	return w.conclude(op, a, got, want...)
}

func (w *writer) delete(ctx context.Context, a *account) error {
	a.next(false)
	got, err := w.client.delete(ctx, a.key)
	if err != nil {
		return err
	}
	return w.conclude(opDelete, a, got, http.StatusNoContent)
}

// conclude enters the answer to a write into the ledger.
func (w *writer) conclude(op int, a *account, got answer, want ...int) error {
	a.note("answer %d", got.status)
	if w.doubt.Load() {
		return nil
	}
	expected := slices.Contains(want, got.status)
	switch {
	case expected && got.status == http.StatusPreconditionFailed:
		a.refuse()
		op = opNothing
	case expected:
		if op == opDelete && !a.acked.present {
			op = opNothing
		}
		a.settle(got.etag())
	case got.untouched():
		a.refuse()
		return fmt.Errorf("write %.60q: %s", a.key, got)
	case got.status >= http.StatusInternalServerError: // outcome unknown
		return fmt.Errorf("write %.60q: %s", a.key, got)
	default:
		return violation(fmt.Sprintf("write %d of key %.60q upon %s: %s, want %v", a.tried, a.key, a.acked, got, want))
	}
	w.acks[op].Add(1)
	return nil
}

// newSeed draws the seed of a test, or takes it from ACCEPTANCE_SEED, and tells it.
func newSeed(t testing.TB) uint64 {
	t.Helper()
	seed := rand.Uint64N(1 << 32)
	if text := os.Getenv("ACCEPTANCE_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("ACCEPTANCE_SEED=%d", seed)
	return seed
}
