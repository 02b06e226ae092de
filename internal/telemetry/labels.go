package telemetry

// A Label is one dimension of a metric: its name, and every value that it can ever have. Where what is observed is open
// (methods, status codes), the last value stands for all that are not listed. Keys, addresses and raw paths are never labels.
//
// Of one label, peer, the values are known at run time only, and are few: it has none here, and belongs to scraped gauges alone.
type Label struct {
	Name   string
	Values []string
}

// Position is where value stands in the label; what is not listed stands at the last.
func (l Label) Position(value string) int {
	for i, v := range l.Values {
		if v == value {
			return i
		}
	}
	return len(l.Values) - 1
}

// Positions of the label route: the names that the API gives to what it routes to.
const (
	RouteKey = iota
	RouteMetrics
	RouteHealth
	RouteReady
	RouteDiscovery
	RouteDiscoveryPlain
	RouteNodes
	RouteStatus
	RouteReserved
	RouteMalformed
)

// Positions of the label method.
const (
	MethodGet = iota
	MethodHead
	MethodPost
	MethodPut
	MethodDelete
	MethodOther
)

// Positions of the label code_class.
const (
	Class1xx = iota
	Class2xx
	Class3xx
	Class4xx
	Class5xx
)

// Positions of the label op of the coordinator.
const (
	OpGet = iota
	OpPut
	OpDelete
)

// Positions of the label consistency.
const (
	Linearizable = iota
	Eventual
)

// Positions of the label result: how an operation of the coordinator or of the store ended.
const (
	ResultOK = iota
	ResultNotFound
	ResultPrecondition
	ResultUnavailable
	ResultUnknown
	ResultFull
	ResultOverload
	ResultDamaged
	ResultClient // the client went away, or its body was not what it had announced
	ResultError
)

// Positions of the label phase.
const (
	PhaseLook = iota
	PhasePrepare
	PhaseAccept
	PhaseLearn
)

// Positions of the label op of the store.
const (
	StoreHead = iota
	StoreRead
	StoreStage
	StorePut
	StoreRaiseCeiling
)

// Positions of the label result where there are only two.
const (
	Done = iota
	Failed
)

// Positions of the label result of spans.
const (
	SpansEnded = iota
	SpansExported
	SpansFailed
	SpansDropped
)

// Positions of the label level.
const (
	LevelTrace = iota
	LevelDebug
	LevelInfo
	LevelWarn
	LevelError
)

// Positions of the label detected_by.
const (
	ByRead = iota
	ByRecovery
	ByScrub
)

// Positions of the label reason of forwarded operations.
const (
	ForwardNoCopy = iota
	ForwardPreferred
)

// Positions of the label cause of takeovers.
const (
	TakeoverUnreachable = iota
	TakeoverLate
	TakeoverLost
	TakeoverFailed
)

// Positions of the label role: a node comes first for a partition, or holds a further copy.
const (
	RolePrimary = iota
	RoleReplica
)

// Positions of the label direction.
const (
	DirectionIn = iota
	DirectionOut
)

// Positions of the label kind of requests to peers; those of the first four are the positions of the label phase.
const (
	RequestLook = iota
	RequestPrepare
	RequestAccept
	RequestLearn
	RequestRead
	RequestCarry
	RequestGet
	RequestStage
)

// Positions of the label state.
const (
	StateStarting = iota
	StateServing
	StateReadOnly
	StateDraining
	StateStopping
)

// The labels of the table.
var (
	Routes = Label{"route", []string{
		RouteKey: "/{key}", RouteMetrics: "/metrics", RouteHealth: "/_health", RouteReady: "/_ready",
		RouteDiscovery: "/_nodes_discovery", RouteDiscoveryPlain: "/_nodes_discovery_plain", RouteNodes: "/_nodes/{key}",
		RouteStatus: "/_cluster_status", RouteReserved: "/_{reserved}", RouteMalformed: "malformed",
	}}
	Methods = Label{"method", []string{
		MethodGet: "GET", MethodHead: "HEAD", MethodPost: "POST", MethodPut: "PUT", MethodDelete: "DELETE", MethodOther: "_OTHER",
	}}
	Codes = Label{"code", []string{
		"200", "201", "202", "204", "206", "304", "400", "403", "404", "405", "408", "412", "413", "416", "417", "429", "431", "499",
		"500", "501", "503", "504", "507", "other",
	}}
	CodeClasses = Label{"code_class", []string{Class1xx: "1xx", Class2xx: "2xx", Class3xx: "3xx", Class4xx: "4xx", Class5xx: "5xx"}}
	Rejections  = Label{"reason", []string{
		"bad_key", "bad_request", "malformed", "method", "too_large", "slow", "overload", "full", "failed", "draining", "not_ready", "other",
	}}
	Ops         = Label{"op", []string{OpGet: "get", OpPut: "put", OpDelete: "delete"}}
	Consistency = Label{"consistency", []string{Linearizable: "linearizable", Eventual: "eventual"}}
	Results     = Label{"result", []string{
		ResultOK: "ok", ResultNotFound: "not_found", ResultPrecondition: "precondition", ResultUnavailable: "unavailable",
		ResultUnknown: "unknown", ResultFull: "full", ResultOverload: "overload", ResultDamaged: "damaged",
		ResultClient: "client", ResultError: "error",
	}}
	Phases    = Label{"phase", []string{PhaseLook: "look", PhasePrepare: "prepare", PhaseAccept: "accept", PhaseLearn: "learn"}}
	Overloads = Label{"where", []string{"operations", "turn", "patience", "other"}}
	Forwards  = Label{"reason", []string{ForwardNoCopy: "no_copy", ForwardPreferred: "preferred"}}
	Takeovers = Label{"cause", []string{
		TakeoverUnreachable: "unreachable", TakeoverLate: "late", TakeoverLost: "lost", TakeoverFailed: "failed",
	}}
	StoreOps = Label{"op", []string{
		StoreHead: "head", StoreRead: "read", StoreStage: "stage", StorePut: "put", StoreRaiseCeiling: "raise_ceiling",
	}}
	DoneFailed  = Label{"result", []string{Done: "ok", Failed: "error"}}
	SpanResults = Label{"result", []string{SpansEnded: "ended", SpansExported: "exported", SpansFailed: "failed", SpansDropped: "dropped"}}
	Levels      = Label{"level", []string{LevelTrace: "trace", LevelDebug: "debug", LevelInfo: "info", LevelWarn: "warn", LevelError: "error"}}
	DetectedBy  = Label{"detected_by", []string{ByRead: "read", ByRecovery: "recovery", ByScrub: "scrub"}}
	Roles       = Label{"role", []string{RolePrimary: "primary", RoleReplica: "replica"}}
	Nodes       = Label{"peer", nil}
	Directions  = Label{"direction", []string{DirectionIn: "in", DirectionOut: "out"}}
	Messages    = Label{"kind", []string{"ask", "read", "carry", "get", "unstage", "table", "cancel", "stage", "fetch"}}
	Requests    = Label{"kind", []string{
		RequestLook: "look", RequestPrepare: "prepare", RequestAccept: "accept", RequestLearn: "learn",
		RequestRead: "read", RequestCarry: "carry", RequestGet: "get", RequestStage: "stage",
	}}
	Refusals = Label{"reason", []string{
		"garbage", "malformed", "oversized", "version", "cluster", "node", "addressee", "life", "stale", "other",
	}}
	Downs  = Label{"reason", []string{"silent", "broken", "stopped", "other"}}
	States = Label{"state", []string{
		StateStarting: "starting", StateServing: "serving", StateReadOnly: "read_only", StateDraining: "draining", StateStopping: "stopping",
	}}
)
