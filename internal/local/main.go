// Command local is `make cluster`: it runs three nodes and a balancer on this machine, says what to try, and stops them all at Ctrl-C.
//
// The nodes stand on 127.0.0.1, 127.0.0.2 and 127.0.0.3 with the product's own ports, as they would on three machines. One that
// is killed does not end the others, and can be started again by hand with the command line that is printed then.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/estorajed/estorajed/internal/acceptance"
)

const (
	nodes       = 3
	startWithin = time.Minute
	stopWithin  = time.Minute // a node drains for 3 s, and may then have much to write
)

func main() {
	runtime.LockOSThread() // what it launches is killed when this thread ends, however that comes
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends it at once, and with it all that it has launched
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

// run is the whole program.
func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("local", flag.ContinueOnError)
	daemon := flags.String("daemon", "bin/estorajed", "the daemon's binary")
	caddy := flags.String("caddy", "bin/caddy", "Caddy's binary")
	caddyfile := flags.String("caddyfile", "packaging/Caddyfile", "the balancer's configuration")
	data := flags.String("data", "data/cluster", "folder for the data and logs of all")
	var ports acceptance.Ports
	flags.IntVar(&ports.API, "port", 8000, "API port of each node")
	flags.IntVar(&ports.Peer, "peer-port", 9000, "port of each node for the others")
	flags.IntVar(&ports.EtcdClient, "etcd-client-port", 2379, "port of each node's etcd for its clients")
	flags.IntVar(&ports.EtcdPeer, "etcd-peer-port", 2380, "port of each node's etcd for its peers")
	front := flags.Int("balancer-port", 8080, "the balancer's port")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := inUse(ctx, ports, *front); err != nil {
		return err
	}
	if err := os.MkdirAll(*data, 0o700); err != nil {
		return err
	}
	cluster := acceptance.NewClusterAt(ports, *daemon, *data, nodes)
	balancer, err := acceptance.NewBalancer(*caddy, *caddyfile, filepath.Join(*data, "caddy"), *front, cluster.Addresses()...)
	if err != nil {
		return err
	}
	h := &house{cluster, balancer, out}
	err = h.start(ctx)
	if err == nil {
		h.greet()
		err = h.watch(ctx)
	}
	if ctx.Err() != nil {
		err = nil // whatever it was, the end was asked for
	}
	return errors.Join(err, h.stop())
}

// A house is all that runs.
type house struct {
	cluster  *acceptance.Cluster
	balancer *acceptance.Balancer
	out      io.Writer
}

func (h *house) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	fmt.Fprintln(h.out, "starting three nodes and Caddy...")
	if err := h.cluster.Start(ctx, nil); err != nil {
		return err
	}
	return h.balancer.Start(ctx)
}

func (h *house) greet() {
	first, second := h.cluster.Nodes[0], h.cluster.Nodes[1]
	fmt.Fprintf(h.out, `
Three nodes are one store, behind Caddy on %[1]s. Try:

  curl -X POST -d 'hello' http://%[1]s/greeting
  curl http://%[1]s/greeting                       # any node answers for any key:
`, h.balancer.Address())
	for _, d := range h.cluster.Nodes {
		fmt.Fprintf(h.out, "  curl http://%s/greeting\n", d.Address())
	}
	fmt.Fprintf(h.out, `  curl http://%[1]s/_nodes/greeting             # where a key is kept
  curl http://%[1]s/_cluster_status             # how the nodes are; http://%[1]s/metrics says more

Kill a node and go on reading and writing; of three, one may be missing:

`, first.Address())
	for i, d := range h.cluster.Nodes {
		fmt.Fprintf(h.out, "  kill -9 %-8d # %s; its log is %s\n", d.PID(), acceptance.NodeName(i), d.LogPath)
	}
	fmt.Fprintf(h.out, `
  curl -i http://%s/greeting                    # one of those that are left

Ctrl-C stops all; the data stays.

`, second.Address())
}

// watch returns when ctx ends, or there is nothing left to watch. A node that ends by itself does not end the others.
func (h *house) watch(ctx context.Context) error {
	ended := make(chan int)
	for i, d := range h.cluster.Nodes {
		go func() {
			select {
			case <-d.Ended():
				ended <- i
			case <-ctx.Done():
			}
		}()
	}
	for range h.cluster.Nodes {
		select {
		case <-ctx.Done():
			return nil
		case <-h.balancer.Ended():
			return fmt.Errorf("caddy has ended:\n%s", h.balancer.LogTail())
		case i := <-ended:
			h.missed(i)
		}
	}
	return errors.New("no node is left")
}

// missed tells how to bring a node back.
func (h *house) missed(i int) {
	d := h.cluster.Nodes[i]
	code, err := d.Wait(context.Background()) // it has ended
	how := fmt.Sprintf("with exit code %d, see %s", code, d.LogPath)
	if code < 0 && err == nil {
		how = "by a signal"
	}
	fmt.Fprintf(h.out, "%s has ended %s. Start it again, in another terminal, with:\n\n  %s\n\n", acceptance.NodeName(i), how, strings.Join(d.Args(), " "))
}

// stop ends the balancer first, so that nobody is sent to a node that is gone.
func (h *house) stop() error {
	fmt.Fprintln(h.out, "\nstopping; the nodes drain for some seconds...")
	ctx, cancel := context.WithTimeout(context.Background(), stopWithin)
	defer cancel()
	var err error
	if h.balancer.Running() {
		err = h.balancer.Stop(ctx)
	}
	return errors.Join(err, h.cluster.Stop(ctx))
}
