package internal_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/estorajed/estorajed"

// anyRoom, as an entry of house, stands for every room.
const anyRoom = "*"

// house says which rooms under internal/ a room may import. Imports point downwards: the pure floor knows nobody, mechanisms
// and services know the pure floor and not each other, the edge puts them together.
func house() map[string][]string {
	return map[string][]string{
		// pure
		"key":      {},
		"ring":     {"key"},
		"register": {"ring"},
		// mechanisms: one outside thing each
		"store":      {"key", "register", "store/vfs"},
		"store/vfs":  {},
		"store/disk": {"store/vfs"},
		"peer":       {"key", "ring", "register", "peer/wire"},
		"peer/wire":  {},
		"cluster":    {"ring"},
		// services: they act through interfaces that they declare
		"replica":     {"key", "ring", "register"},
		"coordinator": {"key", "ring", "register"},
		"repair":      {"key", "ring", "register"},
		"rebalance":   {"ring"},
		// edge
		"api":       {"key", "ring", "register"},
		"telemetry": {},
		"observe":   {"key", "ring", "register", "store", "store/vfs", "store/disk", "peer", "cluster", "replica", "coordinator", "repair", "rebalance", "api", "telemetry"},
		"node":      {anyRoom},
		// test house: no other room may import these
		"store/disktest":      {anyRoom},
		"replica/replicatest": {anyRoom},
		"simulation":          {anyRoom},
		"mutation":            {anyRoom},
		"acceptance":          {anyRoom},
		"bench":               {anyRoom},
		"local":               {anyRoom},
	}
}

// testHouse is the rooms that only tests enter.
func testHouse() []string {
	return []string{"store/disktest", "replica/replicatest", "simulation", "mutation", "acceptance", "bench", "local"}
}

// keptTo says which rooms, besides the test house, may import a thing from outside, by the beginning of its import path.
func keptTo() map[string][]string {
	telemetry := []string{"telemetry", "observe", "node"}
	return map[string][]string{
		"github.com/prometheus/":          telemetry,
		"go.opentelemetry.io/":            telemetry,
		"github.com/hashicorp/go-hclog":   telemetry,
		"go.etcd.io/":                     {"cluster"},
		"go.uber.org/zap":                 {"cluster"},
		"google.golang.org/grpc":          {"peer", "peer/wire", "cluster"},
		"github.com/julienschmidt/":       {"api"},
		"github.com/maypok86/otter":       {"store"},
		"github.com/rogpeppe/go-internal": {},
		"github.com/anishathalye/":        {},
	}
}

// A room is a package under internal/ with what it imports, tests aside.
type room struct {
	name    string
	imports []string
}

func TestImportsPointDownwards(t *testing.T) {
	out, err := exec.Command("go", "list", "-e", "-f", `{{.ImportPath}} {{join .Imports " "}}`, module+"/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	allowed := house()
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		name, inside := strings.CutPrefix(words[0], module+"/internal/")
		if !inside {
			continue
		}
		if _, known := allowed[name]; !known {
			t.Errorf("room %s is not on the map: give it a line in house()", name)
			continue
		}
		for _, fault := range (room{name, words[1:]}).faults(allowed[name]) {
			t.Error(fault)
		}
	}
}

// faults are the room's imports that the map does not allow.
func (r room) faults(rooms []string) (list []string) {
	inTestHouse := slices.Contains(testHouse(), r.name)
	for _, imported := range r.imports {
		other, inside := strings.CutPrefix(imported, module+"/internal/")
		switch {
		case inside && slices.Contains(testHouse(), other) && !inTestHouse:
			list = append(list, r.name+" imports "+other+", which is for tests only")
		case inside && !slices.Contains(rooms, other) && !slices.Contains(rooms, anyRoom):
			list = append(list, r.name+" imports "+other+"; it may import "+strings.Join(rooms, ", "))
		}
		for thing, rooms := range keptTo() {
			if strings.HasPrefix(imported, thing) && !inTestHouse && !slices.Contains(rooms, r.name) {
				list = append(list, r.name+" imports "+imported+", which belongs to "+strings.Join(rooms, ", "))
			}
		}
	}
	return list
}

func TestTheMapCatchesAWrongImport(t *testing.T) {
	for _, tc := range []struct {
		name, imported string
		faults         int
	}{
		{"ring", module + "/internal/key", 0},
		{"key", module + "/internal/ring", 1},
		{"replica", module + "/internal/store", 1},
		{"node", module + "/internal/store/disk", 0},
		{"node", module + "/internal/bench", 1},
		{"store", "github.com/hashicorp/go-hclog", 1},
		{"bench", "github.com/julienschmidt/httprouter", 0},
		{"store", "os", 0},
	} {
		if got := (room{tc.name, []string{tc.imported}}).faults(house()[tc.name]); len(got) != tc.faults {
			t.Errorf("%s importing %s: %q, want %d faults", tc.name, tc.imported, got, tc.faults)
		}
	}
}
