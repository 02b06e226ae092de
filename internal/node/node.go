package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"

	"github.com/estorajed/estorajed/internal/api"
	"github.com/estorajed/estorajed/internal/cluster"
	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/observe"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
	"github.com/estorajed/estorajed/internal/store/disk"
	"github.com/estorajed/estorajed/internal/telemetry"
)

// Config is what a node is built of. All fields are required unless they say otherwise.
type Config struct {
	Directory *Directory // taken, and begun by Open
	Settings  Settings

	Host           string // that peers and clients reach this node by
	Bind           string // address to listen on; "" is all interfaces
	Port           int    // of the API; 0: any free one
	PeerPort       int    // 0: any free one
	EtcdClientPort int
	EtcdPeerPort   int
	InitialCluster []cluster.Initial // nil: this node alone
	Zone           string            // may be ""
	Weight         float64
	DrainDelay     time.Duration // between "not ready" and the end of the listener
	Version        string
	Revision       string

	MaxValueSize int64 // bytes
	TraceSample  float64
	OTLPEndpoint string // may be ""
	Getenv       func(string) string

	Metrics *telemetry.Metrics
	Logger  hclog.Logger
	Serving func() // told once, when the node takes requests; may be nil
}

// A Node is one running node. Open makes it, Run serves it.
type Node struct {
	config   Config
	logger   hclog.Logger
	identity *Identity // constant once there are parts

	listener     net.Listener // of the API
	peerListener net.Listener
	fs           *disk.FS
	tracer       *telemetry.Tracer
	observer     *observe.Observer
	server       *api.Server
	cluster      *cluster.Cluster
	leave        func() // stops it; may be called again

	state      atomic.Int32                 // one of telemetry's states, but for read only, which follows from the store
	hashSeed   atomic.Uint64                // of the cluster
	parts      atomic.Pointer[parts]        // nil until the node knows its cluster
	view       atomic.Pointer[cluster.View] // the same
	adopting   sync.Mutex                   // held while a newer view is written down
	acquainted chan struct{}                // closed once the node has met its peers, or has waited long enough for them
	catching   atomic.Bool                  // a newer table is being fetched from a peer
	errands    sync.WaitGroup               // fetches under way
}

// Open takes the ports, starts this node's part of etcd, and, if it has been in its cluster before, recovers the store and builds all
// parts. Nothing is served before Run. Its errors are one line for the user.
func Open(ctx context.Context, c Config) (_ *Node, err error) {
	n := &Node{config: c, logger: c.Logger, acquainted: make(chan struct{})}
	defer func() {
		if err != nil {
			n.release()
		}
	}()
	if n.listener, err = listen(ctx, "port", c.Bind, c.Port); err != nil {
		return nil, err
	}
	if n.peerListener, err = listen(ctx, "peer-port", c.Bind, c.PeerPort); err != nil {
		return nil, err
	}
	if err := c.Directory.Begin(c.Settings); err != nil {
		return nil, err
	}
	n.identity = c.Directory.Identity
	known, err := n.recall()
	if err != nil {
		return nil, err
	}
	if n.fs, err = disk.Open(c.Directory.Path); err != nil {
		return nil, &DirectoryError{c.Directory.Path, "cannot be opened: " + reason(err)}
	}
	if n.fs.SyncEach() {
		n.logger.Warn("syncfs is not known to work on this file system: each file and folder is synced by itself", "kind", n.fs.Kind())
	}
	n.tracer, err = telemetry.NewTracer(ctx, telemetry.TraceConfig{
		Endpoint: c.OTLPEndpoint, Sample: c.TraceSample, Node: c.Settings.Name, Cluster: n.clusterName(),
		Version: c.Version, Getenv: c.Getenv,
	}, c.Metrics, c.Logger)
	if err != nil {
		return nil, err
	}
	n.observe()
	if n.server, err = n.serveHTTP(); err != nil {
		return nil, err
	}
	if n.cluster, err = n.startCluster(ctx, known); err != nil {
		return nil, err
	}
	n.leave = sync.OnceFunc(n.cluster.Stop)
	if known != nil {
		if err := n.build(known); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// clusterName is the cluster's, if the node is sure of it.
func (n *Node) clusterName() string {
	if n.identity.Node == 0 {
		return ""
	}
	return n.identity.Cluster
}

// listen binds a port that a flag names.
func listen(ctx context.Context, flag, bind string, port int) (net.Listener, error) {
	address := net.JoinHostPort(bind, strconv.Itoa(port))
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("-%s %d is in use on %s: stop what listens there, or give another -%s", flag, port, shownHost(bind), flag)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("-%s %d needs rights that this user has not: give a -%s above 1023", flag, port, flag)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("-bind %s is no address of this machine: give one that is", bind)
	}
	return nil, fmt.Errorf("-bind %s, -%s %d: %w: give an address of this machine", shownHost(bind), flag, port, err)
}

func shownHost(bind string) string {
	if bind == "" {
		return "all interfaces"
	}
	return bind
}

func (n *Node) hash(k key.Key) uint64 { return key.Hash(k, n.hashSeed.Load()) }

func (n *Node) table() *ring.Table { return n.view.Load().Table }

func (n *Node) locate(k key.Key) (hash uint64, partition int) {
	hash = n.hash(k)
	return hash, ring.Partition(hash, len(n.table().Sets))
}

// Address is where the API is served, as host:port.
func (n *Node) Address() string {
	return net.JoinHostPort(n.config.Host, strconv.Itoa(portOf(n.listener)))
}

func portOf(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

// Run forms the cluster if need be and serves until ctx ends; then it drains: it says that it is not ready, goes on for the drain delay so
// that balancers and peers notice, answers what has begun, and puts the store to rest. It returns nil after a clean end.
// Its error may be a *cluster.RefusalError: the cluster does not take this node as it was started.
func (n *Node) Run(ctx context.Context) error {
	defer n.release()
	serving, endServing := context.WithCancel(context.WithoutCancel(ctx))
	defer endServing()
	running, giveUp := context.WithCancel(ctx) // ends also when something fails
	defer giveUp()
	drained := make(chan struct{})
	stopWatching := context.AfterFunc(running, func() {
		defer close(drained)
		n.drain(serving)
		endServing()
	})
	answered := make(chan struct{}) // closed when no client's request is under way any more
	var work errgroup.Group
	work.Go(func() error {
		defer close(answered)
		defer giveUp()
		defer endServing()
		return n.server.Serve(serving, n.listener)
	})
	work.Go(func() error {
		defer giveUp()
		return n.work(running, answered, giveUp)
	})
	err := work.Wait()
	endServing()
	if !stopWatching() {
		<-drained
	}
	return errors.Join(err, n.flush())
}

// drain tells balancers and peers to go elsewhere, and gives them the time to notice.
func (n *Node) drain(serving context.Context) {
	was := n.state.Swap(telemetry.StateDraining)
	if was == telemetry.StateServing {
		n.logger.Info("draining", "delay", n.config.DrainDelay.String())
		select {
		case <-time.After(n.config.DrainDelay):
		case <-serving.Done():
		}
	}
	n.state.Store(telemetry.StateStopping)
}

// work runs everything below the API, until all clients are answered. A part that ends by itself, with an error, ends the node.
func (n *Node) work(running context.Context, answered <-chan struct{}, giveUp func()) error {
	below, endBelow := context.WithCancel(context.WithoutCancel(running)) // of what outlives the API
	defer endBelow()
	var group errgroup.Group
	defer n.leave()
	if n.parts.Load() == nil {
		if err := n.form(running); err != nil {
			if running.Err() != nil {
				return nil // told to stop while it waited for others
			}
			return err
		}
	}
	parts := n.parts.Load()
	for _, run := range []func(context.Context) error{n.cluster.Run, parts.store.Run, parts.replica.Run} {
		group.Go(func() error {
			err := run(below)
			if err != nil {
				giveUp()
			}
			return err
		})
	}
	wire, endWire := context.WithCancel(below)
	defer endWire()
	var peers errgroup.Group
	peers.Go(func() error {
		err := parts.peers.Serve(wire, n.peerListener)
		if err != nil {
			giveUp()
		}
		return err
	})
	n.meet(running)
	close(n.acquainted)
	if n.state.CompareAndSwap(telemetry.StateStarting, telemetry.StateServing) {
		n.logger.Info("serving", "name", n.identity.Name, "address", n.Address(), "number", int(n.identity.Node), "epoch", n.table().Epoch)
		if n.config.Serving != nil {
			n.config.Serving()
		}
	}
	<-answered
	endWire() // what peers have begun here is answered, too, and nothing new is taken
	err := peers.Wait()
	parts.coord.Wait()
	n.errands.Wait()
	parts.peers.Close()
	endBelow()
	err = errors.Join(err, group.Wait())
	if left := parts.store.Status().Pending; left > 0 {
		n.logger.Warn("keys were left in the journal without their files; the next start writes them", "keys", left)
	}
	return err
}

// How long a node that starts waits for its peers before it says that it is ready.
const (
	meetLimit = 2 * time.Second
	meetEvery = 10 * time.Millisecond
)

// meet waits until this node has connections to all members, or for so long: then what its clients ask need not find them missing.
func (n *Node) meet(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, meetLimit)
	defer cancel()
	tick := time.NewTicker(meetEvery)
	defer tick.Stop()
	for !n.met() {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (n *Node) met() bool {
	peers := n.parts.Load().peers
	for _, m := range n.view.Load().Members {
		peers.To(m.Node)
	}
	for _, p := range peers.Status() {
		if !p.Up {
			return false
		}
	}
	return true
}

// flushLimit bounds the wait for the collector of traces at the end.
const flushLimit = 3 * time.Second

func (n *Node) flush() error {
	ctx, cancel := context.WithTimeout(context.Background(), flushLimit)
	defer cancel()
	if err := n.tracer.Shutdown(ctx); err != nil {
		n.logger.Warn("traces were lost at the end", "error", err)
	}
	return nil
}

// release gives back what Open took, as far as it came.
func (n *Node) release() {
	if n.leave != nil {
		n.leave()
	}
	for _, l := range []net.Listener{n.listener, n.peerListener} {
		if l != nil {
			l.Close()
		}
	}
	if n.fs != nil {
		n.fs.Close()
	}
	n.config.Directory.Release()
}

// ready tells why this node should get no requests now.
func (n *Node) ready() error {
	switch n.state.Load() {
	case telemetry.StateStarting:
		return errors.New(n.waiting())
	case telemetry.StateDraining, telemetry.StateStopping:
		return errors.New("the node is draining")
	}
	if failed := n.parts.Load().store.Status().Failed; failed != nil {
		return fmt.Errorf("%w: %w; replace the disk and restore the node", register.ErrFailed, failed)
	}
	return nil
}

// waiting tells what a node that does not serve yet is waiting for.
func (n *Node) waiting() string {
	if n.parts.Load() != nil || n.cluster == nil {
		return "the node is starting"
	}
	return cmp.Or(n.cluster.Waiting(), "the node is starting")
}
