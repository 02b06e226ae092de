package acceptance

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// A Cluster is a number of daemons that know each other by -initialCluster. They stand on 127.0.0.1, 127.0.0.2 and so on, all with the
// same ports, as the nodes of a real cluster do. Each daemon may be killed, stopped and started by itself.
type Cluster struct {
	Nodes []*Daemon // node_1, node_2...
}

// NewCluster describes n nodes with free ports; it starts nothing. A node keeps its data in dir/node_1 and its log in dir/node_1.log.
func NewCluster(binary, dir string, n int, flags ...string) (*Cluster, error) {
	ports, err := FreePorts(Hosts(n)...)
	if err != nil {
		return nil, err
	}
	return NewClusterAt(ports, binary, dir, n, flags...), nil
}

// NewClusterAt is NewCluster with given ports.
func NewClusterAt(ports Ports, binary, dir string, n int, flags ...string) *Cluster {
	c := &Cluster{}
	initial := InitialCluster(ports, n)
	for i, host := range Hosts(n) {
		c.Nodes = append(c.Nodes, &Daemon{
			Process:  Process{LogPath: filepath.Join(dir, NodeName(i)+".log")},
			Binary:   binary,
			DataPath: filepath.Join(dir, NodeName(i)),
			Host:     host,
			Ports:    ports,
			Flags:    append([]string{"-name=" + NodeName(i), "-initialCluster=" + initial}, flags...),
		})
	}
	return c
}

// InitialCluster names the first n nodes as -initialCluster does.
func InitialCluster(ports Ports, n int) string {
	var list []string
	for i, host := range Hosts(n) {
		list = append(list, fmt.Sprintf("%s=http://%s:%d", NodeName(i), host, ports.EtcdPeer))
	}
	return strings.Join(list, ",")
}

// NodeName is the name of the i-th node, from 0.
func NodeName(i int) string { return fmt.Sprintf("node_%d", i+1) }

// Hosts are the addresses of n nodes. All of 127.0.0.0/8 is this machine.
func Hosts(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("127.0.0.%d", i+1))
	}
	return list
}

// Addresses are where the nodes serve their API.
func (c *Cluster) Addresses() (list []string) {
	for _, d := range c.Nodes {
		list = append(list, d.Address())
	}
	return list
}

// Start launches all nodes, one after the other in the order of their indexes in order (nil: as they are numbered), and waits until all serve.
// The first that does not come to that ends the wait.
func (c *Cluster) Start(ctx context.Context, order []int) error {
	for i := range c.Nodes {
		if order != nil {
			i = order[i]
		}
		if err := c.Nodes[i].Launch(); err != nil {
			return err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	for i, d := range c.Nodes {
		group.Go(func() error {
			if err := d.AwaitReady(ctx); err != nil {
				return fmt.Errorf("%s: %w", NodeName(i), err)
			}
			return nil
		})
	}
	return group.Wait()
}

// Stop asks all running nodes to end, at the same time, and returns when they have.
func (c *Cluster) Stop(ctx context.Context) error {
	errs := make([]error, len(c.Nodes))
	var wg sync.WaitGroup
	for i, d := range c.Nodes {
		if d.Running() {
			wg.Go(func() { errs[i] = d.Stop(ctx) })
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Kill ends all nodes that run.
func (c *Cluster) Kill() {
	for _, d := range c.Nodes {
		d.Kill()
	}
}
