package cluster

import (
	"context"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
)

// When etcd's file is made smaller. Compaction, which etcd does by itself, frees pages inside the file; only this gives them back.
const (
	housePeriod = 10 * time.Minute
	wasteMin    = 32 << 20 // bytes; and
	wasteShare  = 2        // more than one in so many
	defragLimit = time.Minute
)

// keepHouse defragments this node's etcd when it is worth it. It stops serving meanwhile, so only one voter at a time does it.
func (c *Cluster) keepHouse(ctx context.Context) error {
	for {
		if pause(ctx, housePeriod) != nil {
			return nil
		}
		if running := c.server.running(); running != nil && wasteful(running.Server.Backend().Size(), running.Server.Backend().SizeInUse()) {
			c.defragment(ctx, running)
		}
	}
}

func wasteful(size, used int64) bool { return size-used >= wasteMin && (size-used)*wasteShare >= size }

// defragment does it if no other voter does, and all are well.
func (c *Cluster) defragment(ctx context.Context, running *embed.Etcd) {
	for _, v := range c.sight.all() {
		if !v.Healthy {
			return
		}
	}
	etcd, err := c.etcd()
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, defragLimit)
	defer cancel()
	lease, err := etcd.Grant(ctx, int64(defragLimit/time.Second))
	if err != nil {
		return
	}
	defer func() { _, _ = etcd.Revoke(context.WithoutCancel(ctx), lease.ID) }()
	r, err := etcd.Txn(ctx).If(absent(defragKey)).Then(clientv3.OpPut(defragKey, c.config.Name, clientv3.WithLease(lease.ID))).Commit()
	if err != nil || !r.Succeeded {
		return
	}
	before := running.Server.Backend().Size()
	err = running.Server.Backend().Defrag()
	if err == nil {
		err = c.disarm(ctx, etcd, running)
	}
	if c.config.Events.Defragmented != nil {
		c.config.Events.Defragmented(before, running.Server.Backend().Size(), err)
	}
}

// disarm takes back the alarm that this node's file reached the quota, now that it is small again: until then etcd takes no writes.
func (c *Cluster) disarm(ctx context.Context, etcd *clientv3.Client, running *embed.Etcd) error {
	for _, a := range running.Server.Alarms() {
		if a.Alarm != pb.AlarmType_NOSPACE || a.MemberID != uint64(running.Server.MemberID()) || running.Server.Backend().Size() > quota/2 {
			continue
		}
		if _, err := etcd.AlarmDisarm(ctx, (*clientv3.AlarmMember)(a)); err != nil {
			return err
		}
	}
	return nil
}
