package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
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
		atBare, err := b.allocated(ctx, l, bare.port, bare.mallocs)
		if err != nil {
			return err
		}
		atDaemon, err := b.allocated(ctx, l, d.Ports.API, func() (float64, error) { return metric(d, "go_memstats_mallocs_total", "") })
		if err != nil {
			return err
		}
		fmt.Printf("| %s | %.1f | %.1f |\n", method, atBare, atDaemon)
	}
	return nil
}

// allocated runs a load and gives the objects that each of its requests cost.
func (b *bench) allocated(ctx context.Context, l load, port int, count func() (float64, error)) (float64, error) {
	l.Port = port
	if _, err := b.load(ctx, l); err != nil { // what is made once is not counted
		return 0, err
	}
	before, err := count()
	if err != nil {
		return 0, err
	}
	r, err := b.load(ctx, l)
	if err != nil {
		return 0, err
	}
	after, err := count()
	return (after - before) / float64(r.Requests), err
}

// mallocs is the number of objects that the bare server has allocated.
func (s *bare) mallocs() (float64, error) {
	resp, err := http.Get("http://" + local(s.statsPort) + "/mallocs")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(strings.TrimSpace(string(b)), 64)
}
