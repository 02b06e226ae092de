package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/estorajed/estorajed/internal/acceptance"
)

const (
	syncCalls   = "fdatasync,fsync,syncfs,sync_file_range,msync"
	syncWriters = 64
	syncWrites  = 20_000
	syncDelay   = 5 * time.Millisecond // added to each sync
	syncTarget  = 0.1                  // syncs per acknowledged write at that delay
)

// syncs counts the system calls themselves, with strace: once as they are, once with a delay added to each.
func (b *bench) syncs(ctx context.Context) error {
	if _, err := exec.LookPath("strace"); err != nil {
		fmt.Println("Not measured: strace is not installed.")
		return nil
	}
	fmt.Printf("| %d connections | req/s | p50 | p99 | system calls per acknowledged write | journal syncs per acknowledged write |\n", syncWriters)
	fmt.Println("| --- | ---: | ---: | ---: | ---: | ---: |")
	plain, err := b.counted(ctx, "as it is, under strace", load{Count: syncWrites})
	if err != nil {
		return err
	}
	fmt.Println(plain)
	inject := fmt.Sprintf("inject=fdatasync,fsync,syncfs:delay_exit=%d", syncDelay.Microseconds())
	slow, err := b.counted(ctx, fmt.Sprintf("with %v added to each sync (target: at most %.1f)", syncDelay, syncTarget), load{Length: 2 * b.length}, "-e", inject)
	if err != nil {
		return err
	}
	fmt.Println(slow)
	return nil
}

// counted runs writers against a daemon under strace and gives a row of the table. Daemon and strace may use all cores, else
// strace would keep the daemon from its own. The calls of start and stop are counted too; they are few.
func (b *bench) counted(ctx context.Context, what string, l load, options ...string) (string, error) {
	dir, err := b.folder("strace")
	if err != nil {
		return "", err
	}
	counts := filepath.Join(dir, "counts")
	d, err := b.newDaemon("syncs")
	if err != nil {
		return "", err
	}
	// -D: the daemon stays our own child; --seccomp-bpf: other calls do not stop it; -c: only a table at the end.
	d.Wrap = append([]string{"strace", "-D", "-f", "--seccomp-bpf", "-c", "-e", "trace=" + syncCalls, "-o", counts}, options...)
	defer remove(d)
	defer d.Kill()
	if _, err := start(ctx, d); err != nil {
		return "", err
	}
	before, err := metric(d.URL("metrics"), "estorajed_journal_syncs_total", `result="ok"`)
	if err != nil {
		return "", err
	}
	l.Port, l.Method, l.Conns, l.Keys, l.Value = d.Ports.API, http.MethodPost, syncWriters, sharedKeys, b.value
	r, err := b.load(ctx, l)
	if err != nil {
		return "", err
	}
	after, err := metric(d.URL("metrics"), "estorajed_journal_syncs_total", `result="ok"`)
	if err != nil {
		return "", err
	}
	if _, err := stop(ctx, d); err != nil {
		return "", err
	}
	calls, err := callCount(ctx, counts)
	if err != nil {
		return "", err
	}
	writes := float64(r.Requests)
	return fmt.Sprintf("| %s | %.0f | %d µs | %d µs | **%.3f** | %.3f |",
		what, r.rate(), r.P50.Microseconds(), r.P99.Microseconds(), calls/writes, (after-before)/writes), nil
}

// callCount reads the number of calls from the table of strace -c, which is written a moment after the daemon has ended.
func callCount(ctx context.Context, file string) (calls float64, err error) {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	err = acceptance.Await(ctx, func() error {
		table, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		calls, err = totalCalls(string(table))
		return err
	})
	return calls, err
}

// totalCalls finds the last line of such a table: share of the time, seconds, microseconds a call, calls, errors if any, 'total'.
func totalCalls(table string) (float64, error) {
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) >= 5 && fields[len(fields)-1] == "total" {
			return strconv.ParseFloat(fields[3], 64)
		}
	}
	return 0, errors.New("strace has printed no table")
}
