package peer

import (
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// benchmark has so many callers do it over and over, and reports the time of the processor that one took, at both ends together.
func benchmark(b *testing.B, callers int, do func() error) {
	b.ReportAllocs()
	b.ResetTimer()
	before := processor(b)
	var left atomic.Int64
	left.Store(int64(b.N))
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				if err := do(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.StopTimer()
	b.ReportMetric(float64((processor(b)-before).Nanoseconds())/float64(b.N)/1000, "cpu-µs/op")
}

// processor is the processor's time that this process took so far.
func processor(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
