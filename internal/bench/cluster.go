package main

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/estorajed/estorajed/internal/acceptance"
)

// An operation is what clients do with a cluster.
type operation struct {
	title    string
	method   string
	eventual bool
	trips    float64 // of etcd, by its design
}

// operations: etcd's members hand puts and reads on to the leader, if they are not it, which is so for two of three clients. The
// leader needs a round for a put, and one for all linearizable reads that wait at that moment (Raft, section 6.4).
func operations() []operation {
	const handedOn = float64(nodes-1) / nodes
	return []operation{
		{"GET, linearizable", http.MethodGet, false, 1 + handedOn},
		{"GET, eventual", http.MethodGet, true, 0},
		{"POST", http.MethodPost, false, 1 + handedOn},
	}
}

// cluster compares three nodes with three members of etcd and with the bare server. All three sides run all the time, and are
// loaded in turn.
func (b *bench) cluster(ctx context.Context) error {
	alone, etcd, estorajed := &side{name: "bare", metrics: bareMetrics()}, &side{name: "etcd", metrics: etcdMetrics()}, &side{name: "estorajed", metrics: clusterMetrics()}
	sides := []*side{alone, etcd, estorajed}
	for _, s := range sides {
		defer s.stop()
	}
	bare, err := b.startBare(ctx, sharedKeys)
	if err != nil {
		return err
	}
	alone.aim.Port, alone.servers = bare.port, []server{{bare.process, bare.metrics}}
	if err := b.startEtcd(ctx, etcd); err != nil {
		return err
	}
	ports, err := acceptance.FreePorts()
	if err != nil {
		return err
	}
	observers, err := b.startWatch(ctx, ports.API, etcd.aim.Port)
	if err != nil {
		return err
	}
	defer observers.stop()
	if err := b.startCluster(ctx, estorajed, ports, observers.url); err != nil {
		return err
	}
	if err := b.contest(ctx, sides); err != nil {
		return err
	}
	return observers.report()
}

// startCluster starts three nodes as they are shipped, with the command line that has always formed a cluster.
func (b *bench) startCluster(ctx context.Context, s *side, ports acceptance.Ports, collector string) error {
	s.aim = load{Port: ports.API, Hosts: nodes}
	return b.launch(ctx, s, "/_ready", sharedKeys, func(i int, name, dir string) []string {
		return []string{
			b.binary, "-name=" + name, "-initialCluster=" + initialCluster(ports.EtcdPeer), "-host=" + host(i), "-port=" + strconv.Itoa(ports.API), "-dataPath=" + dir,
			"-peer-port=" + strconv.Itoa(ports.Peer), "-etcd-client-port=" + strconv.Itoa(ports.EtcdClient), "-etcd-peer-port=" + strconv.Itoa(ports.EtcdPeer),
			"-otlp-endpoint=" + collector,
		}
	})
}

const explanation = `All servers share one core, so that no generator, of which etcd's costs more, takes time from them; one side is loaded at a time.
Every node's metrics are read once a second, and the daemon's spans (1 % of its traces) go to a collector; these observers run beside the generator.
etcd is asked with its Go client, one for each member. Where a cell has three figures, they are of bare handler, etcd and estorajed.

`

// contest prints the tables.
func (b *bench) contest(ctx context.Context, sides []*side) error {
	fmt.Print(explanation)
	fmt.Println("| operation | connections | bare req/s | etcd req/s | estorajed req/s | ratio to bare | ratio to etcd | p50, µs | p99, µs | servers busy, % | generator busy, % |")
	fmt.Println("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
	var spent []string
	for _, op := range operations() {
		for _, conns := range b.conns {
			if conns < nodes {
				continue // not every node would be asked
			}
			shown, err := b.match(ctx, op, conns, sides)
			if err != nil {
				return fmt.Errorf("%s, %d connections: %w", op.title, conns, err)
			}
			shown[1].costs[roundTrips] = op.trips * float64(shown[1].requests)
			fmt.Printf("| %s | %d | %s |\n", op.title, conns, speeds(shown))
			spent = append(spent, fmt.Sprintf("| %s | %d | %s |", op.title, conns, prices(shown)))
		}
	}
	fmt.Println("\n| per request | connections | processor ms | allocations | bytes between nodes | journal syncs | round trips |")
	fmt.Println("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
	fmt.Println(strings.Join(spent, "\n"))
	fmt.Println("\nWhat limits: the core of servers or generator where it is nearly all busy; else the waiting for syncs and for other nodes.")
	return nil
}

// A showing is what one side showed in all rounds.
type showing struct {
	rounds
	costs
}

// price is what a request cost.
func (s showing) price(kind int) float64 { return s.costs[kind] / float64(s.requests) }

// match runs the interleaved rounds of one operation.
func (b *bench) match(ctx context.Context, op operation, conns int, sides []*side) ([]showing, error) {
	l := load{Method: op.method, Eventual: op.eventual, Conns: conns, Keys: sharedKeys, Value: b.value, Length: b.length}
	for _, s := range sides {
		warm := s.aimed(l)
		warm.Length = warmth
		if _, err := b.load(ctx, warm); err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	shown := make([]showing, len(sides))
	for range b.rounds {
		for i, s := range sides {
			before, err := s.spent()
			if err != nil {
				return nil, err
			}
			if err := shown[i].add(b.load(ctx, s.aimed(l))); err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
			after, err := s.spent()
			if err != nil {
				return nil, err
			}
			shown[i].costs = shown[i].plus(after.minus(before))
		}
	}
	return shown, nil
}

// speeds are the cells of a row about time: the sides are bare, etcd and estorajed.
func speeds(shown []showing) string {
	own := shown[len(shown)-1]
	var cells, ratios []string
	for _, other := range shown {
		cells = append(cells, fmt.Sprintf("%.0f", median(other.rates)))
		perRound := make([]float64, len(own.rates))
		for i := range perRound {
			perRound[i] = own.rates[i] / other.rates[i]
		}
		ratios = append(ratios, fmt.Sprintf("**%.2f**", median(perRound)))
	}
	cells = append(cells, ratios[:len(ratios)-1]...)
	for _, values := range []func(showing) float64{
		func(s showing) float64 { return median(s.p50s) },
		func(s showing) float64 { return median(s.p99s) },
		func(s showing) float64 { return median(s.rates) * s.price(cpuMillis) / 10 }, // 1000 ms a second are 100 %
		func(s showing) float64 { return 100 * median(s.busy) },
	} {
		cells = append(cells, each(shown, "%.0f", values))
	}
	return strings.Join(cells, " | ")
}

// prices are the cells of a row about costs.
func prices(shown []showing) string {
	var cells []string
	for kind, format := range [kindsOfCost]string{cpuMillis: "%.3f", allocations: "%.0f", bytesBetween: "%.0f", syncs: "%.3f", roundTrips: "%.2f"} {
		cells = append(cells, each(shown, format, func(s showing) float64 { return s.price(kind) }))
	}
	return strings.Join(cells, " | ")
}

// each is one cell for all sides; what is not known is a dash.
func each(shown []showing, format string, value func(showing) float64) string {
	var texts []string
	for _, s := range shown {
		text := "-"
		if v := value(s); !math.IsNaN(v) {
			text = fmt.Sprintf(format, v)
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ", ")
}
