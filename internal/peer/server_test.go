package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/peer/wire"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
)

// refusals are what a node refused, by reason.
type refusals struct {
	mu      sync.Mutex
	reasons map[string]int
	texts   []string
}

func (r *refusals) refused(reason, from, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reasons == nil {
		r.reasons = map[string]int{}
	}
	r.reasons[reason]++
	r.texts = append(r.texts, from+": "+text)
}

func (r *refusals) of(reason string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reasons[reason]
}

func (r *refusals) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Sprintf("%v %q", r.reasons, r.texts)
}

func (r *refusals) await(t *testing.T, reason string) {
	t.Helper()
	eventually(t, func() error {
		if r.of(reason) == 0 {
			return fmt.Errorf("nothing was refused as %q; so far %v", reason, r)
		}
		return nil
	})
}

func TestWhoDoesNotBelongHereIsRefused(t *testing.T) {
	for _, tc := range []struct {
		reason string
		change func(c *Config, network *network)
	}{
		{ReasonCluster, func(c *Config, _ *network) { c.Cluster = strings.Repeat("f", 32) }},
		{ReasonNode, func(c *Config, _ *network) { c.Node = 9 }},
		{ReasonNode, func(c *Config, _ *network) { c.Node = 2 }},
		{ReasonStale, func(c *Config, _ *network) { c.Start = 4 }},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			seen, failed := &refusals{}, make(chan error, 100)
			network := newNetwork(t)
			c := network.config(2, 1)
			c.Events.Refused = seen.refused
			server := network.start(c)
			first := network.start(network.config(1, 5))
			up(t, first.To(2))
			first.kill(t)

			c = network.config(1, 5)
			tc.change(&c, network)
			c.Address = func(ring.NodeID) (string, bool) { return network.address(2) }
			c.Events.Failed = func(_ ring.NodeID, cause error) {
				select {
				case failed <- cause:
				default:
				}
			}
			stranger := New(c)
			defer stranger.Close()
			to := stranger.To(2)
			if c.Node == 2 {
				to = stranger.To(3)
			}
			if err := <-failed; !strings.Contains(err.Error(), "refused: ") {
				t.Errorf("it hears %v", err)
			}
			checkUnreachable(t, to)
			if seen.of(tc.reason) == 0 {
				t.Errorf("refused as %v", seen)
			}
			_ = server
		})
	}
}

func TestANodeAtAWrongAddressIsRefused(t *testing.T) {
	seen := &refusals{}
	network := newNetwork(t)
	c := network.config(3, 1)
	c.Events.Refused = seen.refused
	network.start(c)
	third, _ := network.address(3)
	network.set(2, third)
	client := New(network.config(1, 1))
	network.set(1, "127.0.0.1:1")
	defer client.Close()
	to := client.To(2)
	seen.await(t, ReasonAddressee)
	checkUnreachable(t, to)
}

func TestAnAnswerOfAnEarlierLifeIsRefused(t *testing.T) {
	seen := &refusals{}
	network := newNetwork(t)
	c := network.config(1, 1)
	c.Events.Refused = seen.refused
	client := network.start(c)
	server := network.start(network.config(2, 7))
	up(t, client.To(2))
	server.kill(t)
	network.start(network.config(2, 6)) // its directory was restored from an older copy
	seen.await(t, ReasonStale)
	checkUnreachable(t, client.To(2))
}

func TestALaterLifeEndsAnEarlierOne(t *testing.T) {
	network := newNetwork(t)
	server := network.start(network.config(2, 1))
	early := network.start(network.config(1, 1))
	errs := pending(t, server, up(t, early.To(2)), 10)
	late := New(network.config(1, 2)) // while the earlier one still runs
	defer late.Close()
	up(t, late.To(2))
	checkLost(t, errs)
	eventually(t, func() error {
		if cause := early.To(2).standing.Load().cause; cause == nil || !strings.Contains(cause.Error(), "start number 1") {
			return fmt.Errorf("the earlier one hears %v", cause)
		}
		return nil
	})
}

// stranger speaks to a node as no node of ours does.
func stranger(t *testing.T, network *network, hello *wire.Hello) (wire.PeerClient, context.Context) {
	t.Helper()
	address, _ := network.address(2)
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(clientCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	if hello != nil {
		ctx = metadata.NewOutgoingContext(ctx, greeting(hello))
	}
	return wire.NewPeerClient(conn), ctx
}

// watched is a node 2 whose refusals are seen, and the Hello of a node 1 that it knows.
func watched(t *testing.T) (*network, *refusals, *wire.Hello) {
	t.Helper()
	seen := &refusals{}
	network := newNetwork(t)
	c := network.config(2, 1)
	c.Events.Refused = seen.refused
	network.start(c)
	network.set(1, "127.0.0.1:1")
	return network, seen, &wire.Hello{Version: Version, Cluster: cluster, Node: 1, Start: 1, To: 2}
}

func TestStreamsWithoutAProperHelloAreRefused(t *testing.T) {
	for _, tc := range []struct {
		name, reason string
		change       func(h *wire.Hello) *wire.Hello
	}{
		{"none", ReasonMalformed, func(*wire.Hello) *wire.Hello { return nil }},
		{"of nobody", ReasonMalformed, func(*wire.Hello) *wire.Hello { return &wire.Hello{} }},
		{"of another version", ReasonVersion, func(h *wire.Hello) *wire.Hello { h.Version++; return h }},
		{"to another node", ReasonAddressee, func(h *wire.Hello) *wire.Hello { h.To = 3; return h }},
		{"to another life", ReasonLife, func(h *wire.Hello) *wire.Hello { h.ToStart = 9; return h }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			network, seen, hello := watched(t)
			client, ctx := stranger(t, network, tc.change(hello))
			for name, open := range map[string]func() error{
				"talk": func() error {
					s, err := client.Talk(ctx)
					if err == nil {
						_, err = s.Recv()
					}
					return err
				},
				"pulse": func() error {
					s, err := client.Pulse(ctx)
					if err == nil {
						_, err = s.Recv()
					}
					return err
				},
				"stage": func() error {
					s, err := client.Stage(ctx)
					if err == nil {
						_, err = s.CloseAndRecv()
					}
					return err
				},
				"fetch": func() error {
					s, err := client.Fetch(ctx)
					if err == nil {
						_, err = s.Recv()
					}
					return err
				},
			} {
				if err := open(); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "refused: ") {
					t.Errorf("%s: %v", name, err)
				}
			}
			if seen.of(tc.reason) != 4 {
				t.Errorf("refused as %v", seen)
			}
		})
	}
}

func TestGarbageOnThePortIsRefused(t *testing.T) {
	network, seen, _ := watched(t)
	address, _ := network.address(2)
	random := make([]byte, 4096)
	for i := range random {
		random[i] = byte(rand.Uint32())
	}
	for i, garbage := range []string{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\x02\x00\x01", string(random), preface[:10] + "x"} {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, garbage); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.Copy(io.Discard, c); err != nil && errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%q: %v", garbage, err)
		}
		c.Close()
		eventually(t, func() error {
			if n := seen.of(ReasonGarbage); n != i+1 {
				return fmt.Errorf("%d were refused after %d", n, i+1)
			}
			return nil
		})
	}
}

func TestBrokenFramesEndTheStreamAndNothingElse(t *testing.T) {
	envelope := func(e *wire.Envelope) *wire.Batch { return &wire.Batch{Envelopes: []*wire.Envelope{e}} }
	for _, tc := range []struct {
		name, reason string
		batch        *wire.Batch
	}{
		{"a message of no phase", ReasonMalformed, envelope(&wire.Envelope{Id: 1, Kind: wire.Kind_ASK, Key: []byte("k"), Ask: &wire.Ask{}})},
		{"no key", ReasonMalformed, envelope(&wire.Envelope{Id: 1, Kind: wire.Kind_READ})},
		{"no order", ReasonMalformed, envelope(&wire.Envelope{Id: 1, Kind: wire.Kind_CARRY, Key: []byte("k")})},
		{"a value below nothing", ReasonMalformed, envelope(&wire.Envelope{Id: 1, Kind: wire.Kind_UNSTAGE, Unstage: &wire.Value{Length: -1}})},
		{"envelopes without end", ReasonMalformed, &wire.Batch{Envelopes: make([]*wire.Envelope, batchEnvelopes+1)}},
		{"a frame without end", ReasonOversized, envelope(&wire.Envelope{Id: 1, Kind: wire.Kind_READ, Key: make([]byte, frameMax+1)})},
		{"an id that is taken", ReasonMalformed, &wire.Batch{Envelopes: []*wire.Envelope{
			{Id: 1, Kind: wire.Kind_READ, Key: []byte("block")}, {Id: 1, Kind: wire.Kind_READ, Key: []byte("k")},
		}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			seen := &refusals{}
			network := newNetwork(t)
			c := network.config(2, 1)
			c.Events.Refused = seen.refused
			server := network.start(c)
			server.local.read = func(ctx context.Context, k key.Key) (register.Record, io.ReadSeekCloser, error) {
				if k == "block" {
					<-ctx.Done()
				}
				return register.Record{}, nil, nil
			}
			network.set(1, "127.0.0.1:1")
			to := up(t, network.start(network.config(3, 1)).To(2))
			client, ctx := stranger(t, network, &wire.Hello{Version: Version, Cluster: cluster, Node: 1, Start: 1, To: 2})
			talk, err := client.Talk(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if err := talk.Send(tc.batch); err != nil {
				t.Fatal(err)
			}
			if got, err := talk.Recv(); err == nil || status.Code(err) == codes.DeadlineExceeded {
				t.Errorf("it is answered with %v, %v", got, err)
			}
			seen.await(t, tc.reason)
			if _, err := to.Ask(t.Context(), "k", register.Message{Phase: register.Look}); err != nil || !to.Up() {
				t.Errorf("another peer: %v", err)
			}
		})
	}
}

func TestKindsToComeAreAnswered(t *testing.T) {
	network, seen, hello := watched(t)
	client, ctx := stranger(t, network, hello)
	talk, err := client.Talk(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := talk.Send(&wire.Batch{Envelopes: []*wire.Envelope{{Id: 5, Kind: 77}, {Id: 6, Kind: wire.Kind_CANCEL}, {Id: 7, Kind: wire.Kind_TABLE}}}); err != nil {
		t.Fatal(err)
	}
	answers := map[uint64]*wire.Envelope{}
	for len(answers) < 2 {
		batch, err := talk.Recv()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range batch.GetEnvelopes() {
			answers[e.GetId()] = e
		}
	}
	if err := decodeFault(answers[5].GetFault()); err == nil || !strings.Contains(err.Error(), "kind 77") || answers[7].GetFault() != nil {
		t.Errorf("%v; refused %v", answers, seen)
	}
}

func TestAnOrderForAnotherLifeIsNotBegun(t *testing.T) {
	server, to := pair(t, nil)
	server.local.carry = func(context.Context, key.Key, register.Order) register.Report {
		t.Error("it was begun")
		return register.Report{}
	}
	was := *to.standing.Load()
	was.start++ // as if the node had been restarted between the look at its life and the sending
	to.standing.Store(&was)
	r, err := to.Carry(t.Context(), "k", register.Order{Change: register.Change{Kind: register.Tombstone}})
	if err != nil || r.Sent || !errors.Is(r.Err, register.ErrUnreachable) {
		t.Errorf("%v, %v", r, err)
	}
}

func TestAServerThatStopsAnswersWhatItHasBegun(t *testing.T) {
	server, to := pair(t, nil)
	began, release := make(chan struct{}, 100), make(chan struct{})
	server.local.carry = func(context.Context, key.Key, register.Order) register.Report {
		began <- struct{}{}
		<-release
		return register.Report{Changed: true, Sent: true}
	}
	order := register.Order{Change: register.Change{Kind: register.Tombstone}}
	reports := make(chan error, 50)
	for range cap(reports) {
		go func() {
			r, err := to.Carry(t.Context(), "k", order)
			if err == nil && !r.Changed {
				err = fmt.Errorf("the report is %v", r)
			}
			reports <- err
		}()
	}
	for range cap(reports) {
		<-began
	}
	server.end()
	eventually(t, func() error {
		if to.Up() {
			return errors.New("it still counts as up")
		}
		return nil
	})
	checkUnreachable(t, to)
	close(release)
	for range cap(reports) {
		if err := <-reports; err != nil {
			t.Error(err)
		}
	}
	server.stop(t)
}

func TestAServerThatStopsLetsValuesFlowToTheirEnd(t *testing.T) {
	server, to := pair(t, nil)
	reads(server, &pattern{length: 8 * mebibyte})
	_, body, err := to.Read(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	release, staged := make(chan struct{}), make(chan error, 1)
	source := &pattern{length: 8 * mebibyte, stop: mebibyte, wait: release}
	go func() {
		v, err := to.Stage(t.Context(), at(1, 1), source, -1)
		if err == nil && v.Length != source.length {
			err = fmt.Errorf("%d bytes were staged", v.Length)
		}
		staged <- err
	}()
	eventually(t, func() error {
		if source.at.Load() < mebibyte {
			return errors.New("the other value does not flow")
		}
		return nil
	})
	server.end()
	eventually(t, func() error {
		if to.Up() {
			return errors.New("it still counts as up")
		}
		return nil
	})
	if n, err := io.Copy(io.Discard, body); err != nil || n != 8*mebibyte {
		t.Errorf("%d bytes, then %v", n, err)
	}
	body.Close()
	close(release)
	if err := <-staged; err != nil {
		t.Error(err)
	}
	server.stop(t)
}

func TestAServerDoesNotStopForEver(t *testing.T) {
	network := newNetwork(t)
	server := network.start(network.config(2, 1))
	server.Peers.drain = 50 * time.Millisecond
	to := up(t, network.start(network.config(1, 1)).To(2))
	errs := pending(t, server, to, 10) // they end with the stream only
	server.stop(t)
	checkLost(t, errs)
}
