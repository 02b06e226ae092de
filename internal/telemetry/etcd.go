package telemetry

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// OfEtcd passes on, of a registry that etcd's code shares with others, what is etcd's own and meant to be relied upon. The runtime's and
// the process's metrics are there as well, and are served from our registry already; etcd promises nothing of those for debugging.
func OfEtcd(shared prometheus.Gatherer) prometheus.Gatherer {
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		all, err := shared.Gather()
		var own []*dto.MetricFamily
		for _, f := range all {
			if name := f.GetName(); strings.HasPrefix(name, "etcd_") && !strings.HasPrefix(name, "etcd_debugging_") {
				own = append(own, f)
			}
		}
		return own, err
	})
}
