package cluster

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
)

// Limits of looking at the voters.
const (
	lookPeriod   = 2 * time.Second
	lookTimeout  = time.Second
	redialMax    = 2 * time.Second // between attempts to connect; grpc's own default is two minutes
	connectLimit = 3 * time.Second
)

// A Voter is a node with an etcd inside, as seen from here.
type Voter struct {
	Name    string
	URL     string // for clients; "" until it has voted
	Healthy bool   // it answers, and knows a leader
	Leader  bool

	foreign bool // it answers, as an etcd of another cluster
}

// A sight is what was seen of the voters when they were last looked at.
type sight struct {
	mu       sync.Mutex
	conns    map[string]*grpc.ClientConn // by URL; only for those in voters
	voters   []Voter                     // by name
	cluster  uint64                      // etcd's id of it; 0 until one was found to be the right one
	term     uint64
	revision int64
	size     int64 // of etcd's file, in bytes; this node's own if it votes
	closed   bool
}

func newSight() *sight { return &sight{conns: map[string]*grpc.ClientConn{}} }

func dialOptions() []grpc.DialOption {
	return []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: redialMax},
		MinConnectTimeout: connectLimit,
	})}
}

// conn gives the connection to a voter.
func (s *sight) conn(url string) (*grpc.ClientConn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, context.Canceled
	}
	if conn := s.conns[url]; conn != nil {
		return conn, nil
	}
	options := append(dialOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	conn, err := grpc.NewClient("passthrough:///"+strings.TrimPrefix(url, "http://"), options...)
	if err != nil {
		return nil, err
	}
	s.conns[url] = conn
	return conn, nil
}

func (s *sight) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, conn := range s.conns {
		conn.Close()
	}
}

// expect says who the voters are, where nobody has been seen yet.
func (s *sight) expect(voters []Voter) {
	slices.SortFunc(voters, func(a, b Voter) int { return cmp.Compare(a.Name+a.URL, b.Name+b.URL) })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.voters = voters
}

func (s *sight) all() []Voter {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.voters)
}

// last is what was seen last.
func (s *sight) last() (voters []Voter, term uint64, revision, size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.voters), s.term, s.revision, s.size
}

func (s *sight) hasLeader() bool {
	return slices.ContainsFunc(s.all(), func(v Voter) bool { return v.Healthy })
}

// recognize notes the id of the right etcd: where a voter was, another cluster's may be started.
func (s *sight) recognize(cluster uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cluster = cluster
}

func (s *sight) recognized() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cluster != 0
}

// errOther is the answer of an etcd that has nothing to do with this cluster.
var errOther = errors.New("another cluster's etcd answers at the address of a voter")

// check tells whether an answer is from the right etcd, once that is known.
func (s *sight) check(cluster uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cluster != 0 && s.cluster != cluster {
		return errOther
	}
	return nil
}

// urls are where the voters can be reached.
func (s *sight) urls() (list []string) {
	for _, v := range s.all() {
		if v.URL != "" && !v.foreign {
			list = append(list, v.URL)
		}
	}
	return list
}

// look looks at each voter, and asks one that is well who they all are. It needs no quorum.
func (s *sight) look(ctx context.Context) {
	voters := s.all()
	seen := make([]*pb.StatusResponse, len(voters))
	lists := make([]*pb.MemberListResponse, len(voters))
	var all sync.WaitGroup
	for i, v := range voters {
		if v.URL == "" {
			continue
		}
		all.Go(func() { seen[i], lists[i] = s.lookAt(ctx, v.URL) })
	}
	all.Wait()
	if ctx.Err() != nil {
		return
	}
	s.note(voters, seen, lists)
}

func (s *sight) lookAt(ctx context.Context, url string) (*pb.StatusResponse, *pb.MemberListResponse) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	conn, err := s.conn(url)
	if err != nil {
		return nil, nil
	}
	status, err := pb.NewMaintenanceClient(conn).Status(ctx, &pb.StatusRequest{})
	if err != nil {
		return nil, nil
	}
	list, err := pb.NewClusterClient(conn).MemberList(ctx, &pb.MemberListRequest{Linearizable: false})
	if err != nil {
		return nil, nil
	}
	return status, list
}

// note takes down what was seen. The list of voters is that of the one with a leader that is furthest ahead, once it is sure that it is
// of the right etcd.
func (s *sight) note(voters []Voter, seen []*pb.StatusResponse, lists []*pb.MemberListResponse) {
	best := -1
	for i, at := range seen {
		voters[i].foreign = at != nil && s.check(at.Header.ClusterId) != nil
		voters[i].Healthy = at != nil && at.Leader != 0 && !voters[i].foreign
		voters[i].Leader = voters[i].Healthy && at.Leader == at.Header.MemberId
		if voters[i].Healthy && (best < 0 || at.RaftAppliedIndex > seen[best].RaftAppliedIndex) {
			best = i
		}
	}
	if best >= 0 && s.recognized() {
		voters = relisted(voters, lists[best])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.voters = voters
	if best >= 0 {
		s.term, s.revision, s.size = seen[best].RaftTerm, seen[best].Header.Revision, seen[best].DbSize
	}
	for url, conn := range s.conns {
		if !slices.ContainsFunc(voters, func(v Voter) bool { return v.URL == url }) {
			conn.Close()
			delete(s.conns, url)
		}
	}
}

// relisted are the voters of a list, with what is known of them.
func relisted(voters []Voter, list *pb.MemberListResponse) (next []Voter) {
	for _, m := range list.Members {
		if m.IsLearner {
			continue
		}
		v := Voter{Name: m.Name}
		if len(m.ClientURLs) > 0 {
			v.URL = m.ClientURLs[0]
		}
		for _, old := range voters {
			if old.URL == v.URL && v.URL != "" {
				v.Healthy, v.Leader, v.foreign = old.Healthy, old.Leader, old.foreign
			}
		}
		next = append(next, v)
	}
	slices.SortFunc(next, func(a, b Voter) int { return cmp.Compare(a.Name+a.URL, b.Name+b.URL) })
	return next
}

// discover asks the voters of -initialCluster where etcds serve clients, and adds what it did not know. Which of them are other clusters'
// is found out by asking them.
func (c *Cluster) discover(ctx context.Context, asker *http.Client) {
	found := c.sight.all()
	for _, v := range c.voters {
		a, err := ask(ctx, asker, v.peerURL())
		if err != nil || c.sight.check(a.cluster) != nil {
			continue
		}
		for _, m := range a.members {
			known := func(v Voter) bool { return len(m.ClientURLs) > 0 && v.URL == m.ClientURLs[0] }
			if len(m.ClientURLs) > 0 && !m.Learner && !slices.ContainsFunc(found, known) {
				found = append(found, Voter{Name: m.Name, URL: m.ClientURLs[0]})
			}
		}
	}
	c.sight.expect(found)
}
