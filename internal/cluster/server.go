package cluster

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/features"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
)

// How etcd is run. Nothing that users wait for waits for etcd, so its leader is given ample time on a machine whose disk and
// processors are busy with keys: an election that was not needed costs more than one that comes a second later.
const (
	heartbeat  = 200 * time.Millisecond
	election   = 2 * time.Second
	quota      = 512 << 20 // bytes; a thousand nodes need a hundredth of it
	retention  = "1h"      // of old revisions; whoever missed more reads everything anew
	streamsMax = 1000      // of one client
	pingsMin   = time.Second

	stopLimit     = 10 * time.Second
	transferLimit = 1500 * time.Millisecond // of it, for another voter to take the lead
	requestLimit  = time.Second             // of it, for requests under way
)

// token sets this software's clusters apart from other users' etcd.
const token = "estorajed"

// A server is the etcd inside this node. It is over, for good, once it failed: a process whose etcd is in doubt is no place for a
// second try. The node goes on as a client of the other voters.
type server struct {
	config *embed.Config
	ports  ports
	fatal  func(error)

	gate    *gate
	started chan struct{} // closed when the attempt to start is over

	mu       sync.Mutex // guards the fields below; never held while etcd is called
	etcd     *embed.Etcd
	begun    bool
	stopping bool
	err      error // why it is over
}

// hasFiles tells whether a folder holds an etcd that voted before.
func hasFiles(dir string) bool { return wal.Exist(filepath.Join(dir, "member", "wal")) }

func newServer(c Config, voters []Initial, p ports, log *zap.Logger, fatal func(error)) *server {
	s := &server{config: etcdConfig(c, voters, p), ports: p, fatal: fatal, started: make(chan struct{})}
	s.gate = newGate(s.fail)
	s.config.ZapLoggerBuilder = embed.NewZapLoggerBuilder(log)
	s.config.GRPCAdditionalServerOptions = s.gate.options()
	return s
}

func etcdConfig(c Config, voters []Initial, p ports) *embed.Config {
	e := embed.NewConfig()
	e.Name, e.Dir = c.Name, c.Dir
	e.ListenPeerUrls, e.ListenClientUrls = urls(p.peer.Addr().String()), urls(p.client.Addr().String())
	self := Initial{c.Name, c.Host, c.PeerPort}
	for _, v := range voters {
		if v.Name == c.Name {
			self = v
		}
	}
	e.AdvertisePeerUrls = urls(self.address())
	e.AdvertiseClientUrls = urls(net.JoinHostPort(c.Host, strconv.Itoa(c.ClientPort)))
	var list []string
	for _, v := range voters {
		list = append(list, v.Name+"="+v.peerURL())
	}
	if !isIn(voters, c.Name) { // of a running cluster, whose members etcd knows by itself
		list = []string{self.Name + "=" + self.peerURL()}
	}
	e.InitialCluster, e.InitialClusterToken = strings.Join(list, ","), token

	e.TickMs, e.ElectionMs = uint(heartbeat.Milliseconds()), uint(election.Milliseconds())
	e.PreVote, e.StrictReconfigCheck = true, true
	e.AutoCompactionMode, e.AutoCompactionRetention = embed.CompactorModePeriodic, retention
	e.QuotaBackendBytes = quota
	e.MaxConcurrentStreams = streamsMax
	e.GRPCKeepAliveMinTime = pingsMin
	e.EnableGRPCGateway = false
	// CompactHashCheck compares the voters' content with each compaction. Its companion, InitialCorruptCheck, makes voters that start
	// together wait for each other's answers, which come only after the check: it stays off.
	if gates, is := e.ServerFeatureGate.(interface{ SetFromMap(map[string]bool) error }); is {
		_ = gates.SetFromMap(map[string]bool{string(features.CompactHashCheck): true}) // fails for unknown names only
	}
	return e
}

func urls(address string) []url.URL { return []url.URL{{Scheme: "http", Host: address}} }

// start begins to start etcd and returns; started tells when that is over.
func (s *server) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun || s.stopping {
		return
	}
	s.begun = true
	go func() {
		defer close(s.started)
		defer s.collect()
		defer func() { // on files that it does not expect, etcd panics
			if cause := recover(); cause != nil {
				s.fail(fmt.Errorf("etcd does not start: panic: %v", cause))
			}
		}()
		s.ports.close()
		etcd, err := embed.StartEtcd(s.config) // may end this goroutine: see lastWords
		if err != nil {
			s.fail(explained(err, s.config.Name))
			return
		}
		s.took(etcd)
	}()
}

// took notes that etcd runs. Its own end is a failure unless it was asked for.
func (s *server) took(etcd *embed.Etcd) {
	s.mu.Lock()
	s.etcd = etcd
	failed, stopping := s.err != nil, s.stopping
	s.mu.Unlock()
	switch {
	case failed: // while it was started
		tearDown(etcd)
		return
	case stopping: // stop waits for it
		return
	}
	go func() {
		select {
		case <-etcd.Server.StopNotify():
			s.fail(errors.New("etcd ended by itself: this node is not among its members any more"))
		case err, open := <-etcd.Err():
			if open {
				s.fail(fmt.Errorf("etcd ended: %w", err))
			}
		}
	}()
}

// collect closes the listeners of an etcd that died while it was started: nobody else refers to them, so the collector of garbage does.
func (s *server) collect() {
	s.mu.Lock()
	lost := s.etcd == nil
	s.mu.Unlock()
	if lost {
		runtime.GC()
	}
}

// fail is told why etcd is over.
func (s *server) fail(err error) {
	s.mu.Lock()
	first := s.err == nil && !s.stopping
	if first {
		s.err = err
	}
	etcd := s.etcd
	s.mu.Unlock()
	if !first {
		return
	}
	s.fatal(err)
	s.gate.shut()
	if etcd != nil {
		tearDown(etcd)
	}
}

// tearDown closes what is left of an etcd that failed: its listeners first, so that others see at once that nobody is there. The rest
// may hang, or panic where it meets what the failure left behind.
func tearDown(etcd *embed.Etcd) {
	for _, l := range etcd.Clients {
		l.Close()
	}
	for _, p := range etcd.Peers {
		p.Close()
	}
	go func() {
		defer func() { _ = recover() }()
		etcd.Close()
	}()
}

// running is the etcd that runs; nil if none does.
func (s *server) running() *embed.Etcd {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || s.stopping {
		return nil
	}
	return s.etcd
}

// closing tells whether what etcd does is to come to its end.
func (s *server) closing() bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopping || s.err != nil
}

// failed is why etcd is over; nil while it is not.
func (s *server) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// stop closes etcd. It hands the leadership over and lets requests end, but for no longer than stopLimit in all: without a quorum, or
// after a failure, there may be nobody to answer.
func (s *server) stop() {
	s.mu.Lock()
	begun := s.begun
	s.stopping = true
	s.mu.Unlock()
	s.ports.close()
	if !begun {
		return
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		<-s.started
		s.mu.Lock()
		etcd, failed := s.etcd, s.err != nil
		s.mu.Unlock()
		if etcd != nil && !failed {
			s.shut(etcd)
		}
	}()
	within(stopLimit, closed)
}

// shut closes an etcd that is well. Left to itself, etcd would try for long to find a new leader where nobody else is left.
func (s *server) shut(etcd *embed.Etcd) {
	transferred := make(chan struct{})
	go func() { // ends when the server does, if not before
		defer close(transferred)
		_ = etcd.Server.TryTransferLeadershipOnShutdown()
	}()
	within(transferLimit, transferred)
	if within(requestLimit, s.gate.shut()) {
		etcd.Server.HardStop() // nobody is inside who could miss it
	}
	etcd.Close()
}

// within waits for done, but not for longer than limit.
func within(limit time.Duration, done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	case <-time.After(limit):
		return false
	}
}

// explained is an error of etcd's start in words for the operator.
func explained(err error, name string) error {
	if strings.Contains(err.Error(), "has already been bootstrapped") {
		return foreign(name)
	}
	return fmt.Errorf("etcd does not start: %w", err)
}
