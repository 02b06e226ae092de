package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/estorajed/estorajed/internal/acceptance"
)

const scrapeEvery = time.Second

// watch is 'bench watch': it stands for the observers of a cluster, which are not on its machines. As an OTLP collector it takes
// spans and counts them, and like Prometheus it reads the metrics at the URLs that are its arguments.
func watch(args []string) error {
	flags := flag.NewFlagSet("watch", flag.ContinueOnError)
	port := flags.Int("port", 0, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var spans, scrapes atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		var batch collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(b, &batch)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		for _, resource := range batch.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				spans.Add(int64(len(scope.GetSpans())))
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "%s %d\n%s %d\n", spansMetric, spans.Load(), scrapesMetric, scrapes.Load())
	})
	go func() {
		for range time.Tick(scrapeEvery) {
			for _, url := range flags.Args() {
				if _, err := scrape(url); err == nil { // it may not have started yet
					scrapes.Add(1)
				}
			}
		}
	}()
	return http.ListenAndServe(local(*port), mux)
}

const (
	spansMetric   = "spans_total"
	scrapesMetric = "scrapes_total"
)

// An observers is a running 'bench watch'.
type observers struct {
	*process
	url string // without a path
}

// startWatch has all nodes of two clusters watched, that have or will have their metrics at these ports.
func (b *bench) startWatch(ctx context.Context, apiPorts ...int) (*observers, error) {
	ports, err := acceptance.FreePorts()
	if err != nil {
		return nil, err
	}
	command := []string{b.self, "watch", "-port", strconv.Itoa(ports.API)}
	for _, port := range apiPorts {
		for i := range nodes {
			command = append(command, node(i, port)+"/metrics")
		}
	}
	o := &observers{url: "http://" + local(ports.API)}
	if o.process, err = b.spawn(ctx, generatorCore, filepath.Join(b.dir, "watch.log"), command...); err != nil {
		return nil, err
	}
	return o, o.serves(ctx, o.url+"/metrics")
}

// report says what was observed; nothing would mean that telemetry was not on.
func (o *observers) report() error {
	text, err := scrape(o.url + "/metrics")
	if err != nil {
		return err
	}
	spans, _, err := total(text, spansMetric, "")
	if err != nil {
		return err
	}
	scrapes, _, err := total(text, scrapesMetric, "")
	if err != nil {
		return err
	}
	if spans == 0 || scrapes == 0 {
		return fmt.Errorf("%.0f spans and %.0f scrapes: telemetry was not on", spans, scrapes)
	}
	fmt.Printf("\nMeanwhile the collector got %.0f spans, and metrics were read %.0f times.\n", spans, scrapes)
	return nil
}
