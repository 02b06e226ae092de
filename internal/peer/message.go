package peer

import (
	"errors"
	"fmt"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/peer/wire"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
)

// What register says in values, here in messages and back. Decoding believes nothing: whatever a message holds, it gives a value that
// the rules can judge, or errBroken.

var errBroken = errors.New("the envelope is broken")

func broken(what string) error { return fmt.Errorf("%w: %s", errBroken, what) }

func stamp(time uint64, node uint32) register.Stamp {
	return register.Stamp{Time: register.Time(time), Node: ring.NodeID(node)}
}

// encodeRecord writes a record with the bytes of its value, if they are at hand, or their place.
func encodeRecord(r *register.Record) *wire.Record {
	return &wire.Record{
		Fields: r.AppendFields(make([]byte, 0, fieldsGuess)), Inline: r.Value.Inline,
		StageTime: uint64(r.Value.Stage.Time), StageNode: uint32(r.Value.Stage.Node),
	}
}

// fieldsGuess is room for the fields of most records.
const fieldsGuess = 160

func decodeRecord(w *wire.Record) (*register.Record, error) {
	r, err := decodeFields(w.GetFields())
	if err != nil {
		return nil, err
	}
	if w.Inline != nil {
		if int64(len(w.Inline)) != r.Value.Length {
			return nil, broken("a value is not as long as its record says")
		}
		r.Value.Inline = w.Inline
	}
	r.Value.Stage = stamp(w.GetStageTime(), w.GetStageNode())
	return r, nil
}

func decodeFields(b []byte) (*register.Record, error) {
	r, rest, err := register.DecodeFields(b)
	if err != nil {
		return nil, broken(err.Error())
	}
	if len(rest) > 0 {
		return nil, broken("something follows a record")
	}
	return &r, nil
}

func encodeAsk(m *register.Message) *wire.Ask {
	a := &wire.Ask{
		Epoch: m.Epoch, Round: m.Round, Phase: uint32(m.Phase), Anew: m.Anew,
		BallotTime: uint64(m.Ballot.Time), BallotNode: uint32(m.Ballot.Node), Evidence: uint64(m.Evidence),
	}
	if m.Record != nil {
		a.Record = encodeRecord(m.Record)
	}
	if len(m.Sources) > 0 {
		a.Sources = make([]uint32, len(m.Sources))
		for i, node := range m.Sources {
			a.Sources[i] = uint32(node)
		}
	}
	return a
}

func decodeAsk(a *wire.Ask, to ring.NodeID) (m register.Message, err error) {
	m = register.Message{
		To: to, Epoch: a.GetEpoch(), Round: a.GetRound(), Phase: register.Phase(a.GetPhase()), Anew: a.GetAnew(),
		Ballot: stamp(a.GetBallotTime(), a.GetBallotNode()), Evidence: register.Time(a.GetEvidence()),
	}
	if a.GetPhase() < uint32(register.Look) || a.GetPhase() > uint32(register.Learn) {
		return m, broken("a message of no phase that is known")
	}
	if a.Record != nil {
		if m.Record, err = decodeRecord(a.Record); err != nil {
			return m, err
		}
	}
	if carries := m.Phase == register.Accept || m.Phase == register.Learn; carries != (m.Record != nil) {
		return m, broken("a record belongs to accept and learn, and to nothing else")
	}
	if len(a.GetSources()) > ring.NodesMax {
		return m, broken("more sources than there can be nodes")
	}
	for _, node := range a.GetSources() {
		m.Sources = append(m.Sources, ring.NodeID(node))
	}
	return m, nil
}

// encodeAnswer leaves out the bytes of a value, and where they are staged there.
func encodeAnswer(a *register.Answer) *wire.Answer {
	w := &wire.Answer{
		Reply: uint32(a.Reply), RestsTime: uint64(a.Rests.Time), RestsNode: uint32(a.Rests.Node), Epoch: a.Epoch,
		Floor: uint64(a.Floor), Proven: a.Proven, Damaged: a.Damaged,
	}
	if a.Record.Kind != register.None || !a.Record.Ballot.IsZero() {
		w.Record = a.Record.AppendFields(make([]byte, 0, fieldsGuess))
	}
	return w
}

func decodeAnswer(w *wire.Answer) (a register.Answer, err error) {
	a = register.Answer{
		Reply: register.Reply(w.GetReply()), Rests: stamp(w.GetRestsTime(), w.GetRestsNode()), Epoch: w.GetEpoch(),
		Floor: register.Time(w.GetFloor()), Proven: w.GetProven(), Damaged: w.GetDamaged(),
	}
	if w == nil || w.GetReply() < uint32(register.Refused) || w.GetReply() > uint32(register.Accepted) {
		return a, broken("an answer of no kind that is known")
	}
	if len(w.GetRecord()) > 0 {
		r, err := decodeFields(w.GetRecord())
		if err != nil {
			return a, err
		}
		a.Record = *r
	}
	return a, nil
}

// encodeOrder writes a write down for the given life of a coordinator. What it changes has the form of a record without a ballot.
func encodeOrder(o *register.Order, life uint64) *wire.Order {
	return &wire.Order{
		Start: life, Clock: uint64(o.Clock), LastTime: uint64(o.Entry.Last.Time), LastNode: uint32(o.Entry.Last.Node), Taker: o.Entry.Taker,
		Change: encodeRecord(&register.Record{
			Operation: o.Entry.Operation, Kind: o.Change.Kind, Metadata: o.Change.Metadata, Value: o.Value,
		}),
		IfMatch: encodeTags(&o.Change.Condition.IfMatch), IfNoneMatch: encodeTags(&o.Change.Condition.IfNoneMatch),
	}
}

func decodeOrder(w *wire.Order) (o register.Order, err error) {
	r, err := decodeRecord(w.GetChange())
	if err != nil {
		return o, err
	}
	if r.Kind == register.None {
		return o, broken("an order that changes nothing")
	}
	o = register.Order{
		Entry:  register.Entry{Operation: r.Operation, Last: stamp(w.GetLastTime(), w.GetLastNode()), Taker: w.GetTaker()},
		Change: register.Change{Kind: r.Kind, Metadata: r.Metadata},
		Value:  r.Value, Clock: register.Time(w.GetClock()),
	}
	if o.Change.Condition.IfMatch, err = decodeTags(w.GetIfMatch()); err != nil {
		return o, err
	}
	o.Change.Condition.IfNoneMatch, err = decodeTags(w.GetIfNoneMatch())
	return o, err
}

func encodeTags(t *register.Tags) *wire.Tags {
	if !t.Sent {
		return nil
	}
	w := &wire.Tags{Any: t.Any}
	for _, v := range t.Versions {
		w.Times, w.Nodes = append(w.Times, uint64(v.Time)), append(w.Nodes, uint32(v.Node))
	}
	return w
}

func decodeTags(w *wire.Tags) (t register.Tags, err error) {
	if w == nil {
		return t, nil
	}
	if len(w.GetTimes()) != len(w.GetNodes()) {
		return t, broken("half a version")
	}
	t = register.Tags{Sent: true, Any: w.GetAny()}
	for i, time := range w.GetTimes() {
		t.Versions = append(t.Versions, stamp(time, w.GetNodes()[i]))
	}
	return t, nil
}

func encodeReport(r *register.Report) *wire.Report {
	return &wire.Report{
		VersionTime: uint64(r.Outcome.Version.Time), VersionNode: uint32(r.Outcome.Version.Node), Replaced: r.Outcome.Replaced,
		Changed: r.Changed, Sent: r.Sent, Lost: r.Lost, Fault: encodeFault(r.Err), Clock: uint64(r.Clock),
	}
}

func decodeReport(w *wire.Report) register.Report {
	return register.Report{
		Outcome: register.Outcome{Version: stamp(w.GetVersionTime(), w.GetVersionNode()), Replaced: w.GetReplaced()},
		Changed: w.GetChanged(), Sent: w.GetSent(), Lost: w.GetLost(), Err: decodeFault(w.GetFault()), Clock: register.Time(w.GetClock()),
	}
}

func encodeValue(v *register.Value) *wire.Value {
	return &wire.Value{Length: v.Length, Sum: v.Sum, Inline: v.Inline, StageTime: uint64(v.Stage.Time), StageNode: uint32(v.Stage.Node)}
}

func decodeValue(w *wire.Value) (register.Value, error) {
	v := register.Value{Length: w.GetLength(), Sum: w.GetSum(), Inline: w.GetInline(), Stage: stamp(w.GetStageTime(), w.GetStageNode())}
	if v.Length < 0 || v.Inline != nil && int64(len(v.Inline)) != v.Length {
		return v, broken("a value of an impossible length")
	}
	return v, nil
}

func decodeKey(b []byte) (key.Key, error) {
	if len(b) == 0 || len(b) > key.Max {
		return "", broken("a key of an impossible length")
	}
	return key.Key(b), nil
}
