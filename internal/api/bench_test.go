package api

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
)

// instant is Keys that cost nothing, so that what is measured is this room.
type instant struct {
	record register.Record
	value  value
	buffer [2048]byte
}

type value struct{ *strings.Reader }

func (value) Close() error { return nil }

func newInstant(length int) *instant {
	return &instant{
		record: register.Record{
			Kind: register.Data, Version: register.Stamp{Time: 1 << 56, Node: 1}, Value: register.Value{Length: int64(length)},
		},
		value: value{strings.NewReader(strings.Repeat("x", length))},
	}
}

func (i *instant) Write(_ context.Context, _ key.Key, _ register.Change, body io.Reader, _ int64) (register.Outcome, error) {
	for {
		if _, err := body.Read(i.buffer[:]); err == io.EOF {
			return register.Outcome{Version: i.record.Version, Replaced: true}, nil
		}
	}
}

func (i *instant) Read(context.Context, key.Key, bool) (register.Record, io.ReadSeekCloser, error) {
	_, err := i.value.Seek(0, io.SeekStart)
	return i.record, i.value, err
}

// discard is a ResponseWriter that keeps nothing but its header map, as net/http's does from request to request.
type discard struct{ header http.Header }

func (d discard) Header() http.Header             { return d.header }
func (d discard) Write(p []byte) (int, error)     { return len(p), nil }
func (d discard) WriteHeader(int)                 {}
func (d discard) SetReadDeadline(time.Time) error { return nil }

func BenchmarkHandler(b *testing.B) {
	for _, method := range []string{"GET", "POST"} {
		b.Run(method+" 1 KiB", func(b *testing.B) {
			s := handler(b, testConfig(newInstant(1024), nil))
			body := strings.NewReader(strings.Repeat("x", 1024))
			r := httptest.NewRequest(method, "/some/key", body)
			if method == "GET" {
				r.Body = http.NoBody
			}
			w := discard{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				_, _ = body.Seek(0, io.SeekStart)
				clear(w.header)
				s.ServeHTTP(w, r)
			}
		})
	}
}
