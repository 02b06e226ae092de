package simulation

import (
	"fmt"
	"hash/fnv"
	"math/bits"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
)

// A book is kept of each key, by somebody who sees all nodes at once: what was ever made of it, and where it became durable.
type book struct {
	key     key.Key
	hash    uint64
	part    int
	members []ring.NodeID
	cold    bool

	made     map[register.Stamp]*register.Record // by version
	parent   map[register.Stamp]register.Stamp   // of a version: the one that it was built on
	holders  map[register.Stamp]uint16           // by ballot: the nodes that ever held it durably
	asked    map[register.Stamp]register.Stamp   // by ballot: the version that some replica was told to store
	top      register.Record                     // chosen, with the highest ballot
	told     register.Stamp                      // the newest version that a client was told of
	known    []register.Stamp                    // versions of values that clients were told of, for conditions
	values   []string                            // by number; 0: none
	versions map[int32]register.Stamp            // under which clients were told of a value
	rotten   uint16                              // nodes whose copy was damaged
	never    map[register.Stamp]string           // operations of which a client was told that they did nothing, and how
}

func newBook(w *world, i int) *book {
	name := fmt.Sprintf("k%d", i)
	h := fnv.New64a()
	h.Write([]byte(name))
	b := &book{
		key: key.Key(name), hash: h.Sum64(), part: i % partCount, cold: i >= w.p.keys, values: []string{""},
		made: make(map[register.Stamp]*register.Record), parent: make(map[register.Stamp]register.Stamp),
		holders: make(map[register.Stamp]uint16), asked: make(map[register.Stamp]register.Stamp), never: make(map[register.Stamp]string),
		versions: make(map[int32]register.Stamp),
	}
	b.members = w.parts[b.part]
	return b
}

// newValue makes a value that no other write of the key has.
func (b *book) newValue(w *world) (number int32, content string) {
	number = int32(len(b.values))
	content = fmt.Sprintf("%s=%d", b.key, number)
	if w.percent(5) {
		content = strings.Repeat(content, 1+w.r.IntN(200))
	}
	b.values = append(b.values, content)
	return number, content
}

func valueOf(content string) register.Value {
	return register.Value{Length: int64(len(content)), Sum: xxhash.Sum64String(content)}
}

// base is the version that a record was built on; zero for 'no record'.
func base(r *register.Record) register.Stamp {
	if len(r.History) == 0 || r.History[0].Operation.IsZero() {
		return register.Stamp{}
	}
	return r.History[0].Version
}

// submitted: a replica is told to store a record. One ballot is one record, wherever it goes, and one version is one content.
func (w *world) submitted(n *node, b *book, r *register.Record) {
	if v, ok := b.asked[r.Ballot]; ok && v != r.Version {
		w.fail("%s: ballot %v stands for versions %v and %v", b.key, r.Ballot, v, r.Version)
	}
	b.asked[r.Ballot] = r.Version
	if high := n.holds[b]; r.Ballot.Less(high) {
		w.fail("%v is told to put ballot %v of %s over %v", n.id, r.Ballot, b.key, high)
	}
	old, ok := b.made[r.Version]
	if !ok {
		c := *r
		b.made[r.Version], b.parent[r.Version] = &c, base(r)
		if !base(r).Less(r.Version) {
			w.fail("%s: version %v was built on %v", b.key, r.Version, base(r))
		}
		return
	}
	if old.Operation != r.Operation || old.Kind != r.Kind || old.Value.Sum != r.Value.Sum || b.parent[r.Version] != base(r) {
		w.fail("%s: version %v has two contents: %+v and %+v", b.key, r.Version, *old, *r)
	}
}

// durable notes what surely is on a disk, and checks what must hold of it.
func (w *world) durable(n *node, b *book, r *register.Record) {
	if n.holds[b].Less(r.Ballot) {
		n.holds[b] = r.Ballot
	}
	if r.Ballot.IsZero() {
		return
	}
	before := b.holders[r.Ballot]
	now := before | 1<<n.id
	b.holders[r.Ballot] = now
	if now != before && bits.OnesCount16(now) == len(b.members)/2+1 {
		w.chosen(b, r)
	}
}

// shows checks what a store answers: never less than it has acknowledged.
func (w *world) shows(n *node, b *book, r *register.Record) {
	if r.Ballot.Less(n.holds[b]) && b.rotten&(1<<n.id) == 0 {
		w.fail("%v holds %v of %s durably, and shows %v", n.id, n.holds[b], b.key, r.Ballot)
	}
	if !r.Ballot.IsZero() && b.asked[r.Ballot] != r.Version {
		w.fail("%v shows ballot %v, version %v, of %s, that it was never given", n.id, r.Ballot, r.Version, b.key)
	}
	w.durable(n, b, r)
}

// serves checks the bytes that a store gives.
func (w *world) serves(n *node, b *book, r *register.Record, bytes []byte) {
	w.shows(n, b, r)
	if a := w.entries[r.Operation]; a == nil || string(bytes) != b.values[a.value] {
		w.fail("%v gives %d bytes of %s that nobody wrote as version %v", n.id, len(bytes), b.key, r.Version)
	}
}

// rots notes a damaged copy; there must be a reason for it.
func (w *world) rots(n *node, b *book, damage *register.DamageError) {
	if b.rotten&(1<<n.id) == 0 {
		w.fail("%v finds %s damaged, which nobody damaged: %v", n.id, b.key, damage)
	}
}

// recovered checks what is there after a start.
func (w *world) recovered(n *node) {
	for _, b := range w.books {
		r, err := n.store.Head(b.key)
		if err == nil {
			w.shows(n, b, &r)
		}
	}
}

// chosen: a majority has ever held r. It must have the states that were chosen at lower ballots in its past.
func (w *world) chosen(b *book, r *register.Record) {
	older, newer := &b.top, r
	if newer.Ballot.Less(older.Ballot) {
		older, newer = newer, older
	}
	w.logf("%s: CHOSEN %v, version %v, a %v of operation %v", b.key, r.Ballot, r.Version, r.Kind, r.Operation)
	if !b.within(older.Version, newer.Version) {
		w.fail("%s: chosen version %v is lost: %v was chosen at %v after %v", b.key, older.Version, newer.Version, newer.Ballot, older.Ballot)
	}
	if why := b.never[r.Operation]; why != "" {
		w.fail("%s: operation %v has an effect, but its client was told: %s", b.key, r.Operation, why)
	}
	b.top = *newer
}

// within tells whether old is version or in its past.
func (b *book) within(old, version register.Stamp) bool {
	for ; !version.IsZero(); version = b.parent[version] {
		if version == old {
			return true
		}
	}
	return old.IsZero()
}

// tells checks a version that a client is told of against what anybody had been told before it asked.
func (w *world) tells(b *book, before, version register.Stamp, what string) {
	if !b.within(before, version) {
		w.fail("%s: a %s tells of version %v, though %v had been told before it began", b.key, what, version, before)
	}
	if !b.within(version, b.top.Version) {
		w.fail("%s: a %s tells of version %v, which is not chosen; that is %v", b.key, what, version, b.top.Version)
	}
	if b.told.Less(version) {
		b.told = version
	}
}

// promiseNothing notes that a client is told that its write did and will do nothing.
func (w *world) promiseNothing(b *book, operation register.Stamp, why string) {
	b.never[operation] = why
	if b.happened(operation) {
		w.fail("%s: a client is told that operation %v did nothing (%s), but it is part of the key's past", b.key, operation, why)
	}
}

// happened tells whether the operation is in the past of what is chosen.
func (b *book) happened(operation register.Stamp) bool {
	for v := b.top.Version; !v.IsZero(); v = b.parent[v] {
		if b.made[v].Operation == operation {
			return true
		}
	}
	return false
}

// finalCheck looks at the books when all is over.
func (w *world) finalCheck() {
	for _, b := range w.books {
		ops := make(map[register.Stamp]register.Stamp)
		for v := b.top.Version; !v.IsZero(); v = b.parent[v] {
			op := b.made[v].Operation
			if other, twice := ops[op]; twice {
				w.fail("%s: operation %v was applied twice, as versions %v and %v", b.key, op, v, other)
			}
			ops[op] = v
			if why := b.never[op]; why != "" {
				w.fail("%s: operation %v has an effect, but its client was told: %s", b.key, op, why)
			}
		}
		if b.told.IsZero() {
			continue
		}
		held := 0
		for _, id := range b.members {
			n := w.node(id)
			if r, err := n.store.Head(b.key); err == nil && b.within(b.told, r.Version) || b.rotten&(1<<id) != 0 {
				held++
			}
		}
		if held <= len(b.members)/2 {
			w.fail("%s: version %v was acknowledged, and is on %d of %d disks", b.key, b.told, held, len(b.members))
		}
	}
}
