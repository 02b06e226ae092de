package cluster

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/estorajed/estorajed/internal/ring"
)

// Config is what a Cluster is built of. Fields are required unless they say otherwise.
type Config struct {
	Name       string
	Dir        string // for etcd's files; used if this node votes
	Bind       string // address to listen on; "" is all interfaces
	Host       string // that the others reach this node by
	ClientPort int    // of etcd, for the nodes
	PeerPort   int    // of etcd, for the other voters

	Initial []Initial  // all nodes of the new cluster; none: this node alone
	Wanted  Settings   // the flags; Cluster and HashSeed are what this node proposes, or what its directory says
	Known   *View      // what the data directory remembers; nil on a first start
	Self    Member     // Node is 0 if the directory has no number yet
	Changed func(View) // called by Run, one call at a time, with each new view; may be nil
	Events  Events
}

// An Initial is one node of -initialCluster.
type Initial struct {
	Name string
	Host string
	Port int // of its etcd, for the other voters
}

// Events tell what an operator may want to know. The zero value is silent. They are called from many goroutines.
type Events struct {
	Log          func(level, message string, fields []any) // what etcd has to say: warn, error or fatal
	Fatal        func(err error)                           // the etcd inside this node is over, until the process is started again
	WatchLost    func(cause error)                         // changes come late
	LeaseLost    func(cause error)                         // the others may take this node for dead
	Defragmented func(before, after int64, err error)      // etcd's file, in bytes
}

// A Member is a node, as all nodes see it.
type Member struct {
	Node           ring.NodeID `json:"node"`
	Name           string      `json:"name"`
	Directory      string      `json:"directory"` // of the data directory: random, 32 hexadecimal digits
	Host           string      `json:"host"`
	Port           int         `json:"port"`
	PeerPort       int         `json:"peer_port"`
	EtcdClientPort int         `json:"etcd_client_port"`
	Zone           string      `json:"zone,omitempty"`
	Weight         float64     `json:"weight"`
	Version        string      `json:"version"`
	Start          uint64      `json:"start"` // how often it was started with this directory
}

// clientURL is where the etcd inside that node serves clients, if it votes.
func (m Member) clientURL() string {
	return "http://" + net.JoinHostPort(m.Host, strconv.Itoa(m.EtcdClientPort))
}

// A View is all that is agreed upon, at one moment.
type View struct {
	Settings      Settings
	Members       []Member // by number
	Table         *ring.Table
	TableRevision int64 // of etcd, at which the table was written
}

// A Cluster is this node's part in the agreement. Start makes it, Form founds a new cluster with it, Run keeps it; Stop ends it.
type Cluster struct {
	config  Config
	voters  []Initial   // those of Initial that vote
	log     *zap.Logger // of all etcd code
	server  *server     // nil: this node does not vote
	meeting *meeting    // nil unless this node is a voter that has yet to start its etcd
	sight   *sight

	mu      sync.Mutex
	client  *clientv3.Client // nil until a voter's address is known
	stopped bool
	waiting string
	known   known
}

// Start takes the ports and, if this node has etcd's files, starts its etcd. It waits for no other node.
// Its errors are one line for the user.
func Start(ctx context.Context, c Config) (*Cluster, error) {
	if len(c.Initial) == 0 && c.Known == nil {
		c.Initial = []Initial{{c.Name, c.Host, c.PeerPort}}
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	cl := &Cluster{config: c, voters: votersOf(c.Initial, c.Wanted.MaxVoters), sight: newSight()}
	cl.log = newLogger(cl.tell, func(err error) { cl.server.fail(err) }) // only etcd's server has last words
	if c.Known != nil {
		cl.adopt(*c.Known)
	}
	files := hasFiles(c.Dir)
	votes := isIn(cl.voters, c.Name)
	switch {
	case files:
		ports, err := takePorts(ctx, c)
		if err != nil {
			return nil, err
		}
		cl.server = newServer(c, cl.voters, ports, cl.log, cl.fail)
		cl.server.start()
	case votes && c.Known == nil:
		ports, err := takePorts(ctx, c)
		if err != nil {
			return nil, err
		}
		cl.server = newServer(c, cl.voters, ports, cl.log, cl.fail)
		cl.meeting = openMeeting(c, ports)
	case votes:
		cl.fail(fmt.Errorf("etcd's files are gone from %s: this node goes on without a vote", c.Dir))
	}
	return cl, nil
}

// tell passes etcd's words on, but for those it says while it is being closed: they tell of nothing else.
func (c *Cluster) tell(level, message string, fields []any) {
	if c.config.Events.Log != nil && !c.server.closing() {
		c.config.Events.Log(level, message, fields)
	}
}

// check judges what can be judged without asking anybody.
func (c Config) check() error {
	at := slices.IndexFunc(c.Initial, func(i Initial) bool { return i.Name == c.Name })
	if len(c.Initial) > 0 && at < 0 {
		return refuse("-initialCluster does not name this node, %q: add it to the list, or start with the -name that it has there", c.Name)
	}
	if at >= 0 && c.Initial[at].Port != c.PeerPort {
		return refuse("-initialCluster gives %s the port %d, but -etcd-peer-port is %d: make them the same", c.Name, c.Initial[at].Port, c.PeerPort)
	}
	if c.Known != nil {
		return c.Known.Settings.compare(c.Wanted)
	}
	return nil
}

func isIn(list []Initial, name string) bool {
	return slices.ContainsFunc(list, func(i Initial) bool { return i.Name == name })
}

// A RefusalError says why this node cannot be part of the cluster as it was started, and what to do. To try again does not help.
type RefusalError struct {
	What string
}

func (e *RefusalError) Error() string { return e.What }

func refuse(format string, args ...any) error { return &RefusalError{fmt.Sprintf(format, args...)} }

// Waiting says in one line what Form waits for; "" for nothing.
func (c *Cluster) Waiting() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waiting
}

func (c *Cluster) wait(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = fmt.Sprintf(format, args...)
}

// Stop ends this node's part: first what it asks of others, then its etcd, cleanly if that goes in stopLimit. Form and Run must have
// returned, or be about to.
func (c *Cluster) Stop() {
	c.mu.Lock()
	c.stopped = true
	client := c.client
	c.mu.Unlock()
	if client != nil {
		client.Close()
	}
	c.sight.close()
	if c.meeting != nil {
		c.meeting.close()
	}
	if c.server != nil {
		c.server.stop()
	}
}
