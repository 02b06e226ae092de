package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
)

// What a journal entry can say.
const (
	entryPut     = 1 // a record; a value's bytes follow it
	entryStaged  = 2 // a record whose value lies in the staging folder, synced
	entryDiscard = 3 // the partition's generation is gen from here on
	entryCeiling = 4 // the promise ceiling
)

// A prior is the state that a record replaced: what the digests need to forget it.
type prior struct {
	ballot register.Stamp
	kind   register.Kind
	length int64
}

func priorOf(rec *register.Record) prior {
	return prior{rec.Ballot, rec.Kind, rec.Value.Length}
}

// An entry is one line of the journal.
type entry struct {
	kind    byte
	part    int
	gen     uint32
	key     key.Key
	rec     register.Record
	prior   prior
	ceiling register.Time
}

func (e *entry) append(b []byte) []byte {
	b = append(b, e.kind)
	if e.kind == entryCeiling {
		return binary.LittleEndian.AppendUint64(b, uint64(e.ceiling))
	}
	b = binary.AppendUvarint(b, uint64(e.part))
	b = binary.AppendUvarint(b, uint64(e.gen))
	if e.kind == entryDiscard {
		return b
	}
	b = binary.AppendUvarint(b, uint64(len(e.key)))
	b = append(b, e.key...)
	b = e.prior.ballot.Append(b)
	b = append(b, byte(e.prior.kind))
	b = binary.AppendUvarint(b, uint64(e.prior.length))
	b = e.rec.AppendFields(b)
	if e.kind == entryStaged {
		return e.rec.Value.Stage.Append(b)
	}
	return append(b, e.rec.Value.Inline...)
}

// entrySlack bounds what an entry's fields take in the journal beside its key and its value, in bytes; metadata excepted.
const entrySlack = 320

// size is about what the entry takes in the journal and in memory, in bytes.
func (e *entry) size() int64 {
	n := entrySlack + len(e.key) + len(e.rec.Value.Inline)
	for _, f := range e.rec.Metadata {
		n += len(f.Name) + len(f.Value)
	}
	return int64(n)
}

var errEntry = errors.New("a journal entry is malformed")

// decodeEntry reads one entry; its value shares b's memory.
func decodeEntry(b []byte) (e entry, rest []byte, err error) {
	if len(b) < 1 {
		return entry{}, nil, errEntry
	}
	e.kind, b = b[0], b[1:]
	switch e.kind {
	case entryCeiling:
		if len(b) < 8 {
			return entry{}, nil, errEntry
		}
		e.ceiling = register.Time(binary.LittleEndian.Uint64(b))
		return e, b[8:], nil
	case entryPut, entryStaged, entryDiscard:
	default:
		return entry{}, nil, fmt.Errorf("%w: kind %d", errEntry, e.kind)
	}
	var part, gen uint64
	if part, b, err = takeUvarint(b); err != nil {
		return entry{}, nil, err
	}
	if gen, b, err = takeUvarint(b); err != nil {
		return entry{}, nil, err
	}
	e.part, e.gen = int(part), uint32(gen)
	if e.kind == entryDiscard {
		return e, b, nil
	}
	return e.decodeRecord(b)
}

func (e entry) decodeRecord(b []byte) (entry, []byte, error) {
	n, b, err := takeUvarint(b)
	if err != nil || n < 1 || n > key.Max || uint64(len(b)) < n+register.StampSize+1 {
		return entry{}, nil, errEntry
	}
	e.key, b = key.Key(b[:n]), b[n:]
	e.prior.ballot, b = register.DecodeStamp(b), b[register.StampSize:]
	e.prior.kind, b = register.Kind(b[0]), b[1:]
	length, b, err := takeUvarint(b)
	if err != nil {
		return entry{}, nil, err
	}
	e.prior.length = int64(length)
	if e.rec, b, err = register.DecodeFields(b); err != nil {
		return entry{}, nil, err
	}
	if e.kind == entryStaged {
		if len(b) < register.StampSize {
			return entry{}, nil, errEntry
		}
		e.rec.Value.Stage = register.DecodeStamp(b)
		return e, b[register.StampSize:], nil
	}
	if e.rec.Value.Length > register.InlineMax || int64(len(b)) < e.rec.Value.Length {
		return entry{}, nil, errEntry
	}
	e.rec.Value.Inline = b[:e.rec.Value.Length:e.rec.Value.Length]
	return e, b[e.rec.Value.Length:], nil
}

func takeUvarint(b []byte) (uint64, []byte, error) {
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil, errEntry
	}
	return v, b[n:], nil
}

// The unit of the journal is the batch: a header, entries, zeros up to the next sector. It counts as a whole or not at all.
const (
	batchMagic  = 0x316a6265 // "ebj1"
	batchHeader = 72
	sectorSize  = 512 // batches begin on such a boundary, so that none shares a sector with an earlier, durable one
)

// A place is a position in the journal.
type place struct {
	segment uint64
	offset  int64
}

func (p place) before(q place) bool {
	return p.segment < q.segment || p.segment == q.segment && p.offset < q.offset
}

// A header tells where a batch stands and what was known when it was written.
type header struct {
	at      place
	entries int
	length  int    // bytes of entries
	durable place  // all before it had been synced
	before  place  // the segment before this one, and where what counts of it ends
	number  uint64 // of the batch, counted in one run of the process
}

// encodeBatch writes a batch of entries into buf[:0]. Its checksum starts from the store's salt and covers its place, so that no
// value, which is the work of clients, can pass for a batch.
func encodeBatch(buf []byte, salt uint32, h header, items []*item) []byte {
	var zero [sectorSize]byte
	b := append(buf[:0], zero[:batchHeader]...)
	for _, it := range items {
		b = it.append(b)
	}
	le := binary.LittleEndian
	le.PutUint32(b[0:], batchMagic)
	le.PutUint64(b[8:], h.at.segment)
	le.PutUint64(b[64:], uint64(h.at.offset))
	le.PutUint32(b[16:], uint32(len(b)-batchHeader))
	le.PutUint32(b[20:], uint32(len(items)))
	le.PutUint64(b[24:], h.durable.segment)
	le.PutUint64(b[32:], uint64(h.durable.offset))
	le.PutUint64(b[40:], h.before.segment)
	le.PutUint64(b[48:], uint64(h.before.offset))
	le.PutUint64(b[56:], h.number)
	le.PutUint32(b[4:], crc32.Update(salt, castagnoli, b[8:]))
	if over := len(b) % sectorSize; over > 0 {
		b = append(b, zero[:sectorSize-over]...)
	}
	return b
}

// batchLength tells how long the batch is whose header b begins with, if it looks like one of that place.
func batchLength(b []byte, at place) (int64, bool) {
	le := binary.LittleEndian
	if len(b) < batchHeader || le.Uint32(b) != batchMagic || le.Uint64(b[8:]) != at.segment || le.Uint64(b[64:]) != uint64(at.offset) {
		return 0, false
	}
	return batchHeader + int64(le.Uint32(b[16:])), true
}

// decodeBatch reads the batch at the start of b and returns its entries' bytes and the length that it takes.
// ok is false if there is no whole batch of that place.
func decodeBatch(b []byte, at place, salt uint32) (h header, entries []byte, size int64, ok bool) {
	le := binary.LittleEndian
	whole, ok := batchLength(b, at)
	if !ok || whole > int64(len(b)) || le.Uint32(b[4:]) != crc32.Update(salt, castagnoli, b[8:whole]) {
		return header{}, nil, 0, false
	}
	length := int(whole - batchHeader)
	h = header{
		at:      at,
		entries: int(le.Uint32(b[20:])),
		length:  length,
		durable: place{le.Uint64(b[24:]), int64(le.Uint64(b[32:]))},
		before:  place{le.Uint64(b[40:]), int64(le.Uint64(b[48:]))},
		number:  le.Uint64(b[56:]),
	}
	size = int64(batchHeader+length+sectorSize-1) / sectorSize * sectorSize
	return h, b[batchHeader : batchHeader+length], size, true
}
