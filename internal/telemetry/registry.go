package telemetry

import (
	"net/http"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
)

// Limits of what scraping may cost.
const (
	scrapesAtOnce = 3
	scrapeTimeout = 10 * time.Second
	nativeFactor  = 1.1 // a native bucket is at most this much wider than the one below it
	nativeBuckets = 100 // per native histogram; beyond them resolution is given up
	nativeReset   = time.Hour
)

// A Build says what is running.
type Build struct {
	Version  string
	Revision string
}

// Metrics are the handles of every metric of the table, and the registry behind them. Each has a registry of its own, so
// that two nodes can live in one process.
type Metrics struct {
	families

	registry *prometheus.Registry

	mu      sync.Mutex // guards the fields below
	reads   []func(*Scrape)
	foreign []prometheus.Gatherer
}

// NewMetrics makes every metric of the table, all at 0.
func NewMetrics(build Build) *Metrics {
	m := &Metrics{registry: prometheus.NewPedanticRegistry()}
	m.registry.MustRegister(
		collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(collectors.MetricsScheduler, collectors.MetricsGC)),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	table := m.families.table(build)
	s := scraped{metrics: m}
	for i := range table {
		if desc := m.register(&table[i]); desc != nil {
			s.descs = append(s.descs, desc)
		}
	}
	m.registry.MustRegister(s)
	m.BuildInfo.At(0, 0, 0).Set(1)
	m.StartTime.At().SetToCurrentTime()
	return m
}

// register makes the handles of one row. What is read at scrapes only is not registered here: its description is returned.
func (m *Metrics) register(row *Metric) *prometheus.Desc {
	switch into := row.into.(type) {
	case *Counters:
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: row.FullName(), Help: row.Help}, row.labelNames())
		m.registry.MustRegister(v)
		into.fill(row, func(values []string) prometheus.Counter { return v.WithLabelValues(values...) })
	case *Gauges:
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: row.FullName(), Help: row.Help}, row.labelNames())
		m.registry.MustRegister(v)
		into.fill(row, func(values []string) prometheus.Gauge { return v.WithLabelValues(values...) })
	case *Histograms:
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: row.FullName(), Help: row.Help, Buckets: row.buckets,
			NativeHistogramBucketFactor: nativeFactor, NativeHistogramMaxBucketNumber: nativeBuckets, NativeHistogramMinResetDuration: nativeReset,
		}, row.labelNames())
		m.registry.MustRegister(v)
		into.fill(row, func(values []string) Histogram { return Histogram{v.WithLabelValues(values...).(prometheus.Histogram)} })
	case *ScrapedCounter:
		into.describe(row, prometheus.CounterValue)
		return into.desc
	case *ScrapedGauge:
		into.describe(row, prometheus.GaugeValue)
		return into.desc
	}
	return nil
}

// OnScrape has read called at each scrape, to say what the scraped metrics of one part stand at: each of them once, and
// none that another read speaks for.
func (m *Metrics) OnScrape(read func(*Scrape)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads = append(m.reads, read)
}

// Include serves what g gathers, too: metrics of a library that brings its own registry.
func (m *Metrics) Include(g prometheus.Gatherer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.foreign = append(m.foreign, g)
}

// Gather collects everything there is to scrape.
func (m *Metrics) Gather() ([]*dto.MetricFamily, error) {
	m.mu.Lock()
	all := append(prometheus.Gatherers{m.registry}, m.foreign...)
	m.mu.Unlock()
	if len(all) == 1 {
		return m.registry.Gather()
	}
	return all.Gather()
}

// Handler answers scrapes: text, OpenMetrics (with exemplars) or protobuf (with native histograms), as the scraper asks.
// One gathering runs at a time; who comes while it does shares its result.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m, promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError,
		Registry:            m.registry,
		MaxRequestsInFlight: scrapesAtOnce,
		CoalesceGather:      true,
		Timeout:             scrapeTimeout,
		EnableOpenMetrics:   true,
	})
}

// scraped is the collector of all metrics that are read at scrapes only.
type scraped struct {
	metrics *Metrics
	descs   []*prometheus.Desc
}

func (s scraped) Describe(to chan<- *prometheus.Desc) {
	for _, d := range s.descs {
		to <- d
	}
}

func (s scraped) Collect(to chan<- prometheus.Metric) {
	s.metrics.mu.Lock()
	reads := slices.Clone(s.metrics.reads)
	s.metrics.mu.Unlock()
	for _, read := range reads {
		read(&Scrape{to})
	}
}

// goVersion is a label value of build_info.
func goVersion() string { return runtime.Version() }
