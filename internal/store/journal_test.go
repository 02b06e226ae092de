package store

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
)

func stampOf(n uint64) register.Stamp { return register.Stamp{Time: register.Time(n), Node: 3} }

func sampleEntries() []entry {
	past := []register.Past{{Version: stampOf(1), Operation: stampOf(2)}}
	meta := []register.Field{{Name: register.ContentType, Value: "text/plain"}}
	return []entry{
		{kind: entryPut, part: 3, gen: 2, key: "a/b", prior: prior{stampOf(4), register.Tombstone, 0}, rec: register.Record{
			Ballot: stampOf(9), Version: stampOf(8), Operation: stampOf(7), History: past, Kind: register.Data, Metadata: meta,
			Value: register.Value{Length: 5, Sum: 77, Inline: []byte("hello")},
		}},
		{kind: entryPut, part: 1023, gen: 1, key: "\x00\xff", rec: register.Record{Ballot: stampOf(9), Kind: register.Tombstone, Value: register.Value{Inline: []byte{}}}},
		{kind: entryStaged, part: 0, gen: 1, key: key.Key(bytes.Repeat([]byte("k"), key.Max)), rec: register.Record{
			Ballot: stampOf(9), Kind: register.Data, Value: register.Value{Length: 1 << 20, Sum: 1, Stage: stampOf(5)},
		}},
		{kind: entryDiscard, part: 7, gen: 12},
		{kind: entryCeiling, ceiling: 1 << 60},
	}
}

func TestABatchReadsBackAsWritten(t *testing.T) {
	want := sampleEntries()
	var items []*item
	for i := range want {
		items = append(items, &item{entry: want[i]})
	}
	h := header{at: place{4, 512}, durable: place{4, 512}, before: place{3, 1024}, number: 6}
	b := encodeBatch(nil, 5, h, items)
	if len(b)%sectorSize != 0 {
		t.Errorf("a batch of %d bytes does not end on a sector", len(b))
	}
	got, entries, size, ok := decodeBatch(b, place{4, 512}, 5)
	if !ok || size != int64(len(b)) || got.entries != len(want) || got.durable != h.durable || got.before != h.before || got.number != 6 {
		t.Fatalf("read back %+v, size %d, %v", got, size, ok)
	}
	for _, w := range want {
		var e entry
		var err error
		if e, entries, err = decodeEntry(entries); err != nil || !reflect.DeepEqual(e, w) {
			t.Errorf("entry of kind %d: %v\n got %+v\nwant %+v", w.kind, err, e, w)
		}
	}
	if len(entries) != 0 {
		t.Errorf("%d bytes are left", len(entries))
	}
	for _, tc := range []struct {
		at   place
		salt uint32
	}{{place{5, 512}, 5}, {place{4, 1024}, 5}, {place{4, 512}, 6}} {
		if _, _, _, ok := decodeBatch(b, tc.at, tc.salt); ok {
			t.Errorf("a batch counts at %v under salt %d, where it was not written", tc.at, tc.salt)
		}
	}
}

func TestEveryChangedBitOfABatchIsNoticed(t *testing.T) {
	all := sampleEntries()
	b := encodeBatch(nil, 5, header{at: place{4, 0}}, []*item{{entry: all[0]}, {entry: all[3]}})
	_, entries, _, _ := decodeBatch(b, place{4, 0}, 5)
	for i := range (batchHeader + len(entries)) * 8 {
		c := bytes.Clone(b)
		c[i/8] ^= 1 << (i % 8)
		if _, _, _, ok := decodeBatch(c, place{4, 0}, 5); ok {
			t.Fatalf("bit %d of byte %d changed unnoticed", i%8, i/8)
		}
	}
}

// segmentOfBatches writes batches one behind the other and damages some.
func segmentOfBatches(t *testing.T, id uint64, before place, broken map[int]bool, durable ...place) parsedSegment {
	t.Helper()
	var b []byte
	for i, d := range durable {
		one := encodeBatch(nil, 5, header{at: place{id, int64(len(b))}, durable: d, before: before}, []*item{{entry: entry{kind: entryCeiling, ceiling: 1}}})
		if broken[i] {
			one[80] ^= 1
		}
		b = append(b, one...)
	}
	b = append(b, make([]byte, 3*sectorSize)...)
	s, err := parseSegmentFile(id, 5, bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestABadBatchIsTheTornEndUnlessSomethingLaterKnewItDurable(t *testing.T) {
	type segs = []parsedSegment
	first := func(broken map[int]bool) parsedSegment {
		return segmentOfBatches(t, 1, place{}, broken, place{1, 0}, place{1, 512}, place{1, 1024})
	}
	for _, tc := range []struct {
		name string
		segs segs
		ends []int64 // nil: damage
	}{
		{"all is whole", segs{first(nil)}, []int64{1536}},
		{"the last batch is torn", segs{first(map[int]bool{2: true})}, []int64{1024}},
		{"the first of two unsynced ones is torn", segs{segmentOfBatches(t, 1, place{}, map[int]bool{1: true}, place{1, 0}, place{1, 0}, place{1, 512})}, []int64{512}},
		{"one in the middle was durable", segs{first(map[int]bool{1: true})}, nil},
		{"the first was durable", segs{first(map[int]bool{0: true})}, nil},
		{"the next segment goes on where this one ends", segs{first(nil), segmentOfBatches(t, 2, place{1, 1536}, nil, place{1, 1536})}, []int64{1536, 512}},
		{"the next segment knew more of this one", segs{first(map[int]bool{2: true}), segmentOfBatches(t, 2, place{1, 1536}, nil, place{1, 1024})}, nil},
		{"the next segment claims more of this one", segs{first(map[int]bool{2: true}), segmentOfBatches(t, 2, place{1, 1024}, nil, place{1, 1536})}, nil},
		{"what an earlier recovery cut off stays cut off", segs{first(nil), segmentOfBatches(t, 2, place{1, 1024}, nil, place{1, 1024})}, []int64{1024, 512}},
		{"a segment between that an earlier recovery did not count", segs{first(nil), segmentOfBatches(t, 2, place{1, 1536}, nil, place{1, 1536}), segmentOfBatches(t, 3, place{1, 1536}, nil, place{1, 1536})}, []int64{1536, 0, 512}},
		{"an empty segment in between", segs{first(nil), segmentOfBatches(t, 2, place{}, nil), segmentOfBatches(t, 3, place{2, 0}, nil, place{2, 0})}, []int64{1536, 0, 512}},
	} {
		err := cut(tc.segs)
		if tc.ends == nil {
			var damage *JournalError
			if !errors.As(err, &damage) {
				t.Errorf("%s: %v, want a JournalError", tc.name, err)
			}
			continue
		}
		var ends []int64
		for _, s := range tc.segs {
			ends = append(ends, s.end)
			if n := len(s.chain); n > 0 && s.chain[n-1].place.offset >= s.end {
				t.Errorf("%s: segment %d ends at %d with a batch at %d", tc.name, s.id, s.end, s.chain[n-1].place.offset)
			}
		}
		if err != nil || !reflect.DeepEqual(ends, tc.ends) {
			t.Errorf("%s: ends at %v, %v; want %v", tc.name, ends, err, tc.ends)
		}
	}
}

func TestACheckpointReadsBackAndNoticesDamage(t *testing.T) {
	s := snapshot{first: 9, salt: 3, ceiling: 12, parts: make([]partition, 4)}
	for i := range s.parts {
		s.parts[i] = partition{gen: uint32(i + 1), keys: 5, tombstones: 6, bytes: 1 << 40}
		s.parts[i].leaves[31] = 1 << 63
	}
	b := s.encode()
	got, err := decodeSnapshot(b)
	if err != nil || !reflect.DeepEqual(got, s) {
		t.Errorf("read back %+v, %v", got, err)
	}
	for i := range b {
		c := bytes.Clone(b)
		c[i] ^= 4
		if _, err := decodeSnapshot(c); err == nil {
			t.Fatalf("byte %d changed unnoticed", i)
		}
	}
}

func TestTheFooterIsALineForPeople(t *testing.T) {
	rec := register.Record{Ballot: stampOf(0x1a2090f76c80001), Version: stampOf(0x1a2090f76c80001), Kind: register.Data, Value: register.Value{Length: 1024}}
	b := appendTrailer(nil, "greeting", &rec, []uint32{7})
	line := string(b[len(b)-footerSize:])
	want := "\nestoraje1 value     length 00000000000000001024 trailer 00000062 ballot 01a2090f76c80001-00000003 version 01a2090f76c80001-00000003 crc "
	if len(line) != footerSize || line[:len(want)] != want || line[footerSize-1] != '\n' {
		t.Errorf("the footer is %q, want %q and a checksum", line, want)
	}
}

func FuzzDecodeEntry(f *testing.F) {
	for _, e := range sampleEntries() {
		f.Add(e.append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, rest, err := decodeEntry(b)
		if err != nil {
			return
		}
		again, rest2, err := decodeEntry(append(e.append(nil), rest...))
		if err != nil || !bytes.Equal(rest, rest2) || !reflect.DeepEqual(e, again) {
			t.Errorf("written and read again it is %+v, was %+v: %v", again, e, err)
		}
	})
}

func FuzzKeyFile(f *testing.F) {
	for _, e := range sampleEntries()[:3] {
		value := e.rec.Value.Inline
		f.Add(appendTrailer(bytes.Clone(value), e.key, &e.rec, blockSums(value)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		size := int64(len(b))
		if size < int64(footerSize) {
			return
		}
		n, err := trailerLength(b[len(b)-footerSize:], size)
		if err != nil {
			return
		}
		kf, err := parseTrailer(b[len(b)-footerSize-n:], size)
		if err != nil {
			return
		}
		if again := appendTrailer(nil, kf.key, &kf.rec, kf.blocks); !bytes.HasSuffix(b, again) {
			t.Errorf("a file that reads as %+v would not be written so", kf)
		}
	})
}

func FuzzSegment(f *testing.F) {
	f.Add(encodeBatch(nil, 5, header{at: place{1, 0}}, []*item{{entry: sampleEntries()[0]}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseSegmentFile(1, 5, bytes.NewReader(b), int64(len(b)))
		if err != nil || s.end > s.size {
			t.Errorf("a segment of %d bytes ends at %d: %v", s.size, s.end, err)
		}
	})
}
