package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"github.com/julienschmidt/httprouter"

	"github.com/estorajed/estorajed/internal/acceptance"
)

// serveBare is 'bench bare': the server that the daemon is compared with. GET reads a file, POST throws the body away. On a
// port of its own it tells how many objects it has allocated.
func serveBare(args []string) error {
	flags := flag.NewFlagSet("bare", flag.ContinueOnError)
	port := flags.Int("port", 0, "")
	statsPort := flags.Int("stats-port", 0, "")
	dir := flags.String("dir", "", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	router := httprouter.New()
	router.GET("/:key", func(w http.ResponseWriter, _ *http.Request, p httprouter.Params) {
		value, err := os.ReadFile(filepath.Join(*dir, p.ByName("key")))
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write(value) // the client notices
	})
	router.POST("/:key", func(w http.ResponseWriter, r *http.Request, _ httprouter.Params) {
		_, _ = io.Copy(io.Discard, r.Body) // the client notices
		w.WriteHeader(http.StatusCreated)
	})
	stats := http.NewServeMux()
	stats.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fmt.Fprintln(w, mallocsMetric, m.Mallocs)
	})
	failed := make(chan error, 2)
	go func() { failed <- http.ListenAndServe(local(*statsPort), stats) }()
	go func() { failed <- http.ListenAndServe(local(*port), router) }()
	return <-failed
}

func local(port int) string { return net.JoinHostPort(acceptance.Host, strconv.Itoa(port)) }

// mallocsMetric is how Prometheus' client for Go names the number of objects that were allocated.
const mallocsMetric = "go_memstats_mallocs_total"

// A bare is a running bare server.
type bare struct {
	*process
	port    int
	metrics string // the URL
}

// startBare starts a bare server over a folder with that many files.
func (b *bench) startBare(ctx context.Context, keys int) (*bare, error) {
	dir, err := b.folder("bare")
	if err != nil {
		return nil, err
	}
	for i := range keys {
		if err := os.WriteFile(filepath.Join(dir, keyText(i)), make([]byte, b.value), 0o600); err != nil {
			return nil, err
		}
	}
	ports, err := acceptance.FreePorts()
	if err != nil {
		return nil, err
	}
	s := &bare{port: ports.API, metrics: "http://" + local(ports.Peer) + "/metrics"}
	s.process, err = b.spawn(ctx, serverCore, dir+".log", b.self, "bare", "-port", strconv.Itoa(s.port), "-stats-port", strconv.Itoa(ports.Peer), "-dir", dir)
	if err != nil {
		return nil, err
	}
	for _, url := range []string{s.metrics, "http://" + local(s.port) + "/" + keyText(0)} {
		if err := s.serves(ctx, url); err != nil {
			s.stop()
			return nil, err
		}
	}
	return s, nil
}
