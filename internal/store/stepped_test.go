package store

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/store/disktest"
)

// A staged value is renamed to its place, damaged there, and replayed after a restart: the copy is damaged, the store is not.
func TestADamagedCopyDoesNotStopTheStoreThatReplaysIt(t *testing.T) {
	disk := disktest.New(rand.New(rand.NewPCG(1, 1)))
	open := func() *Stepped {
		d, err := OpenStepped(Config{FS: disk, Partitions: simPartitions, Locate: simLocate, CacheBytes: -1})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	put := func(d *Stepped, b register.Stamp, v register.Value) {
		err := errors.New("not durable yet")
		d.Put("k", register.Record{Ballot: b, Version: b, Operation: b, Kind: register.Data, Value: v}, func(e error) { err = e })
		do, _ := d.Batch()
		do()
		if err != nil {
			t.Fatal(err)
		}
		if do, ok := d.File(); ok {
			do()
		}
	}
	b := register.Stamp{Time: 1, Node: 1}
	d := open()
	v, err := d.Stage(b, strings.NewReader("value"))
	if err != nil {
		t.Fatal(err)
	}
	put(d, b, v)
	_, part := simLocate("k")
	if !disk.Rot(keyPath(folderName(part, 1), "k", register.Data), -1) {
		t.Fatal("there is no file")
	}
	disk = disk.Kill()
	d = open()
	do, ok := d.File()
	if !ok {
		t.Fatal("the journal is not replayed")
	}
	do()
	if _, err := d.Head("k"); !isDamage(err) || d.Failed() != nil {
		t.Fatalf("head: %v; the store failed: %v", err, d.Failed())
	}
	next := register.Stamp{Time: 2, Node: 1}
	put(d, next, register.Value{Length: 3, Inline: []byte("new")})
	if r, err := d.Head("k"); err != nil || r.Ballot != next {
		t.Errorf("head after a new write: %v, %v", r.Ballot, err)
	}
}

func isDamage(err error) bool {
	_, is := errors.AsType[*register.DamageError](err)
	return is
}
