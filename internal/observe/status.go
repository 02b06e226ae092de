package observe

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/estorajed/estorajed/internal/cluster"
	"github.com/estorajed/estorajed/internal/coordinator"
	"github.com/estorajed/estorajed/internal/peer"
	"github.com/estorajed/estorajed/internal/replica"
	"github.com/estorajed/estorajed/internal/store"
	"github.com/estorajed/estorajed/internal/telemetry"
)

// Status is where a scrape reads how the parts of a node stand. A part that is nil is not told of.
type Status struct {
	Store       func() store.Status
	Replica     func() replica.Status
	Coordinator func() coordinator.Status
	Peers       func() []peer.Status
	Cluster     func() cluster.Status
	Node        func() (state string, ready bool) // state is one of telemetry.States
}

// Scrape has /metrics read the parts' Status.
func (o *Observer) Scrape(parts Status) {
	m := o.metrics
	if read := parts.Store; read != nil {
		m.OnScrape(func(s *telemetry.Scrape) { o.ofStore(s, read()) })
	}
	if read := parts.Replica; read != nil {
		m.OnScrape(func(s *telemetry.Scrape) {
			at := read()
			s.Gauge(m.ReplicaWaiting, float64(at.Waiting))
			s.Gauge(m.ReplicaPromises, float64(at.Promises))
			s.Gauge(m.ReplicaAhead, at.Ahead.Seconds())
		})
	}
	if read := parts.Coordinator; read != nil {
		m.OnScrape(func(s *telemetry.Scrape) {
			at := read()
			s.Gauge(m.Operations, float64(at.Operations))
			s.Gauge(m.OperationsLimit, float64(at.Limit))
			s.Gauge(m.TurnsWaiting, float64(at.Waiting))
		})
	}
	if read := parts.Peers; read != nil {
		m.OnScrape(func(s *telemetry.Scrape) { o.ofPeers(s, read()) })
	}
	if read := parts.Cluster; read != nil {
		m.OnScrape(func(s *telemetry.Scrape) { o.ofCluster(s, read()) })
		m.Include(telemetry.OfEtcd(prometheus.DefaultGatherer)) // where etcd's code puts its metrics
	}
	if read := parts.Node; read != nil {
		m.OnScrape(func(s *telemetry.Scrape) {
			state, ready := read()
			for at, name := range telemetry.States.Values {
				s.Flag(m.State, name == state, at)
			}
			s.Flag(m.Ready, ready)
		})
	}
}

func (o *Observer) ofStore(s *telemetry.Scrape, at store.Status) {
	m := o.metrics
	for _, g := range []struct {
		of telemetry.ScrapedGauge
		v  int64
	}{
		{m.StoreKeys, at.Keys},
		{m.StoreTombstones, at.Tombstones},
		{m.StoreValueBytes, at.Bytes},
		{m.StorePending, int64(at.Pending)},
		{m.StagingFiles, int64(at.Staged)},
		{m.StagingBytes, at.StagedBytes},
		{m.StoreDamaged, int64(at.Damaged)},

		{m.JournalBytes, at.JournalBytes},
		{m.JournalLimit, at.JournalLimit},
		{m.JournalEntries, at.JournalEntries},
		{m.JournalQueue, int64(at.JournalQueue)},
		{m.JournalSegments, int64(at.Segments)},

		{m.CacheEntries, int64(at.CacheEntries)},
		{m.CacheBytes, at.CacheBytes},
		{m.CacheLimit, at.CacheLimit},

		{m.DiskSize, at.Usage.Size},
		{m.DiskFree, at.Usage.Free},
		{m.DiskReserve, at.Usage.ReserveBytes},
		{m.DiskInodes, at.Usage.Inodes},
		{m.DiskFreeInodes, at.Usage.FreeInodes},
		{m.DiskReserveInodes, at.Usage.ReserveInodes},
	} {
		s.Gauge(g.of, float64(g.v))
	}
	s.Counter(m.CacheEvictions, float64(at.Evictions))
	s.Gauge(m.CheckpointAge, at.CheckpointAge.Seconds())
	s.Flag(m.StoreFailed, at.Failed != nil)
	s.Flag(m.DiskFull, at.Full)
}
