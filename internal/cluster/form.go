package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/estorajed/estorajed/internal/ring"
)

// Form makes this node a member of a new cluster: it returns once the settings are agreed upon, all nodes of Initial have registered and
// the first table is made. A node that got so far before may do it again. Waiting tells how far it has come.
// Errors: ctx's, *RefusalError, and what keeps this node's etcd from its first start.
func (c *Cluster) Form(ctx context.Context) (View, Member, error) {
	if c.meeting != nil {
		if err := c.meet(ctx); err != nil {
			return View{}, Member{}, err
		}
		c.meeting.close()
		c.server.start()
	}
	asker := newAsker()
	for {
		if c.server != nil && c.server.failed() != nil {
			return View{}, Member{}, c.server.failed()
		}
		if len(c.sight.urls()) == 0 {
			c.findVoters(ctx, asker)
		}
		c.recognizeOwn()
		c.sight.look(ctx)
		view, self, err := c.join(ctx)
		var refusal *RefusalError
		switch {
		case err == nil:
			c.adopt(view)
			c.wait("")
			return view, self, nil
		case errors.As(err, &refusal):
			return View{}, Member{}, err
		}
		if err := pause(ctx, retryPause); err != nil {
			return View{}, Member{}, err
		}
	}
}

// findVoters looks for the voters of a new cluster: this node's own etcd, or what the others' say.
func (c *Cluster) findVoters(ctx context.Context, asker *http.Client) {
	if c.server != nil {
		c.sight.expect([]Voter{{Name: c.config.Name, URL: c.ownURL()}})
		return
	}
	c.wait("waiting for the voters %s to start", strings.Join(names(c.voters), ", "))
	c.discover(ctx, asker)
}

// ownURL is where this node's etcd serves clients.
func (c *Cluster) ownURL() string {
	return "http://" + net.JoinHostPort(c.config.Host, strconv.Itoa(c.config.ClientPort))
}

// errWaiting: what there is to wait for is in Waiting.
var errWaiting = errors.New("not everybody is there yet")

// join goes through all steps of forming, as far as they go now. Each of them may be done again.
func (c *Cluster) join(ctx context.Context) (View, Member, error) {
	etcd, err := c.etcd()
	if err != nil {
		return View{}, Member{}, err
	}
	b, at, err := c.read(ctx, etcd)
	if err != nil {
		c.wait("waiting for %s", c.unreachable(err))
		return View{}, Member{}, err
	}
	if b[settingsKey] != nil && c.accept(b) == nil {
		c.sight.recognize(at.ClusterId)
	}
	for _, step := range []func(context.Context, *clientv3.Client, board) (bool, error){c.agree, c.register, c.plan} {
		changed, err := step(ctx, etcd, b)
		if err != nil {
			return View{}, Member{}, err
		}
		if changed {
			if b, _, err = c.read(ctx, etcd); err != nil {
				return View{}, Member{}, err
			}
		}
	}
	view, err := b.view()
	if err != nil {
		return View{}, Member{}, err
	}
	self, kv, err := b.member(c.config.Name)
	if kv == nil && err == nil {
		err = errWaiting // another node drew its number at the same time
	}
	return view, self, err
}

// agree proposes this node's settings if there are none, and compares them with its flags if there are. A node that brings a number
// with it, from when it was alone, reserves it, together with all below.
func (c *Cluster) agree(ctx context.Context, etcd *clientv3.Client, b board) (changed bool, err error) {
	if b[settingsKey] != nil {
		return false, c.accept(b)
	}
	number := strconv.FormatUint(uint64(c.config.Self.Node), 10)
	ctx, cancel := asking(ctx)
	defer cancel()
	_, err = etcd.Txn(ctx).If(absent(settingsKey)).Then(
		clientv3.OpPut(settingsKey, encoded(c.config.Wanted)),
		clientv3.OpPut(initialKey, encoded(names(c.config.Initial))),
		clientv3.OpPut(numberKey, number),
	).Commit()
	return true, err // whoever was first
}

func absent(key string) clientv3.Cmp { return clientv3.Compare(clientv3.CreateRevision(key), "=", 0) }

// accept judges the settings that were there already.
func (c *Cluster) accept(b board) error {
	s, err := b.settings()
	if err != nil {
		return err
	}
	if err := s.compare(c.config.Wanted); err != nil {
		return err
	}
	if c.config.Self.Node != 0 && s.Cluster != c.config.Wanted.Cluster {
		return refuse("the data directory of %s belongs to the cluster %s, and these nodes form the cluster %s: give an empty directory, or start it where it belongs", c.config.Name, c.config.Wanted.Cluster, s.Cluster)
	}
	var began []string
	if err := b.decode(initialKey, &began); err != nil {
		return err
	}
	if d := differences(began, names(c.config.Initial)); d != "" {
		return refuse("-initialCluster is not the list that this cluster was created with (%s): give all nodes the same list", d)
	}
	return nil
}

// register writes this node down, with a number of its own. The counter goes with it in one transaction, so a number is never given twice.
func (c *Cluster) register(ctx context.Context, etcd *clientv3.Client, b board) (changed bool, err error) {
	old, kv, err := b.member(c.config.Name)
	if err != nil {
		return false, err
	}
	if kv != nil {
		return c.renew(ctx, etcd, b, old)
	}
	last := b[numberKey]
	if last == nil {
		return false, errIncomplete
	}
	number, err := strconv.ParseUint(string(last.Value), 10, 32)
	if err != nil {
		return false, fmt.Errorf("etcd key %s: %w", numberKey, err)
	}
	self := c.config.Self
	if self.Node == 0 { // else it is reserved: see agree
		number++
		self.Node = ring.NodeID(number)
	}
	ctx, cancel := asking(ctx)
	defer cancel()
	key := memberPrefix + self.Name
	_, err = etcd.Txn(ctx).If(b.same(settingsKey), b.same(numberKey), absent(key)).Then(
		clientv3.OpPut(numberKey, strconv.FormatUint(number, 10)),
		clientv3.OpPut(key, encoded(self)),
	).Commit()
	return true, err
}

// renew brings this node's registration up to date: where it is, what it runs, and that it was started.
func (c *Cluster) renew(ctx context.Context, etcd *clientv3.Client, b board, old Member) (changed bool, err error) {
	self, err := old.renewed(c.config.Self)
	if err != nil || self == old {
		return false, err
	}
	ctx, cancel := asking(ctx)
	defer cancel()
	key := memberPrefix + self.Name
	r, err := etcd.Txn(ctx).If(b.same(settingsKey), b.same(key)).Then(clientv3.OpPut(key, encoded(self))).Commit()
	if err == nil && !r.Succeeded {
		err = errRaced
	}
	return true, err
}

// renewed is a registration after a start of the node as self.
func (m Member) renewed(self Member) (Member, error) {
	switch {
	case m.Directory != self.Directory || self.Node != 0 && self.Node != m.Node:
		return m, foreign(m.Name)
	case m.Start > self.Start:
		return m, refuse("the data directory of %s is an older copy: it counts %d starts, and the cluster has seen %d: give back the newest one; "+
			"if that is lost, leave this node stopped: the others go on without it, and this version cannot yet replace it", m.Name, self.Start, m.Start)
	}
	self.Node = m.Node
	return self, nil
}

// plan makes the first table, once all are there.
func (c *Cluster) plan(ctx context.Context, etcd *clientv3.Client, b board) (changed bool, err error) {
	if b[tableKey] != nil {
		return false, nil
	}
	members, err := b.members()
	if err != nil {
		return false, err
	}
	var there []string
	for _, m := range members {
		there = append(there, m.Name)
	}
	if missing := without(names(c.config.Initial), there); len(missing) > 0 {
		c.wait("waiting for %s to register", strings.Join(missing, ", "))
		return false, errWaiting
	}
	settings, err := b.settings()
	if err != nil {
		return false, err
	}
	table, err := firstTable(settings, members)
	if err != nil {
		return false, err
	}
	value, err := table.Encode()
	if err != nil {
		return false, err
	}
	ctx, cancel := asking(ctx)
	defer cancel()
	_, err = etcd.Txn(ctx).If(b.same(settingsKey), absent(tableKey)).Then(clientv3.OpPut(tableKey, string(value))).Commit()
	return true, err
}

// same holds a transaction to what was read. The settings are part of every such condition: they hold the cluster's id, so that nothing
// is written into another cluster's etcd that has come to stand where a voter was.
func (b board) same(key string) clientv3.Cmp {
	kv := b[key]
	switch {
	case kv == nil:
		return absent(key)
	case key == settingsKey:
		return clientv3.Compare(clientv3.Value(key), "=", string(kv.Value))
	}
	return clientv3.Compare(clientv3.ModRevision(key), "=", kv.ModRevision)
}

// errRaced: what was read has changed before it could be acted upon.
var errRaced = errors.New("etcd changed meanwhile")
