package coordinator_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/estorajed/estorajed/internal/coordinator"
	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/replica"
	"github.com/estorajed/estorajed/internal/replica/replicatest"
	"github.com/estorajed/estorajed/internal/ring"
)

// A cluster is some nodes in one process, each with a disk in memory; every key has a replica at each.
type cluster struct {
	testing.TB
	table *ring.Table
	nodes []*member
}

// A member is one node, and the way to it.
type member struct {
	*replica.Replica
	*coordinator.Coordinator
	store *replicatest.Store
	down  atomic.Bool // messages to it are answered with an error
	deaf  atomic.Bool // messages to it that lost names get no answer
	lost  func(m register.Message) bool
}

var errDown = errors.New("the connection was refused")

func newCluster(t testing.TB, n int, change func(i int, c *coordinator.Config, s *replicatest.Store)) *cluster {
	c := &cluster{TB: t, table: &ring.Table{Epoch: 1, Sets: make([]ring.Set, 4)}}
	var all []ring.NodeID
	for i := range n {
		all = append(all, ring.NodeID(i+1))
	}
	for p := range c.table.Sets {
		c.table.Sets[p] = ring.Set{Epoch: 1, Current: all}
	}
	for i := range n {
		m := &member{store: &replicatest.Store{}, lost: func(register.Message) bool { return true }}
		config := coordinator.Config{
			Node:  ring.NodeID(i + 1),
			Table: func() *ring.Table { return c.table },
			Hash:  func(k key.Key) uint64 { return uint64(len(k)) << 60 },
			Peer:  func(node ring.NodeID) coordinator.Replica { return remote{c.nodes[node-1]} },
		}
		if change != nil {
			change(i, &config, m.store)
		}
		m.Replica = replica.New(replica.Config{Node: config.Node, Store: m.store, Epoch: func(key.Key) uint64 { return 1 }})
		config.Local, config.Clock = remote{m}, m.Replica
		m.Coordinator = coordinator.New(config)
		c.nodes = append(c.nodes, m)
	}
	t.Cleanup(func() {
		for _, m := range c.nodes {
			m.Wait()
			for _, w := range m.store.Wrong() {
				t.Error(w)
			}
		}
	})
	return c
}

// remote is the way to a member, that may be closed.
type remote struct{ *member }

func (r remote) Ask(ctx context.Context, k key.Key, m register.Message) (register.Answer, error) {
	if r.down.Load() {
		return register.Answer{}, errDown
	}
	if r.deaf.Load() && r.lost(m) {
		<-ctx.Done()
		return register.Answer{}, ctx.Err()
	}
	return r.Replica.Ask(ctx, k, m)
}

func (r remote) Read(ctx context.Context, k key.Key) (register.Record, io.ReadSeekCloser, error) {
	if r.down.Load() {
		return register.Record{}, nil, errDown
	}
	return r.Replica.Read(ctx, k)
}

var (
	put       = register.Change{Kind: register.Data}
	del       = register.Change{Kind: register.Tombstone}
	putAbsent = register.Change{Kind: register.Data, Condition: register.Condition{IfNoneMatch: register.Tags{Sent: true, Any: true}}}
)

func (m *member) put(ctx context.Context, k key.Key, value string) (register.Outcome, error) {
	return m.Write(ctx, k, put, strings.NewReader(value), int64(len(value)))
}

func (m *member) mustPut(t testing.TB, k key.Key, value string) register.Outcome {
	t.Helper()
	o, err := m.put(t.Context(), k, value)
	if err != nil {
		t.Fatalf("put of %q: %v", k, err)
	}
	return o
}

// expect checks that k has this value at the node, "" for none.
func (m *member) expect(t testing.TB, k key.Key, value string) register.Record {
	t.Helper()
	rec, body, err := m.Coordinator.Read(t.Context(), k, false)
	if err != nil {
		t.Fatalf("read of %q: %v", k, err)
	}
	got := ""
	if body != nil {
		defer body.Close()
		b, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		got = string(b)
	}
	if got != value || rec.Present() != (body != nil) {
		t.Fatalf("read of %q gives %.20q (%+v), want %.20q", k, got, rec, value)
	}
	return rec
}

// within polls until ok, and fails after a while.
func within(t testing.TB, what string, ok func() bool) {
	t.Helper()
	end, beat := time.After(5*time.Second), time.NewTicker(time.Millisecond)
	defer beat.Stop()
	for !ok() {
		select {
		case <-beat.C:
		case <-end:
			t.Fatal("waited in vain: " + what)
		}
	}
}

func TestAWriteIsReadBack(t *testing.T) {
	long := strings.Repeat("a long value ", 10_000)
	for _, n := range []int{1, 3, 5} {
		c := newCluster(t, n, nil)
		m := c.nodes[0]
		m.expect(t, "k", "")
		first := m.mustPut(t, "k", "one")
		if first.Replaced || first.Version.IsZero() {
			t.Errorf("%d nodes: first put: %+v", n, first)
		}
		second, err := c.nodes[n-1].Write(t.Context(), "k", register.Change{Kind: register.Data, Metadata: []register.Field{{Name: register.ContentType, Value: "text/x"}}}, strings.NewReader("two"), -1)
		if err != nil || !second.Replaced || !first.Version.Less(second.Version) {
			t.Errorf("%d nodes: second put: %+v after %+v, %v", n, second, first, err)
		}
		for _, m := range c.nodes {
			rec := m.expect(t, "k", "two")
			if rec.Version != second.Version || rec.MediaType() != "text/x" || len(rec.History) != 2 || rec.History[0].Version != first.Version {
				t.Errorf("%d nodes: record %+v", n, rec)
			}
		}
		gone, err := m.Write(t.Context(), "k", del, nil, -1)
		if err != nil || !gone.Replaced || !second.Version.Less(gone.Version) {
			t.Errorf("%d nodes: delete: %+v, %v", n, gone, err)
		}
		for _, m := range c.nodes {
			m.expect(t, "k", "")
		}
		again, err := m.Write(t.Context(), "k", del, nil, -1)
		if err != nil || again.Replaced {
			t.Errorf("%d nodes: second delete: %+v, %v", n, again, err)
		}
		if n == 1 {
			m.mustPut(t, "long", long)
			m.expect(t, "long", long)
		}
		if s := m.Coordinator.Status(); s.Operations != 0 || s.Turns != 0 || s.Waiting != 0 {
			t.Errorf("%d nodes: status %+v", n, s)
		}
	}
}

func TestDeletingNothingWritesNothing(t *testing.T) {
	c := newCluster(t, 1, nil)
	if o, err := c.nodes[0].Write(t.Context(), "k", del, nil, -1); err != nil || o.Replaced {
		t.Errorf("%+v, %v", o, err)
	}
	if n := c.nodes[0].store.Calls("Put"); n != 0 {
		t.Errorf("%d records were put", n)
	}
}

func TestConditionsAreDecidedInTheRound(t *testing.T) {
	for _, n := range []int{1, 3} {
		c := newCluster(t, n, nil)
		m := c.nodes[0]
		write := func(change register.Change, value string) (register.Outcome, error) {
			return m.Write(t.Context(), "k", change, strings.NewReader(value), -1)
		}
		first, err := write(putAbsent, "one")
		if err != nil {
			t.Fatalf("%d nodes: put if absent: %v", n, err)
		}
		if o, err := write(putAbsent, "two"); !errors.Is(err, register.ErrPrecondition) || o.Version != first.Version {
			t.Errorf("%d nodes: put if absent upon a value: %+v, %v", n, o, err)
		}
		match := put
		match.Condition.IfMatch = register.Tags{Sent: true, Versions: []register.Stamp{first.Version}}
		second, err := write(match, "three")
		if err != nil {
			t.Errorf("%d nodes: put if it matches: %v", n, err)
		}
		if _, err := write(match, "four"); !errors.Is(err, register.ErrPrecondition) {
			t.Errorf("%d nodes: put if an old version matches: %v", n, err)
		}
		match.Kind = register.Tombstone
		if _, err := m.Write(t.Context(), "k", match, nil, -1); !errors.Is(err, register.ErrPrecondition) {
			t.Errorf("%d nodes: delete if an old version matches: %v", n, err)
		}
		if rec := m.expect(t, "k", "three"); rec.Version != second.Version {
			t.Errorf("%d nodes: version %v, want %v", n, rec.Version, second.Version)
		}
	}
}

func TestWhatWasStagedInVainIsGivenUp(t *testing.T) {
	c := newCluster(t, 1, nil)
	m := c.nodes[0]
	long := bytes.Repeat([]byte("x"), 2*register.InlineMax)
	m.mustPut(t, "k", "there")
	if _, err := m.Write(t.Context(), "k", putAbsent, bytes.NewReader(long), -1); !errors.Is(err, register.ErrPrecondition) {
		t.Fatal(err)
	}
	if n := m.store.Staged(); n != 0 {
		t.Errorf("%d values are still staged", n)
	}
}

func TestTheBodysErrorIsTheWrites(t *testing.T) {
	c := newCluster(t, 1, nil)
	broken := errors.New("the digest does not match")
	body := io.MultiReader(strings.NewReader("begun"), errReader{broken})
	if _, err := c.nodes[0].Write(t.Context(), "k", put, body, -1); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	c.nodes[0].expect(t, "k", "")
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func TestALongValueIsNotSpreadInSilence(t *testing.T) {
	c := newCluster(t, 3, nil)
	long := bytes.Repeat([]byte("x"), 2*register.InlineMax)
	if _, err := c.nodes[0].Write(t.Context(), "k", put, bytes.NewReader(long), -1); err == nil {
		t.Error("a value that only one replica could hold was accepted")
	}
	if n := c.nodes[0].store.Staged(); n != 0 {
		t.Errorf("%d values are still staged", n)
	}
}

func TestAMinorityMayBeDown(t *testing.T) {
	c := newCluster(t, 3, nil)
	c.nodes[0].mustPut(t, "k", "one")
	within(t, "the third copy", func() bool {
		rec, _, err := c.nodes[2].Replica.Read(t.Context(), "k")
		return err == nil && rec.Present()
	})
	c.nodes[2].down.Store(true)
	c.nodes[0].mustPut(t, "k", "two")
	c.nodes[1].expect(t, "k", "two")
	c.nodes[2].down.Store(false)
	if rec, _, err := c.nodes[2].Coordinator.Read(t.Context(), "k", true); err != nil || len(rec.History) != 1 {
		t.Errorf("an eventual read asks more than the own copy: %+v, %v", rec, err)
	}
	c.nodes[2].expect(t, "k", "two")
	c.nodes[1].down.Store(true)
	c.nodes[2].down.Store(true)
	_, err := c.nodes[0].put(t.Context(), "k", "three")
	var quorum *register.QuorumError
	if !errors.As(err, &quorum) || quorum.Answered > 1 || quorum.Replicas != 3 || quorum.RetryAfter == 0 || !errors.Is(err, errDown) {
		t.Errorf("a write without a majority: %v", err)
	}
	if _, _, err := c.nodes[0].Coordinator.Read(t.Context(), "k", false); !errors.As(err, &quorum) {
		t.Errorf("a read without a majority: %v", err)
	}
	if rec, body, err := c.nodes[0].Coordinator.Read(t.Context(), "k", true); err != nil || body == nil || len(rec.History) != 2 {
		t.Errorf("an eventual read without a majority: %+v, %v", rec, err)
	}
}

func TestAReadFetchesTheChosenVersion(t *testing.T) {
	c := newCluster(t, 3, nil)
	c.nodes[0].down.Store(true)
	c.nodes[1].mustPut(t, "k", "chosen")
	c.nodes[0].down.Store(false)
	within(t, "two copies", func() bool { return c.nodes[1].store.Calls("Put")+c.nodes[2].store.Calls("Put") == 2 })
	c.nodes[0].expect(t, "k", "chosen") // from another's copy
}
