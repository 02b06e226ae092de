package ring

import (
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// sample is a table of four partitions, one of them moving.
func sample() *Table {
	return &Table{Epoch: 300, Sets: []Set{
		{Epoch: 1, Current: []NodeID{1, 2, 3}},
		{Epoch: 300, Current: []NodeID{3, 1, 2}, Next: []NodeID{3, 1, 70000}},
		{Epoch: 299, Current: []NodeID{70000}},
		{Epoch: 2, Current: []NodeID{2, 70000, 1, 3, 5, 6, 7}},
	}}
}

// The form is kept in etcd and on disks: a release that changes it must raise the version and still read this one.
func TestEncodedFormIsStable(t *testing.T) {
	b, err := sample().Encode()
	if err != nil {
		t.Fatal(err)
	}
	const want = "01ac020207010101020101e9a204" + // version, epoch, bits, nodes
		"03ab02000102" + "1b00020001020006" + "010106" + "07aa020106000203" + "0405" + "8043043f"
	if got := hex.EncodeToString(b); got != want {
		t.Errorf("Encode gives\n%s, want\n%s", got, want)
	}
}

func TestDecodedTableIsTheEncodedOne(t *testing.T) {
	b, err := sample().Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(b)
	if err != nil || !reflect.DeepEqual(got, sample()) {
		t.Errorf("Decode(Encode(t)) = %+v, %v, want %+v", got, err, sample())
	}
}

func TestBrokenTableIsNotEncoded(t *testing.T) {
	for _, tc := range []struct {
		name   string
		damage func(*Table)
		says   string
	}{
		{"three partitions", func(t *Table) { t.Sets = t.Sets[:3] }, "3 partitions"},
		{"no partitions", func(t *Table) { t.Sets = nil }, "power of two"},
		{"no epoch", func(t *Table) { t.Epoch = 0 }, "no epoch"},
		{"a set from the future", func(t *Table) { t.Sets[2].Epoch = 301 }, "partition 2: its set is of epoch 301"},
		{"a set of no epoch", func(t *Table) { t.Sets[2].Epoch = 0 }, "partition 2"},
		{"nobody holds it", func(t *Table) { t.Sets[1].Current = nil }, "partition 1: nobody"},
		{"a holder twice", func(t *Table) { t.Sets[0].Next = []NodeID{4, 4} }, "n4 holds it twice"},
		{"node 0", func(t *Table) { t.Sets[0].Current[1] = 0 }, "no node"},
		{"eight holders", func(t *Table) { t.Sets[0].Next = []NodeID{1, 2, 3, 4, 5, 6, 7, 8} }, "8 holders"},
	} {
		table := sample()
		tc.damage(table)
		if _, err := table.Encode(); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: Encode fails with %v, want %q", tc.name, err, tc.says)
		}
	}
}

func TestTooManyNodesAreRefused(t *testing.T) {
	table := &Table{Epoch: 1, Sets: make([]Set, NodesMax*2)}
	for p := range table.Sets {
		table.Sets[p] = Set{Epoch: 1, Current: []NodeID{NodeID(1 + p%(NodesMax+1))}}
	}
	if _, err := table.Encode(); err == nil || !strings.Contains(err.Error(), "4097 nodes") {
		t.Errorf("Encode fails with %v, want the number of nodes", err)
	}
}

// The limits promise that any table fits into one value of etcd.
func TestLargestTableFitsIntoEtcd(t *testing.T) {
	table := &Table{Epoch: 1<<64 - 1, Sets: make([]Set, PartitionsMax)}
	for p := range table.Sets {
		table.Sets[p].Epoch = 1
		for i := range ReplicasMax {
			table.Sets[p].Current = append(table.Sets[p].Current, NodeID(1<<32-1-(p+i)%NodesMax))
			table.Sets[p].Next = append(table.Sets[p].Next, NodeID(1<<32-1-(p+i+7)%NodesMax))
		}
	}
	b, err := table.Encode()
	if err != nil || len(b) > 1<<20 {
		t.Fatalf("the largest table takes %d bytes, %v, want at most 1 MiB", len(b), err)
	}
	if _, err := Decode(b); err != nil {
		t.Fatal(err)
	}
}

func TestEveryDamagedByteIsNoticed(t *testing.T) {
	b, err := sample().Encode()
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		for bit := range 8 {
			bad := slices.Clone(b)
			bad[i] ^= 1 << bit
			if _, err := Decode(bad); err == nil {
				t.Errorf("byte %d with bit %d turned is taken", i, bit)
			}
		}
		if _, err := Decode(b[:i]); err == nil {
			t.Errorf("a table cut to %d of %d bytes is taken", i, len(b))
		}
	}
	if _, err := Decode(append(slices.Clone(b), 0)); err == nil {
		t.Error("a table with a byte more is taken")
	}
}

func TestBadFormsAreRefusedWithTheReason(t *testing.T) {
	for _, tc := range []struct{ name, body, says string }{
		{"nothing", "", "of version 0"},
		{"a later version", "02" + "0100010101000000", "of version 2; this release knows version 1"},
		{"two to the 15 partitions", "01" + "01" + "0f" + "0101" + "010000", "log2 of partitions is 15"},
		{"fewer bytes than partitions", "01" + "01" + "0e" + "0101" + "010000", "cut short"},
		{"no nodes", "01" + "01" + "00" + "00" + "010000", "names no nodes"},
		{"4097 nodes", "01" + "01" + "00" + "8120" + "010000", "nodes is 4097"},
		{"a node number over 32 bits", "01" + "01" + "00" + "02" + "01" + "ffffffff0f" + "010000", "distance of nodes"},
		{"holders over 7", "01" + "01" + "00" + "01" + "01" + "40" + "0000", "holders is 64"},
		{"no holder", "01" + "01" + "00" + "01" + "01" + "0000", "nobody holds it"},
		{"an age over the epoch", "01" + "01" + "00" + "01" + "01" + "010200", "age of a set is 2"},
		{"a holder that is not named", "01" + "01" + "00" + "01" + "01" + "010001", "place of a holder is 1"},
		{"a node that holds nothing", "01" + "01" + "00" + "02" + "0101" + "010000", "proper form"},
		{"a padded number", "01" + "8100" + "00" + "01" + "01" + "010000", "proper form"},
		{"a strange byte", "01" + "01" + "00" + "01" + "01" + "010000" + "00", "1 strange bytes"},
	} {
		body, err := hex.DecodeString(tc.body)
		if err != nil {
			t.Fatal(tc.name, err)
		}
		_, err = Decode(summed(body))
		if err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: Decode fails with %v, want %q", tc.name, err, tc.says)
		}
	}
}

func summed(body []byte) []byte {
	return binary.LittleEndian.AppendUint32(slices.Clone(body), crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
}

func FuzzDecode(f *testing.F) {
	b, err := sample().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[:len(b)-sumSize])
	f.Add([]byte{1, 1, 0, 1, 1, 1, 0, 0})
	f.Add([]byte{1, 1, 14, 1, 1, 1, 0, 0})
	f.Fuzz(func(t *testing.T, body []byte) {
		table, err := Decode(summed(body)) // with the right sum, else nothing past it would ever be tried
		if err != nil {
			return
		}
		if err := table.check(); err != nil {
			t.Fatalf("Decode(%x) gives a table that breaks a rule: %v", body, err)
		}
		again, err := table.Encode()
		if err != nil || !slices.Equal(again, summed(body)) {
			t.Fatalf("Decode(%x) is encoded as %x, %v", body, again, err)
		}
	})
}
