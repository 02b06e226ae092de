package store

import (
	"math/bits"

	"github.com/estorajed/estorajed/internal/register"
)

// leafCount is the number of leaves of one partition's digest; a power of two.
const leafCount = 32

// A partition is what the store keeps in memory of one partition, exact for all durable entries.
type partition struct {
	gen        uint32 // of the folder that counts
	keys       int64  // that have a value
	tombstones int64
	bytes      int64 // of all values
	// leaves is the digest: each leaf is the exclusive or, over its keys, of a mix of the key's hash and the accepted ballot.
	// Equal leaves hold equal records, but for a chance of 2^-64.
	leaves [leafCount]uint64
}

// replace takes old out of the books and puts rec in.
func (p *partition) replace(hash uint64, old prior, rec *register.Record) {
	leaf := &p.leaves[leafOf(hash)]
	*leaf ^= mix(hash, old.ballot) ^ mix(hash, rec.Ballot)
	p.count(old.kind, old.length, -1)
	p.count(rec.Kind, rec.Value.Length, +1)
}

func (p *partition) count(kind register.Kind, length, sign int64) {
	switch kind {
	case register.Data:
		p.keys += sign
		p.bytes += sign * length
	case register.Tombstone:
		p.tombstones += sign
	}
}

// leafOf takes the low bits of the hash; the high ones chose the partition.
func leafOf(hash uint64) int { return int(hash % leafCount) }

// mix hashes a key's hash with a ballot; no record mixes to 0. The constants are those of splitmix64 (Steele and others, 2014).
func mix(hash uint64, ballot register.Stamp) uint64 {
	if ballot.IsZero() {
		return 0
	}
	x := hash ^ bits.RotateLeft64(uint64(ballot.Time)*0x9e3779b97f4a7c15, 31) ^ uint64(ballot.Node)*0xd6e8feb86659fd93
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
