package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"github.com/estorajed/estorajed/internal/cluster"
	"github.com/estorajed/estorajed/internal/node"
	"github.com/estorajed/estorajed/internal/telemetry"
)

// serve runs the node until ctx ends, and returns the exit code.
func serve(ctx context.Context, c Config, environ []string, stdout, stderr io.Writer) int {
	getenv := lookup(environ)
	if runtime.GOMAXPROCS(0) == 1 && getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(2) // or, on a single core, all requests would stand still while one of them waits for the disk
	}
	build := thisBuild()
	metrics := telemetry.NewMetrics(telemetry.Build{Version: build.Version, Revision: build.Revision})
	logger, err := telemetry.NewLogger(telemetry.LogConfig{Level: c.LogLevel, Format: c.LogFormat, Output: stderr, Getenv: getenv}, metrics)
	if err != nil {
		return refuse(stderr, err)
	}
	directory, err := node.Take(c.DataPath)
	if err != nil {
		return refuse(stderr, err)
	}
	stored := ""
	if directory.Identity != nil {
		stored = directory.Identity.Name
	}
	host, _ := os.Hostname() // "" is refused with a hint to -name
	if c, err = c.Named(stored, host); err != nil {
		directory.Release()
		return refuse(stderr, err)
	}
	var n *node.Node
	n, err = node.Open(ctx, node.Config{
		Directory: directory,
		Settings:  node.Settings{Name: c.Name, Partitions: c.Partitions, Replicas: c.Replicas, MaxVoters: c.MaxVoters},
		Host:      c.Host, Bind: c.Bind, Port: c.Port, PeerPort: c.PeerPort, EtcdClientPort: c.EtcdClientPort, EtcdPeerPort: c.EtcdPeerPort,
		InitialCluster: initial(c.InitialCluster), Zone: c.Zone, Weight: c.Weight, DrainDelay: c.DrainDelay,
		Version: build.Version, Revision: build.Revision,
		MaxValueSize: c.MaxValueSize, TraceSample: c.TraceSample, OTLPEndpoint: c.OTLPEndpoint, Getenv: getenv,
		Metrics: metrics, Logger: logger, Serving: func() { greet(stdout, n.Address()) },
	})
	if err != nil {
		return refuse(stderr, err)
	}
	logger.Info("starting", "name", c.Name, "address", n.Address(), "data", c.DataPath, "version", build.Version)
	if err := n.Run(ctx); err != nil {
		if refused, is := errors.AsType[*cluster.RefusalError](err); is {
			return refuse(stderr, refused)
		}
		logger.Error("stopped with an error", "error", err)
		return failed
	}
	logger.Info("stopped")
	return succeeded
}

// initial is -initialCluster as the node takes it.
func initial(members []Member) (list []cluster.Initial) {
	for _, m := range members {
		list = append(list, cluster.Initial{Name: m.Name, Host: m.Host, Port: m.Port})
	}
	return list
}

// refuse tells why nothing was started.
func refuse(stderr io.Writer, err error) int {
	fmt.Fprintf(stderr, "estorajed: %v\n", err)
	return misused
}

// greet shows somebody at a terminal what to do next.
func greet(stdout io.Writer, address string) {
	fmt.Fprintf(stdout, `estorajed serves on %[1]s. Try:

  curl -X POST -d 'hello' http://%[1]s/greeting
  curl http://%[1]s/greeting
  curl -X DELETE http://%[1]s/greeting

`, address)
}

// lookup reads one variable of an environment.
func lookup(environ []string) func(name string) string {
	values := make(map[string]string, len(environ))
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		values[name] = value
	}
	return func(name string) string { return values[name] }
}
