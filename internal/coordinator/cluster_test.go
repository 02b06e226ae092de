package coordinator_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
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

// A cluster is some nodes in one process, each with a disk in memory.
type cluster struct {
	testing.TB
	table *ring.Table
	nodes []*member
}

// A member is one node, and the ways to it and from it.
type member struct {
	*replica.Replica
	*coordinator.Coordinator
	id    ring.NodeID
	store *replicatest.Store
	down  atomic.Bool // messages to it are answered with an error
	known atomic.Bool // as down: nobody need ask it
	deaf  atomic.Bool // messages to it that lost names get no answer
	lost  func(m register.Message) bool
	mute  time.Duration                 // its reports on writes are so late
	fatal func(m register.Message) bool // it dies as it sends that message
	dead  chan struct{}                 // closed when it has
	dying sync.Once
	far   sync.WaitGroup // operations that were handed to it
	luck  *luck          // of messages between others and it; nil: all arrive
}

// luck draws faults.
type luck struct {
	over atomic.Bool

	mu sync.Mutex
	*rand.Rand
}

// strikes is true in so many of a hundred cases.
func (l *luck) strikes(percent int) bool {
	if l == nil || l.over.Load() {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.IntN(100) < percent
}

var errLost = errors.New("the connection was reset")

var errDown = fmt.Errorf("%w: the connection was refused", register.ErrUnreachable)

// newCluster makes n nodes; every key has a replica at each.
func newCluster(t testing.TB, n int, change func(i int, c *coordinator.Config, s *replicatest.Store)) *cluster {
	return newWideCluster(t, n, n, change)
}

// newWideCluster makes n nodes; every key has a replica at each of the first few.
func newWideCluster(t testing.TB, n, replicas int, change func(i int, c *coordinator.Config, s *replicatest.Store)) *cluster {
	c := &cluster{TB: t, table: &ring.Table{Epoch: 1, Sets: make([]ring.Set, 4)}}
	var all []ring.NodeID
	for i := range replicas {
		all = append(all, ring.NodeID(i+1))
	}
	for p := range c.table.Sets {
		c.table.Sets[p] = ring.Set{Epoch: 1, Current: all}
	}
	for i := range n {
		m := &member{id: ring.NodeID(i + 1), store: &replicatest.Store{}, dead: make(chan struct{})}
		m.lost = func(register.Message) bool { return true }
		m.fatal = func(register.Message) bool { return false }
		to := func(node ring.NodeID) remote { return remote{c.nodes[node-1], m} }
		config := coordinator.Config{
			Node:  m.id,
			Table: func() *ring.Table { return c.table },
			Hash:  func(k key.Key) uint64 { return uint64(len(k)) << 60 },
			Peer:  func(node ring.NodeID) coordinator.Peer { return to(node) },
		}
		if change != nil {
			change(i, &config, m.store)
		}
		m.Replica = replica.New(replica.Config{
			Node: m.id, Store: m.store, Epoch: func(key.Key) uint64 { return 1 },
			Fetch: func(ctx context.Context, from ring.NodeID, k key.Key, _ register.Stamp) (register.Record, io.ReadCloser, error) {
				return to(from).Read(ctx, k)
			},
		})
		config.Local, config.Clock = remote{m, m}, m.Replica
		m.Coordinator = coordinator.New(config)
		c.nodes = append(c.nodes, m)
	}
	t.Cleanup(func() {
		for _, m := range c.nodes {
			m.far.Wait()
			m.Wait()
			for _, w := range m.store.Wrong() {
				t.Error(w)
			}
		}
	})
	return c
}

func (m *member) die() { m.dying.Do(func() { close(m.dead) }) }

func (m *member) isDead() bool {
	select {
	case <-m.dead:
		return true
	default:
		return false
	}
}

// remote is the way from one member to another, or to itself, that may be closed.
type remote struct {
	*member
	from *member
}

func (r remote) Up() bool { return !r.known.Load() }

func (r remote) Ready() bool { return true }

func (r remote) Why() string { return "down for 40s" }

// pass waits until a message gets no answer, or says at once why not, or lets it through.
func (r remote) pass(ctx context.Context) error {
	switch {
	case r.from.isDead():
		<-ctx.Done()
		return ctx.Err()
	case r.down.Load() || r.isDead():
		return errDown
	}
	return nil
}

func (r remote) Ask(ctx context.Context, k key.Key, m register.Message) (register.Answer, error) {
	if r.from.fatal(m) {
		r.from.die()
	}
	if err := r.pass(ctx); err != nil {
		return register.Answer{}, err
	}
	if r.deaf.Load() && r.lost(m) {
		<-ctx.Done()
		return register.Answer{}, ctx.Err()
	}
	if r.from != r.member && m.Phase == register.Accept && r.luck.strikes(10) {
		if r.luck.strikes(50) {
			_, _ = r.Replica.Ask(ctx, k, m)
		}
		return register.Answer{}, errLost
	}
	if m.Phase == register.Look && r.from != r.member {
		a, err := r.Replica.Ask(ctx, k, m)
		a.Record = register.Record{Ballot: a.Record.Ballot, Version: a.Record.Version, Kind: a.Record.Kind} // as on the wire
		return a, err
	}
	return r.Replica.Ask(ctx, k, m)
}

func (r remote) Read(ctx context.Context, k key.Key) (register.Record, io.ReadSeekCloser, error) {
	if err := r.pass(ctx); err != nil {
		return register.Record{}, nil, err
	}
	return r.Replica.Read(ctx, k)
}

func (r remote) Stage(ctx context.Context, id register.Stamp, body io.Reader, size int64) (register.Value, error) {
	if err := r.pass(ctx); err != nil {
		return register.Value{}, err
	}
	return r.Replica.Stage(ctx, id, body, size)
}

func (r remote) Carry(ctx context.Context, k key.Key, o register.Order) (register.Report, error) {
	if err := r.pass(ctx); err != nil {
		return register.Report{Err: err}, nil
	}
	if r.luck.strikes(10) {
		return register.Report{}, errLost
	}
	lost := r.luck.strikes(15)
	reports := make(chan register.Report, 1)
	r.far.Go(func() {
		if r.luck.strikes(10) {
			<-time.After(3 * time.Second)
		}
		report := r.Coordinator.Carry(ctx, k, o)
		if r.mute > 0 {
			<-time.After(r.mute)
		}
		reports <- report
	})
	select {
	case report := <-reports:
		if lost {
			return register.Report{}, errLost
		}
		return report, nil
	case <-r.dead:
		return register.Report{}, errLost
	case <-ctx.Done():
		return register.Report{}, ctx.Err()
	}
}

func (r remote) Get(ctx context.Context, k key.Key) (register.Record, io.ReadSeekCloser, error) {
	if err := r.pass(ctx); err != nil {
		return register.Record{}, nil, err
	}
	if r.deaf.Load() {
		<-ctx.Done()
		return register.Record{}, nil, ctx.Err()
	}
	return r.Coordinator.Get(ctx, k)
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
		c.nodes[n-1].mustPut(t, "long", long)
		m.expect(t, "long", long)
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
