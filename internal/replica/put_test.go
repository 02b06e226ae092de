package replica_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/replica"
	"github.com/estorajed/estorajed/internal/replica/replicatest"
	"github.com/estorajed/estorajed/internal/ring"
)

func TestBytesThatAreNotHereAreFetched(t *testing.T) {
	version := register.Stamp{Time: 7, Node: 2}
	gone := errors.New("the connection was lost")
	type source struct {
		value   string
		version register.Stamp
		err     error
	}
	for _, tc := range []struct {
		name    string
		sources map[ring.NodeID]source // besides this node, 1
		asked   []ring.NodeID
		fails   bool
	}{
		{"from the first", map[ring.NodeID]source{2: {"right", version, nil}}, []ring.NodeID{2, 3}, false},
		{"from the second", map[ring.NodeID]source{2: {err: gone}, 3: {"right", version, nil}}, []ring.NodeID{2, 3}, false},
		{"not of another version", map[ring.NodeID]source{2: {"right", register.Stamp{Time: 8}, nil}, 3: {"right", version, nil}}, []ring.NodeID{2, 3}, false},
		{"not other bytes", map[ring.NodeID]source{2: {"wrong", version, nil}, 3: {"right", version, nil}}, []ring.NodeID{2, 3}, false},
		{"not too few", map[ring.NodeID]source{2: {"r", version, nil}, 3: {"right", version, nil}}, []ring.NodeID{2, 3}, false},
		{"not too many", map[ring.NodeID]source{2: {"rightright", version, nil}, 3: {"right", version, nil}}, []ring.NodeID{2, 3}, false},
		{"but nobody has them", map[ring.NodeID]source{2: {"wrong", version, nil}, 3: {err: gone}}, []ring.NodeID{2, 3}, true},
		{"but nobody is named", nil, []ring.NodeID{1}, true},
	} {
		for _, times := range []int{1, register.InlineMax} {
			t.Run(tc.name, func(t *testing.T) {
				store := &replicatest.Store{}
				fetched := 0
				d := driver{t, replica.New(replica.Config{
					Node: 1, Store: store, Epoch: func(key.Key) uint64 { return 1 },
					Fetch: func(_ context.Context, from ring.NodeID, _ key.Key, wanted register.Stamp) (register.Record, io.ReadCloser, error) {
						s, ok := tc.sources[from]
						if !ok || wanted != version {
							t.Errorf("version %v is fetched from %v", wanted, from)
						}
						if s.err != nil {
							return register.Record{}, nil, s.err
						}
						return register.Record{Version: s.version, Kind: register.Data}, io.NopCloser(strings.NewReader(strings.Repeat(s.value, times))), nil
					},
					Events: replica.Events{Fetched: func(_ context.Context, _ ring.NodeID, _ int64, _ time.Duration, err error) {
						if err == nil {
							fetched++
						}
					}},
				})}
				want := bytes.Repeat([]byte("right"), times)
				b := d.stamp()
				rec := register.Record{
					Ballot: b, Version: version, Operation: version, Kind: register.Data,
					Value: register.Value{Length: int64(len(want)), Sum: xxhash.Sum64(want)},
				}
				m := register.Message{Phase: register.Accept, Epoch: 1, Record: &rec, Sources: tc.asked}
				a, err := d.Ask(t.Context(), "k", m)
				if n := store.Staged(); n > 0 {
					t.Errorf("%d values are still staged", n)
				}
				if tc.fails {
					var nothing *register.NothingError
					if !errors.Is(err, register.ErrNoBytes) || !errors.As(err, &nothing) {
						t.Errorf("%+v, %v", a, err)
					}
					if a := d.look("k"); !a.Record.Ballot.IsZero() {
						t.Errorf("record %+v", a.Record)
					}
					return
				}
				if err != nil || a.Reply != register.Accepted || fetched != 1 {
					t.Fatalf("%+v, %v; %d were fetched", a, err, fetched)
				}
				got, body, err := d.Read(t.Context(), "k")
				if err != nil || got.Ballot != b || got.Version != version {
					t.Fatalf("%+v, %v", got, err)
				}
				if value, err := io.ReadAll(body); err != nil || !bytes.Equal(value, want) {
					t.Errorf("%d bytes, %v", len(value), err)
				}
			})
		}
	}
}

func TestALookMayOpenWhatItShows(t *testing.T) {
	store := &replicatest.Store{}
	var behind uint64
	d := driver{t, replica.New(replica.Config{
		Node: 1, Store: store, Epoch: func(key.Key) uint64 { return 2 }, Behind: func(epoch uint64) { behind = epoch },
	})}
	look := register.Message{Phase: register.Look, Epoch: 2}
	if a, body, err := d.Open(t.Context(), "k", look); err != nil || body != nil || a.Reply != register.Shown || !a.Record.Ballot.IsZero() {
		t.Errorf("of nothing: %+v, %v", a, err)
	}
	b := d.stamp()
	if _, err := d.Ask(t.Context(), "k", register.Message{Phase: register.Accept, Epoch: 2, Record: value(b)}); err != nil {
		t.Fatal(err)
	}
	a, body, err := d.Open(t.Context(), "k", look)
	if err != nil || a.Reply != register.Shown || a.Record.Ballot != b {
		t.Fatalf("%+v, %v", a, err)
	}
	if got, _ := io.ReadAll(body); string(got) != "v" {
		t.Errorf("bytes %q", got)
	}
	for epoch, told := range map[uint64]uint64{1: 0, 3: 3} {
		behind, look.Epoch = 0, epoch
		if a, body, err := d.Open(t.Context(), "k", look); err != nil || body != nil || a.Reply != register.Stale || behind != told {
			t.Errorf("of epoch %d: %+v, %v; told %d", epoch, a, err, behind)
		}
	}
	store.Damage("k")
	look.Epoch = 2
	var damage *register.DamageError
	if _, body, err := d.Open(t.Context(), "k", look); !errors.As(err, &damage) || body != nil {
		t.Errorf("of a damaged copy: %v", err)
	}
}
