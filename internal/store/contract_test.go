package store_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/replica"
	"github.com/estorajed/estorajed/internal/replica/replicatest"
	"github.com/estorajed/estorajed/internal/store"
	"github.com/estorajed/estorajed/internal/store/disk"
	"github.com/estorajed/estorajed/internal/store/disktest"
	"github.com/estorajed/estorajed/internal/store/vfs"
)

// What a replica asks of any store, asked of this one over both file systems.
func TestTheStoreKeepsTheReplicasContract(t *testing.T) {
	for name, fs := range map[string]func(t *testing.T) (vfs.FS, bool){
		"simulated disk": func(*testing.T) (vfs.FS, bool) { return disktest.New(rand.New(rand.NewPCG(1, 2))), false },
		"disk": func(t *testing.T) (vfs.FS, bool) {
			d, err := disk.Open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { d.Close() })
			return d, d.SyncEach()
		},
		"disk whose syncfs is not trusted": func(t *testing.T) (vfs.FS, bool) {
			d, err := disk.Open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { d.Close() })
			return d, true
		},
	} {
		t.Run(name, func(t *testing.T) {
			replicatest.Run(t, func(t *testing.T) replica.Store {
				d, each := fs(t)
				return serve(t, store.Config{FS: d, SyncEach: each, Partitions: 8, Locate: func(k key.Key) (uint64, int) {
					h := xxhash.Sum64String(string(k))
					return h, int(h >> 61)
				}})
			})
		})
	}
}

func serve(t *testing.T, c store.Config) *store.Store {
	s, err := store.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}
