package peer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
)

// proxied is a pair whose way from 1 to 2 leads over a proxy.
func proxied(t *testing.T) (*node, *Peer, *proxy, *downs) {
	t.Helper()
	network := newNetwork(t)
	server := network.start(network.config(2, 1))
	direct, _ := network.address(2)
	between := newProxy(t, direct)
	seen := &downs{}
	c := network.config(1, 1)
	c.Address = func(id ring.NodeID) (string, bool) {
		if id == 2 {
			return between.address(), true
		}
		return network.address(id)
	}
	c.Events.Down = seen.down
	return server, up(t, network.start(c).To(2)), between, seen
}

// downs are the ends of sessions, by reason.
type downs struct {
	mu      sync.Mutex
	reasons []string
}

func (d *downs) down(_ ring.NodeID, reason string, _ error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reasons = append(d.reasons, reason)
}

func (d *downs) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return fmt.Sprint(d.reasons)
}

// pending has so many questions wait for their answers, and gives what they end with.
func pending(t *testing.T, server *node, to *Peer, n int) <-chan error {
	t.Helper()
	began, _ := blocked(server)
	errs := make(chan error, n)
	for range n {
		go func() {
			_, err := to.Ask(context.Background(), "k", register.Message{Phase: register.Accept, Record: fullRecord(register.Value{})})
			errs <- err
		}()
	}
	for range n {
		<-began
	}
	return errs
}

// checkLost holds the errors of questions that were sent before the peer went down.
func checkLost(t *testing.T, errs <-chan error) {
	t.Helper()
	for range cap(errs) {
		select {
		case err := <-errs:
			down, is := errors.AsType[*DownError](err)
			if !is || down.Node != 2 || down.Cause == nil || down.Since.IsZero() {
				t.Errorf("the error is %v", err)
			}
			if _, nothing := errors.AsType[*register.NothingError](err); nothing || errors.Is(err, register.ErrUnreachable) {
				t.Errorf("what was sent counts as not begun: %v", err)
			}
		case <-time.After(patience):
			t.Fatal("a question still waits for a peer that is down")
		}
	}
}

// checkUnreachable holds what a peer that is down says at once.
func checkUnreachable(t *testing.T, to *Peer) {
	t.Helper()
	_, err := to.Ask(t.Context(), "k", register.Message{Phase: register.Accept, Record: fullRecord(register.Value{})})
	if _, nothing := errors.AsType[*register.NothingError](err); !nothing || !errors.Is(err, register.ErrUnreachable) {
		t.Errorf("ask: %v", err)
	}
	if down, is := errors.AsType[*DownError](err); !is || down.Node != to.Node() || down.Cause == nil {
		t.Errorf("ask: %v", err)
	}
	if _, _, err := to.Read(t.Context(), "k"); !errors.Is(err, register.ErrUnreachable) {
		t.Errorf("read: %v", err)
	}
	if _, err := to.Stage(t.Context(), at(1, 1), nil, 0); !errors.Is(err, register.ErrUnreachable) {
		t.Errorf("stage: %v", err)
	}
	if r, err := to.Carry(t.Context(), "k", register.Order{}); err != nil || r.Sent || !errors.Is(r.Err, register.ErrUnreachable) {
		t.Errorf("carry: %v, %v", r, err)
	}
	if _, err := to.Table(t.Context()); !errors.Is(err, register.ErrUnreachable) {
		t.Errorf("table: %v", err)
	}
	to.Unstage(register.Value{Stage: at(1, 1)})
	if to.Up() || to.Ready() {
		t.Error("it counts as up")
	}
}

func TestSilenceIsNoticedWithinASecond(t *testing.T) {
	server, to, between, seen := proxied(t)
	errs := pending(t, server, to, 100)
	between.setSilent(true)
	began := time.Now()
	checkLost(t, errs)
	if took := time.Since(began); took < DownAfter/2 || took > 2*DownAfter {
		t.Errorf("it took %v", took)
	}
	checkUnreachable(t, to)
	if got := seen.String(); got != "[silent]" {
		t.Errorf("it went down as %v", got)
	}
	between.setSilent(false)
	up(t, to)
}

func TestABrokenConnectionIsNoticedAtOnce(t *testing.T) {
	server, to, between, seen := proxied(t)
	errs := pending(t, server, to, 100)
	began := time.Now()
	between.cut()
	checkLost(t, errs)
	if took := time.Since(began); took > BeatEvery {
		t.Errorf("it took %v", took)
	}
	up(t, to)
	if got := seen.String(); got != "[broken]" {
		t.Errorf("it went down as %v", got)
	}
}

func TestWhatWasPendingIsEndedAtTheOtherEndToo(t *testing.T) {
	server, to, between, _ := proxied(t)
	began, ended := blocked(server)
	go func() { _, _ = to.Ask(context.Background(), "k", register.Message{Phase: register.Look}) }()
	<-began
	between.cut()
	<-ended
}

func TestARestartedNodeIsUsedAgainSoon(t *testing.T) {
	network := newNetwork(t)
	client := network.start(network.config(1, 1))
	server := network.start(network.config(2, 1))
	to := up(t, client.To(2))
	for start := range uint64(5) {
		server.kill(t)
		eventually(t, func() error {
			if to.Up() {
				return errors.New("it still counts as up")
			}
			return nil
		})
		checkUnreachable(t, to)
		server = network.start(network.config(2, start+2))
		began := time.Now()
		up(t, to)
		if took := time.Since(began); took > 500*time.Millisecond {
			t.Errorf("after %v", took)
		}
		if got := to.status().Start; got != start+2 {
			t.Errorf("the life that is talked to is %d, not %d", got, start+2)
		}
	}
}

func TestHeartbeatsTellHowANodeStands(t *testing.T) {
	var clock atomic.Uint64
	network := newNetwork(t)
	server := network.start(network.config(2, 1))
	hearing := network.config(1, 1)
	hearing.Heard = func(heard register.Time) { clock.Store(uint64(heard)) }
	to := up(t, network.start(hearing).To(2))
	server.local.epoch.Store(7)
	server.local.ready.Store(false)
	eventually(t, func() error {
		if s := to.status(); !s.Up || s.Ready || s.Epoch != 7 || s.RTT == 0 || !to.Up() || to.Ready() {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	server.local.ready.Store(true)
	eventually(t, func() error {
		if !to.Ready() {
			return errors.New("it still counts as not ready")
		}
		return nil
	})
	if s := to.status(); s.Node != 2 || s.Start != 1 || s.Release != "test" || s.Cause != nil || time.Since(s.Since) > patience {
		t.Errorf("%+v", s)
	}
}

func TestHeartbeatsOvertakeWhatIsQueued(t *testing.T) {
	server, to, _, seen := proxied(t)
	blocked(server)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	long := fullRecord(register.Value{Length: register.InlineMax, Inline: make([]byte, register.InlineMax)})
	for range 2000 { // more bytes than fit into all windows and queues
		all.Go(func() {
			_, _ = to.Ask(ctx, "k", register.Message{Phase: register.Accept, Record: long})
		})
	}
	end := time.Now().Add(3 * DownAfter)
	eventually(t, func() error {
		if time.Now().Before(end) {
			return errors.New("not yet")
		}
		return nil
	})
	if got := seen.String(); got != "[]" {
		t.Errorf("it went down: %v", got)
	}
	cancel()
	all.Wait()
}

func TestASlowPeerCostsNothingButItsOwnAnswers(t *testing.T) {
	network := newNetwork(t)
	client := network.start(network.config(1, 1))
	slow, quick := network.start(network.config(2, 1)), network.start(network.config(3, 1))
	toSlow, toQuick := up(t, client.To(2)), up(t, client.To(3))
	errs := pending(t, slow, toSlow, 500)
	quick.local.ask = nil
	for range 100 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if _, err := toQuick.Ask(ctx, "k", register.Message{Phase: register.Look}); err != nil {
			t.Errorf("the other peer: %v", err)
		}
		cancel()
	}
	client.Close()
	for range cap(errs) {
		if err := <-errs; err == nil {
			t.Error("a question that nobody answered has an answer")
		}
	}
}

func TestAfterCloseNothingIsReached(t *testing.T) {
	server, to := pair(t, nil)
	errs := pending(t, server, to, 10)
	to.peers.Close()
	checkLost(t, errs)
	checkUnreachable(t, to)
	if late := to.peers.To(2); late.Up() {
		t.Error("it comes up again")
	}
}

func TestWhoIsNoPeer(t *testing.T) {
	network := newNetwork(t)
	n := network.start(network.config(1, 1))
	if n.To(1) != nil || n.To(9) != nil {
		t.Error("this node, or a node that nobody knows, is a peer")
	}
	network.set(9, "127.0.0.1:1")
	if to := n.To(9); to == nil || n.To(9) != to {
		t.Error("a known node is no peer, or each time another")
	}
	checkUnreachable(t, n.To(9))
	if list := n.Status(); len(list) != 1 || list[0].Node != 9 || list[0].Up || list[0].Cause == nil {
		t.Errorf("%+v", list)
	}
}

func TestCtxThatIsOverAsksNobody(t *testing.T) {
	server, to := pair(t, nil)
	server.local.ask = func(context.Context, key.Key, register.Message) (register.Answer, error) {
		t.Error("it was asked")
		return register.Answer{}, nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := to.Ask(ctx, "k", register.Message{Phase: register.Accept, Record: fullRecord(register.Value{})})
	if _, nothing := errors.AsType[*register.NothingError](err); !nothing || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if r, err := to.Carry(ctx, "k", register.Order{}); err != nil || r.Sent || !errors.Is(r.Err, register.ErrUnreachable) || !errors.Is(r.Err, context.Canceled) {
		t.Error(r, err)
	}
}
