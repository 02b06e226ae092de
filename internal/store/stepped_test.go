package store

import (
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/store/disktest"
)

// A rig is a Stepped over a simulated disk, on which one key is written.
type rig struct {
	*testing.T
	*Stepped
	disk *disktest.Disk
}

func newRig(t *testing.T) *rig {
	r := &rig{T: t, disk: disktest.New(rand.New(rand.NewPCG(1, 1)))}
	r.open()
	return r
}

func (r *rig) open() {
	r.Helper()
	d, err := OpenStepped(Config{FS: r.disk, Partitions: simPartitions, Locate: simLocate, CacheBytes: -1})
	if err != nil {
		r.Fatal(err)
	}
	r.Stepped = d
}

// kill ends the process and starts it anew.
func (r *rig) kill() {
	r.disk = r.disk.Kill()
	r.open()
}

// put makes a record durable and writes its file.
func (r *rig) put(b register.Stamp, v register.Value) {
	r.Helper()
	err := errors.New("not durable yet")
	r.Put("k", register.Record{Ballot: b, Version: b, Operation: b, Kind: register.Data, Value: v}, func(e error) { err = e })
	do, _ := r.Batch()
	do()
	if err != nil {
		r.Fatal(err)
	}
	r.file()
}

func (r *rig) file() {
	r.Helper()
	do, ok := r.File()
	if !ok {
		r.Fatal("there is no file to write")
	}
	do()
}

func (r *rig) stage(id register.Stamp, content string) register.Value {
	r.Helper()
	v, err := r.Stage(id, strings.NewReader(content))
	if err != nil {
		r.Fatal(err)
	}
	return v
}

// A staged value is renamed to its place, damaged there, and replayed after a restart: the copy is damaged, the store is not.
func TestADamagedCopyDoesNotStopTheStoreThatReplaysIt(t *testing.T) {
	r := newRig(t)
	b, next := register.Stamp{Time: 1, Node: 1}, register.Stamp{Time: 2, Node: 1}
	r.put(b, r.stage(b, "value"))
	_, part := simLocate("k")
	if !r.disk.Rot(keyPath(folderName(part, 1), "k", register.Data), -1) {
		t.Fatal("there is no file")
	}
	r.kill()
	r.file()
	if _, err := r.Head("k"); !isDamage(err) || r.Failed() != nil {
		t.Fatalf("head: %v; the store failed: %v", err, r.Failed())
	}
	r.put(next, register.Value{Length: 3, Inline: []byte("new")})
	if rec, err := r.Head("k"); err != nil || rec.Ballot != next {
		t.Errorf("head after a new write: %v, %v", rec.Ballot, err)
	}
}

// A copy of the upload comes after the value was accepted and put in its place: it must not take that place, not even after a restart.
func TestAValueThatIsStagedAgainDoesNotReplaceTheAcceptedOne(t *testing.T) {
	r := newRig(t)
	b := register.Stamp{Time: 1, Node: 1}
	r.put(b, r.stage(b, "value"))
	r.stage(b, "value")
	r.kill()
	check := func(when string) {
		t.Helper()
		rec, body, err := r.Read("k")
		if err != nil || rec.Ballot != b {
			t.Fatalf("%s: ballot %v, %v", when, rec.Ballot, err)
		}
		if got, err := io.ReadAll(body); string(got) != "value" || err != nil {
			t.Errorf("%s: %q, %v", when, got, err)
		}
	}
	check("after the restart")
	r.file()
	check("after its file was written")
	if r.Failed() != nil {
		t.Error(r.Failed())
	}
	if left := r.disk.Names(stagingDir); len(left) > 0 {
		t.Errorf("left in the staging folder: %v", left)
	}
}

func isDamage(err error) bool {
	_, is := errors.AsType[*register.DamageError](err)
	return is
}
