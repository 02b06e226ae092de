package ring

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/bits"
	"slices"
)

// The encoded table, all numbers but the last as unsigned varints:
//
//	version         1
//	epoch
//	bits            2^bits partitions
//	nodes           how many node numbers follow
//	node ...        ascending, each as its distance from the one before
//	per partition
//	  holders       Current's length + 8 * Next's length
//	  age           the table's epoch minus the set's
//	  holder ...    each as its place among the node numbers above, Current's and then Next's
//	sum             CRC-32C of all that precedes, 4 bytes, little-endian
//
// With 3 replicas, 200 nodes and 1024 partitions that is some 6 KB. A table has one such form only: equal tables are equal bytes.
const tableVersion = 1

const sumSize = 4

// Encode gives the binary form of t for storage and wire. Errors: t breaks a rule of tables; no node could live by it.
func (t *Table) Encode() ([]byte, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	nodes := t.nodes()
	if len(nodes) > NodesMax {
		return nil, fmt.Errorf("ring table names %d nodes; at most %d are allowed", len(nodes), NodesMax)
	}
	return t.encode(nodes), nil
}

func (t *Table) encode(nodes []NodeID) []byte {
	b := binary.AppendUvarint(nil, tableVersion)
	b = binary.AppendUvarint(b, t.Epoch)
	b = binary.AppendUvarint(b, uint64(bits.TrailingZeros(uint(len(t.Sets)))))
	b = binary.AppendUvarint(b, uint64(len(nodes)))
	last := NodeID(0)
	for _, n := range nodes {
		b = binary.AppendUvarint(b, uint64(n-last))
		last = n
	}
	for _, s := range t.Sets {
		b = binary.AppendUvarint(b, uint64(len(s.Current)+len(s.Next)<<3))
		b = binary.AppendUvarint(b, t.Epoch-s.Epoch)
		for _, holders := range [][]NodeID{s.Current, s.Next} {
			for _, n := range holders {
				place, _ := slices.BinarySearch(nodes, n)
				b = binary.AppendUvarint(b, uint64(place))
			}
		}
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

// nodes are all that t names, ascending.
func (t *Table) nodes() []NodeID {
	seen := map[NodeID]bool{}
	var nodes []NodeID
	for _, s := range t.Sets {
		for n := range s.Members() {
			if !seen[n] {
				seen[n] = true
				nodes = append(nodes, n)
			}
		}
	}
	slices.Sort(nodes)
	return nodes
}

var errCut = errors.New("ring table is cut short")

// Decode reads what Encode wrote, and nothing else: whatever it returns keeps the rules of tables. It does not keep b.
func Decode(b []byte) (*Table, error) {
	version, n := binary.Uvarint(b)
	if n <= 0 || len(b) < sumSize {
		return nil, errCut
	}
	if version != tableVersion {
		return nil, fmt.Errorf("ring table is of version %d; this release knows version %d", version, tableVersion)
	}
	body := b[:len(b)-sumSize]
	if crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)) != binary.LittleEndian.Uint32(b[len(body):]) {
		return nil, errors.New("ring table is damaged: its checksum does not match")
	}
	d := decoder{rest: body[n:]}
	t, nodes := d.table()
	if d.err != nil {
		return nil, d.err
	}
	if len(d.rest) > 0 {
		return nil, fmt.Errorf("ring table is followed by %d strange bytes", len(d.rest))
	}
	if err := t.check(); err != nil {
		return nil, err
	}
	if !slices.Equal(nodes, t.nodes()) || !bytes.Equal(b, t.encode(nodes)) {
		return nil, errors.New("ring table is not in its one proper form")
	}
	return t, nil
}

// A decoder takes numbers off the front of rest. After the first fault err stays and all numbers are 0.
type decoder struct {
	rest []byte
	err  error
}

// number reads one number of at most limit.
func (d *decoder) number(what string, limit uint64) uint64 {
	if d.err != nil {
		return 0
	}
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.err = errCut
		return 0
	}
	d.rest = d.rest[n:]
	if v > limit {
		d.err = fmt.Errorf("ring table: %s is %d; at most %d is possible", what, v, limit)
		return 0
	}
	return v
}

func (d *decoder) table() (*Table, []NodeID) {
	t := &Table{Epoch: d.number("epoch", 1<<64-1)}
	partitions := 1 << d.number("log2 of partitions", uint64(bits.TrailingZeros(PartitionsMax)))
	nodes := d.nodes()
	if d.err == nil && len(d.rest) < partitions {
		d.err = errCut
	}
	if d.err != nil {
		return nil, nil
	}
	t.Sets = make([]Set, partitions)
	for p := range t.Sets {
		holders := d.number("holders", 1<<6-1)
		t.Sets[p].Epoch = t.Epoch - d.number("age of a set", t.Epoch)
		t.Sets[p].Current = d.holders(int(holders&7), nodes)
		t.Sets[p].Next = d.holders(int(holders>>3), nodes)
	}
	return t, nodes
}

func (d *decoder) nodes() []NodeID {
	nodes := make([]NodeID, d.number("nodes", NodesMax))
	if d.err == nil && len(nodes) == 0 {
		d.err = errors.New("ring table names no nodes")
	}
	last := uint64(0)
	for i := range nodes {
		last += d.number("distance of nodes", 1<<32-1-last)
		nodes[i] = NodeID(last)
	}
	return nodes
}

func (d *decoder) holders(n int, nodes []NodeID) []NodeID {
	if n == 0 || d.err != nil {
		return nil
	}
	holders := make([]NodeID, n)
	for i := range holders {
		holders[i] = nodes[d.number("place of a holder", uint64(len(nodes)-1))]
	}
	return holders
}
