package main

import (
	"context"
	"fmt"
	"net/http"
)

const allocConns = 32

// allocs compares how many objects a request costs. A scrape of the counter costs some too; spread over the requests of seconds they vanish.
func (b *bench) allocs(ctx context.Context) error {
	bare, err := b.startBare(ctx, sharedKeys)
	if err != nil {
		return err
	}
	defer bare.stop()
	d, err := b.startDaemon(ctx, "allocs", sharedKeys)
	if err != nil {
		return err
	}
	defer d.Kill()
	fmt.Println("| allocations per request | bare | estorajed |")
	fmt.Println("| --- | ---: | ---: |")
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		l := load{Method: method, Conns: allocConns, Length: b.length, Keys: sharedKeys, Value: b.value}
		atBare, err := b.allocated(ctx, l, bare.port, bare.metrics)
		if err != nil {
			return err
		}
		atDaemon, err := b.allocated(ctx, l, d.Ports.API, d.URL("metrics"))
		if err != nil {
			return err
		}
		fmt.Printf("| %s | %.1f | %.1f |\n", method, atBare, atDaemon)
	}
	return nil
}

// allocated runs a load and gives the objects that each of its requests cost.
func (b *bench) allocated(ctx context.Context, l load, port int, metrics string) (float64, error) {
	l.Port = port
	if _, err := b.load(ctx, l); err != nil { // what is made once is not counted
		return 0, err
	}
	before, err := metric(metrics, mallocsMetric, "")
	if err != nil {
		return 0, err
	}
	r, err := b.load(ctx, l)
	if err != nil {
		return 0, err
	}
	after, err := metric(metrics, mallocsMetric, "")
	return (after - before) / float64(r.Requests), err
}
