package telemetry

import (
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// A Family holds the handles of one metric, one for each combination of its label values. All of them exist from the
// start, so a series is 0 before its first event and no hot path ever looks a label up.
type Family[H any] struct {
	sizes   []int // values of each label, in the order of the table
	handles []H
}

// The kinds of families that are written to while the daemon works.
type (
	Counters   = Family[prometheus.Counter]
	Gauges     = Family[prometheus.Gauge]
	Histograms = Family[Histogram]
)

// At gives the handle for one position of each label, in the order of the table. A position or a number of
// positions that the table does not know is a programmer's error and panics.
func (f *Family[H]) At(at ...int) H {
	if len(at) != len(f.sizes) {
		panic("telemetry: a family was asked with the wrong number of labels")
	}
	return f.handles[index(f.sizes, at)]
}

// fill makes a handle for each combination that fold leaves as it is, and lets all others share the one they are folded to.
func (f *Family[H]) fill(m *Metric, handle func(values []string) H) {
	f.sizes = m.sizes()
	made := make(map[int]H)
	combinations(f.sizes, func(at []int) {
		at = m.folded(at)
		i := index(f.sizes, at)
		h, ok := made[i]
		if !ok {
			h = handle(m.values(at))
			made[i] = h
		}
		f.handles = append(f.handles, h)
	})
}

// index is where the combination stands in the order in which combinations calls.
func index(sizes, at []int) int {
	i := 0
	for n, size := range sizes {
		if at[n] < 0 || at[n] >= size {
			panic("telemetry: a label has no such position")
		}
		i = i*size + at[n]
	}
	return i
}

// combinations calls do for every combination of positions, the last label turning fastest; once if there are no labels.
func combinations(sizes []int, do func(at []int)) {
	at := make([]int, len(sizes))
	for {
		do(append([]int(nil), at...))
		n := len(at) - 1
		for ; n >= 0; n-- {
			if at[n]++; at[n] < sizes[n] {
				break
			}
			at[n] = 0
		}
		if n < 0 {
			return
		}
	}
}

// A Histogram observes values and, where a trace is kept, leaves its id with the bucket that the value fell into.
type Histogram struct {
	to prometheus.Histogram
}

// Observe counts v, in the unit of the metric's name, as part of trace t.
func (h Histogram) Observe(v float64, t Trace) {
	if !t.Sampled {
		h.to.Observe(v)
		return
	}
	h.to.(prometheus.ExemplarObserver).ObserveWithExemplar(v, prometheus.Labels{"trace_id": t.ID.String()})
}

// A Scraped is a metric whose values are read from a room's Status while a scrape is under way; see Metrics.OnScrape.
type Scraped struct {
	metric *Metric
	desc   *prometheus.Desc
	kind   prometheus.ValueType
}

// ScrapedCounter and ScrapedGauge say which of the two it is.
type (
	ScrapedCounter struct{ Scraped }
	ScrapedGauge   struct{ Scraped }
)

func (s *Scraped) describe(m *Metric, kind prometheus.ValueType) {
	*s = Scraped{metric: m, desc: prometheus.NewDesc(m.FullName(), m.Help, m.labelNames(), nil), kind: kind}
}

// A Scrape takes the values of one scrape.
type Scrape struct {
	to chan<- prometheus.Metric
}

// Counter says what the counter stands at.
func (s *Scrape) Counter(c ScrapedCounter, v float64, at ...int) { s.send(&c.Scraped, v, at) }

// Gauge says what the gauge stands at.
func (s *Scrape) Gauge(g ScrapedGauge, v float64, at ...int) { s.send(&g.Scraped, v, at) }

// GaugeOf is Gauge for the one label of which the values are known at run time only.
func (s *Scrape) GaugeOf(g ScrapedGauge, v float64, of string) {
	s.to <- prometheus.MustNewConstMetric(g.desc, g.kind, v, of)
}

// FlagOf is GaugeOf for what is so or not so.
func (s *Scrape) FlagOf(g ScrapedGauge, so bool, of string) { s.GaugeOf(g, number(so), of) }

// Flag is Gauge for what is so or not so: 1 or 0.
func (s *Scrape) Flag(g ScrapedGauge, so bool, at ...int) {
	s.send(&g.Scraped, number(so), at)
}

func number(so bool) float64 {
	if so {
		return 1
	}
	return 0
}

func (s *Scrape) send(f *Scraped, v float64, at []int) {
	s.to <- prometheus.MustNewConstMetric(f.desc, f.kind, v, f.metric.values(at)...)
}

// sizes, labelNames, values and folded read a row of the table.
func (m *Metric) sizes() []int {
	sizes := make([]int, len(m.Labels))
	for i, l := range m.Labels {
		sizes[i] = len(l.Values)
	}
	return sizes
}

func (m *Metric) labelNames() []string {
	names := make([]string, len(m.Labels))
	for i, l := range m.Labels {
		names[i] = l.Name
	}
	return names
}

func (m *Metric) values(at []int) []string {
	if len(at) != len(m.Labels) {
		panic(fmt.Sprintf("telemetry: %s has %d labels, not %d", m.Name, len(m.Labels), len(at)))
	}
	values := make([]string, len(at))
	for i, l := range m.Labels {
		values[i] = l.Values[at[i]]
	}
	return values
}

func (m *Metric) folded(at []int) []int {
	if m.fold == nil {
		return at
	}
	to := append([]int(nil), at...)
	m.fold(to)
	return to
}

// ByPeer tells whether the metric has one series for each peer.
func (m *Metric) ByPeer() bool { return len(m.Labels) == 1 && m.Labels[0].Values == nil }

// Series is how many time series the metric has, buckets, sums and counts of a classic histogram included; of one by peer, how many
// for each.
func (m *Metric) Series() int {
	if m.ByPeer() {
		return 1
	}
	n := 0
	combinations(m.sizes(), func(at []int) {
		if strings.Join(m.values(m.folded(at)), "\x00") == strings.Join(m.values(at), "\x00") {
			n++
		}
	})
	if m.Type == "histogram" {
		n *= len(m.buckets) + 3 // +Inf, sum, count
	}
	return n
}
