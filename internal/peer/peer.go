package peer

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
)

// A State is how a node stands at the moment; every heartbeat tells it.
type State struct {
	Ready bool          // it takes requests
	Epoch uint64        // of its ring table
	Clock register.Time // its hybrid clock
	Name  string        // of the state, for people
}

// Local is what this node answers its peers with. It is safe for concurrent use.
type Local interface {
	// Ask, Read, Stage and Unstage are those of the node's own replica.
	Ask(ctx context.Context, k key.Key, m register.Message) (register.Answer, error)
	Read(ctx context.Context, k key.Key) (register.Record, io.ReadSeekCloser, error)
	Stage(ctx context.Context, id register.Stamp, body io.Reader, size int64) (register.Value, error)
	Unstage(v register.Value)
	// Carry coordinates a write that entered elsewhere. ctx ends with the patience, or the connection, of the node that handed it over.
	Carry(ctx context.Context, k key.Key, o register.Order) register.Report
	// Get coordinates a read here.
	Get(ctx context.Context, k key.Key) (register.Record, io.ReadSeekCloser, error)
	State() State
	// Table is the node's ring table in its encoded form.
	Table() []byte
}

// Config is what Peers are made of. All fields are required unless they say otherwise.
type Config struct {
	Cluster string      // 32 hexadecimal digits; nodes of others are refused
	Node    ring.NodeID // this node
	Name    string
	Version string // of what runs here; told to the peers
	Start   uint64 // this life of the node
	// Address is where another member listens for its peers. It is asked anew for each connection, to or from that member.
	Address func(node ring.NodeID) (hostPort string, known bool)
	Started func(node ring.NodeID) uint64 // the latest life of a member that is known; may be nil
	Local   Local
	Heard   func(clock register.Time) // of another node's State: clocks that stay together let no order run out on its way; may be nil
	Events  Events
	// Inject writes down the trace that ctx belongs to, "" if nobody keeps it; Extract takes it up at the other end. Both may be nil.
	Inject  func(ctx context.Context) string
	Extract func(ctx context.Context, traceparent string) context.Context
}

// Peers are all other nodes as this one sees them, and the server that answers them.
type Peers struct {
	config Config
	stall  time.Duration // stallLimit; shorter in tests
	drain  time.Duration // drainLimit; shorter in tests

	running  context.Context // of all sessions
	stop     context.CancelFunc
	sessions sync.WaitGroup
	draining chan struct{} // closed when the server is told to stop

	mu     sync.Mutex // guards the fields below; never held while anything is waited for
	peers  map[ring.NodeID]*Peer
	starts map[ring.NodeID]uint64 // highest heard
	talks  map[*talk]bool         // that are being served
	closed bool
}

// New makes the peers of a node. It connects to nobody before To is asked for them.
func New(c Config) *Peers {
	p := &Peers{
		config: c, stall: stallLimit, drain: drainLimit, draining: make(chan struct{}),
		peers: map[ring.NodeID]*Peer{}, starts: map[ring.NodeID]uint64{}, talks: map[*talk]bool{},
	}
	p.running, p.stop = context.WithCancel(context.Background())
	return p
}

// To is the way to another node; nil if it is not a known member, or this node. From the first call on a connection to it is kept up
// until Close.
func (p *Peers) To(node ring.NodeID) *Peer {
	p.mu.Lock()
	defer p.mu.Unlock()
	if to := p.peers[node]; to != nil {
		return to
	}
	if node == p.config.Node {
		return nil
	}
	if _, known := p.config.Address(node); !known {
		return nil
	}
	to := &Peer{peers: p, node: node}
	to.standing.Store(&standing{since: time.Now(), cause: errNotYet})
	p.peers[node] = to
	if !p.closed {
		p.sessions.Go(func() { to.run(p.running) })
	}
	return to
}

var (
	errNotYet = errors.New("not connected yet")
	errClosed = errors.New("this node is stopping")
)

// Close ends all connections that this node has made. Whatever is pending fails.
func (p *Peers) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.stop()
	p.sessions.Wait()
}

// A Status is how one peer stands.
type Status struct {
	Node    ring.NodeID
	Up      bool          // a session stands
	Ready   bool          // as it says; false while it is not up
	State   string        // as it says, for people; "" while it is not up
	Epoch   uint64        // of its ring table, as it last said
	Start   uint64        // of the life that is, or was, talked to
	Release string        // what it runs
	RTT     time.Duration // of heartbeats, smoothed
	Queue   int           // envelopes that wait to be sent
	Pending int           // operations that wait for their answer
	Streams int           // values on their way
	Since   time.Time     // of the state that Up tells
	Cause   error         // why it is not up
}

// Status tells of all peers that To was asked for, in the order of their numbers.
func (p *Peers) Status() []Status {
	p.mu.Lock()
	list := make([]Status, 0, len(p.peers))
	for _, to := range p.peers {
		list = append(list, to.status())
	}
	p.mu.Unlock()
	slices.SortFunc(list, func(a, b Status) int { return cmp.Compare(a.Node, b.Node) })
	return list
}

// inject writes down ctx's trace.
func (p *Peers) inject(ctx context.Context) string {
	if p.config.Inject == nil {
		return ""
	}
	return p.config.Inject(ctx)
}

// extract takes a trace up again.
func (p *Peers) extract(ctx context.Context, traceparent string) context.Context {
	if p.config.Extract == nil {
		return ctx
	}
	return p.config.Extract(ctx, traceparent)
}

// A standing is how a peer stands: with a session, or without and why. It is never changed.
type standing struct {
	session *session // nil: down
	since   time.Time
	cause   error  // why it is down
	start   uint64 // of the life that is, or was, talked to
	release string
	epoch   uint64 // that was last heard, while down
}

// A Peer is one other node. It is safe for concurrent use.
type Peer struct {
	peers    *Peers
	node     ring.NodeID
	standing atomic.Pointer[standing]
}

// Node is its number.
func (p *Peer) Node() ring.NodeID { return p.node }

// Up tells whether it is heard of.
func (p *Peer) Up() bool { return p.standing.Load().session != nil }

// Ready tells whether it takes requests, as it said last.
func (p *Peer) Ready() bool {
	s := p.standing.Load().session
	return s != nil && s.state().Ready
}

// down is the error of what was not sent as there is no session.
func (st *standing) down(node ring.NodeID) *DownError {
	return &DownError{Node: node, Since: st.since, Cause: st.cause, Unsent: true}
}

func (p *Peer) status() Status {
	st := p.standing.Load()
	s := Status{
		Node: p.node, Since: st.since, Cause: st.cause, Start: st.start, Release: st.release, Epoch: st.epoch,
	}
	if on := st.session; on != nil {
		state := on.state()
		s.Up, s.Ready, s.State, s.Epoch, s.RTT = true, state.Ready, state.Name, state.Epoch, time.Duration(on.rtt.Load())
		s.Queue, _ = on.box.waiting()
		s.Pending, s.Streams = on.underWay()
	}
	return s
}
