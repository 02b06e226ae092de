package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/estorajed/estorajed/internal/acceptance"
)

const (
	warmth     = 500 * time.Millisecond // of load before the first round that counts
	sharedKeys = 10_000                 // keys that the requests are spread over
)

// get compares reads.
func (b *bench) get(ctx context.Context) error { return b.compare(ctx, http.MethodGet) }

// post compares writes.
func (b *bench) post(ctx context.Context) error { return b.compare(ctx, http.MethodPost) }

// compare runs interleaved rounds of one method against the bare server and the daemon, for each number of connections.
func (b *bench) compare(ctx context.Context, method string) error {
	bare, err := b.startBare(ctx, sharedKeys)
	if err != nil {
		return err
	}
	defer bare.stop()
	d, err := b.startDaemon(ctx, method, sharedKeys)
	if err != nil {
		return err
	}
	defer d.Kill()

	fmt.Println("| connections | bare req/s | estorajed req/s | ratio | bare p50 | p50 | bare p99 | p99 | syncs per write | generator busy |")
	fmt.Println("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
	for _, conns := range b.conns {
		row, err := b.duel(ctx, load{Method: method, Conns: conns, Keys: sharedKeys, Value: b.value, Length: b.length}, bare, d)
		if err != nil {
			return err
		}
		fmt.Println(row)
	}
	return nil
}

// duel is one row of the table.
func (b *bench) duel(ctx context.Context, l load, bare *bare, d *acceptance.Daemon) (string, error) {
	atBare, atDaemon := l, l
	atBare.Port, atDaemon.Port = bare.port, d.Ports.API
	for _, l := range []load{atBare, atDaemon} {
		l.Length = warmth
		if _, err := b.load(ctx, l); err != nil {
			return "", err
		}
	}
	var bares, daemons rounds
	for range b.rounds {
		if err := bares.add(b.load(ctx, atBare)); err != nil {
			return "", err
		}
		before, err := metric(d.URL("metrics"), "estorajed_journal_syncs_total", `result="ok"`)
		if err != nil {
			return "", err
		}
		if err := daemons.add(b.load(ctx, atDaemon)); err != nil {
			return "", err
		}
		after, err := metric(d.URL("metrics"), "estorajed_journal_syncs_total", `result="ok"`)
		if err != nil {
			return "", err
		}
		daemons.syncs += after - before
	}
	syncs := "-"
	if l.Method == http.MethodPost {
		syncs = fmt.Sprintf("%.3f", daemons.syncs/float64(daemons.requests))
	}
	ratios := make([]float64, b.rounds)
	for i := range ratios {
		ratios[i] = daemons.rates[i] / bares.rates[i]
	}
	return fmt.Sprintf("| %d | %.0f | %.0f | **%.2f** | %s | %s | %s | %s | %s | %.0f %%, %.0f %% |",
		l.Conns, median(bares.rates), median(daemons.rates), median(ratios),
		inMicros(bares.p50s), inMicros(daemons.p50s), inMicros(bares.p99s), inMicros(daemons.p99s),
		syncs, 100*median(bares.busy), 100*median(daemons.busy)), nil
}

// rounds gathers what one server showed.
type rounds struct {
	rates, p50s, p99s, busy []float64 // per round; latencies in microseconds
	requests                int       // of all rounds
	syncs                   float64
}

// add takes what load gave.
func (r *rounds) add(got result, err error) error {
	if err != nil {
		return err
	}
	r.rates = append(r.rates, got.rate())
	r.p50s = append(r.p50s, float64(got.P50.Microseconds()))
	r.p99s = append(r.p99s, float64(got.P99.Microseconds()))
	r.busy = append(r.busy, got.Busy)
	r.requests += got.Requests
	return nil
}

func inMicros(values []float64) string { return fmt.Sprintf("%.0f µs", median(values)) }
