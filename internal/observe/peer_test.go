package observe_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	otlp "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/estorajed/estorajed/internal/coordinator"
	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/observe"
	"github.com/estorajed/estorajed/internal/peer"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
	"github.com/estorajed/estorajed/internal/telemetry"
)

// A remote is a part as another node: as who is asked, and as who answers.
type remote struct {
	part
	answer register.Answer
	report register.Report
}

func (r *remote) Ask(_ context.Context, k key.Key, m register.Message) (register.Answer, error) {
	r.asked = append(r.asked, k, m)
	return r.answer, r.err
}

func (r *remote) Read(_ context.Context, k key.Key) (register.Record, io.ReadSeekCloser, error) {
	r.asked = append(r.asked, "read", k)
	return r.record, r.body, r.err
}

func (r *remote) Get(_ context.Context, k key.Key) (register.Record, io.ReadSeekCloser, error) {
	r.asked = append(r.asked, "get", k)
	return r.record, r.body, r.err
}

func (r *remote) Stage(_ context.Context, id register.Stamp, body io.Reader, size int64) (register.Value, error) {
	r.asked = append(r.asked, id, text(body), size)
	return r.value, r.err
}

func (r *remote) Unstage(v register.Value) { r.asked = append(r.asked, v) }
func (r *remote) State() peer.State        { return peer.State{Ready: true, Epoch: 3} }
func (r *remote) Table() []byte            { return []byte("table") }

// A there is a remote as who is asked.
type there struct{ remote }

func (r *there) Node() ring.NodeID { return 2 }
func (r *there) Up() bool          { return true }
func (r *there) Ready() bool       { return true }
func (r *there) Carry(_ context.Context, k key.Key, o register.Order) (register.Report, error) {
	r.asked = append(r.asked, k, o)
	return r.report, r.err
}

// A here is a remote as who answers.
type here struct{ remote }

func (r *here) Carry(_ context.Context, k key.Key, o register.Order) register.Report {
	r.asked = append(r.asked, k, o)
	return r.report
}

func TestDressChangesNothingBetweenNodes(t *testing.T) {
	rec := register.Record{Kind: register.Data, Version: register.Stamp{Time: 7, Node: 1}, Value: register.Value{Length: 5}}
	order := register.Order{Entry: register.Entry{Operation: register.Stamp{Time: 9, Node: 2}}, Value: rec.Value}
	for _, endpoint := range []string{"", newSink(t).url} {
		for _, err := range []error{nil, register.ErrFull, &peer.DownError{Node: 2, Cause: errors.New("gone"), Unsent: true}} {
			t.Run(fmt.Sprintf("%v kept %v", err, endpoint != ""), func(t *testing.T) {
				s := &stack{log: &lines{}, metrics: telemetry.NewMetrics(telemetry.Build{})}
				o := s.observer(t, endpoint, 1)
				given := remote{
					part: part{record: rec, value: rec.Value, err: err}, answer: register.Answer{Reply: register.Promised},
					report: register.Report{Changed: true, Err: err},
				}
				for name, call := range map[string]func(p coordinator.Peer, l peer.Local) []any{
					"ask": func(p coordinator.Peer, l peer.Local) []any {
						m := register.Message{Phase: register.Prepare, Round: 3}
						a, err := p.Ask(o.Extract(t.Context(), kept), "k", m)
						b, failed := l.Ask(o.Extract(t.Context(), kept), "k", m)
						return []any{a, err, b, failed}
					},
					"read": func(p coordinator.Peer, l peer.Local) []any {
						a, body, err := p.Read(o.Extract(t.Context(), kept), "k")
						b, other, failed := l.Read(o.Extract(t.Context(), kept), "k")
						return []any{a, body, err, b, other, failed}
					},
					"get": func(p coordinator.Peer, l peer.Local) []any {
						a, body, err := p.Get(o.Extract(t.Context(), kept), "k")
						b, other, failed := l.Get(o.Extract(t.Context(), kept), "k")
						return []any{a, body, err, b, other, failed}
					},
					"stage": func(p coordinator.Peer, l peer.Local) []any {
						a, err := p.Stage(o.Extract(t.Context(), kept), order.Entry.Operation, strings.NewReader("value"), 5)
						b, failed := l.Stage(o.Extract(t.Context(), kept), order.Entry.Operation, strings.NewReader("value"), 5)
						return []any{a, err, b, failed}
					},
					"carry": func(p coordinator.Peer, l peer.Local) []any {
						a, err := p.Carry(o.Extract(t.Context(), kept), "k", order)
						return []any{a, err, l.Carry(o.Extract(t.Context(), kept), "k", order)}
					},
					"rest": func(p coordinator.Peer, l peer.Local) []any {
						p.Unstage(rec.Value)
						l.Unstage(rec.Value)
						return []any{p.Up(), p.Ready(), l.State(), l.Table()}
					},
				} {
					bareThere, bareHere, dressedThere, dressedHere := there{given}, here{given}, there{given}, here{given}
					want := call(&bareThere, &bareHere)
					got := call(o.Peer(&dressedThere), o.Local(&dressedHere))
					if !reflect.DeepEqual(got, want) {
						t.Errorf("%s: dressed gives %v, bare %v", name, got, want)
					}
					if !reflect.DeepEqual(dressedThere.asked, bareThere.asked) || !reflect.DeepEqual(dressedHere.asked, bareHere.asked) {
						t.Errorf("%s: dressed was asked %v %v, bare %v %v", name, dressedThere.asked, dressedHere.asked, bareThere.asked, bareHere.asked)
					}
				}
			})
		}
	}
}

// connected is two nodes on loopback ports, dressed as in the daemon: what answers at node 2, and the dressed way to it from node 1.
func connected(t *testing.T, o *observe.Observer, local *here) (coordinator.Peer, *peer.Peers) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config := func(id ring.NodeID) peer.Config {
		return peer.Config{
			Cluster: "c", Node: id, Name: id.String(), Start: 1, Local: o.Local(local), Events: o.PeerEvents(), Inject: observe.Inject, Extract: o.Extract,
			Address: func(ring.NodeID) (string, bool) { return l.Addr().String(), true },
		}
	}
	server, client := peer.New(config(2)), peer.New(config(1))
	run(t, func(ctx context.Context) error { return server.Serve(ctx, l) })
	t.Cleanup(client.Close)
	to := client.To(2)
	eventually(t, func() error {
		if !to.Up() {
			return errors.New("the peer is not up")
		}
		return nil
	})
	return o.Peer(to), client
}

func TestOneTraceSpansBothNodes(t *testing.T) {
	sink := newSink(t)
	s := &stack{log: &lines{}, metrics: telemetry.NewMetrics(telemetry.Build{})}
	o := s.observer(t, sink.url, 0)
	long := register.Record{Kind: register.Data, Value: register.Value{Length: 1 << 20}}
	local := &here{remote{part: part{record: long}, answer: register.Answer{Reply: register.Promised}}}
	to, _ := connected(t, o, local)
	ask := func(ctx context.Context) {
		for phase := register.Look; phase <= register.Learn; phase++ {
			m := register.Message{Phase: phase}
			if phase >= register.Accept {
				m.Record = &register.Record{Kind: register.Tombstone}
			}
			if _, err := to.Ask(ctx, "some/key", m); err != nil {
				t.Error(err)
			}
		}
		if _, err := to.Carry(ctx, "some/key", register.Order{Change: register.Change{Kind: register.Tombstone}}); err != nil {
			t.Error(err)
		}
		if _, err := to.Stage(ctx, register.Stamp{Time: 1}, strings.NewReader("value"), 5); err != nil {
			t.Error(err)
		}
	}
	ask(o.Extract(t.Context(), unkept))
	ask(o.Extract(t.Context(), kept))
	names := []string{"peer ask look", "peer ask prepare", "peer ask accept", "peer ask learn", "peer carry", "peer stage"}
	eventually(t, func() error {
		if n := s.ended(); n < float64(2*len(names)) {
			return fmt.Errorf("%v spans have ended", n)
		}
		return nil
	})
	s.flush(t)
	if spans := sink.trace(traceID); len(spans) != 2*len(names) {
		t.Errorf("%d spans, want %d: %v", len(spans), 2*len(names), paths(spans))
	}
	for _, name := range names {
		var asking, answering *otlp.Span
		for _, span := range sink.named(name) {
			switch span.GetKind() {
			case otlp.Span_SPAN_KIND_CLIENT:
				asking = span
			case otlp.Span_SPAN_KIND_SERVER:
				answering = span
			}
		}
		if asking == nil || answering == nil {
			t.Errorf("%s: one end has no span", name)
			continue
		}
		if fmt.Sprintf("%x", asking.GetParentSpanId()) != caller || string(answering.GetParentSpanId()) != string(asking.GetSpanId()) {
			t.Errorf("%s: the spans do not hang together", name)
		}
		if attribute(asking, "estorajed.node") != "n2" || strings.Contains(asking.String()+answering.String(), "some/key") {
			t.Errorf("%s: %v, %v", name, asking, answering)
		}
	}
}

func TestPeersAreCountedAndScraped(t *testing.T) {
	s := &stack{log: &lines{}, metrics: telemetry.NewMetrics(telemetry.Build{})}
	o := s.observer(t, "", 0)
	to, client := connected(t, o, &here{remote{answer: register.Answer{Reply: register.Shown}}})
	o.Scrape(observe.Status{Peers: client.Status})
	for range 10 {
		if _, err := to.Ask(t.Context(), "k", register.Message{Phase: register.Look}); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		metric string
		labels []string
		want   float64
	}{
		{"peer_up", []string{"peer", "n2"}, 1},
		{"peer_queue_length", []string{"peer", "n2"}, 0},
		{"peer_pending_messages", []string{"peer", "n2"}, 0},
		{"peer_streams", []string{"peer", "n2"}, 0},
		{"peer_request_duration_seconds", []string{"kind", "look"}, 10},
		{"peer_messages_total", []string{"kind", "ask", "direction", "in"}, 20},
		{"peer_messages_total", []string{"kind", "ask", "direction", "out"}, 20},
	} {
		if got := value(t, s.metrics, tc.metric, tc.labels...); got != tc.want {
			t.Errorf("%s%q is %v, want %v", tc.metric, tc.labels, got, tc.want)
		}
	}
	for _, direction := range []string{"in", "out"} {
		frames, bytes := value(t, s.metrics, "peer_frames_total", "direction", direction), value(t, s.metrics, "peer_bytes_total", "direction", direction)
		if frames < 20 || bytes < frames {
			t.Errorf("%s: %v frames of %v bytes", direction, frames, bytes)
		}
	}
	eventually(t, func() error {
		if value(t, s.metrics, "peer_round_trip_seconds", "peer", "n2") <= 0 {
			return errors.New("no round trip was measured")
		}
		return nil
	})
}

func TestWhoComesAndGoesIsTold(t *testing.T) {
	m, log := telemetry.NewMetrics(telemetry.Build{}), &lines{}
	e := logging(t, m, log, "info").PeerEvents()
	refused, gone := errors.New("connection refused"), errors.New("broken pipe")
	for _, tc := range []struct {
		name   string
		happen func()
		metric string
		labels []string
		want   float64
		line   string
		lines  int
	}{
		{"not there yet", func() { e.Failed(2, refused); e.Failed(2, refused); e.Failed(3, refused) }, "", nil, 0, "peer cannot be reached; trying on", 2},
		{"up", func() { e.Up(2, 1, time.Second) }, "", nil, 0, "peer is up", 1},
		{"down", func() { e.Down(2, peer.DownBroken, gone) }, "peer_downs_total", []string{"reason", "broken"}, 1, "peer is down", 1},
		{"and still", func() { e.Failed(2, gone) }, "", nil, 0, "peer cannot be reached; trying on", 2},
		{"silent", func() { e.Down(3, peer.DownSilent, gone) }, "peer_downs_total", []string{"reason", "silent"}, 1, "peer is down", 2},
		{"refused", func() { e.Refused(peer.ReasonCluster, "10.0.0.1:5", "it is of cluster x") }, "peer_refusals_total", []string{"reason", "cluster"}, 1, "a peer was refused", 1},
		{"overload", func() { e.Overloaded(2) }, "peer_overloads_total", nil, 1, "", 0},
	} {
		tc.happen()
		if tc.metric != "" {
			if got := value(t, m, tc.metric, tc.labels...); got != tc.want {
				t.Errorf("%s: %s%q is %v, want %v", tc.name, tc.metric, tc.labels, got, tc.want)
			}
		}
		if tc.line != "" {
			if got := log.with(t, tc.line); len(got) != tc.lines {
				t.Errorf("%s: %d lines say %q, want %d", tc.name, len(got), tc.line, tc.lines)
			}
		}
	}
}

func TestEveryNameOfAPeersIsALabel(t *testing.T) {
	for k := peer.KindAsk; k <= peer.KindFetch; k++ {
		if at := telemetry.Messages.Position(k.String()); telemetry.Messages.Values[at] != k.String() {
			t.Errorf("kind %v has no label", k)
		}
	}
	for _, reason := range []string{
		peer.ReasonGarbage, peer.ReasonMalformed, peer.ReasonOversized, peer.ReasonVersion, peer.ReasonCluster, peer.ReasonNode,
		peer.ReasonAddressee, peer.ReasonLife, peer.ReasonStale,
	} {
		if at := telemetry.Refusals.Position(reason); telemetry.Refusals.Values[at] != reason {
			t.Errorf("reason %s has no label", reason)
		}
	}
	for _, reason := range []string{peer.DownSilent, peer.DownBroken, peer.DownStopped} {
		if at := telemetry.Downs.Position(reason); telemetry.Downs.Values[at] != reason {
			t.Errorf("reason %s has no label", reason)
		}
	}
}
