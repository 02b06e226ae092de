//go:build mutants

package simulation

import (
	"cmp"
	"flag"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/estorajed/estorajed/internal/mutation"
)

var explore = flag.Duration("explore", 0, "TestMutants tries every profile on each mutant for so long, and says how soon it is caught")

// A mutant is a deliberate mistake. It must be caught within so many seeds of a profile, or by a scripted test of another room.
type mutant struct {
	name    string
	what    string
	changes []mutation.Change
	profile string
	seeds   int
	room    string // of the test that catches it, if that is not TestSimulation
	test    string
}

// one is a mutant's only change.
func one(file, before, after string) []mutation.Change {
	return []mutation.Change{{File: file, Old: before, New: after}}
}

const (
	request   = "register/request.go"
	acceptor  = "register/acceptor.go"
	operation = "register/operation.go"
	writing   = "register/write.go"
	reading   = "register/read.go"
	passing   = "register/passage.go"
)

// The names are those of the design.
var mutants = []mutant{
	{name: "majOff", what: "a majority is one less", changes: one("ring/quorum.go", "enough := nodes/2 + 1", "enough := max(1, nodes/2)"), profile: "", seeds: 100},
	{name: "visibleEarly", what: "an accept is acknowledged before it is on stable storage", changes: one("store/run.go", "err = f.Sync()\n", "err = nil\n"), profile: "", seeds: 50},
	{
		name: "prepareNoWait", what: "a prepare does not wait for an accept that is being made durable",
		changes: one(request, "if c.turn {\n		return AwaitTurn", "if c.turn && q.Message.Phase != Prepare {\n		return AwaitTurn"), profile: "slow disks", seeds: 50,
	},
	{name: "promiseNotKept", what: "an accept does not look at promises", changes: one(request, "return highest(q.a.under(), c.promised, c.writing, c.accepted)", "if q.Message.Phase == Accept {\n		return highest(q.a.under(), c.writing, c.accepted)\n	}\n	return highest(q.a.under(), c.promised, c.writing, c.accepted)"), profile: "slow disks", seeds: 50},
	{name: "noCeiling", what: "promises are forgotten by a restart", changes: one(acceptor, "floor: ceiling, ceiling: ceiling", "floor: 0, ceiling: ceiling"), profile: "hand-overs twice", seeds: 400},
	{name: "noFloor", what: "the floor refuses nothing", changes: one(acceptor, "return Stamp{Time: a.floor}", "return Stamp{}"), profile: "hand-overs twice", seeds: 400},
	{name: "lateAnswers", what: "answers to an earlier round count", changes: one(operation, "if o.stage == decided || round != o.round || o.seen(from) {\n		return\n	}\n	switch", "if o.stage == decided || o.seen(from) {\n		return\n	}\n	switch"), profile: "slow disks", seeds: 50},
	{name: "learnUnchosen", what: "what is not known to be chosen is taught", changes: one("simulation/repair.go", "if bits.OnesCount16(same) > len(b.members)/2 {", "newest := true\n		for _, s := range shown {\n			newest = newest && !r.Ballot.Less(s.Ballot)\n		}\n		if newest && bits.OnesCount16(same) > 0 {"), profile: "hand-overs twice", seeds: 400},
	{name: "retryTwice", what: "a retry evaluates the change afresh whatever it sees", changes: one(writing, "version, fresh := o.trace(newest, floor)", "version, fresh := Stamp{}, true"), profile: "takeover", seeds: 50},
	{name: "takerFresh", what: "a taker evaluates the change without looking for an earlier attempt", changes: one(writing, "tried, none := o.sent, newest.Ballot.IsZero()", "tried, none := o.sent, newest.Ballot.IsZero()\n	if o.entry.Taker && !tried {\n		return Stamp{}, true\n	}"), profile: "takeover", seeds: 50},
	{name: "takerRefuses", what: "a taker refuses as if nobody had sent an accept", changes: one(writing, "sent, none := o.sent || o.entry.Taker,", "sent, none := o.sent,"), room: "register", test: "TestATakerKnowsThatAnAcceptMayHaveBeenSent"},
	{name: "historyNoOp", what: "the history is not searched for the write's own operation", changes: one(writing, "past := newest.find(o.entry.Operation)", "var past *Past"), profile: "takeover", seeds: 50},
	{name: "firstAnswer", what: "a refusal of an earlier coordinator counts", changes: one(passing, "case r.answers() && (current || r.Changed):", "case r.answers():"), profile: "takeover", seeds: 200},
	{name: "lastNotPassed", what: "a write is handed on before the clock has passed the last ballot", changes: one(passing, "	p.passed = max(p.passed, p.last.Time)\n", ""), profile: "takeover", seeds: 200},
	{name: "noLast", what: "a coordinator goes on above the last ballot", changes: one(operation, "case !o.entry.Last.IsZero() && o.entry.Last.Less(ballot):", "case false:"), profile: "takeover", seeds: 50},
	{name: "handTwice", what: "a copy of a hand-over begins the write again after a restart", changes: one("simulation/passage.go", "if name.life != n.life || n.begun[name] {", "if n.begun[name] {"), profile: "hand-overs twice", seeds: 400},
	{name: "gaveUpForgets", what: "giving up says that nothing happened", changes: one(passing, "p.sent && !unknown {", "p.sent && unknown {"), profile: "takeover", seeds: 50},
	{name: "refuseUnchosen", what: "a refusal rests on a state that is not chosen", changes: one(writing, "case !sent && (none || o.known(newest)):", "case true || sent:"), profile: "put if absent", seeds: 200},
	{name: "refuseMixed", what: "a refusal rests on evidence for an older state", changes: one(reading, "return o.sights[i].Record.Ballot == newest.Ballot\n", "return true\n"), profile: "takeover", seeds: 200},
	{name: "appliedUnsettled", what: "a write that is found in the history of an unsettled state is success", changes: one(writing, "case past != nil && o.known(newest):", "case past != nil:"), profile: "takeover", seeds: 100},
	{name: "readMax", what: "a read tells the newest state without settling it", changes: one(reading, "	o.stage = idle\n	o.looks++", "	newest, _, _ := o.newest()\n	o.finish(end{record: newest})\n	return\n	o.looks++"), profile: "slow disks", seeds: 50},
	{name: "damagedNone", what: "a damaged copy answers that there is no record", changes: one(request, "	if q.Message.Phase != Prepare || !q.Message.Anew {", "	if true {\n		q.Loaded(Record{})\n		return true\n	}\n	if q.Message.Phase != Prepare || !q.Message.Anew {"), profile: "damage", seeds: 100},
	{name: "wipedReturns", what: "a node comes back with an empty disk under its old number", changes: one("simulation/node.go", "n.disk = n.disk.Cut()", "n.disk = disktest.New(w.r)"), profile: "takeover", seeds: 50},
	{name: "clockForgets", what: "the clock of a node that restarts begins below its ceiling", changes: one("register/clock.go", "Clock{node: node, last: ceiling}", "Clock{node: node, last: 0 * ceiling}"), room: "register", test: "TestClockBeginsAtTheCeiling"},
	// Without the purge of tombstones these do no harm in a cluster; the rules are tested for themselves.
	{name: "learnNoFloor", what: "what is taught may rest on evidence from below the floor", changes: one(request, "if q.Message.Evidence < q.a.floor {", "if false {"), room: "register", test: "TestPromiseAndAcceptFollowThePaper"},
	{name: "noneNoFloor1", what: "'no record' counts as a version below all others", changes: one(writing, "		top = floor // what was purged lay below it\n", "		top = Stamp{}\n"), room: "register", test: "TestALaterAttemptLooksBeforeItEvaluates"},
	{name: "noneNoFloor2", what: "a write upon 'no record' puts no floor into its history", changes: one(writing, "return []Past{{Version: floor}}", "return []Past{{}}"), room: "register", test: "TestTheFloorStandsForThePastOfNoRecord"},
	{name: "noneEqTomb", what: "a tombstone that is not proven is as good as no record", changes: one(reading, "if o.sights[i].Record.Ballot.IsZero() || o.sights[i].Proven {", "if o.sights[i].Record.Ballot.IsZero() || o.sights[i].Record.Kind == Tombstone {"), room: "register", test: "TestAFirstAttemptEvaluatesTheNewestState"},
	{name: "noEpoch", what: "a message of an older epoch is answered", changes: one("replica/replica.go", "m.Epoch != have {", "m.Epoch > have {"), room: "replica", test: "TestAnOlderEpochIsRefused"},
	{name: "bytesOfAnother", what: "a record that is settled gets the bytes of whatever version is here", changes: one("store/stage.go", "cur.Version != it.rec.Version", "false"), profile: "slow disks", seeds: 50},
}

var caughtAfter = regexp.MustCompile(`after (\d+) seeds seed (\d+) fails`)

// TestMutants: whoever made one of these mistakes would be told.
func TestMutants(t *testing.T) {
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			room := cmp.Or(m.room, "simulation")
			binary := mutation.Build(t, room, m.changes...)
			if *explore > 0 {
				tryProfiles(t, m, binary)
				return
			}
			const limit = 3 * time.Minute // much more than they take
			if m.test != "" {
				if out, failed := mutation.Run(t, room, binary, m.test, limit); !failed || !strings.Contains(out, "--- FAIL: "+strings.Trim(m.test, "^$")) {
					t.Errorf("%s: not caught by %s:\n%s", m.what, m.test, out)
				}
				return
			}
			out, failed := mutation.Run(t, room, binary, "^TestSimulation$", limit+10*time.Second,
				"-base=1", fmt.Sprint("-seeds=", m.seeds), "-profile="+m.profile, fmt.Sprint("-seconds=", int(limit.Seconds())))
			found := caughtAfter.FindStringSubmatch(out)
			if !failed || found == nil {
				t.Fatalf("%s: not caught within %d seeds of profile %q:\n%s", m.what, m.seeds, m.profile, last(out))
			}
			t.Logf("%s: caught after %s seeds of %d: %s", m.what, found[1], m.seeds, why(out))
		})
	}
}

// tryProfiles says which profile catches a mutant how soon.
func tryProfiles(t *testing.T, m mutant, binary string) {
	for _, p := range append(profiles[:len(profiles):len(profiles)], profiles[0]) {
		began := time.Now()
		name := p.name
		if name == "calm" {
			name = ""
		}
		out, failed := mutation.Run(t, "simulation", binary, "^TestSimulation$", *explore+30*time.Second, "-base=1", "-profile="+name, fmt.Sprint("-seconds=", int(explore.Seconds())))
		if found := caughtAfter.FindStringSubmatch(out); failed && found != nil {
			t.Logf("%-16s %-15s after %6s seeds, %4.1f s: %s", m.name, name, found[1], time.Since(began).Seconds(), why(out))
		}
	}
}

var broken = regexp.MustCompile(`(?m)BROKEN: (.*)$`)

func why(out string) string {
	if found := broken.FindStringSubmatch(out); found != nil {
		return found[1]
	}
	return "?"
}

func last(out string) string { return out[max(0, len(out)-2000):] }
