package key_test

import (
	"strings"
	"testing"

	"github.com/estorajed/estorajed/internal/key"
)

// The hash says where a key lives, so it must never change. The values come from another implementation.
func TestHashIsXXH64(t *testing.T) {
	for _, tc := range []struct {
		key  string
		seed uint64
		want uint64
	}{
		{"a", 0, 0xd24ec4f1a98c6e5b},
		{"abc", 0, 0x44bc2cf5ad770999},
		{"abc", 42, 0x13c1d910702770e6},
		{strings.Repeat("/", 100), 42, 0x5f0f59f21d9c8c87},
	} {
		if got := key.Hash(key.Key(tc.key), tc.seed); got != tc.want {
			t.Errorf("Hash(%q, %d) = %#x, want %#x", tc.key, tc.seed, got, tc.want)
		}
	}
}

func TestSeedChangesEveryHash(t *testing.T) {
	for _, k := range []key.Key{"a", "abc", key.Key(strings.Repeat("long", 100))} {
		if key.Hash(k, 1) == key.Hash(k, 2) {
			t.Errorf("Hash(%q) is the same under two seeds", k)
		}
	}
}

func TestHashAllocatesNothing(t *testing.T) {
	k := key.Key(strings.Repeat("k", key.Max))
	var sum uint64
	if allocs := testing.AllocsPerRun(100, func() { sum += key.Hash(k, 42) }); allocs != 0 {
		t.Errorf("Hash allocates %v times, want 0", allocs)
	}
}
