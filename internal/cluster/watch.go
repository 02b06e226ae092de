package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"
)

// watchPeriod is how long a watch is trusted: it may be late for ever without failing. Then all is read anew.
const watchPeriod = time.Minute

// Run keeps this node's registration and lease fresh, tells of every change, and looks after etcd, until ctx ends. What etcd cannot do now
// is tried again; only what no trying helps ends Run: a *RefusalError.
func (c *Cluster) Run(ctx context.Context) error {
	if c.config.Known != nil && len(c.sight.urls()) == 0 {
		c.sight.expect(c.remembered())
	}
	parts, ctx := errgroup.WithContext(ctx)
	parts.Go(func() error { return c.follow(ctx) })
	parts.Go(func() error { return c.stayAlive(ctx) })
	parts.Go(func() error { return c.keepLooking(ctx) })
	if c.server != nil {
		parts.Go(func() error { return c.keepHouse(ctx) })
	}
	return parts.Wait()
}

// remembered are the voters as far as the data directory tells: any member may be one.
func (c *Cluster) remembered() (list []Voter) {
	for _, m := range c.config.Known.Members {
		if len(c.voters) == 0 || isIn(c.voters, m.Name) {
			list = append(list, Voter{Name: m.Name, URL: m.clientURL()})
		}
	}
	return list
}

// keepLooking looks at the voters again and again.
func (c *Cluster) keepLooking(ctx context.Context) error {
	asker := newAsker()
	for {
		c.recognizeOwn()
		c.sight.look(ctx)
		if !c.sight.hasLeader() {
			c.discover(ctx, asker) // they may have moved
		}
		if etcd, err := c.etcd(); err == nil { // which learns of new ones
			c.moved(ctx, etcd)
		}
		if pause(ctx, lookPeriod) != nil {
			return nil
		}
	}
}

// recognizeOwn knows the right etcd by the one inside this node, if it runs: its files say what it is, whoever answers.
func (c *Cluster) recognizeOwn() {
	if running := c.server.running(); running != nil {
		c.sight.recognize(uint64(running.Server.Cluster().ID()))
	}
}

// follow tells of every change: all is read, then watched from there, for as long as the watch holds. Errors: *RefusalError.
func (c *Cluster) follow(ctx context.Context) error {
	wait := retryPause
	for {
		began := time.Now()
		err := c.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		var refusal *RefusalError
		switch {
		case errors.As(err, &refusal):
			return err
		case err == nil: // the watch was held long enough
			wait = retryPause
			continue
		case time.Since(began) > watchPeriod/2:
			wait = retryPause
		}
		c.lost(err)
		if pause(ctx, wait) != nil {
			return nil
		}
		wait = min(2*wait, retryPauseMax)
	}
}

// session is one reading and one watch. It returns nil if it ended because it was old enough.
func (c *Cluster) session(ctx context.Context) error {
	etcd, err := c.etcd()
	if err != nil {
		return err
	}
	b, at, err := c.read(ctx, etcd)
	if err != nil {
		return err
	}
	changed, err := c.confirm(ctx, etcd, b)
	if err != nil {
		return err
	}
	c.sight.recognize(at.ClusterId)
	if changed {
		if b, at, err = c.read(ctx, etcd); err != nil {
			return err
		}
	}
	if err := c.show(b); err != nil {
		return err
	}
	c.connected()
	ctx, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), watchPeriod)
	defer cancel()
	for r := range etcd.Watch(ctx, agreed, clientv3.WithPrefix(), clientv3.WithRev(at.Revision+1)) {
		if err := r.Err(); err != nil {
			return fmt.Errorf("watch: %w", err)
		}
		if err := c.sight.check(r.Header.ClusterId); err != nil {
			return err
		}
		for _, e := range r.Events {
			b.change(e)
		}
		if len(r.Events) > 0 {
			if err := c.show(b); err != nil {
				return err
			}
		}
	}
	if ctx.Err() == nil {
		return errors.New("watch: it was closed")
	}
	return nil
}

// moved tells the other voters where this one listens for them, if that has changed since it began to vote: etcd does not do so by itself.
// What fails is tried again after the next look.
func (c *Cluster) moved(ctx context.Context, etcd *clientv3.Client) {
	running := c.server.running()
	if running == nil {
		return
	}
	id, now := running.Server.MemberID(), []string{c.server.config.AdvertisePeerUrls[0].String()}
	if m := running.Server.Cluster().Member(id); m == nil || slices.Equal(m.PeerURLs, now) {
		return
	}
	ctx, cancel := asking(ctx)
	defer cancel()
	_, _ = etcd.MemberUpdate(ctx, uint64(id), now)
}

// change applies one event.
func (b board) change(e *clientv3.Event) {
	if e.Type == mvccpb.DELETE {
		delete(b, string(e.Kv.Key))
		return
	}
	b[string(e.Kv.Key)] = e.Kv
}

// confirm makes sure that this is the cluster that the node remembers, and that its registration there is its own and up to date.
func (c *Cluster) confirm(ctx context.Context, etcd *clientv3.Client, b board) (changed bool, err error) {
	s, err := b.settings()
	if errors.Is(err, errIncomplete) {
		return false, errOther // it has none
	}
	if err != nil {
		return false, err
	}
	if known := c.view(); known.Settings != s {
		return false, errOther
	}
	old, kv, err := b.member(c.config.Name)
	if err != nil {
		return false, err
	}
	if kv == nil {
		return false, fmt.Errorf("%s is not registered any more", c.config.Name)
	}
	return c.renew(ctx, etcd, b, old)
}

// show adopts a view that is new, and tells of it. A table never goes back: whoever lost its newest, in etcd, is in trouble enough.
func (c *Cluster) show(b board) error {
	v, err := b.view()
	if err != nil {
		return err
	}
	if known := c.view(); known.Table != nil && v.Table.Epoch < known.Table.Epoch {
		return fmt.Errorf("etcd holds the ring table of epoch %d; this node has that of epoch %d already", v.Table.Epoch, known.Table.Epoch)
	}
	revision, keys := b.newest()
	if !c.news(revision, keys) {
		return nil
	}
	c.adopt(v)
	if c.config.Changed != nil {
		c.config.Changed(v)
	}
	return nil
}
