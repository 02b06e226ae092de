package telemetry_test

import (
	"io"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"github.com/estorajed/estorajed/internal/telemetry"
)

// seriesBudget is what one node may add to a Prometheus, classic buckets included. Metrics by peer come on top: 4,000 in all.
const seriesBudget = 2500

func TestWhatIsGatheredIsTheTable(t *testing.T) {
	families := gather(t, fresh())
	for _, row := range telemetry.Catalogue() {
		f, ok := families[row.FullName()]
		if !ok {
			t.Errorf("%s is in the table, but not gathered", row.FullName())
			continue
		}
		delete(families, row.FullName())
		if got := strings.ToLower(f.GetType().String()); got != row.Type {
			t.Errorf("%s is a %s, in the table a %s", row.FullName(), got, row.Type)
		}
		if f.GetHelp() != row.Help {
			t.Errorf("%s: help is %q, in the table %q", row.FullName(), f.GetHelp(), row.Help)
		}
		checkLabels(t, row, f)
	}
	for name := range families {
		if strings.HasPrefix(name, "estorajed_") {
			t.Errorf("%s is gathered, but not in the table", name)
		}
	}
}

// checkLabels holds the series of f to the value sets of row: none outside, none missing.
func checkLabels(t *testing.T, row telemetry.Metric, f *dto.MetricFamily) {
	for _, m := range f.GetMetric() {
		if len(m.GetLabel()) != len(row.Labels) {
			t.Errorf("%s has %d labels, in the table %d", row.FullName(), len(m.GetLabel()), len(row.Labels))
		}
		for _, pair := range m.GetLabel() {
			i := slices.IndexFunc(row.Labels, func(l telemetry.Label) bool { return l.Name == pair.GetName() })
			if i < 0 || row.Name != "build_info" && !row.ByPeer() && !slices.Contains(row.Labels[i].Values, pair.GetValue()) {
				t.Errorf("%s{%s=%q} is not in the table", row.FullName(), pair.GetName(), pair.GetValue())
			}
		}
	}
	want := row.Series()
	if row.Type == "histogram" {
		want /= len(f.GetMetric()[0].GetHistogram().GetBucket()) + 3
	}
	if got := len(f.GetMetric()); got != want {
		t.Errorf("a fresh node has %d series of %s, not %d", got, row.FullName(), want)
	}
}

func TestMetricsAreLintClean(t *testing.T) {
	problems, err := testutil.GatherAndLint(fresh(), names()...)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestRowsAreWhole(t *testing.T) {
	seen := make(map[string]bool)
	for _, row := range telemetry.Catalogue() {
		if seen[row.Name] {
			t.Errorf("%s is there twice", row.Name)
		}
		seen[row.Name] = true
		if row.Unit == "" || row.Type == "" || !strings.HasSuffix(row.Help, ".") || !strings.HasSuffix(row.Use, ".") {
			t.Errorf("%s: unit %q, type %q, help %q, use %q; the texts are sentences, none is empty", row.Name, row.Unit, row.Type, row.Help, row.Use)
		}
		base := strings.TrimSuffix(row.Name, "_total")
		if (row.Unit == "seconds" || row.Unit == "bytes") && !strings.HasSuffix(base, "_"+row.Unit) {
			t.Errorf("%s counts %s and does not say so", row.Name, row.Unit)
		}
		for _, l := range row.Labels {
			if values := slices.Clone(l.Values); len(slices.Compact(values)) != len(l.Values) || slices.Contains(values, "") {
				t.Errorf("%s: label %s has the values %q", row.Name, l.Name, l.Values)
			}
		}
	}
}

func TestEveryHandleHasARow(t *testing.T) {
	fields := reflect.VisibleFields(reflect.TypeFor[telemetry.Metrics]())
	handles := 0
	for _, f := range fields {
		if f.IsExported() && len(f.Index) == 2 {
			handles++
		}
	}
	if rows := len(telemetry.Catalogue()); rows != handles {
		t.Errorf("%d rows for %d handles", rows, handles)
	}
}

func TestSeriesStayWithinTheBudget(t *testing.T) {
	sum := 0
	for _, row := range telemetry.Catalogue() {
		if !row.ByPeer() {
			sum += row.Series()
		}
	}
	t.Logf("%d series in %d metrics", sum, len(telemetry.Catalogue()))
	if sum > seriesBudget {
		t.Errorf("%d series; %d are allowed", sum, seriesBudget)
	}
}

func TestScrapeStaysSmall(t *testing.T) {
	const limit = 600 << 10
	if body := scrape(t, fresh(), "text/plain"); len(body) > limit {
		t.Errorf("a scrape is %d bytes; %d are allowed", len(body), limit)
	}
}

func TestCombinationsThatCannotHappenAreFolded(t *testing.T) {
	m := fresh()
	ok := telemetry.Codes.Position("200")
	for _, tc := range []struct {
		name          string
		route, method int
		want          string
	}{
		{"keys take every method", telemetry.RouteKey, telemetry.MethodPut, `method="PUT",route="/{key}"`},
		{"unknown methods too", telemetry.RouteKey, telemetry.MethodOther, `method="_OTHER",route="/{key}"`},
		{"a system route has its own", telemetry.RouteHealth, telemetry.MethodGet, `method="GET",route="/_health"`},
		{"and no other", telemetry.RouteHealth, telemetry.MethodPost, `method="_OTHER",route="/_health"`},
		{"what is no endpoint has no method", telemetry.RouteReserved, telemetry.MethodGet, `method="_OTHER",route="/_{reserved}"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := lineOf(t, m, "estorajed_http_requests_total", tc.want)
			m.HTTPRequests.At(tc.route, tc.method, ok).Inc()
			if after := lineOf(t, m, "estorajed_http_requests_total", tc.want); after == before {
				t.Errorf("{%s} stayed at %s", tc.want, after)
			}
		})
	}
}

func TestPositionOfWhatIsNotListedIsTheLast(t *testing.T) {
	for value, want := range map[string]int{"GET": telemetry.MethodGet, "BREW": telemetry.MethodOther, "": telemetry.MethodOther} {
		if got := telemetry.Methods.Position(value); got != want {
			t.Errorf("Position(%q) = %d, want %d", value, got, want)
		}
	}
}

func TestExemplarsAreLeftByKeptTracesOnly(t *testing.T) {
	m := fresh()
	kept := telemetry.Trace{Sampled: true}
	kept.ID[0], kept.Span[0] = 0xab, 1
	passing := telemetry.Trace{}
	passing.ID[0], passing.Span[0] = 0xcd, 1
	m.StoreDuration.At(telemetry.StorePut).Observe(0.002, kept)
	m.StoreDuration.At(telemetry.StorePut).Observe(0.02, passing)
	body := scrape(t, m, "application/openmetrics-text; version=1.0.0")
	if !strings.Contains(body, `# {trace_id="ab`) {
		t.Error("the kept trace left no exemplar")
	}
	if strings.Contains(body, `trace_id="cd`) {
		t.Error("a trace that nobody keeps left an exemplar")
	}
}

func TestHistogramsAreNativeToo(t *testing.T) {
	m := fresh()
	m.JournalSyncDuration.At().Observe(0.002, telemetry.Trace{})
	h := gather(t, m)["estorajed_journal_sync_duration_seconds"].GetMetric()[0].GetHistogram()
	if len(h.GetPositiveSpan()) == 0 || len(h.GetBucket()) == 0 {
		t.Errorf("%d native spans, %d classic buckets; both are needed", len(h.GetPositiveSpan()), len(h.GetBucket()))
	}
}

func TestTwoNodesShareAProcess(t *testing.T) {
	a, b := fresh(), fresh()
	a.HTTPPanics.At().Inc()
	if got := lineOf(t, b, "estorajed_http_panics_total", ""); got != "0" {
		t.Errorf("one node's panic counts %s for the other", got)
	}
}

func TestForeignMetricsAreServedToo(t *testing.T) {
	m := fresh()
	etcd := prometheus.NewRegistry()
	etcd.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "etcd_server_has_leader", Help: "x"}))
	m.Include(etcd)
	if body := scrape(t, m, "text/plain"); !strings.Contains(body, "\netcd_server_has_leader 0") || !strings.Contains(body, "\nestorajed_http_panics_total 0") {
		t.Error("one of the two registries is missing")
	}
}

func TestOfEtcdsRegistryOnlyItsOwnIsServed(t *testing.T) {
	shared := prometheus.NewRegistry()
	for _, name := range []string{"etcd_server_has_leader", "etcd_debugging_mvcc_keys_total", "grpc_server_started_total", "go_goroutines", "process_open_fds", "os_fd_used"} {
		shared.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: "x"}))
	}
	m := fresh()
	m.Include(telemetry.OfEtcd(shared))
	families := gather(t, m)
	if families["etcd_server_has_leader"] == nil {
		t.Error("etcd_server_has_leader is missing")
	}
	for _, name := range []string{"etcd_debugging_mvcc_keys_total", "grpc_server_started_total", "os_fd_used"} {
		if families[name] != nil {
			t.Errorf("%s is served", name)
		}
	}
	if n := len(families["go_goroutines"].GetMetric()); n != 1 {
		t.Errorf("go_goroutines is served %d times", n)
	}
}

func TestRuntimeAndProcessAreServed(t *testing.T) {
	families := gather(t, fresh())
	for _, name := range []string{"go_goroutines", "go_sched_latencies_seconds", "go_gc_heap_live_bytes", "process_resident_memory_bytes", "process_open_fds"} {
		if families[name] == nil {
			t.Errorf("%s is missing", name)
		}
	}
}

func TestMarkdownHasEveryRow(t *testing.T) {
	page := telemetry.Markdown()
	for _, row := range telemetry.Catalogue() {
		if !strings.Contains(page, "`"+row.Name+"`") || !strings.Contains(page, row.Help) {
			t.Errorf("%s is missing", row.Name)
		}
	}
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "|") && strings.Count(line, "|") != 6 {
			t.Errorf("a row does not have its five cells: %s", line)
		}
	}
}

func TestCountingDoesNotAllocate(t *testing.T) {
	m := fresh()
	requests := m.HTTPRequests.At(telemetry.RouteKey, telemetry.MethodGet, 0)
	duration := m.HTTPDuration.At(telemetry.RouteKey, telemetry.MethodGet, telemetry.Class2xx)
	duration.Observe(0.001, telemetry.Trace{}) // its native bucket is made once
	if n := testing.AllocsPerRun(1000, func() {
		requests.Inc()
		duration.Observe(0.001, telemetry.Trace{})
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// fresh is what a node has that just started: all scraped metrics are read, and stand at 0.
func fresh() *telemetry.Metrics {
	m := telemetry.NewMetrics(telemetry.Build{Version: "1.2.3", Revision: "abc"})
	v := reflect.ValueOf(m).Elem()
	m.OnScrape(func(s *telemetry.Scrape) {
		for _, f := range reflect.VisibleFields(v.Type()) {
			if len(f.Index) != 2 || !f.IsExported() {
				continue
			}
			switch h := v.FieldByIndex(f.Index).Interface().(type) {
			case telemetry.ScrapedCounter:
				s.Counter(h, 0)
			case telemetry.ScrapedGauge:
				switch f.Name {
				case "State":
					for at := range telemetry.States.Values {
						s.Flag(h, at == telemetry.StateStarting, at)
					}
				case "RingPartitions":
					for at := range telemetry.Roles.Values {
						s.Gauge(h, 0, at)
					}
				case "PeerUp", "PeerRoundTrip", "PeerQueue", "PeerPending", "PeerStreams":
					s.GaugeOf(h, 0, "n2")
				default:
					s.Gauge(h, 0)
				}
			}
		}
	})
	return m
}

func names() (names []string) {
	for _, row := range telemetry.Catalogue() {
		names = append(names, row.FullName())
	}
	return names
}

func gather(t *testing.T, m *telemetry.Metrics) map[string]*dto.MetricFamily {
	t.Helper()
	all, err := m.Gather()
	if err != nil {
		t.Fatal(err)
	}
	families := make(map[string]*dto.MetricFamily)
	for _, f := range all {
		families[f.GetName()] = f
	}
	return families
}

func scrape(t *testing.T, m *telemetry.Metrics, accept string) string {
	t.Helper()
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, r)
	body, err := io.ReadAll(w.Result().Body)
	if err != nil || w.Code != 200 {
		t.Fatalf("status %d, %v: %s", w.Code, err, body)
	}
	return string(body)
}

// lineOf is the value of the first series of the name that has the labels.
func lineOf(t *testing.T, m *telemetry.Metrics, name, labels string) string {
	t.Helper()
	for line := range strings.Lines(scrape(t, m, "text/plain")) {
		if strings.HasPrefix(line, name) && strings.Contains(line, labels) {
			return strings.TrimSpace(line[strings.LastIndexByte(line, ' '):])
		}
	}
	t.Fatalf("no series of %s{%s}", name, labels)
	return ""
}
