package telemetry

// namespace begins the name of every metric of ours.
const namespace = "estorajed_"

// A Metric is one row of the catalogue: what is measured, and what an operator does with it.
type Metric struct {
	Name      string // <room>_<thing>_<unit>, counters with _total; without the namespace
	Type      string // counter, gauge or histogram
	Unit      string // of the value; for counters of things, the thing
	Labels    []Label
	Help      string // one sentence
	Use       string // when to look at it, and what follows
	Essential bool   // belongs on an overview

	buckets []float64      // upper bounds of a histogram's classic buckets
	fold    func(at []int) // moves a combination that cannot happen to the one that stands for it; nil: all can
	into    any            // the field of families that holds the handles
}

// FullName is the name under which the metric is scraped.
func (m *Metric) FullName() string { return namespace + m.Name }

// Catalogue is the table of all metrics, in the order in which people read it.
func Catalogue() []Metric {
	return new(families).table(Build{Version: "version", Revision: "revision"})
}

// families has one field a metric; the table says which is which.
type families struct {
	HTTPRequests      Counters   // route, method, code
	HTTPDuration      Histograms // route, method, code class; seconds
	HTTPInFlight      Gauges     // route
	HTTPRequestBytes  Histograms // route
	HTTPResponseBytes Histograms // route
	HTTPRejected      Counters   // reason
	HTTPSlow          Counters   // route
	HTTPPanics        Counters

	CoordinatorOps      Counters   // op, consistency, result
	CoordinatorDuration Histograms // op, consistency; seconds
	QuorumDuration      Histograms // phase; seconds
	ReplicaSilences     Counters   // phase
	TurnWait            Histograms // seconds
	CoordinatorOverload Counters   // where
	Forwards            Counters   // reason
	Takeovers           Counters   // cause
	Hedges              Counters
	Operations          ScrapedGauge
	OperationsLimit     ScrapedGauge
	TurnsWaiting        ScrapedGauge

	RegisterConflicts Counters // phase
	RegisterRetries   Counters
	RegisterSettles   Counters
	RegisterUnknown   Counters

	ReplicaWait     Histograms // phase; seconds
	ReplicaWaiting  ScrapedGauge
	ReplicaPromises ScrapedGauge
	ReplicaAhead    ScrapedGauge
	ReplicaAnew     Counters
	ReplicaFetches  Counters   // result
	CeilingRaises   Counters   // result
	CeilingDuration Histograms // seconds

	StoreOps           Counters   // op, result
	StoreDuration      Histograms // op; seconds
	StoreKeys          ScrapedGauge
	StoreTombstones    ScrapedGauge
	StoreValueBytes    ScrapedGauge
	StorePending       ScrapedGauge
	StoreFiled         Counters // result
	StoreFiledDuration Histograms
	StagingFiles       ScrapedGauge
	StagingBytes       ScrapedGauge
	StoreDamaged       ScrapedGauge
	StoreDamages       Counters // detected by
	StoreFailed        ScrapedGauge
	Checkpoints        Counters // result
	CheckpointDuration Histograms
	CheckpointAge      ScrapedGauge
	RecoveryDuration   Gauges
	RecoveryEntries    Gauges
	RecoveryTorn       Gauges

	JournalSyncs        Counters // result
	JournalSyncDuration Histograms
	JournalBatch        Histograms
	JournalWait         Histograms
	JournalWritten      Counters
	JournalBytes        ScrapedGauge
	JournalLimit        ScrapedGauge
	JournalEntries      ScrapedGauge
	JournalQueue        ScrapedGauge
	JournalSegments     ScrapedGauge

	CacheHits      Counters
	CacheMisses    Counters
	CacheEvictions ScrapedCounter
	CacheEntries   ScrapedGauge
	CacheBytes     ScrapedGauge
	CacheLimit     ScrapedGauge

	PeerUp        ScrapedGauge // peer
	PeerRoundTrip ScrapedGauge // peer; seconds
	PeerQueue     ScrapedGauge // peer
	PeerPending   ScrapedGauge // peer
	PeerStreams   ScrapedGauge // peer
	PeerDuration  Histograms   // kind; seconds
	PeerMessages  Counters     // kind, direction
	PeerFrames    Counters     // direction
	PeerBytes     Counters     // direction
	PeerRefusals  Counters     // reason
	PeerDowns     Counters     // reason
	PeerOverloads Counters

	ClusterMembers       ScrapedGauge
	ClusterVoters        ScrapedGauge
	ClusterHealthyVoters ScrapedGauge
	ClusterIsVoter       ScrapedGauge
	ClusterHasLeader     ScrapedGauge
	ClusterConnected     ScrapedGauge
	ClusterWatchRestarts ScrapedCounter
	ClusterEtcdFailed    ScrapedGauge
	ClusterLease         ScrapedGauge
	RingEpoch            ScrapedGauge
	RingPartitions       ScrapedGauge // role

	DiskSize          ScrapedGauge
	DiskFree          ScrapedGauge
	DiskReserve       ScrapedGauge
	DiskInodes        ScrapedGauge
	DiskFreeInodes    ScrapedGauge
	DiskReserveInodes ScrapedGauge
	DiskFull          ScrapedGauge

	State     ScrapedGauge // state
	Ready     ScrapedGauge
	StartTime Gauges
	BuildInfo Gauges // version, revision, Go version

	Spans          Counters // result
	SpanQueue      ScrapedGauge
	SpanQueueLimit ScrapedGauge
	ExportDuration Histograms
	ExportSuccess  ScrapedGauge
	LogMessages    Counters // level
}

// table ties every field to its row.
func (f *families) table(build Build) []Metric {
	var rows []Metric
	for _, room := range [][]Metric{f.http(), f.coordinator(), f.register(), f.replica(), f.store(), f.journal(), f.cache(), f.peer(), f.cluster(), f.disk(), f.node(build), f.telemetry()} {
		rows = append(rows, room...)
	}
	for i := range rows {
		switch rows[i].into.(type) {
		case *Counters, *ScrapedCounter:
			rows[i].Type = "counter"
		case *Gauges, *ScrapedGauge:
			rows[i].Type = "gauge"
		case *Histograms:
			rows[i].Type = "histogram"
		}
	}
	return rows
}

// durations are the bounds of every histogram of seconds: from what a cached read takes to what nobody waits for.
func durations() []float64 {
	return []float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}
}

// sizes are the bounds of every histogram of bodies: 256 B to 64 MiB.
func sizes() []float64 { return doubling(256, 4, 10) }

// doubling gives n bounds from first on, each factor times the one before.
func doubling(first, factor float64, n int) []float64 {
	bounds := make([]float64, n)
	for i := range bounds {
		bounds[i] = first
		first *= factor
	}
	return bounds
}

// foldRequest keeps the series of requests few: endpoints are read, HEAD counts as GET there, and all else as one.
func foldRequest(at []int) {
	switch {
	case at[0] == RouteKey:
	case at[0] >= RouteReserved || at[1] > MethodHead:
		at[1] = MethodOther
	default:
		at[1] = MethodGet
	}
}

// foldRequestCode is foldRequest where the code matters: an endpoint answers with few.
func foldRequestCode(at []int) {
	foldRequest(at)
	if at[0] == RouteKey {
		return
	}
	switch Codes.Values[at[2]] {
	case "200", "400", "404", "405", "408", "431", "499", "500", "503":
	default:
		at[2] = len(Codes.Values) - 1
	}
}

// foldDuration is foldRequest for classes of codes: 1xx ends nothing, 3xx is for keys, and what is neither a key nor read
// from an endpoint fails.
func foldDuration(at []int) {
	foldRequest(at)
	if at[2] == Class1xx || at[2] == Class3xx && at[0] != RouteKey {
		at[2] = Class2xx
	}
	if at[0] != RouteKey && at[1] == MethodOther && at[2] == Class2xx {
		at[2] = Class4xx
	}
}

// foldOperation: only a get can be eventual.
func foldOperation(at []int) {
	if at[0] != OpGet {
		at[1] = Linearizable
	}
}

// foldStore: conditions and overload are not known to the store.
func foldStore(at []int) {
	switch at[1] {
	case ResultPrecondition, ResultUnknown, ResultOverload:
		at[1] = ResultError
	}
}
