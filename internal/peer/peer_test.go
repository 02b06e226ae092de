package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	cluster  = "0123456789abcdef0123456789abcdef"
	patience = 20 * time.Second
)

// A double stands for a node behind the wire: it answers what it was told to. A func that is nil answers with zeros.
type double struct {
	ask     func(ctx context.Context, k key.Key, m register.Message) (register.Answer, error)
	read    func(ctx context.Context, k key.Key) (register.Record, io.ReadSeekCloser, error)
	stage   func(ctx context.Context, id register.Stamp, body io.Reader, size int64) (register.Value, error)
	unstage func(v register.Value)
	carry   func(ctx context.Context, k key.Key, o register.Order) register.Report
	get     func(ctx context.Context, k key.Key) (register.Record, io.ReadSeekCloser, error)
	ready   atomic.Bool
	epoch   atomic.Uint64
	table   []byte
}

func (d *double) Ask(ctx context.Context, k key.Key, m register.Message) (register.Answer, error) {
	if d.ask == nil {
		return register.Answer{Reply: register.Shown}, nil
	}
	return d.ask(ctx, k, m)
}

func (d *double) Read(ctx context.Context, k key.Key) (register.Record, io.ReadSeekCloser, error) {
	if d.read == nil {
		return register.Record{}, nil, nil
	}
	return d.read(ctx, k)
}

func (d *double) Stage(ctx context.Context, id register.Stamp, body io.Reader, size int64) (register.Value, error) {
	if d.stage == nil {
		n, err := io.Copy(io.Discard, body)
		return register.Value{Length: n, Stage: id}, err
	}
	return d.stage(ctx, id, body, size)
}

func (d *double) Unstage(v register.Value) {
	if d.unstage != nil {
		d.unstage(v)
	}
}

func (d *double) Carry(ctx context.Context, k key.Key, o register.Order) register.Report {
	if d.carry == nil {
		return register.Report{}
	}
	return d.carry(ctx, k, o)
}

func (d *double) Get(ctx context.Context, k key.Key) (register.Record, io.ReadSeekCloser, error) {
	if d.get == nil {
		return register.Record{}, nil, nil
	}
	return d.get(ctx, k)
}

func (d *double) State() State {
	return State{Ready: d.ready.Load(), Epoch: d.epoch.Load(), Clock: clockShown}
}

// clockShown is what a double's clock shows.
const clockShown = 4711

func (d *double) Table() []byte { return d.table }

// A node is one life of a node on a loopback port.
type node struct {
	*Peers
	local *double
	end   func() // the server's
	done  chan error
}

// A net of nodes that know each other by number.
type network struct {
	t testing.TB

	mu        sync.Mutex
	addresses map[ring.NodeID]string
}

func newNetwork(t testing.TB) *network {
	return &network{t: t, addresses: map[ring.NodeID]string{}}
}

func (n *network) address(id ring.NodeID) (string, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	a, known := n.addresses[id]
	return a, known
}

func (n *network) set(id ring.NodeID, address string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addresses[id] = address
}

// config is what a node has unless a test wants something else.
func (n *network) config(id ring.NodeID, start uint64) Config {
	d := &double{}
	d.ready.Store(true)
	d.epoch.Store(1)
	return Config{Cluster: cluster, Node: id, Name: id.String(), Version: "test", Start: start, Address: n.address, Local: d}
}

// start runs a node until the test ends. It listens where it did before, if it has.
func (n *network) start(c Config) *node {
	n.t.Helper()
	at := "127.0.0.1:0"
	if known, is := n.address(c.Node); is {
		at = known
	}
	var l net.Listener
	eventually(n.t, func() (err error) {
		l, err = net.Listen("tcp", at)
		return err
	})
	n.set(c.Node, l.Addr().String())
	started := &node{Peers: New(c), done: make(chan error, 1)}
	started.local, _ = c.Local.(*double)
	ctx, cancel := context.WithCancel(context.Background())
	started.end = cancel
	go func() { started.done <- started.Serve(ctx, l) }()
	n.t.Cleanup(func() {
		started.Close()
		started.stop(n.t)
	})
	return started
}

// stop ends the node's server.
func (n *node) stop(t testing.TB) {
	t.Helper()
	n.end()
	select {
	case err := <-n.done:
		if err != nil {
			t.Errorf("the server ended with %v", err)
		}
		n.done <- nil
	case <-time.After(patience):
		t.Error("the server does not end")
	}
}

// kill ends the node at once, as the death of its process would.
func (n *node) kill(t testing.TB) {
	t.Helper()
	n.Peers.drain = 0
	n.Close()
	n.stop(t)
}

// pair is a node 2 and the way to it from a node 1.
func pair(t testing.TB, change func(c *Config)) (*node, *Peer) {
	t.Helper()
	network := newNetwork(t)
	c := network.config(2, 1)
	if change != nil {
		change(&c)
	}
	server := network.start(c)
	client := network.start(network.config(1, 1))
	return server, up(t, client.To(2))
}

// up waits until a peer is up.
func up(t testing.TB, p *Peer) *Peer {
	t.Helper()
	eventually(t, func() error {
		if !p.Up() {
			return fmt.Errorf("%v is not up: %v", p.node, p.standing.Load().cause)
		}
		return nil
	})
	return p
}

// eventually polls until check is content.
func eventually(t testing.TB, check func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for tick := time.NewTicker(time.Millisecond); ; <-tick.C {
		err := check()
		if err == nil {
			tick.Stop()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// A value is bytes as Local gives them.
type value struct {
	bytes.Reader
	closed atomic.Bool
}

func newValue(b []byte) *value {
	v := &value{}
	v.Reset(b)
	return v
}

func (v *value) Close() error {
	v.closed.Store(true)
	return nil
}

func dataRecord(length int) register.Record {
	s := register.Stamp{Time: 77, Node: 3}
	return register.Record{
		Kind: register.Data, Ballot: s, Version: s, Operation: register.Stamp{Time: 76, Node: 3},
		Metadata: []register.Field{{Name: register.ContentType, Value: "text/plain"}}, Value: register.Value{Length: int64(length), Sum: 5},
	}
}

var errOther = errors.New("something else")
