//go:build mutants

package store

import (
	"cmp"
	"regexp"
	"testing"
	"time"

	"github.com/estorajed/estorajed/internal/mutation"
)

// A mutant is a deliberate bug: where old stands in file, new stands instead, in a test build of its own. The simulation must catch
// it, or, where a schedule of goroutines is what matters, the test that by names.
type mutant struct {
	name, file, old, new string
	by                   string
}

var mutants = []mutant{
	{name: "recovery believes what the system shows after a failed sync", file: "recover.go", old: "	f.Forget()\n", new: ""},
	{name: "a read that does not look twice", file: "read.go", old: "&& s.moved(hash, seq) {", new: "&& false {", by: "TestAReadDoesNotMiss"},
	{name: "a stale record kept in the cache", file: "cache.go", old: "if s.stripe(hash).seq == seq {", new: "if true {", by: "TestWhatBecameStale"},
	{name: "a stale head kept", file: "read.go", old: "same := st.seq == seq", new: "same := true", by: "TestWhatBecameStale"},
	{name: "a small value left in the cache", file: "cache.go", old: "		s.cache.Invalidate(it.key)\n", new: "", by: "TestALargeValueReplaces"},
	{name: "a failed sync tried again", file: "run.go", old: "err = f.Sync()\n", new: "if err = f.Sync(); err != nil {\n			err = f.Sync()\n		}\n", by: "TestAFailedSync"},
	{name: "a failure that leaves writers waiting", file: "run.go", old: "	s.refuseQueue(err)\n", new: "", by: "TestAFailureAnswers"},
	{name: "writers turned away and not called", file: "run.go", old: "if s.m.room() { // entries", new: "if false { // entries", by: "TestWritersThatWere"},
	{name: "a segment that outgrows its space", file: "machine.go", old: "cur.end+m.queued < m.limits.segmentBytes", new: "cur.end+m.queued < 1000*m.limits.segmentBytes", by: "TestAJournalThatCannotBeEmptied"},
	{"no sync before the acknowledgement", "run.go", "err = f.Sync()\n", "err = nil\n", ""},
	{"rename before the journal is durable", "run.go", "_, err := f.WriteAt(buf, b.header.at.offset)", `for _, it := range b.items {
		if it.kind == entryPut || it.kind == entryStaged {
			_ = s.writeFile(fileJob{it.key, it, folderName(it.part, it.gen)})
		}
	}
	_, err := f.WriteAt(buf, b.header.at.offset)`, ""},
	{"journal dropped before the checkpoint's sync", "steps.go", "return s.syncFiles()", "return nil", ""},
	{"journal dropped before the checkpoint is saved", "steps.go", "return s.saveCheckpoint(&st.snapshot)", "return s.dropSegments([]uint64{st.snapshot.first - 1})", ""},
	{"journal dropped before its records have files", "checkpointer.go", "if s.unfiled > 0 {", "if s.unfiled < 0 {", ""},
	{"replay that lowers a ballot", "recover.go", "!s.shown.rec.Ballot.Less(e.rec.Ballot)", "s.shown.rec.Ballot.Less(e.rec.Ballot)", ""},
	{"discard outside the journal", "journal.go", "b = append(b, e.kind)\n\tif e.kind == entryCeiling {", "if e.kind == entryDiscard {\n\t\treturn binary.LittleEndian.AppendUint64(append(b, entryCeiling), 0)\n\t}\n\tb = append(b, e.kind)\n\tif e.kind == entryCeiling {", ""},
	{"staging cleared before the replay", "recover.go", "if err := cut(parsed); err != nil {", "if err := s.clearStaging(&got); err != nil {\n\t\treturn got, err\n\t}\n\tif err := cut(parsed); err != nil {", ""},
	{"staged value not synced", "stage.go", "if err := s.syncFile(st.file, name); err != nil {\n\t\treturn err\n\t}", "", ""},
	{"staging folder not synced", "stage.go", "if err := s.syncDir(stagingDir); err != nil {\n\t\treturn err\n\t}", "", ""},
	{"recovery shows what is not durable", "recover.go", "if err := f.Sync(); err != nil {", "if err := error(nil); err != nil {", ""},
	{"torn batch taken as whole", "journal.go", "le.Uint32(b[4:]) != crc32.Update(salt, castagnoli, b[8:whole])", "false", ""},
	{"segment used before its name is durable", "steps.go", "err = s.syncDir(journalDir)", "err = nil", ""},
	{"checkpoint not synced before its rename", "steps.go", "err = s.syncFile(f, checkpointTemp)", "err = nil", ""},
	{"tombstone of a replaced state left", "machine.go", "it.both = it.recovered || it.damaged ||", "it.both = it.damaged ||", ""},
	{"staged value renamed into a folder that is not durable", "file.go", "if err := s.syncDir(keysDir); err != nil {\n\t\treturn err\n\t}", "", ""},
	{"digest forgets what was replaced", "digest.go", "mix(hash, old.ballot) ^ mix(hash, rec.Ballot)", "mix(hash, rec.Ballot)", ""},
	{"records shown before they are durable", "machine.go", "m.queued += it.size()", "m.queued += it.size()\n\tif it.key != \"\" {\n\t\tm.slots[it.key].shown, it.segment = it, m.current().id\n\t\tm.current().unfiled++\n\t}", ""},
}

// TestMutants: the simulation catches every one of these, so it would have caught the mistake.
func TestMutants(t *testing.T) {
	caught := regexp.MustCompile(`after (\d+) runs seed \d+ fails|panic: store: |--- FAIL: TestA\w+|--- FAIL: TestWhat\w+|--- FAIL: TestWriters\w+|panic: test timed out`)
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			out, failed := runMutant(t, m)
			found := caught.FindStringSubmatch(out)
			if !failed || found == nil {
				t.Fatalf("not caught, or not by the simulation (failed: %v):\n%s", failed, out)
			}
			t.Logf("caught: %s", found[0])
		})
	}
}

func runMutant(t *testing.T, m mutant) (string, bool) {
	limit := 75 * time.Second
	if m.by != "" {
		limit = 30 * time.Second // a mutant may show itself by hanging
	}
	binary := mutation.Build(t, "store", mutation.Change{File: "store/" + m.file, Old: m.old, New: m.new})
	return mutation.Run(t, "store", binary, "^"+cmp.Or(m.by, "TestSimulation$"), limit, "-base=1", "-seconds=60")
}
