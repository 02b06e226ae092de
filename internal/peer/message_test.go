package peer

import (
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/peer/wire"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
)

// across is an envelope as the other end finds it.
func across(t *testing.T, e *wire.Envelope) *wire.Envelope {
	t.Helper()
	b, err := proto.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	came := &wire.Envelope{}
	if err := proto.Unmarshal(b, came); err != nil {
		t.Fatal(err)
	}
	return came
}

func at(time register.Time, node ring.NodeID) register.Stamp {
	return register.Stamp{Time: time, Node: node}
}

// fullRecord has something in every field.
func fullRecord(v register.Value) *register.Record {
	return &register.Record{
		Ballot: at(9, 1), Version: at(8, 2), Operation: at(7, 3), Kind: register.Data, Value: v,
		History:  []register.Past{{Version: at(6, 1), Operation: at(5, 2)}, {Version: at(4, 1), Operation: at(3, math.MaxUint32)}},
		Metadata: []register.Field{{Name: "content-type", Value: "text/plain"}, {Name: "x-meta-a", Value: "\xff"}},
	}
}

func TestMessagesArriveAsTheyWere(t *testing.T) {
	inline := register.Value{Length: 3, Sum: 42, Inline: []byte{0, 1, 255}}
	for name, m := range map[string]register.Message{
		"look":                  {To: 2, Epoch: 7, Round: 3, Phase: register.Look},
		"prepare":               {To: 2, Epoch: 7, Round: 3, Phase: register.Prepare, Ballot: at(math.MaxUint64, 4), Anew: true},
		"accept of an own":      {To: 2, Epoch: 1, Phase: register.Accept, Record: fullRecord(inline)},
		"accept of a staged":    {To: 2, Phase: register.Accept, Record: fullRecord(register.Value{Length: 1 << 20, Sum: 1, Stage: at(3, 4)})},
		"accept of a settled":   {To: 2, Phase: register.Accept, Record: fullRecord(register.Value{Length: 9, Sum: 1}), Sources: []ring.NodeID{3, 1}},
		"accept of an empty":    {To: 2, Phase: register.Accept, Record: fullRecord(register.Value{Sum: 1, Inline: []byte{}})},
		"accept of a tombstone": {To: 2, Phase: register.Accept, Record: &register.Record{Kind: register.Tombstone, Ballot: at(1, 1)}},
		"learn":                 {To: 2, Phase: register.Learn, Record: fullRecord(inline), Evidence: 99},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := decodeAsk(across(t, &wire.Envelope{Ask: encodeAsk(&m)}).GetAsk(), 2)
			if diff := cmp.Diff(m, got); err != nil || diff != "" {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}

func TestAnswersCarryNoValues(t *testing.T) {
	value := register.Value{Length: 3, Sum: 42}
	for name, a := range map[string]register.Answer{
		"refused":  {Reply: register.Refused, Rests: at(5, 6)},
		"stale":    {Reply: register.Stale, Epoch: 12},
		"shown":    {Reply: register.Shown, Floor: 77, Record: *fullRecord(value), Proven: true},
		"promised": {Reply: register.Promised, Record: register.Record{Kind: register.Tombstone, Ballot: at(1, 1)}, Damaged: true},
		"none":     {Reply: register.Promised, Floor: 3},
		"accepted": {Reply: register.Accepted},
	} {
		t.Run(name, func(t *testing.T) {
			full := a
			if a.Record.Kind == register.Data {
				full.Record.Value.Inline, full.Record.Value.Stage = []byte("abc"), at(1, 2)
			}
			got, err := decodeAnswer(across(t, &wire.Envelope{Answer: encodeAnswer(&full)}).GetAnswer())
			if diff := cmp.Diff(a, got); err != nil || diff != "" {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}

func TestOrdersArriveAsTheyWere(t *testing.T) {
	for name, o := range map[string]register.Order{
		"put": {
			Entry: register.Entry{Operation: at(7, 1), Last: register.LastBallot(99), Taker: true}, Clock: 66,
			Change: register.Change{Kind: register.Data, Metadata: fullRecord(register.Value{}).Metadata},
			Value:  register.Value{Length: 2, Sum: 3, Inline: []byte("ab")},
		},
		"put of a staged value": {
			Entry: register.Entry{Operation: at(7, 1)}, Change: register.Change{Kind: register.Data}, Value: register.Value{Length: 1 << 20, Stage: at(6, 1)},
		},
		"delete with conditions": {
			Entry: register.Entry{Operation: at(7, 1)},
			Change: register.Change{Kind: register.Tombstone, Condition: register.Condition{
				IfMatch: register.Tags{Sent: true, Versions: []register.Stamp{at(1, 2), at(3, 4)}}, IfNoneMatch: register.Tags{Sent: true, Any: true},
			}},
		},
		"a condition that nothing meets": {
			Entry:  register.Entry{Operation: at(7, 1)},
			Change: register.Change{Kind: register.Tombstone, Condition: register.Condition{IfMatch: register.Tags{Sent: true}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := across(t, &wire.Envelope{Order: encodeOrder(&o, 5)}).GetOrder()
			got, err := decodeOrder(w)
			if diff := cmp.Diff(o, got); err != nil || diff != "" || w.GetStart() != 5 {
				t.Errorf("%v, for life %d\n%s", err, w.GetStart(), diff)
			}
		})
	}
}

func TestReportsArriveAsTheyWere(t *testing.T) {
	for name, r := range map[string]register.Report{
		"done":    {Outcome: register.Outcome{Version: at(4, 2), Replaced: true}, Changed: true, Sent: true},
		"lost":    {Sent: true, Lost: true, Clock: 77, Err: &register.UnknownError{Cause: register.ErrFull}},
		"refused": {Err: register.ErrPrecondition},
		"zero":    {},
	} {
		t.Run(name, func(t *testing.T) {
			got := decodeReport(across(t, &wire.Envelope{Report: encodeReport(&r)}).GetReport())
			if diff := cmp.Diff(r, got, cmp.Comparer(func(a, b error) bool { return a == b || a != nil && b != nil && a.Error() == b.Error() })); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBrokenMessagesAreToldFromSound(t *testing.T) {
	record := encodeRecord(fullRecord(register.Value{Length: 3, Inline: []byte("abc")}))
	none := encodeRecord(&register.Record{})
	for name, err := range map[string]error{
		"no message":               second(decodeAsk(nil, 1)),
		"no phase":                 second(decodeAsk(&wire.Ask{Phase: 9}, 1)),
		"accept of nothing":        second(decodeAsk(&wire.Ask{Phase: uint32(register.Accept)}, 1)),
		"look with a record":       second(decodeAsk(&wire.Ask{Phase: uint32(register.Look), Record: record}, 1)),
		"half a record":            second(decodeAsk(&wire.Ask{Phase: uint32(register.Learn), Record: &wire.Record{Fields: record.GetFields()[:20]}}, 1)),
		"more than a record":       second(decodeAsk(&wire.Ask{Phase: uint32(register.Learn), Record: &wire.Record{Fields: append(none.GetFields(), 0)}}, 1)),
		"a value too short":        second(decodeAsk(&wire.Ask{Phase: uint32(register.Learn), Record: &wire.Record{Fields: record.GetFields(), Inline: []byte("a")}}, 1)),
		"sources without end":      second(decodeAsk(&wire.Ask{Phase: uint32(register.Look), Sources: make([]uint32, ring.NodesMax+1)}, 1)),
		"no answer":                second(decodeAnswer(nil)),
		"an unknown answer":        second(decodeAnswer(&wire.Answer{Reply: 77})),
		"an answer's broken state": second(decodeAnswer(&wire.Answer{Reply: uint32(register.Shown), Record: []byte{1}})),
		"no order":                 second(decodeOrder(nil)),
		"an order of nothing":      second(decodeOrder(&wire.Order{Change: none})),
		"half a version":           second(decodeOrder(&wire.Order{Change: record, IfMatch: &wire.Tags{Times: []uint64{1}}})),
		"a value below nothing":    second(decodeValue(&wire.Value{Length: -1})),
		"an empty key":             second(decodeKey(nil)),
		"an endless key":           second(decodeKey(make([]byte, key.Max+1))),
	} {
		if !errors.Is(err, errBroken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// FuzzEnvelope has whatever bytes taken for an envelope: nothing may panic, and what is sound is the same when it is sent on.
func FuzzEnvelope(f *testing.F) {
	record := fullRecord(register.Value{Length: 3, Inline: []byte("abc")})
	order := register.Order{Change: register.Change{Kind: register.Data}, Value: record.Value}
	for _, e := range []*wire.Envelope{
		{Id: 1, Kind: wire.Kind_ASK, Key: []byte("k"), Ask: encodeAsk(&register.Message{Phase: register.Accept, Record: record, Sources: []ring.NodeID{3}})},
		{Id: 2, Kind: wire.Kind_CARRY, Key: []byte("k"), Order: encodeOrder(&order, 1)},
		{Id: 3, Kind: wire.Kind_READ, Copy: &wire.Copy{Record: encodeRecord(record)}},
		{Id: 4, Kind: wire.Kind_ASK, Answer: encodeAnswer(&register.Answer{Reply: register.Shown, Record: *record})},
		{Id: 5, Kind: wire.Kind_ASK, Fault: encodeFault(&register.QuorumError{Cause: register.ErrFull})},
		{Id: 6, Kind: wire.Kind_UNSTAGE, Unstage: encodeValue(&register.Value{Length: 9, Stage: at(1, 2)})},
	} {
		b, err := proto.Marshal(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e := &wire.Envelope{}
		if proto.Unmarshal(b, e) != nil {
			return
		}
		if m, err := decodeAsk(e.GetAsk(), 1); err == nil {
			again, err := decodeAsk(across(t, &wire.Envelope{Ask: encodeAsk(&m)}).GetAsk(), 1)
			if diff := cmp.Diff(m, again); err != nil || diff != "" {
				t.Errorf("%v\n%s", err, diff)
			}
		}
		if o, err := decodeOrder(e.GetOrder()); err == nil {
			again, err := decodeOrder(encodeOrder(&o, 1))
			if diff := cmp.Diff(o, again); err != nil || diff != "" {
				t.Errorf("%v\n%s", err, diff)
			}
		}
		if a, err := decodeAnswer(e.GetAnswer()); err == nil {
			encodeAnswer(&a)
		}
		if err := decodeFault(e.GetFault()); err != nil {
			encodeFault(err)
			_ = err.Error()
		}
		decodeReport(e.GetReport())
		_, _ = decodeValue(e.GetUnstage())
		_, _ = decodeKey(e.GetKey())
		_, _, _ = (&Peer{peers: New(Config{})}).whole(e.GetCopy())
	})
}
