package peer

import (
	"context"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
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

func BenchmarkAsk(b *testing.B) {
	for _, callers := range []int{1, 32, 128} {
		b.Run(strconv.Itoa(callers), func(b *testing.B) {
			server, to := pair(b, nil)
			rec := dataRecord(0)
			server.local.ask = func(context.Context, key.Key, register.Message) (register.Answer, error) {
				return register.Answer{Reply: register.Promised, Record: rec}, nil
			}
			benchmark(b, callers, func() error {
				_, err := to.Ask(b.Context(), "some/key/of/usual/length", register.Message{Phase: register.Prepare, Epoch: 1, Round: 1, Ballot: rec.Ballot})
				return err
			})
		})
	}
}

func BenchmarkRead(b *testing.B) {
	for _, size := range []int{1 << 10, register.InlineMax, 1 << 20} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			server, to := pair(b, nil)
			content := make([]byte, size)
			server.local.read = func(context.Context, key.Key) (register.Record, io.ReadSeekCloser, error) {
				return dataRecord(size), newValue(content), nil
			}
			b.SetBytes(int64(size))
			benchmark(b, 8, func() error {
				_, body, err := to.Read(b.Context(), "k")
				if err != nil {
					return err
				}
				defer body.Close()
				_, err = io.Copy(io.Discard, body)
				return err
			})
		})
	}
}
