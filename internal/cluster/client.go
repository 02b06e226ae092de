package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// Limits of what is asked of etcd.
const (
	askLimit      = 5 * time.Second // of one request; above etcd's election, so that a request outlives one
	pingPeriod    = 3 * time.Second
	pingTimeout   = 3 * time.Second
	retryPause    = 300 * time.Millisecond
	retryPauseMax = 3 * time.Second
)

var errNobody = errors.New("no voter is known yet")

// etcd gives the client of the voters, making it once one is known. It goes on with whichever of them answer: also with the others, when
// the one inside this node is over.
func (c *Cluster) etcd() (*clientv3.Client, error) {
	urls := c.sight.urls()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.stopped:
		return nil, context.Canceled
	case c.client == nil && len(urls) == 0:
		return nil, errNobody
	case c.client == nil:
		client, err := clientv3.New(clientv3.Config{
			Endpoints: urls, DialKeepAliveTime: pingPeriod, DialKeepAliveTimeout: pingTimeout, DialOptions: dialOptions(),
			Logger: c.log.WithOptions(zap.IncreaseLevel(zap.ErrorLevel)), // what it warns of is retried, or returned
		})
		if err != nil {
			return nil, err
		}
		c.client = client
	case len(urls) > 0 && !slices.Equal(urls, c.client.Endpoints()):
		c.client.SetEndpoints(urls...)
	}
	return c.client, nil
}

// asking bounds one request. A voter without a leader refuses it at once, so that another is asked.
func asking(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(clientv3.WithRequireLeader(ctx), askLimit)
}

// read reads, linearizably, all that is agreed upon. The header tells of which etcd, and at which revision.
func (c *Cluster) read(ctx context.Context, etcd *clientv3.Client) (board, *pb.ResponseHeader, error) {
	ctx, cancel := asking(ctx)
	defer cancel()
	r, err := etcd.Get(ctx, agreed, clientv3.WithPrefix())
	if err != nil {
		return nil, nil, err
	}
	if err := c.sight.check(r.Header.ClusterId); err != nil {
		return nil, nil, err
	}
	b := board{}
	for _, kv := range r.Kvs {
		b[string(kv.Key)] = kv
	}
	return b, r.Header, nil
}

// unreachable says, for people, that etcd does not answer, and which voters do.
func (c *Cluster) unreachable(err error) string {
	var well, ill []string
	for _, v := range c.sight.all() {
		if v.Healthy {
			well = append(well, v.Name)
		} else {
			ill = append(ill, v.Name)
		}
	}
	if len(ill) > 0 {
		return fmt.Sprintf("a majority of the voters: %d of %d answer (not %s)", len(well), len(well)+len(ill), strings.Join(ill, ", "))
	}
	return fmt.Sprintf("etcd: %v", err)
}
