package main

import "time"

// A flag is one row of the table: flags, environment, file, help, README and check-config are all made from it.
type flag struct {
	name     string
	hint     string // stands for the value in -help; "" marks a switch
	fallback string // the text that holds when nothing is given
	unset    string // what an empty fallback means
	meaning  string
	set      func(c *Config, text string) error
}

// A group is flags that -help shows together.
type group struct {
	title string
	flags []flag
}

const configFlag = "config"

// Limits of single values.
const (
	minValueSize = 1 << 10 // bytes; less is a size whose unit was forgotten
	// A reader holds 4 bytes of checksum for each 64 KiB of its value, and an upload that breaks off starts again from its
	// first byte: at 1 GiB that is 64 KiB of memory and some ten seconds on a 1 Gbit/s line. More wants uploads in parts.
	maxValueSize  = 1 << 30
	maxReplicas   = 9
	maxPartitions = 1 << 16
	maxVoters     = 7 // what etcd advises
	maxWeight     = 1e6
	day           = 24 * time.Hour
	maxDrainDelay = 10 * time.Minute
	maxPeriod     = 365 * day
)

// table is all flags there are.
func table() []group {
	return []group{
		{"This node", []flag{
			{
				"name", "NAME", "", "the one in the data directory, else the host name",
				"node name, unique in the cluster",
				to(optional(nodeName), func(c *Config) *string { return &c.Name }),
			},
			{
				"dataPath", "FOLDER", "data", "",
				"data directory: everything this node keeps",
				to(folder, func(c *Config) *string { return &c.DataPath }),
			},
			{
				configFlag, "FILE", "", "none",
				"YAML file with the same names; unknown names are an error",
				func(*Config, string) error { return nil },
			},
		}},
		{"Network", []flag{
			{
				"host", "HOST", "127.0.0.1", "",
				"address or name that peers reach this node by",
				to(reachableHost, func(c *Config) *string { return &c.Host }),
			},
			{
				"port", "PORT", "8000", "",
				"API port",
				to(port, func(c *Config) *int { return &c.Port }),
			},
			{
				"bind", "HOST", "", "-host if it is an IP address, else all interfaces",
				"address to listen on, for all listeners; * is all interfaces",
				to(bindHost, func(c *Config) *string { return &c.Bind }),
			},
			{
				"drain-delay", "TIME", "3s", "",
				"how long /_ready says 503 before the listener closes",
				to(between(duration, 0, maxDrainDelay), func(c *Config) *time.Duration { return &c.DrainDelay }),
			},
		}},
		{"Store", []flag{
			{
				"max-value-size", "SIZE", "64MiB", "",
				"larger bodies get 413; at most 1GiB",
				to(between(size, minValueSize, maxValueSize), func(c *Config) *int64 { return &c.MaxValueSize }),
			},
			{
				"partitions", "N", "1024", "",
				"partitions of the hash space, a power of two; fixed by the first node",
				to(powerOfTwo(maxPartitions), func(c *Config) *int { return &c.Partitions }),
			},
		}},
		{"Logs and traces", []flag{
			{
				"log-level", "LEVEL", "info", "",
				"trace, debug, info, warn, error or off",
				to(oneOf("trace", "debug", "info", "warn", "error", "off"), func(c *Config) *string { return &c.LogLevel }),
			},
			{
				"log-format", "FORMAT", "text", "",
				"text or json",
				to(oneOf("text", "json"), func(c *Config) *string { return &c.LogFormat }),
			},
			{
				"debug", "", "false", "",
				"the same as -log-level debug",
				to(truth, func(c *Config) *bool { return &c.debug }),
			},
			{
				"trace-sample", "SHARE", "0.01", "",
				"share of traces kept when the parent does not say, 0 to 1",
				to(between(decimal, 0, 1), func(c *Config) *float64 { return &c.TraceSample }),
			},
			{
				"otlp-endpoint", "URL", "", "none",
				"where traces go (OTLP); the standard OTEL_* variables work too; none: tracing costs nothing",
				to(optional(endpoint), func(c *Config) *string { return &c.OTLPEndpoint }),
			},
		}},
		{"Cluster", []flag{
			{
				"initialCluster", "LIST", "", "this node alone",
				"name=http://host:2380,... as in etcd",
				to(members, func(c *Config) *[]Member { return &c.InitialCluster }),
			},
			{
				"add", "", "false", "",
				"join a running cluster that is named by -initialCluster; not there yet",
				to(truth, func(c *Config) *bool { return &c.Add }),
			},
			{
				"peer-port", "PORT", "9000", "",
				"port for the other nodes",
				to(port, func(c *Config) *int { return &c.PeerPort }),
			},
			{
				"etcd-client-port", "PORT", "2379", "",
				"port of the embedded etcd for its clients",
				to(port, func(c *Config) *int { return &c.EtcdClientPort }),
			},
			{
				"etcd-peer-port", "PORT", "2380", "",
				"port of the embedded etcd for its peers",
				to(port, func(c *Config) *int { return &c.EtcdPeerPort }),
			},
			{
				"replicas", "N", "3", "",
				"copies of each key; fewer while there are fewer nodes; fixed by the first node",
				to(between(whole, 1, maxReplicas), func(c *Config) *int { return &c.Replicas }),
			},
			{
				"max-voters", "N", "5", "",
				"nodes that run etcd, at most; fixed by the first node",
				to(between(whole, 1, maxVoters), func(c *Config) *int { return &c.MaxVoters }),
			},
			{
				"zone", "NAME", "", "none",
				"where the node stands: copies of a key go to different zones",
				to(optional(nodeName), func(c *Config) *string { return &c.Zone }),
			},
			{
				"weight", "NUMBER", "1", "",
				"the node's share of the keys, against the others' weights",
				to(weight, func(c *Config) *float64 { return &c.Weight }),
			},
			{
				"replace-after", "TIME", "15m", "",
				"a dead node's partitions are copied elsewhere after this; without effect yet",
				to(between(duration, time.Second, maxPeriod), func(c *Config) *time.Duration { return &c.ReplaceAfter }),
			},
			{
				"drain-on-stop", "", "false", "",
				"SIGTERM also gives the partitions away; without effect yet",
				to(truth, func(c *Config) *bool { return &c.DrainOnStop }),
			},
			{
				"scrub-period", "TIME", "7d", "",
				"every file is read once in this time; without effect yet",
				to(between(duration, time.Minute, maxPeriod), func(c *Config) *time.Duration { return &c.ScrubPeriod }),
			},
		}},
	}
}

// allFlags is the table without its groups.
func allFlags() []flag {
	var all []flag
	for _, g := range table() {
		all = append(all, g.flags...)
	}
	return all
}

// to makes a setter of a reader of text and the field that it fills.
func to[T any](read func(text string) (T, error), field func(*Config) *T) func(*Config, string) error {
	return func(c *Config, text string) (err error) {
		*field(c), err = read(text)
		return err
	}
}
