package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// files is a file system of configuration files for Parse.
type files map[string]string

func (f files) read(path string) ([]byte, error) {
	text, found := f[path]
	if !found {
		return nil, fs.ErrNotExist
	}
	return []byte(text), nil
}

// words splits a command line at its blanks.
func words(line string) []string { return strings.Fields(line) }

func TestNoFlagsAtAllIsAWorkingConfiguration(t *testing.T) {
	got, err := Parse(nil, nil, files{}.read)
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		DataPath: "data", Host: "127.0.0.1", Port: 8000, Bind: "127.0.0.1", DrainDelay: 3 * time.Second,
		MaxValueSize: 64 << 20, Partitions: 1024,
		LogLevel: "info", LogFormat: "text", TraceSample: 0.01,
		PeerPort: 9000, EtcdClientPort: 2379, EtcdPeerPort: 2380, Replicas: 3, MaxVoters: 5, Weight: 1,
		ReplaceAfter: 15 * time.Minute, ScrubPeriod: 7 * 24 * time.Hour,
	}
	if diff := cmp.Diff(want, got, ignoreSettings()...); diff != "" {
		t.Errorf("Parse of nothing (-want +got):\n%s", diff)
	}
}

func TestTheHigherPlaceWins(t *testing.T) {
	const file = "port: 1001\nhost: f\nzone: file\n"
	environ := []string{"ESTORAJED_PORT=1002", "ESTORAJED_HOST=e", "ESTORAJED_CONFIG=c.yml", "ESTORAJED_LOG_FORMAT=", "HOME=/root"}
	c, err := Parse(words("-port 1003"), environ, files{"c.yml": file}.read)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []Setting{
		{Name: "port", Text: "1003", From: "-port"},
		{Name: "host", Text: "e", From: "ESTORAJED_HOST"},
		{Name: "zone", Text: "file", From: "c.yml, line 3"},
		{Name: "log-format", Text: "text", From: "default"}, // an empty variable counts as not set
	} {
		if diff := cmp.Diff(want, *c.setting(want.Name), cmpopts.IgnoreUnexported(Setting{})); diff != "" {
			t.Errorf("-%s (-want +got):\n%s", want.Name, diff)
		}
	}
	if c.Port != 1003 || c.Host != "e" || c.Zone != "file" {
		t.Errorf("port %d, host %s, zone %s; want 1003, e, file", c.Port, c.Host, c.Zone)
	}
}

func TestFlagsAreWrittenInAnyOfTheUsualWays(t *testing.T) {
	for _, tc := range []struct {
		line string
		want func(Config) bool
	}{
		{"-port 9", func(c Config) bool { return c.Port == 9 }},
		{"-port=9", func(c Config) bool { return c.Port == 9 }},
		{"--port 9", func(c Config) bool { return c.Port == 9 }},
		{"--port=9", func(c Config) bool { return c.Port == 9 }},
		{"-port 8 -port 9", func(c Config) bool { return c.Port == 9 }},
		{"-otlp-endpoint=http://h/?a=b", func(c Config) bool { return c.OTLPEndpoint == "http://h/?a=b" }},
		{"-name -x", func(c Config) bool { return c.Name == "-x" }},
		{"-drain-on-stop -port 9", func(c Config) bool { return c.DrainOnStop && c.Port == 9 }},
		{"-drain-on-stop true -port 9", func(c Config) bool { return c.DrainOnStop && c.Port == 9 }},
		{"-drain-on-stop false", func(c Config) bool { return !c.DrainOnStop }},
		{"--drain-on-stop=1", func(c Config) bool { return c.DrainOnStop }},
		{"-debug", func(c Config) bool { return c.LogLevel == "debug" }},
		{"-debug=true", func(c Config) bool { return c.LogLevel == "debug" }},
		{"-debug true -log-level warn", func(c Config) bool { return c.LogLevel == "debug" }},
		{"-debug false -log-level warn", func(c Config) bool { return c.LogLevel == "warn" }},
		{"check-config -port 9", func(c Config) bool { return c.Command == CheckConfig && c.Port == 9 }},
		{"-port 9 -help -nonsense", func(c Config) bool { return c.Command == Help }},
		{"-h", func(c Config) bool { return c.Command == Help }},
		{"--version", func(c Config) bool { return c.Command == Version }},
	} {
		c, err := Parse(words(tc.line), nil, files{}.read)
		if err != nil || !tc.want(c) {
			t.Errorf("Parse(%s) = %+v, %v", tc.line, c, err)
		}
	}
}

func TestDebugDoesNotOverruleALogLevelFromAHigherPlace(t *testing.T) {
	c, err := Parse(words("-log-level warn"), []string{"ESTORAJED_DEBUG=true"}, files{}.read)
	if err != nil || c.LogLevel != "warn" {
		t.Errorf("log level %s, %v; want warn", c.LogLevel, err)
	}
}

func TestBindFollowsHost(t *testing.T) {
	for line, want := range map[string]string{
		"":                               "127.0.0.1",
		"-host 10.1.2.3":                 "10.1.2.3",
		"-host ::1":                      "::1",
		"-host node1.example":            "",
		"-host node1.example -bind ::1":  "::1",
		"-host 10.1.2.3 -bind 0.0.0.0":   "0.0.0.0",
		"-host 10.1.2.3 -bind *":         "",
		"-host 10.1.2.3 -bind localhost": "localhost",
	} {
		c, err := Parse(words(line), nil, files{}.read)
		if err != nil || c.Bind != want {
			t.Errorf("Parse(%s): listens on %q, %v; want %q", line, c.Bind, err, want)
		}
	}
}

func TestEachMistakeIsOneLineThatSaysWhereItIs(t *testing.T) {
	for _, tc := range []struct{ line, variable, file, want string }{
		{"serve", "", "", "unexpected serve: all arguments are flags, written -name value (-help lists them)"},
		{"-port 9 check-config", "", "", "unexpected check-config: all arguments are flags, written -name value (-help lists them)"},
		{"--", "", "", "unexpected --: all arguments are flags, written -name value (-help lists them)"},
		{"-prot 9", "", "", "-prot is not a flag; did you mean -port? (-help lists them)"},
		{"--data-path d", "", "", "-data-path is not a flag; did you mean -dataPath? (-help lists them)"},
		{"-wherever d", "", "", "-wherever is not a flag (-help lists them)"},
		{"-port", "", "", "-port needs a value: -port PORT"},
		{"-name -port 8000", "", "", "-name needs a value, but -port follows it"},
		{"-debug=perhaps", "", "", "-debug perhaps: must be true or false"},
		{"-port 99999", "", "", "-port 99999: a port is a number from 1 to 65535"},
		{"", "ESTORAJED_PORT=99999", "", "-port 99999 (from ESTORAJED_PORT): a port is a number from 1 to 65535"},
		{"", "", "host: n1\nport: 99999", "-port 99999 (from c.yml, line 2): a port is a number from 1 to 65535"},
		{"-peer-port 8000", "", "", "-peer-port 8000: -port is the same; each listener needs a port of its own"},
		{"-port 2380", "", "", "-etcd-peer-port 2380: -port is the same; each listener needs a port of its own"},
		{"", "ESTORAJED_DATAPATH=d", "", "the environment's ESTORAJED_DATAPATH is not a setting; did you mean ESTORAJED_DATA_PATH? (-help lists them)"},
		{"", "ESTORAJED_COLOUR=red", "", "the environment's ESTORAJED_COLOUR is not a setting (-help lists them)"},
		{"", "", "prot: 1", "c.yml, line 1: prot is not a setting; did you mean port?"},
		{"", "", "# all\n\n-port: 1", "c.yml, line 3: -port is not a setting; did you mean port?"},
		{"", "", "port: 1\nhost: h\nport: 1", "c.yml, line 3: port is there twice, first on line 1"},
		{"", "", "port:", "c.yml, line 1: port needs one value, as in 'port: VALUE'"},
		{"", "", "initialCluster: [a, b]", "c.yml, line 1: initialCluster needs one value, as in 'initialCluster: VALUE'"},
		{"", "", "name: &a n1\nzone: *a", "c.yml, line 2: zone needs one value, as in 'zone: VALUE'"},
		{"", "", "<<: {port: 1}", "c.yml, line 1: << is not a setting"},
		{"", "", "config: d.yml", "c.yml, line 1: a file cannot name another one"},
		{"", "", "- port", "-config c.yml: line 1: write one setting a line, as in 'port: 8000'"},
		{"", "", "port: 1\n---\nport: 2", "-config c.yml: holds more than one document"},
		{"", "", "port: 1\n\thost: a", "-config c.yml: line 2: found a tab character that violates indentation"},
		{"-config d.yml", "", "", "-config d.yml: file does not exist"},
		{"", "ESTORAJED_CONFIG=d.yml", "", "-config d.yml (from ESTORAJED_CONFIG): file does not exist"},
		{"-add", "", "", "-add true: this version cannot join a running cluster: start all of its nodes with the same -initialCluster"},
	} {
		args, environ := words(tc.line), []string{tc.variable}
		if tc.file != "" {
			args = append(args, "-config", "c.yml")
		}
		_, err := Parse(args, environ, files{"c.yml": tc.file}.read)
		if err == nil || err.Error() != tc.want {
			t.Errorf("Parse(%s; %s; %q)\n says  %v\n want  %s", tc.line, tc.variable, tc.file, err, tc.want)
		}
	}
}

func TestAFileWithoutSettingsIsGood(t *testing.T) {
	for _, text := range []string{"", "\n", "# port: 1\n", "---\n# nothing\n", "{}"} {
		if _, err := Parse(words("-config c.yml"), nil, files{"c.yml": text}.read); err != nil {
			t.Errorf("file %q: %v", text, err)
		}
	}
}

func TestServiceLinksOfKubernetesAreNotMeantForUs(t *testing.T) {
	environ := []string{
		"ESTORAJED_PORT=tcp://10.0.0.7:8000", "ESTORAJED_SERVICE_HOST=10.0.0.7", "ESTORAJED_SERVICE_PORT=8000",
		"ESTORAJED_SERVICE_PORT_API=8000", "ESTORAJED_PORT_8000_TCP=tcp://10.0.0.7:8000", "ESTORAJED_PORT_8000_TCP_PROTO=tcp",
		"ESTORAJED_PORT_8000_TCP_PORT=8000", "ESTORAJED_PORT_8000_TCP_ADDR=10.0.0.7", "ESTORAJED_PEER_PORT=udp://10.0.0.8:9000",
	}
	if c, err := Parse(nil, environ, files{}.read); err != nil || c.Port != 8000 || c.PeerPort != 9000 {
		t.Errorf("port %d, peer port %d, %v; want the defaults", c.Port, c.PeerPort, err)
	}
}

func TestTheNameIsTheGivenOneElseTheStoredOneElseTheHosts(t *testing.T) {
	long := strings.Repeat("h", 64)
	for _, tc := range []struct{ line, stored, hostname, want, err string }{
		{"-name n1", "n2", "box", "n1", ""}, // the store says then that it belongs to another
		{"", "n2", "box", "n2", ""},
		{"", "", "box", "box", ""},
		{"", "n2", long, "n2", ""},
		{"", "", "my box", "", `the host's name "my box" cannot be the node's (a name is 1 to 63 of A-Z a-z 0-9 . _ -): give one with -name`},
		{"", "", long, "", "the host's name " + long + " cannot be the node's (a name is 1 to 63 of A-Z a-z 0-9 . _ -): give one with -name"},
		{"-initialCluster n1=http://h:2380", "", "n1", "n1", ""},
		{"-initialCluster n1=http://h:2380", "", "box", "", `-initialCluster n1=http://h:2380: does not name this node, "box": add it to the list, or start with the -name that it has there`},
	} {
		c, err := Parse(words(tc.line), nil, files{}.read)
		if err != nil {
			t.Fatal(err)
		}
		c, err = c.Named(tc.stored, tc.hostname)
		if c.Name != tc.want || (err == nil) != (tc.err == "") || err != nil && err.Error() != tc.err {
			t.Errorf("%s, stored %q, host %q: named %q, %v; want %q, %s", tc.line, tc.stored, tc.hostname, c.Name, err, tc.want, tc.err)
		}
	}
}

func TestWhatCheckConfigPrintsIsAFileThatMeansTheSame(t *testing.T) {
	line := "-name n1 -host db.example -port 9 -debug -max-value-size 1M -scrub-period 1d12h -initialCluster n1=http://h:2380 -dataPath /a#b:\tc"
	want, err := Parse(strings.Split(line, " "), nil, files{}.read)
	if err != nil {
		t.Fatal(err)
	}
	var printed bytes.Buffer
	writeConfig(&printed, want)
	got, err := Parse(words("-config c.yml"), nil, files{"c.yml": printed.String()}.read)
	if err != nil {
		t.Fatalf("%v in\n%s", err, printed.String())
	}
	if diff := cmp.Diff(want, got, ignoreSettings()...); diff != "" {
		t.Errorf("read back (-want +got):\n%s\nof\n%s", diff, printed.String())
	}
}

func TestTheConfigurationFileIsReadWithinABound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yml")
	for _, tc := range []struct {
		size int
		want string
	}{{1 << 20, ""}, {1<<20 + 1, "longer than 1MiB"}} {
		if err := os.WriteFile(path, make([]byte, tc.size), 0o600); err != nil {
			t.Fatal(err)
		}
		text, err := readConfigFile(path)
		if tc.want == "" && (err != nil || len(text) != tc.size) || tc.want != "" && fmt.Sprint(err) != tc.want {
			t.Errorf("%d bytes: read %d, %v; want error %q", tc.size, len(text), err, tc.want)
		}
	}
	if _, err := readConfigFile(filepath.Join(path, "x")); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file as a folder: %v", err)
	}
}

// ignoreSettings compares what settings mean, not where they are from.
func ignoreSettings() []cmp.Option {
	return []cmp.Option{cmpopts.IgnoreFields(Config{}, "Settings"), cmpopts.IgnoreUnexported(Config{})}
}

func FuzzParse(f *testing.F) {
	f.Add("-port 9 --debug true", "ESTORAJED_ZONE=z", "port: 9\nname: 'x'")
	f.Add("check-config -h=", "ESTORAJED_=", "a: &a [*a]")
	f.Fuzz(func(t *testing.T, line, variable, file string) {
		_, err := Parse(append(words(line), "-config", "c.yml"), []string{variable}, files{"c.yml": file}.read)
		if err != nil && strings.ContainsAny(err.Error(), "\n\r") {
			t.Errorf("an error of more than one line: %q", err)
		}
	})
}
