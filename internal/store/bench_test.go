package store

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/store/disk"
)

func benchmarkStore(b *testing.B) *Store {
	fs, err := disk.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	s, err := Open(Config{FS: fs, Partitions: 1024, Locate: func(k key.Key) (uint64, int) {
		h := xxhash.Sum64String(string(k))
		return h, int(h >> 54)
	}})
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { done <- s.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
		fs.Close()
	})
	return s
}

// BenchmarkPut: 1 KiB values by 64 writers on the disk of the temporary folder.
func BenchmarkPut(b *testing.B) {
	s := benchmarkStore(b)
	value := pattern(1024)
	var n atomic.Uint64
	b.SetParallelism(32)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := n.Add(1)
			st := register.Stamp{Time: register.Time(i), Node: 1}
			rec := register.Record{Ballot: st, Version: st, Operation: st, Kind: register.Data, Value: register.Value{Length: 1024, Inline: value}}
			if err := s.Put(b.Context(), key.Key("key/"+strconv.FormatUint(i%100_000, 10)), rec); err != nil {
				b.Error(err)
			}
		}
	})
	s.mu.RLock()
	b.ReportMetric(float64(s.m.batches)/float64(b.N), "syncs/op")
	s.mu.RUnlock()
}

// BenchmarkRead: 1 KiB values, from memory and from files.
func BenchmarkRead(b *testing.B) {
	s := benchmarkStore(b)
	const keys = 1000
	for i := range keys {
		st := register.Stamp{Time: register.Time(i + 1), Node: 1}
		rec := register.Record{Ballot: st, Version: st, Operation: st, Kind: register.Data, Value: register.Value{Length: 1024, Inline: pattern(1024)}}
		if err := s.Put(b.Context(), key.Key(fmt.Sprint(i)), rec); err != nil {
			b.Fatal(err)
		}
	}
	for s.Status().Pending > 0 {
		s.remindAll()
		runtime.Gosched()
	}
	cache := s.cache
	for _, from := range []string{"memory", "file"} {
		b.Run(from, func(b *testing.B) {
			s.cache = cache
			if from == "file" {
				s.cache = nil
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				_, body, err := s.Read(b.Context(), key.Key(strconv.Itoa(i%keys)))
				if err != nil {
					b.Fatal(err)
				}
				body.Close()
			}
		})
	}
}
