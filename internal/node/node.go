package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"

	"github.com/estorajed/estorajed/internal/api"
	"github.com/estorajed/estorajed/internal/coordinator"
	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/replica"
	"github.com/estorajed/estorajed/internal/ring"
	"github.com/estorajed/estorajed/internal/store"
	"github.com/estorajed/estorajed/internal/store/disk"
	"github.com/estorajed/estorajed/internal/telemetry"
)

// Config is what a node is built of. All fields are required unless they say otherwise.
type Config struct {
	Directory *Directory // taken, and begun by Open
	Settings  Settings

	Host       string // that peers and clients reach this node by
	Bind       string // address to listen on; "" is all interfaces
	Port       int
	Zone       string // may be ""
	Weight     float64
	DrainDelay time.Duration // between "not ready" and the end of the listener
	Version    string
	Revision   string

	MaxValueSize int64 // bytes
	TraceSample  float64
	OTLPEndpoint string // may be ""
	Getenv       func(string) string

	Metrics *telemetry.Metrics
	Logger  hclog.Logger
}

// A Node is one running node. Open makes it, Run serves it.
type Node struct {
	config   Config
	logger   hclog.Logger
	table    *ring.Table
	identity *Identity

	listener net.Listener
	fs       *disk.FS
	tracer   *telemetry.Tracer
	store    *store.Store
	replica  *replica.Replica
	coord    *coordinator.Coordinator
	server   *api.Server

	state atomic.Int32 // one of telemetry's states, but for read only, which follows from the store
}

// Open takes the port, recovers the store and builds all parts; nothing is served before Run. Its errors are one line for the user.
func Open(ctx context.Context, c Config) (_ *Node, err error) {
	n := &Node{config: c, logger: c.Logger}
	defer func() {
		if err != nil {
			n.release()
		}
	}()
	if n.listener, err = listen(ctx, c.Bind, c.Port); err != nil {
		return nil, err
	}
	if err := c.Directory.Begin(c.Settings); err != nil {
		return nil, err
	}
	n.identity = c.Directory.Identity
	if n.table, err = n.plan(); err != nil {
		return nil, err
	}
	if n.fs, err = disk.Open(c.Directory.Path); err != nil {
		return nil, &DirectoryError{c.Directory.Path, "cannot be opened: " + reason(err)}
	}
	if n.fs.SyncEach() {
		n.logger.Warn("syncfs is not known to work on this file system: each file and folder is synced by itself", "kind", n.fs.Kind())
	}
	n.tracer, err = telemetry.NewTracer(ctx, telemetry.TraceConfig{
		Endpoint: c.OTLPEndpoint, Sample: c.TraceSample, Node: c.Settings.Name, Cluster: n.identity.Cluster,
		Version: c.Version, Getenv: c.Getenv,
	}, c.Metrics, c.Logger)
	if err != nil {
		return nil, err
	}
	if err := n.dress(); err != nil {
		return nil, err
	}
	return n, nil
}

// listen binds the API's port.
func listen(ctx context.Context, bind string, port int) (net.Listener, error) {
	address := net.JoinHostPort(bind, strconv.Itoa(port))
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("-port %d is in use on %s: stop what listens there, or give another -port", port, shownHost(bind))
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("-port %d needs rights that this user has not: give a -port above 1023", port)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("-bind %s is no address of this machine: give one that is", bind)
	}
	return nil, fmt.Errorf("-bind %s, -port %d: %w: give an address of this machine", shownHost(bind), port, err)
}

func shownHost(bind string) string {
	if bind == "" {
		return "all interfaces"
	}
	return bind
}

// plan makes the table of a cluster of this node alone.
func (n *Node) plan() (*ring.Table, error) {
	empty, err := ring.New(n.identity.Partitions)
	if err != nil {
		return nil, err
	}
	return ring.Plan(empty, []ring.Member{{ID: n.identity.Node, Weight: 1, Zone: n.config.Zone}}, n.identity.Replicas)
}

func (n *Node) hash(k key.Key) uint64 { return key.Hash(k, n.identity.HashSeed) }

func (n *Node) locate(k key.Key) (hash uint64, partition int) {
	hash = n.hash(k)
	return hash, ring.Partition(hash, len(n.table.Sets))
}

// Address is where the API is served, as host:port.
func (n *Node) Address() string {
	return net.JoinHostPort(n.config.Host, strconv.Itoa(n.listener.Addr().(*net.TCPAddr).Port))
}

// Run serves until ctx ends, then drains: it says that it is not ready, goes on for the drain delay so that balancers notice, answers
// what has begun, and puts the store to rest. It returns nil after a clean end.
func (n *Node) Run(ctx context.Context) error {
	defer n.release()
	below, endBelow := context.WithCancel(context.WithoutCancel(ctx)) // store and replica, which outlive the API
	defer endBelow()
	var parts errgroup.Group
	parts.Go(func() error { return n.store.Run(below) })
	parts.Go(func() error { return n.replica.Run(below) })

	serving, endServing := context.WithCancel(context.WithoutCancel(ctx))
	defer endServing()
	drained := make(chan struct{})
	stopWatching := context.AfterFunc(ctx, func() {
		defer close(drained)
		n.state.Store(telemetry.StateDraining)
		n.logger.Info("draining", "delay", n.config.DrainDelay.String())
		select {
		case <-time.After(n.config.DrainDelay):
		case <-serving.Done():
		}
		n.state.Store(telemetry.StateStopping)
		endServing()
	})
	n.state.CompareAndSwap(telemetry.StateStarting, telemetry.StateServing)
	err := n.server.Serve(serving, n.listener)
	endServing()
	if !stopWatching() {
		<-drained
	}
	n.coord.Wait()
	endBelow()
	err = errors.Join(err, parts.Wait(), n.flush())
	if left := n.store.Status().Pending; left > 0 {
		n.logger.Warn("keys were left in the journal without their files; the next start writes them", "keys", left)
	}
	return err
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
	if n.listener != nil {
		n.listener.Close()
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
		return errors.New("the node is starting")
	case telemetry.StateDraining, telemetry.StateStopping:
		return errors.New("the node is draining")
	}
	if failed := n.store.Status().Failed; failed != nil {
		return fmt.Errorf("%w: %w; replace the disk and restore the node", register.ErrFailed, failed)
	}
	return nil
}
