package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
)

func TestOperationsGoThereAndBack(t *testing.T) {
	server, to := pair(t, nil)
	m := register.Message{To: 2, Epoch: 3, Round: 4, Phase: register.Accept, Record: fullRecord(register.Value{Length: 2, Inline: []byte("ab")})}
	order := register.Order{Entry: register.Entry{Operation: at(1, 1)}, Change: register.Change{Kind: register.Data}, Value: m.Record.Value}
	const k = key.Key("any\xffkey/\x00")
	check := func(got key.Key) {
		if got != k {
			t.Errorf("key %q", got)
		}
	}
	unstaged := make(chan register.Value, 1)
	server.local.ask = func(_ context.Context, got key.Key, came register.Message) (register.Answer, error) {
		check(got)
		if diff := cmp.Diff(m, came); diff != "" {
			t.Error(diff)
		}
		return register.Answer{Reply: register.Refused, Rests: at(8, 3)}, nil
	}
	server.local.carry = func(_ context.Context, got key.Key, came register.Order) register.Report {
		check(got)
		if diff := cmp.Diff(order, came); diff != "" {
			t.Error(diff)
		}
		return register.Report{Changed: true, Sent: true, Outcome: register.Outcome{Version: at(5, 2)}}
	}
	server.local.unstage = func(v register.Value) { unstaged <- v }
	server.local.table = []byte("a table")

	a, err := to.Ask(t.Context(), k, m)
	if diff := cmp.Diff(register.Answer{Reply: register.Refused, Rests: at(8, 3)}, a); err != nil || diff != "" {
		t.Error(err, diff)
	}
	r, err := to.Carry(t.Context(), k, order)
	if diff := cmp.Diff(register.Report{Changed: true, Sent: true, Outcome: register.Outcome{Version: at(5, 2)}}, r); err != nil || diff != "" {
		t.Error(err, diff)
	}
	table, err := to.Table(t.Context())
	if err != nil || string(table) != "a table" {
		t.Error(table, err)
	}
	staged := register.Value{Length: 1 << 20, Sum: 9, Stage: at(6, 1)}
	to.Unstage(staged)
	if got := <-unstaged; got.Stage != staged.Stage || got.Length != staged.Length {
		t.Errorf("%v is unstaged", got)
	}
}

// Nobody waits for an answer to it, but two of them may be worked on at once.
func TestValuesAreUnstagedAtTheSameTime(t *testing.T) {
	server, to := pair(t, nil)
	begun, end := make(chan bool, 2), make(chan bool)
	defer close(end)
	server.local.unstage = func(register.Value) {
		begun <- true
		<-end
	}
	for range 2 {
		to.Unstage(register.Value{Length: 1 << 20, Stage: at(6, 1)})
	}
	for range 2 {
		select {
		case <-begun:
		case <-time.After(patience):
			t.Fatal("they are not worked on at the same time")
		}
	}
	if _, err := to.Table(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestShortValuesComeWithTheirRecord(t *testing.T) {
	server, to := pair(t, nil)
	for _, length := range []int{0, 1, register.InlineMax} {
		for _, inline := range []bool{false, true} {
			content := bytes.Repeat([]byte{7}, length)
			var given *value
			give := func(context.Context, key.Key) (register.Record, io.ReadSeekCloser, error) {
				given = newValue(content)
				rec := dataRecord(length)
				if inline {
					rec.Value.Inline = content
				}
				return rec, given, nil
			}
			server.local.read, server.local.get = give, give
			for name, read := range map[string]func(context.Context, key.Key) (register.Record, io.ReadSeekCloser, error){"read": to.Read, "get": to.Get} {
				rec, body, err := read(t.Context(), "k")
				if err != nil || rec.Version != dataRecord(0).Version || !rec.Present() {
					t.Fatalf("%s of %d bytes: %v, %v", name, length, rec, err)
				}
				got, err := io.ReadAll(body)
				if err != nil || !bytes.Equal(got, content) || !bytes.Equal(rec.Value.Inline, content) {
					t.Errorf("%s of %d bytes: %d, inline %d: %v", name, length, len(got), len(rec.Value.Inline), err)
				}
				if at, err := body.Seek(-1, io.SeekEnd); length > 0 && (err != nil || at != int64(length-1)) {
					t.Errorf("%s: at %d, %v", name, at, err)
				}
				if !given.closed.Load() {
					t.Errorf("%s of %d bytes: what the replica gave is not closed", name, length)
				}
				body.Close()
			}
		}
	}
}

func TestWhatIsNotThereHasNoBody(t *testing.T) {
	server, to := pair(t, nil)
	for _, rec := range []register.Record{{}, {Kind: register.Tombstone, Ballot: at(4, 1), Version: at(3, 1)}} {
		server.local.read = func(context.Context, key.Key) (register.Record, io.ReadSeekCloser, error) { return rec, nil, nil }
		got, body, err := to.Read(t.Context(), "k")
		if diff := cmp.Diff(rec, got); err != nil || body != nil || diff != "" {
			t.Errorf("%v, %v: %s", body, err, diff)
		}
	}
}

func TestErrorsOfTheNodeCross(t *testing.T) {
	server, to := pair(t, nil)
	damage := &register.DamageError{Where: "there", What: "rot"}
	server.local.ask = func(context.Context, key.Key, register.Message) (register.Answer, error) {
		return register.Answer{}, &register.NothingError{Cause: register.ErrFull}
	}
	server.local.read = func(context.Context, key.Key) (register.Record, io.ReadSeekCloser, error) {
		return register.Record{}, nil, fmt.Errorf("read: %w", damage)
	}
	server.local.carry = func(context.Context, key.Key, register.Order) register.Report {
		return register.Report{Sent: true, Lost: true, Err: &register.UnknownError{Cause: register.ErrFailed}}
	}
	_, err := to.Ask(t.Context(), "k", register.Message{Phase: register.Look})
	if _, nothing := errors.AsType[*register.NothingError](err); !nothing || !errors.Is(err, register.ErrFull) || errors.Is(err, register.ErrUnreachable) {
		t.Errorf("ask: %v", err)
	}
	_, _, err = to.Read(t.Context(), "k")
	if got, is := errors.AsType[*register.DamageError](err); !is || *got != *damage {
		t.Errorf("read: %v", err)
	}
	r, err := to.Carry(t.Context(), "k", register.Order{Change: register.Change{Kind: register.Tombstone}})
	if _, unknown := errors.AsType[*register.UnknownError](r.Err); err != nil || !r.Sent || !r.Lost || !unknown {
		t.Errorf("carry: %v, %v", r, err)
	}
}

func TestWhatWaitsTogetherTravelsTogether(t *testing.T) {
	var frames, messages atomic.Int64
	_, to := pair(t, func(c *Config) {
		c.Events.Frame = func(out bool, _ int) {
			if !out {
				frames.Add(1)
			}
		}
		c.Events.Message = func(k Kind, out bool) {
			if !out && k == KindAsk {
				messages.Add(1)
			}
		}
	})
	const callers, each = 64, 200
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for range each {
				if _, err := to.Ask(t.Context(), "k", register.Message{Phase: register.Look}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if n := messages.Load(); n != callers*each {
		t.Errorf("%d operations came, not %d", n, callers*each)
	}
	if n := frames.Load(); n > callers*each/4 {
		t.Errorf("%d frames for %d operations", n, callers*each)
	}
}

// blocked has a node's replica wait until each request's ctx ends, and gives what is found when it begins and ends.
func blocked(server *node) (began, ended chan context.Context) {
	began, ended = make(chan context.Context, 2*handlersMax), make(chan context.Context, 2*handlersMax)
	server.local.ask = func(ctx context.Context, k key.Key, _ register.Message) (register.Answer, error) {
		if k == "free" {
			return register.Answer{Reply: register.Shown}, nil
		}
		began <- ctx
		<-ctx.Done()
		ended <- ctx
		return register.Answer{}, ctx.Err()
	}
	return began, ended
}

func TestWhoStopsWaitingEndsTheWork(t *testing.T) {
	server, to := pair(t, nil)
	began, ended := blocked(server)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := to.Ask(ctx, "k", register.Message{Phase: register.Prepare})
		done <- err
	}()
	<-began
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || errors.Is(err, register.ErrUnreachable) {
		t.Errorf("the caller hears %v", err)
	}
	if cause := (<-ended).Err(); cause != context.Canceled {
		t.Errorf("the work ends with %v", cause)
	}
	if _, err := to.Ask(t.Context(), "free", register.Message{Phase: register.Look}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestDeadlinesTravel(t *testing.T) {
	server, to := pair(t, nil)
	began, _ := blocked(server)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := to.Ask(ctx, "k", register.Message{Phase: register.Prepare}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the caller hears %v", err)
	}
	there := <-began
	if _, has := there.Deadline(); !has {
		t.Error("the work has no deadline")
	}
	<-there.Done()
}

func TestWorkWithoutADeadlineHasNone(t *testing.T) {
	server, to := pair(t, nil)
	server.local.ask = func(ctx context.Context, _ key.Key, _ register.Message) (register.Answer, error) {
		if _, has := ctx.Deadline(); has {
			t.Error("there is a deadline")
		}
		return register.Answer{Reply: register.Shown}, nil
	}
	if _, err := to.Ask(context.Background(), "k", register.Message{Phase: register.Look}); err != nil {
		t.Error(err)
	}
}

func TestTracesTravel(t *testing.T) {
	type traceKey struct{}
	const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	network := newNetwork(t)
	c := network.config(2, 1)
	c.Extract = func(ctx context.Context, traceparent string) context.Context {
		return context.WithValue(ctx, traceKey{}, traceparent)
	}
	server := network.start(c)
	c = network.config(1, 1)
	c.Inject = func(ctx context.Context) string {
		kept, _ := ctx.Value(traceKey{}).(string)
		return kept
	}
	to := up(t, network.start(c).To(2))
	heard := func(ctx context.Context) any { return ctx.Value(traceKey{}) }
	var asked, staged, fetched any
	server.local.ask = func(ctx context.Context, _ key.Key, _ register.Message) (register.Answer, error) {
		asked = heard(ctx)
		return register.Answer{Reply: register.Shown}, nil
	}
	server.local.stage = func(ctx context.Context, _ register.Stamp, body io.Reader, _ int64) (register.Value, error) {
		staged = heard(ctx)
		_, err := io.Copy(io.Discard, body)
		return register.Value{}, err
	}
	server.local.get = func(ctx context.Context, _ key.Key) (register.Record, io.ReadSeekCloser, error) {
		fetched = heard(ctx)
		return dataRecord(1 << 20), newValue(make([]byte, 1<<20)), nil
	}
	for _, want := range []any{traceparent, nil} {
		ctx := t.Context()
		if want != nil {
			ctx = context.WithValue(ctx, traceKey{}, want)
		}
		if _, err := to.Ask(ctx, "k", register.Message{Phase: register.Look}); err != nil {
			t.Fatal(err)
		}
		if _, err := to.Stage(ctx, at(1, 1), strings.NewReader("x"), 1); err != nil {
			t.Fatal(err)
		}
		_, body, err := to.Get(ctx, "k")
		if err != nil {
			t.Fatal(err)
		}
		body.Close()
		if asked != want || staged != want || fetched != want {
			t.Errorf("%v, %v and %v arrive, not %v", asked, staged, fetched, want)
		}
	}
}

func TestTooMuchAtOnceIsTurnedAway(t *testing.T) {
	var overloads atomic.Int64
	server, to := pair(t, func(c *Config) { c.Events.Overloaded = func(ring.NodeID) { overloads.Add(1) } })
	blocked(server)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all sync.WaitGroup
	var refused, nothing atomic.Int64
	for range handlersMax + 100 {
		all.Go(func() {
			_, err := to.Ask(ctx, "k", register.Message{Phase: register.Accept, Record: fullRecord(register.Value{})})
			if errors.Is(err, register.ErrOverload) {
				refused.Add(1)
			}
			if _, is := errors.AsType[*register.NothingError](err); is {
				nothing.Add(1)
			}
		})
	}
	eventually(t, func() error {
		if refused.Load() < 100 {
			return fmt.Errorf("%d are refused", refused.Load())
		}
		return nil
	})
	if refused.Load() != 100 || overloads.Load() != 100 || nothing.Load() != 100 {
		t.Errorf("%d are refused, %d counted, of %d nothing was begun; want 100", refused.Load(), overloads.Load(), nothing.Load())
	}
	if r, err := to.Carry(t.Context(), "k", register.Order{Change: register.Change{Kind: register.Tombstone}}); err != nil || r.Sent || !errors.Is(r.Err, register.ErrOverload) {
		t.Errorf("a write that is handed over: %v, %v", r, err)
	}
	if !to.Up() {
		t.Error("a busy peer counts as down")
	}
	cancel()
	all.Wait()
}
