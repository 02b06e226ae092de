package coordinator_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/estorajed/estorajed/internal/coordinator"
	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/replica/replicatest"
	"github.com/estorajed/estorajed/internal/ring"
)

// breaking makes the bodies that node gives to others, or to itself, end after so many bytes.
type breaking struct {
	coordinator.Peer
	after int64
	err   error
}

func (b breaking) broken(rec register.Record, body io.ReadSeekCloser, err error) (register.Record, io.ReadSeekCloser, error) {
	if body == nil {
		return rec, body, err
	}
	return rec, &shortBody{body, io.MultiReader(io.LimitReader(body, b.after), iotest.ErrReader(b.err))}, err
}

func (b breaking) Read(ctx context.Context, k key.Key) (register.Record, io.ReadSeekCloser, error) {
	return b.broken(b.Peer.Read(ctx, k))
}

func (b breaking) Get(ctx context.Context, k key.Key) (register.Record, io.ReadSeekCloser, error) {
	return b.broken(b.Peer.Get(ctx, k))
}

type shortBody struct {
	io.ReadSeekCloser
	from io.Reader
}

func (s *shortBody) Read(p []byte) (int, error) { return s.from.Read(p) }

func TestABodyThatFailsInMidStreamGoesOnElsewhere(t *testing.T) {
	lost := errors.New("the connection was lost")
	value := make([]byte, 3*register.InlineMax+17)
	for i := range value {
		value[i] = byte(i * i >> 8)
	}
	for _, tc := range []struct {
		name   string
		after  [3]int64 // bytes that n1, n2, n3 give; -1: all
		err    error
		entry  int
		seek   int64
		broken bool
	}{
		{"none fails", [3]int64{-1, -1, -1}, lost, 3, 0, false},
		{"at the start", [3]int64{0, -1, -1}, lost, 3, 0, false},
		{"in the middle", [3]int64{100_000, -1, -1}, lost, 3, 0, false},
		{"twice", [3]int64{100_000, 50_000, -1}, lost, 3, 0, false},
		{"after a seek", [3]int64{1000, -1, -1}, lost, 3, 70_000, false},
		{"by an early end", [3]int64{100_000, -1, -1}, io.EOF, 3, 0, false},
		{"at all", [3]int64{100_000, 50_000, 20}, lost, 3, 0, true},
		{"read from another's copy at a replica", [3]int64{100_000, -1, -1}, lost, 1, 0, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newWideCluster(t, 4, 3, func(i int, config *coordinator.Config, _ *replicatest.Store) {
				to := config.Peer
				config.Peer = func(node ring.NodeID) coordinator.Peer {
					if int(node) > 3 || tc.after[node-1] < 0 {
						return to(node)
					}
					return breaking{to(node), tc.after[node-1], tc.err}
				}
			})
			if _, err := c.nodes[0].Write(t.Context(), "k", put, bytes.NewReader(value), int64(len(value))); err != nil {
				t.Fatal(err)
			}
			within(t, "three copies", func() bool { return c.nodes[1].store.Calls("Put")+c.nodes[2].store.Calls("Put") == 2 })
			if tc.entry < 3 {
				c.nodes[tc.entry].store.Damage("k")
			}
			_, body, err := c.nodes[tc.entry].Coordinator.Read(t.Context(), "k", false)
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()
			if at, err := body.Seek(tc.seek, io.SeekStart); err != nil || at != tc.seek {
				t.Fatalf("seek: %d, %v", at, err)
			}
			got, err := io.ReadAll(body)
			if tc.broken {
				if !errors.Is(err, tc.err) {
					t.Errorf("error %v", err)
				}
				return
			}
			if err != nil || !bytes.Equal(got, value[tc.seek:]) {
				t.Errorf("%d bytes of %d, %v", len(got), int64(len(value))-tc.seek, err)
			}
			if end, err := body.Seek(-10, io.SeekEnd); err != nil || end != int64(len(value))-10 {
				t.Errorf("seek from the end: %d, %v", end, err)
			}
			if _, err := body.Seek(-1, io.SeekStart); err == nil {
				t.Error("a seek before the start went well")
			}
			if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, value[len(value)-10:]) {
				t.Errorf("the last bytes: %d, %v", len(got), err)
			}
		})
	}
}
