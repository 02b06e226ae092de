package store

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/estorajed/estorajed/internal/register"
)

// A snapshot is what a checkpoint saves: all that the dropped part of the journal said and that the key files do not.
type snapshot struct {
	first   uint64 // the segment at which replay begins; older ones are only still to be removed
	salt    uint32 // of the journal's checksums: drawn once, the same for all time
	ceiling register.Time
	parts   []partition
}

const checkpointMagic = "estorajed checkpoint 1\n"

// Fixed sizes of the checkpoint's binary form, in bytes.
const (
	snapshotHead  = 8 + 4 + 8 + 4
	partitionSize = 4 + 3*8 + leafCount*8
)

func (s *snapshot) encode() []byte {
	b := make([]byte, 0, len(checkpointMagic)+snapshotHead+len(s.parts)*partitionSize+4)
	b = append(b, checkpointMagic...)
	le := binary.LittleEndian
	b = le.AppendUint64(b, s.first)
	b = le.AppendUint32(b, s.salt)
	b = le.AppendUint64(b, uint64(s.ceiling))
	b = le.AppendUint32(b, uint32(len(s.parts)))
	for i := range s.parts {
		p := &s.parts[i]
		b = le.AppendUint32(b, p.gen)
		b = le.AppendUint64(b, uint64(p.keys))
		b = le.AppendUint64(b, uint64(p.tombstones))
		b = le.AppendUint64(b, uint64(p.bytes))
		for _, leaf := range p.leaves {
			b = le.AppendUint64(b, leaf)
		}
	}
	return le.AppendUint32(b, checksum(b))
}

var errCheckpoint = errors.New("the checkpoint file is damaged")

func decodeSnapshot(b []byte) (snapshot, error) {
	le := binary.LittleEndian
	head := len(checkpointMagic) + snapshotHead
	if len(b) < head+4 || string(b[:len(checkpointMagic)]) != checkpointMagic {
		return snapshot{}, errCheckpoint
	}
	if le.Uint32(b[len(b)-4:]) != checksum(b[:len(b)-4]) {
		return snapshot{}, errCheckpoint
	}
	f := b[len(checkpointMagic):]
	s := snapshot{first: le.Uint64(f), salt: le.Uint32(f[8:]), ceiling: register.Time(le.Uint64(f[12:]))}
	count := int(le.Uint32(f[20:]))
	f = f[snapshotHead:]
	if len(f) != count*partitionSize+4 {
		return snapshot{}, errCheckpoint
	}
	s.parts = make([]partition, count)
	for i := range s.parts {
		p := &s.parts[i]
		p.gen = le.Uint32(f)
		p.keys = int64(le.Uint64(f[4:]))
		p.tombstones = int64(le.Uint64(f[12:]))
		p.bytes = int64(le.Uint64(f[20:]))
		for j := range p.leaves {
			p.leaves[j] = le.Uint64(f[28+8*j:])
		}
		f = f[partitionSize:]
	}
	return s, nil
}

func (s *snapshot) clone() snapshot {
	return snapshot{first: s.first, salt: s.salt, ceiling: s.ceiling, parts: slices.Clone(s.parts)}
}
