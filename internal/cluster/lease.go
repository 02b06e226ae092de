package cluster

import (
	"context"
	"errors"
	"strconv"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// leaseTime is after how long without a word a node's sign of life goes away by itself. An election of etcd's must fit into it.
const leaseTime = 10 * time.Second

const (
	leasePause    = time.Second // between attempts
	revokeTimeout = time.Second // for the goodbye
)

// stayAlive keeps a sign of life in etcd, bound to a lease.
func (c *Cluster) stayAlive(ctx context.Context) error {
	for {
		err := c.holdLease(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if !errors.Is(err, errNobody) {
			c.leaseLost(err)
		}
		if pause(ctx, leasePause) != nil {
			return nil
		}
	}
}

// holdLease takes a lease and keeps it until it is lost, or ctx ends; then it gives it back, so that nobody has to wait for its end.
func (c *Cluster) holdLease(ctx context.Context) error {
	if !c.sight.recognized() {
		return errNobody
	}
	etcd, err := c.etcd()
	if err != nil {
		return err
	}
	renewing, stop := context.WithCancel(ctx)
	defer stop()
	id, err := c.sign(ctx, etcd)
	if err != nil {
		return err
	}
	renewals, err := etcd.KeepAlive(clientv3.WithRequireLeader(renewing), id)
	if err != nil {
		return err
	}
	for r := range renewals {
		if err := c.sight.check(r.ClusterId); err != nil {
			return err
		}
		c.leaseHeld(time.Now().Add(time.Duration(r.TTL) * time.Second))
	}
	if ctx.Err() != nil {
		bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), revokeTimeout)
		defer cancel()
		_, _ = etcd.Revoke(bye, id)
		return ctx.Err()
	}
	return errors.New("the lease ran out")
}

// sign puts the sign of life.
func (c *Cluster) sign(ctx context.Context, etcd *clientv3.Client) (clientv3.LeaseID, error) {
	ctx, cancel := asking(ctx)
	defer cancel()
	lease, err := etcd.Grant(ctx, int64(leaseTime/time.Second))
	if err != nil {
		return 0, err
	}
	r, err := etcd.Put(ctx, alivePrefix+c.config.Name, strconv.FormatUint(c.config.Self.Start, 10), clientv3.WithLease(lease.ID))
	if err != nil {
		return 0, err
	}
	if err := errors.Join(c.sight.check(lease.ClusterId), c.sight.check(r.Header.ClusterId)); err != nil {
		return 0, err
	}
	c.leaseHeld(time.Now().Add(leaseTime))
	return lease.ID, nil
}
