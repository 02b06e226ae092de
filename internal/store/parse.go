package store

import (
	"bytes"
	"fmt"
	"io"
	"slices"
)

// A JournalError says that the journal lost what it had made durable: acknowledged writes may be gone, and nobody can tell which.
type JournalError struct {
	File   string // the segment, below the data directory
	Offset int64  // of the first byte that cannot be trusted
	What   string
}

func (e *JournalError) Error() string {
	return fmt.Sprintf("%s is damaged at byte %d (%s): acknowledged writes may be lost, so this node does not start; "+
		"restore the data directory from a backup, or start with an empty one", e.File, e.Offset, e.What)
}

// A parsedBatch is a batch as read back.
type parsedBatch struct {
	header
	place   place
	entries []byte
}

// A parsedSegment is what a segment's bytes say: a chain of batches from its start, and where the chain ends.
type parsedSegment struct {
	id      uint64
	salt    uint32
	chain   []parsedBatch
	end     int64 // of the chain
	size    int64 // of the file
	claimed place // the furthest place that any whole batch, in the chain or not, knew to be durable
	stray   int64 // bytes of a batch that begins behind the chain but is not whole; 0 if there are only zeros
}

// parseSegmentFile follows the chain of batches from the start of a segment, then looks through the rest for what may once have
// been written there. It keeps no more of the file in memory than the chain's entries.
func parseSegmentFile(id uint64, salt uint32, r io.ReaderAt, size int64) (parsedSegment, error) {
	s := parsedSegment{id: id, salt: salt, size: size}
	for {
		b, h, entries, err := s.readBatch(r, s.end)
		if err != nil {
			return s, err
		}
		if b == 0 {
			break
		}
		s.chain = append(s.chain, parsedBatch{h, place{id, s.end}, entries})
		s.claim(h)
		s.end = min(s.end+b, size)
	}
	return s, s.searchRest(r)
}

// readBatch reads the batch at an offset; size 0 says that there is no whole one.
func (s *parsedSegment) readBatch(r io.ReaderAt, at int64) (size int64, h header, entries []byte, err error) {
	var head [batchHeader]byte
	if s.size-at < batchHeader {
		return 0, h, nil, nil
	}
	if _, err := r.ReadAt(head[:], at); err != nil {
		return 0, h, nil, err
	}
	length, ok := batchLength(head[:], place{s.id, at})
	if !ok || length > s.size-at {
		return 0, h, nil, nil
	}
	b := make([]byte, length)
	if _, err := r.ReadAt(b, at); err != nil {
		return 0, h, nil, err
	}
	h, entries, size, _ = decodeBatch(b, place{s.id, at}, s.salt)
	return size, h, entries, nil
}

func (s *parsedSegment) searchRest(r io.ReaderAt) error {
	const chunk = 128 * sectorSize
	var buf [chunk]byte
	var zero [sectorSize]byte
	for at := s.end; at < s.size; at += chunk {
		part := buf[:min(chunk, s.size-at)]
		if _, err := r.ReadAt(part, at); err != nil {
			return err
		}
		for o := 0; o < len(part); o += sectorSize {
			sector := part[o:min(o+sectorSize, len(part))]
			if bytes.Equal(sector, zero[:len(sector)]) {
				continue
			}
			s.stray = at + int64(o+len(sector)) - s.end
			if _, ok := batchLength(sector, place{s.id, at + int64(o)}); !ok {
				continue
			}
			size, h, _, err := s.readBatch(r, at+int64(o))
			if err != nil {
				return err
			}
			if size > 0 {
				s.claim(h)
			}
		}
	}
	return nil
}

func (s *parsedSegment) claim(h header) {
	if s.claimed.before(h.durable) {
		s.claimed = h.durable
	}
}

// cut decides where each segment ends. A batch that is not whole is the torn end of the journal, to be cut off, unless something
// written later knew it to be durable: then it is damage. What an earlier recovery cut off stays cut off.
func cut(segments []parsedSegment) error {
	for i := range segments {
		s := &segments[i]
		for _, later := range segments[i:] {
			if later.claimed.segment == s.id && later.claimed.offset > s.end {
				return &JournalError{segmentName(s.id), s.end, "a later batch knew what stood there to be durable"}
			}
		}
		if i == 0 || len(s.chain) == 0 {
			continue
		}
		if err := cutBefore(segments[:i], s.chain[0].before); err != nil {
			return err
		}
	}
	return nil
}

// cutBefore ends the segments before a later one where that one says.
func cutBefore(earlier []parsedSegment, end place) error {
	for i := range earlier {
		s := &earlier[i]
		switch {
		case s.id == end.segment && s.end < end.offset:
			return &JournalError{segmentName(s.id), s.end, "the next segment knew more of it to be durable"}
		case s.id == end.segment && s.end > end.offset:
			s.chain = slices.DeleteFunc(s.chain, func(b parsedBatch) bool { return b.place.offset >= end.offset })
			s.end = end.offset
		case s.id > end.segment && s.end > 0:
			s.chain, s.end = nil, 0
		}
	}
	return nil
}
