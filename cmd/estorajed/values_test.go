package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestValues(t *testing.T) {
	const (
		badSize = "write a size as 64MiB, 64M or 67108864"
		badTime = "write a time as 30s, 15m, 12h or 7d"
		badName = "a name is 1 to 63 of A-Z a-z 0-9 . _ -"
		badHost = "not an IP address or host name (no port, no http://, no brackets)"
	)
	name63, label64 := strings.Repeat("n", 63), strings.Repeat("l", 64)
	for _, tc := range []struct {
		flag, text string
		want       string // the field's value, or the error behind "! "
	}{
		{"max-value-size", "67108864", "67108864"},
		{"max-value-size", "64MiB", "67108864"},
		{"max-value-size", "64 MiB", "67108864"},
		{"max-value-size", "64m", "67108864"},
		{"max-value-size", "1GiB", "1073741824"},
		{"max-value-size", "1024B", "1024"},
		{"max-value-size", "64", "! must be at least 1KiB and at most 1GiB"},
		{"max-value-size", "1T", "! must be at least 1KiB and at most 1GiB"},
		{"max-value-size", "64MB", "! " + badSize},
		{"max-value-size", "1024BiB", "! " + badSize},
		{"max-value-size", "-1", "! " + badSize},
		{"max-value-size", "1.5M", "! " + badSize},
		{"max-value-size", "M", "! " + badSize},
		{"max-value-size", "8388608T", "! " + badSize},
		{"max-value-size", "99999999999999999999", "! " + badSize},
		{"scrub-period", "7d", "168h0m0s"},
		{"scrub-period", "1d12h30m", "36h30m0s"},
		{"scrub-period", "0d", "! must be at least 1m and at most 365d"},
		{"scrub-period", "1s", "! must be at least 1m and at most 365d"},
		{"scrub-period", "7", "! " + badTime},
		{"scrub-period", "d", "! " + badTime},
		{"scrub-period", "1.5d", "! " + badTime},
		{"scrub-period", "-1h", "! " + badTime},
		{"scrub-period", "1d-1h", "! " + badTime},
		{"scrub-period", "65536d", "! " + badTime},
		{"scrub-period", "65535d2500000h", "! " + badTime},
		{"replace-after", "500ms", "! must be at least 1s and at most 365d"},
		{"drain-delay", "0s", "0s"},
		{"drain-delay", "11m", "! must be at least 0s and at most 10m"},
		{"partitions", "1", "1"},
		{"partitions", "65536", "65536"},
		{"partitions", "1000", "! must be a power of two from 1 to 65536"},
		{"partitions", "0", "! must be a power of two from 1 to 65536"},
		{"partitions", "131072", "! must be a power of two from 1 to 65536"},
		{"partitions", "-1024", "! must be a power of two from 1 to 65536"},
		{"replicas", "0", "! must be at least 1 and at most 9"},
		{"replicas", "three", "! not a whole number"},
		{"max-voters", "8", "! must be at least 1 and at most 7"},
		{"weight", "0.5", "0.5"},
		{"weight", "0", "! must be a number above 0, at most 1000000"},
		{"weight", "NaN", "! must be a number above 0, at most 1000000"},
		{"weight", "Inf", "! must be a number above 0, at most 1000000"},
		{"trace-sample", "1", "1"},
		{"trace-sample", "1.01", "! must be at least 0 and at most 1"},
		{"trace-sample", "-0.1", "! must be at least 0 and at most 1"},
		{"trace-sample", "nan", "! not a number"},
		{"port", "0", "! a port is a number from 1 to 65535"},
		{"port", "http", "! a port is a number from 1 to 65535"},
		{"log-level", "loud", "! must be trace, debug, info, warn, error or off"},
		{"log-format", "xml", "! must be text or json"},
		{"name", name63, name63},
		{"name", name63 + "n", "! " + badName},
		{"name", "n 1", "! " + badName},
		{"name", "n1\n", "! " + badName},
		{"name", "", ""},
		{"zone", "rack/1", "! " + badName},
		{"dataPath", "", "! not a folder's name"},
		{"host", "n1", "n1"},
		{"host", "n-1.rack_2.example.", "n-1.rack_2.example."},
		{"host", "fe80::1%eth0", "fe80::1%eth0"},
		{"host", "0.0.0.0", "! nobody can connect to this address; to listen on all interfaces use -bind"},
		{"host", "::", "! nobody can connect to this address; to listen on all interfaces use -bind"},
		{"host", "", "! " + badHost},
		{"host", "n1:8000", "! " + badHost},
		{"host", "http://n1", "! " + badHost},
		{"host", "[::1]", "! " + badHost},
		{"host", "10.0.0.256", "! " + badHost},
		{"host", "-n1", "! " + badHost},
		{"host", label64, "! " + badHost},
		{"bind", "::", "::"},
		{"bind", "*", ""},
		{"bind", "eth0/1", "! " + badHost},
		{"otlp-endpoint", "", ""},
		{"otlp-endpoint", "http://tempo:4318", "http://tempo:4318"},
		{"otlp-endpoint", "[::1]:4317", "[::1]:4317"},
		{"otlp-endpoint", "tempo", "! write http://host:4318"},
		{"otlp-endpoint", "tempo:grpc", "! write http://host:4318"},
		{"otlp-endpoint", "ftp://tempo", "! write http://host:4318"},
		{"otlp-endpoint", "http://:4318", "! write http://host:4318"},
	} {
		if got := set(t, tc.flag, tc.text); got != tc.want {
			t.Errorf("-%s %q gives %q, want %q", tc.flag, tc.text, got, tc.want)
		}
	}
}

// set gives the flag's field after text was set, or the error behind "! ".
func set(t *testing.T, name, text string) string {
	t.Helper()
	f, err := flagNamed(name)
	if err != nil {
		t.Fatal(err)
	}
	var c Config
	if err := f.set(&c, text); err != nil {
		return "! " + err.Error()
	}
	return fmt.Sprint(map[string]any{
		"max-value-size": c.MaxValueSize, "scrub-period": c.ScrubPeriod, "drain-delay": c.DrainDelay, "partitions": c.Partitions,
		"weight": c.Weight, "trace-sample": c.TraceSample, "name": c.Name, "host": c.Host, "bind": c.Bind, "otlp-endpoint": c.OTLPEndpoint,
	}[name])
}

func TestMembers(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"", "[]"},
		{"n1=http://127.0.0.1:2380", "[{n1 127.0.0.1 2380}]"},
		{"n1=http://a.example:2380, n2=http://[::1]:2381/", "[{n1 a.example 2380} {n2 ::1 2381}]"},
		{"n1=https://a:2380", "! n1=https://a:2380: TLS between nodes is not there yet; write http://a:2380 and keep these ports on a private network"},
		{"n1=http://a:2380,n1=http://b:2380", `! node "n1" is there twice`},
		{"n1=http://a:2380,", `! "": write name=http://host:2380, with commas between nodes`},
		{"http://a:2380", "! http://a:2380: write name=http://host:2380, with commas between nodes"},
		{"n/1=http://a:2380", "! n/1=http://a:2380: a name is 1 to 63 of A-Z a-z 0-9 . _ -"},
		{"n1=a:2380", "! n1=a:2380: the address begins with http://"},
		{"n1=http://a", "! n1=http://a: not host:port"},
		{"n1=http://a:0", "! n1=http://a:0: a port is a number from 1 to 65535"},
		{"n1=http://0.0.0.0:2380", "! n1=http://0.0.0.0:2380: nobody can connect to this address; to listen on all interfaces use -bind"},
		{"n1=http://a:2380/path", "! n1=http://a:2380/path: a port is a number from 1 to 65535"},
	} {
		list, err := members(tc.text)
		got := fmt.Sprint(list)
		if err != nil {
			got = "! " + err.Error()
		}
		if got != tc.want {
			t.Errorf("members(%q)\n gives %s\n want  %s", tc.text, got, tc.want)
		}
	}
}

func TestTheListSaysWhoThisNodeIs(t *testing.T) {
	const three = "n1=http://a:2380,n2=http://b:2381,n3=http://c:2380"
	for line, want := range map[string]string{
		"-name n2 -initialCluster " + three:                      "b 2381",
		"-name n2 -host h -initialCluster " + three:              "h 2381",
		"-name n2 -etcd-peer-port 2381 -initialCluster " + three: "b 2381",
		"-name n2 -etcd-peer-port 2380 -initialCluster " + three: "-etcd-peer-port 2380: -initialCluster says 2381 for this node, and both are the port of its etcd for its peers: make them the same",
		"-name n2 -port 2381 -initialCluster " + three:           "-etcd-peer-port 2381: -port is the same; each listener needs a port of its own",
		"-name n4 -initialCluster n1=http://a:1":                 `-initialCluster n1=http://a:1: does not name this node, "n4": add it to the list, or start with the -name that it has there`,
		"-add -initialCluster n1=http://a:1":                     "-add true: this version cannot join a running cluster: start all of its nodes with the same -initialCluster",
	} {
		c, err := Parse(words(line), nil, files{}.read)
		got := fmt.Sprint(c.Host, " ", c.EtcdPeerPort)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("Parse(%s)\n says  %s\n want  %s", line, got, want)
		}
	}
}

func TestAnErrorShowsAValueInOneShortLine(t *testing.T) {
	long := strings.Repeat("x", 101)
	for text, want := range map[string]string{"a:b/c": "a:b/c", "": `""`, "a b": `"a b"`, "a\nb": `"a\nb"`, `a"`: `"a\""`, "é": "é", long: long[:100] + "..."} {
		if got := shown(text); got != want {
			t.Errorf("shown(%q) = %s, want %s", text, got, want)
		}
	}
}
