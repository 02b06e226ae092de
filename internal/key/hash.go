package key

import "github.com/cespare/xxhash/v2"

// Hash is the 64-bit xxhash of k's bytes under seed. The seed is drawn once for each cluster and kept there, so that nobody outside
// can make keys that fall into one partition.
func Hash(k Key, seed uint64) uint64 {
	var d xxhash.Digest // on the stack: nothing is allocated
	d.ResetWithSeed(seed)
	d.WriteString(string(k))
	return d.Sum64()
}
