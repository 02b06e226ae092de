package acceptance

import (
	"fmt"
	"net/http"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// A scrape is what /metrics said at one moment.
type scrape map[string]*dto.MetricFamily

// scrape reads /metrics, all of which must parse.
func (s subject) scrape() scrape {
	s.t.Helper()
	families, err := s.tryScrape()
	if err != nil {
		s.t.Fatalf("/metrics: %v", err)
	}
	return families
}

func (s subject) tryScrape() (scrape, error) {
	resp, err := http.Get(s.URL("metrics"))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	return parser.TextToMetricFamilies(resp.Body)
}

// value adds up the series of a counter or gauge whose labels include the given ones: name, value, name, value... The metric must exist.
func (m scrape) value(t testing.TB, name string, labels ...string) float64 {
	t.Helper()
	family := m[name]
	if family == nil {
		t.Fatalf("/metrics has no %s", name)
	}
	var sum float64
	for _, series := range family.GetMetric() {
		if !matches(series, labels) {
			continue
		}
		// Of these, one is there and the others are nil, which reads as 0.
		sum += series.GetCounter().GetValue() + series.GetGauge().GetValue() + series.GetUntyped().GetValue()
	}
	return sum
}

func matches(series *dto.Metric, labels []string) bool {
	for i := 0; i < len(labels); i += 2 {
		found := false
		for _, pair := range series.GetLabel() {
			found = found || pair.GetName() == labels[i] && pair.GetValue() == labels[i+1]
		}
		if !found {
			return false
		}
	}
	return true
}
