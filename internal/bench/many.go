package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/estorajed/estorajed/internal/acceptance"
)

// The targets, for a million keys.
const (
	cleanTarget  = 3 * time.Second
	killedTarget = 5 * time.Second
	memoryTarget = 120 << 20 // bytes of resident set
)

const (
	manyConns  = 128
	restarts   = 3                // of each kind, of which the median counts
	killAfter  = 5 * time.Second  // of load
	readsAfter = 20 * time.Second // of random reads, after which memory is looked at again
)

// many measures what could grow with the number of keys: memory, and the time from start to ready.
func (b *bench) many(ctx context.Context) error {
	d, err := b.newDaemon("many")
	if err != nil {
		return err
	}
	defer remove(d)
	defer d.Kill()
	fmt.Println("| with keys | | target |")
	fmt.Println("| --- | ---: | ---: |")
	if _, err := start(ctx, d); err != nil {
		return err
	}
	if err := memoryRow(d, "resident set with 0 keys", false); err != nil {
		return err
	}
	if err := b.loadMany(ctx, d); err != nil {
		return err
	}
	if err := b.cleanRestarts(ctx, d); err != nil {
		return err
	}
	if err := memoryRow(d, fmt.Sprintf("resident set with %d keys, after the start", b.keys), true); err != nil {
		return err
	}
	if _, err := b.load(ctx, load{Port: d.Ports.API, Method: http.MethodGet, Conns: manyConns, Keys: b.keys, Value: b.keyValue, Length: readsAfter}); err != nil {
		return err
	}
	if err := memoryRow(d, fmt.Sprintf("resident set with %d keys, after %v of random reads", b.keys, readsAfter), true); err != nil {
		return err
	}
	return b.killedRestarts(ctx, d)
}

// loadMany puts the keys in.
func (b *bench) loadMany(ctx context.Context, d *acceptance.Daemon) error {
	r, err := b.load(ctx, load{Port: d.Ports.API, Method: http.MethodPost, Conns: manyConns, Count: b.keys, Value: b.keyValue})
	if err != nil {
		return err
	}
	fmt.Printf("| putting %d keys of %d bytes in, %d connections | %.0f req/s | |\n", b.keys, b.keyValue, manyConns, r.rate())
	return memoryRow(d, fmt.Sprintf("resident set after %d keys were put in", b.keys), true)
}

// cleanRestarts measures from start to ready after the daemon was stopped; it runs at the end.
func (b *bench) cleanRestarts(ctx context.Context, d *acceptance.Daemon) error {
	var stops, warm []float64
	for range restarts {
		took, err := stop(ctx, d)
		if err != nil {
			return err
		}
		stops = append(stops, took.Seconds())
		if took, err = start(ctx, d); err != nil {
			return err
		}
		warm = append(warm, took.Seconds())
	}
	fmt.Printf("| SIGTERM to exit, at rest and with no drain delay | %.2f s | |\n", median(stops))
	fmt.Printf("| start to ready after a clean stop | **%.2f s** | %v |\n", median(warm), cleanTarget)
	if _, err := stop(ctx, d); err != nil {
		return err
	}
	cold := dropCaches()
	took, err := start(ctx, d)
	if err != nil {
		return err
	}
	if cold {
		fmt.Printf("| the same, nothing in the page cache | %.2f s | |\n", took.Seconds())
	}
	return nil
}

// killedRestarts measures from start to ready after the daemon was killed while it took writes as fast as it could.
func (b *bench) killedRestarts(ctx context.Context, d *acceptance.Daemon) error {
	var took, entries []float64
	for range restarts {
		ended := make(chan error, 1)
		go func() {
			_, err := b.load(ctx, load{Port: d.Ports.API, Method: http.MethodPost, Conns: manyConns, Keys: b.keys, Value: b.keyValue, Length: readyWithin})
			ended <- err
		}()
		select {
		case err := <-ended:
			return fmt.Errorf("the load ended before the kill: %w", err)
		case <-time.After(killAfter):
		}
		d.Kill()
		<-ended // with an error: its server is gone
		t, err := start(ctx, d)
		if err != nil {
			return err
		}
		took = append(took, t.Seconds())
		n, err := metric(d.URL("metrics"), "estorajed_store_recovery_entries", "")
		if err != nil {
			return err
		}
		entries = append(entries, n)
	}
	fmt.Printf("| start to ready after kill -9 under load (%.0f journal entries replayed) | **%.2f s** | %v |\n", median(entries), median(took), killedTarget)
	return nil
}

// memoryRow prints the resident set of the running daemon, and its peak since the start.
func memoryRow(d *acceptance.Daemon, what string, aimed bool) error {
	now, peak, err := d.Memory()
	if err != nil {
		return err
	}
	target := ""
	if aimed {
		target = fmt.Sprintf("%d MiB", memoryTarget>>20)
	}
	fmt.Printf("| %s | **%d MiB** (peak %d MiB) | %s |\n", what, now>>20, peak>>20, target)
	return nil
}
