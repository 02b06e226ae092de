package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

// A caller is one of those that ask etcd at the same time: what a connection is to HTTP.
type caller struct {
	load
	client    *clientv3.Client
	rng       *rand.Rand
	sent      *atomic.Int64 // by all callers
	value     string
	latencies []time.Duration
}

// runEtcd carries the load out with etcd's own client: one for each member, which its callers share, as they would in a program.
func (l load) runEtcd() (result, error) {
	ctx := context.Background()
	if l.Length > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, l.Length+answerWithin)
		defer cancel()
	}
	clients := make([]*clientv3.Client, max(l.Hosts, 1))
	for i := range clients {
		client, err := clientv3.New(clientv3.Config{Endpoints: []string{node(i, l.Port)}, Logger: zap.NewNop()})
		if err != nil {
			return result{}, err
		}
		defer client.Close()
		if _, err := client.Get(ctx, keyText(0)); err != nil { // it connects now
			return result{}, err
		}
		clients[i] = client
	}
	callers := make([]*caller, l.Conns)
	var sent atomic.Int64
	value := strings.Repeat("v", l.Value)
	for i := range callers {
		callers[i] = &caller{load: l, client: clients[i%len(clients)], rng: rand.New(rand.NewPCG(1, uint64(i))), sent: &sent, value: value}
	}
	group, ctx := errgroup.WithContext(ctx)
	start, before := time.Now(), ownCPU()
	for _, c := range callers {
		group.Go(func() error { return c.call(ctx, start) })
	}
	if err := group.Wait(); err != nil {
		return result{}, err
	}
	elapsed, used := time.Since(start), ownCPU()-before
	var latencies []time.Duration
	for _, c := range callers {
		latencies = append(latencies, c.latencies...)
	}
	return summary(latencies, elapsed, used), nil
}

// call sends one request after the other until it is time to stop.
func (c *caller) call(ctx context.Context, start time.Time) error {
	for began := time.Now(); c.Length == 0 || began.Sub(start) < c.Length; {
		n := c.rng.IntN(max(c.Keys, 1))
		if c.Count > 0 {
			sent := int(c.sent.Add(1))
			if sent > c.Count {
				return nil
			}
			n = c.First + sent - 1
		}
		if err := c.request(ctx, keyText(n)); err != nil {
			return err
		}
		ended := time.Now()
		c.latencies = append(c.latencies, ended.Sub(began))
		began = ended
	}
	return nil
}

// request puts or gets one key.
func (c *caller) request(ctx context.Context, key string) error {
	if c.Method == "POST" {
		_, err := c.client.Put(ctx, key, c.value)
		return err
	}
	var options []clientv3.OpOption
	if c.Eventual {
		options = append(options, clientv3.WithSerializable())
	}
	r, err := c.client.Get(ctx, key, options...)
	if err != nil {
		return err
	}
	if len(r.Kvs) != 1 || len(r.Kvs[0].Value) != c.Value {
		return fmt.Errorf("key %s has no value of %d bytes", key, c.Value)
	}
	return nil
}
