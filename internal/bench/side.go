package main

import (
	"context"
	"fmt"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// nodes is how many servers a side has that is a cluster.
const nodes = 3

func nodeName(i int) string { return fmt.Sprintf("node_%d", 1+i) }

// host is the address of the i-th node, from 0.
func host(i int) string { return fmt.Sprintf("127.0.0.%d", 1+i) }

// node is a URL of the i-th node, without a path.
func node(i, port int) string { return "http://" + net.JoinHostPort(host(i), strconv.Itoa(port)) }

// initialCluster names all nodes by the ports of their etcds, in the spelling that etcd and the daemon share.
func initialCluster(port int) string {
	var members []string
	for i := range nodes {
		members = append(members, nodeName(i)+"="+node(i, port))
	}
	return strings.Join(members, ",")
}

// A side is what is compared: its servers, how to load them, and how to read what they have spent.
type side struct {
	name    string
	aim     load // where a load goes: Port, Hosts, Etcd
	metrics [kindsOfCost][]series
	servers []server
}

// A server is one process of a side.
type server struct {
	*process
	metrics string // the URL
}

// A series is where a server's metrics tell a cost, or a part of it.
type series struct{ name, label string }

// The kinds of cost. Processor time is the kernel's account, all others are the servers' own.
const (
	cpuMillis = iota
	allocations
	bytesBetween // nodes, sent
	syncs        // of journals
	roundTrips   // between nodes, in which requests were decided or handed on
	kindsOfCost
)

// etcdMetrics: the number of etcd's round trips follows from its design, see operations.
func etcdMetrics() [kindsOfCost][]series {
	return [kindsOfCost][]series{
		allocations:  {{mallocsMetric, ""}},
		bytesBetween: {{"etcd_network_peer_sent_bytes_total", ""}},
		syncs:        {{"etcd_disk_wal_fsync_duration_seconds_count", ""}},
	}
}

func clusterMetrics() [kindsOfCost][]series {
	return [kindsOfCost][]series{
		allocations:  {{mallocsMetric, ""}},
		bytesBetween: {{"estorajed_peer_bytes_total", `direction="out"`}},
		syncs:        {{"estorajed_journal_syncs_total", `result="ok"`}},
		roundTrips:   {{"estorajed_coordinator_quorum_duration_seconds_count", ""}, {"estorajed_coordinator_forwards_total", ""}},
	}
}

func bareMetrics() [kindsOfCost][]series {
	return [kindsOfCost][]series{allocations: {{mallocsMetric, ""}}}
}

// launch starts all nodes of a side, waits until each serves, and puts that many keys in. Folder and command of the i-th follow
// from its name.
func (b *bench) launch(ctx context.Context, s *side, ready string, keys int, command func(i int, name, dir string) []string) error {
	for i := range nodes {
		dir, err := b.folder(fmt.Sprintf("%s-%d", s.name, 1+i))
		if err != nil {
			return err
		}
		p, err := b.spawn(ctx, serverCore, dir+".log", command(i, nodeName(i), dir)...)
		if err != nil {
			return err
		}
		s.servers = append(s.servers, server{p, node(i, s.aim.Port) + "/metrics"})
	}
	for i, server := range s.servers {
		if err := server.serves(ctx, node(i, s.aim.Port)+ready); err != nil {
			return err
		}
	}
	if _, err := b.load(ctx, s.aimed(load{Method: http.MethodPost, Conns: fillConns, Count: keys, Value: b.value})); err != nil {
		return fmt.Errorf("put the keys into %s: %w", s.name, err)
	}
	return nil
}

// stop ends all servers that were started.
func (s *side) stop() {
	for _, server := range s.servers {
		server.stop()
	}
}

// aimed is l at this side's servers.
func (s *side) aimed(l load) load {
	l.Port, l.Hosts, l.Etcd = s.aim.Port, s.aim.Hosts, s.aim.Etcd
	return l
}

// costs are what all servers of a side have spent since they started; NaN is not told.
type costs [kindsOfCost]float64

// minus is what was spent since before.
func (c costs) minus(before costs) costs {
	for kind := range c {
		c[kind] -= before[kind]
	}
	return c
}

// plus adds up what several rounds have spent.
func (c costs) plus(other costs) costs {
	for kind := range c {
		c[kind] += other[kind]
	}
	return c
}

// spent reads the costs of a side.
func (s *side) spent() (costs, error) {
	var all costs
	for _, server := range s.servers {
		text, err := scrape(server.metrics)
		if err != nil {
			return costs{}, err
		}
		one, err := s.told(text)
		if err != nil {
			return costs{}, err
		}
		if one[cpuMillis], err = server.cpuMillis(); err != nil {
			return costs{}, err
		}
		all = all.plus(one)
	}
	return all, nil
}

// told finds in a server's metrics what they tell of its costs: of each kind all parts, or it is not told.
func (s *side) told(text string) (c costs, err error) {
	for kind, parts := range s.metrics {
		if len(parts) == 0 {
			c[kind] = math.NaN()
		}
		for _, part := range parts {
			v, found, err := total(text, part.name, part.label)
			if err != nil {
				return costs{}, err
			}
			if !found {
				v = math.NaN()
			}
			c[kind] += v
		}
	}
	return c, nil
}
