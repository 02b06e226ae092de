package register

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/estorajed/estorajed/internal/ring"
)

// Kind tells what a record says of its key.
type Kind uint8

// The zero Kind is no record at all; a tombstone is a delete that was accepted. The two are different answers.
const (
	None Kind = iota
	Data
	Tombstone
)

func (k Kind) String() string {
	return [...]string{"none", "value", "tombstone"}[k]
}

// HistoryDepth is how many replaced states a record remembers.
const HistoryDepth = 8

// InlineMax is the longest value, in bytes, that travels and is journalled inside its record; longer ones are
// staged in a file of their own.
const InlineMax = 64 << 10

// A Past is a state that a record replaced: its version, and the operation that wrote it.
type Past struct {
	Version   Stamp
	Operation Stamp
}

// A Field is one piece of metadata that the client gave with a value. Names are lower case.
type Field struct {
	Name  string
	Value string
}

// ContentType is the name of the metadata field that holds the value's media type.
const ContentType = "content-type"

// A Value describes a value's bytes. The protocol moves descriptors only; the bytes flow beside it.
type Value struct {
	Length int64
	Sum    uint64 // xxhash64 of all bytes
	Inline []byte // the bytes themselves, if they are at hand: Length <= InlineMax; never changed once set
	Stage  Stamp  // else, until the record is accepted: the name under which they are staged at each replica
}

// A Record is what one replica has accepted for one key. The zero Record says that there is none.
type Record struct {
	Ballot    Stamp  // the proposal at which it was accepted
	Version   Stamp  // ballot of the write's first proposal: what users see as ETag
	Operation Stamp  // drawn where the write entered the cluster: whose work it is
	History   []Past // the states that it replaced, newest first; at most HistoryDepth
	Kind      Kind
	Metadata  []Field
	Value     Value
}

// Present tells whether the key has a value.
func (r *Record) Present() bool { return r.Kind == Data }

// MediaType is the content type that came with the value, or "".
func (r *Record) MediaType() string {
	for _, f := range r.Metadata {
		if f.Name == ContentType {
			return f.Value
		}
	}
	return ""
}

// Limits of a record's encoded fields; what exceeds them is refused when it is decoded.
const (
	metadataMax = 64      // fields
	fieldMax    = 8 << 10 // bytes of one name or value
)

// AppendFields writes all of r but the value's bytes and its place: the form shared by journal, key file and wire.
func (r *Record) AppendFields(b []byte) []byte {
	b = append(b, byte(r.Kind))
	b = r.Ballot.Append(b)
	b = r.Version.Append(b)
	b = r.Operation.Append(b)
	b = binary.AppendUvarint(b, uint64(len(r.History)))
	for _, p := range r.History {
		b = p.Version.Append(b)
		b = p.Operation.Append(b)
	}
	b = binary.AppendUvarint(b, uint64(len(r.Metadata)))
	for _, f := range r.Metadata {
		b = appendString(b, f.Name)
		b = appendString(b, f.Value)
	}
	b = binary.AppendUvarint(b, uint64(r.Value.Length))
	return binary.LittleEndian.AppendUint64(b, r.Value.Sum)
}

var errFields = errors.New("record fields are malformed")

// DecodeFields reads what AppendFields wrote and returns what follows it.
func DecodeFields(b []byte) (Record, []byte, error) {
	d := decoder{rest: b}
	r := Record{Kind: Kind(d.byte()), Ballot: d.stamp(), Version: d.stamp(), Operation: d.stamp()}
	if n := d.count(HistoryDepth); n > 0 {
		r.History = make([]Past, n)
		for i := range r.History {
			r.History[i] = Past{d.stamp(), d.stamp()}
		}
	}
	if n := d.count(metadataMax); n > 0 {
		r.Metadata = make([]Field, n)
		for i := range r.Metadata {
			r.Metadata[i] = Field{d.string(), d.string()}
		}
	}
	r.Value.Length = int64(d.uvarint())
	r.Value.Sum = d.uint64()
	if d.bad || r.Kind > Tombstone || r.Value.Length < 0 {
		return Record{}, nil, fmt.Errorf("%w (%d bytes)", errFields, len(b))
	}
	return r, d.rest, nil
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// A decoder takes fields off the front of rest; after the first that is not there, bad is set and all are zero.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) take(n int) []byte {
	if d.bad || len(d.rest) < n {
		d.bad = true
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if b := d.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (d *decoder) uint32() uint32 {
	if b := d.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (d *decoder) stamp() Stamp { return Stamp{Time(d.uint64()), ring.NodeID(d.uint32())} }

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.take(n)
	return v
}

func (d *decoder) count(limit uint64) int {
	n := d.uvarint()
	if n > limit {
		d.bad = true
		return 0
	}
	return int(n)
}

func (d *decoder) string() string {
	n := d.count(fieldMax)
	return string(d.take(n))
}
