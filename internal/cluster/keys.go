package cluster

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/estorajed/estorajed/internal/ring"
)

// Keys in etcd. All begin with prefix; what is agreed upon is under agreed, so that a watch of it is not woken by the rest.
const (
	prefix       = "/estorajed/"
	agreed       = prefix + "agreed/"
	settingsKey  = agreed + "settings"      // JSON of Settings; never changed
	initialKey   = agreed + "initial"       // JSON: names of the nodes that the cluster began with; never changed
	numberKey    = agreed + "number"        // the highest node number that was given; only grows
	memberPrefix = agreed + "members/"      // and the name: JSON of Member
	tableKey     = agreed + "ring"          // ring.Table, encoded
	alivePrefix  = prefix + "alive/"        // and the name: the start number; bound to a lease
	defragKey    = prefix + "defragmenting" // name of the voter that does it now; bound to its lease
)

// A board is what stands under agreed: key to value.
type board map[string]*mvccpb.KeyValue

// newest is the revision of the last change that is still seen, and how many keys there are: both the same, nothing has changed.
func (b board) newest() (revision int64, keys int) {
	for _, kv := range b {
		revision = max(revision, kv.ModRevision)
	}
	return revision, len(b)
}

// decode reads a value that is JSON.
func (b board) decode(key string, into any) error {
	kv := b[key]
	if kv == nil {
		return errIncomplete
	}
	if err := json.Unmarshal(kv.Value, into); err != nil {
		return fmt.Errorf("etcd key %s: %w", key, err)
	}
	return nil
}

func (b board) settings() (s Settings, err error) { return s, b.decode(settingsKey, &s) }

// member is the registration of that name; kv is nil if there is none.
func (b board) member(name string) (m Member, kv *mvccpb.KeyValue, err error) {
	kv = b[memberPrefix+name]
	if kv == nil {
		return Member{}, nil, nil
	}
	return m, kv, b.decode(memberPrefix+name, &m)
}

// members are the registered nodes, by number.
func (b board) members() ([]Member, error) {
	var list []Member
	for key := range b {
		name, is := strings.CutPrefix(key, memberPrefix)
		if !is {
			continue
		}
		m, _, err := b.member(name)
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b Member) int { return cmp.Compare(a.Node, b.Node) })
	return list, nil
}

// errIncomplete: the cluster is still being formed.
var errIncomplete = errors.New("etcd holds no whole view yet")

// view is what the board says, if it is complete.
func (b board) view() (v View, err error) {
	table := b[tableKey]
	if table == nil {
		return View{}, errIncomplete
	}
	if v.Settings, err = b.settings(); err != nil {
		return View{}, err
	}
	if v.Members, err = b.members(); err != nil {
		return View{}, err
	}
	if v.Table, err = ring.Decode(table.Value); err != nil {
		return View{}, fmt.Errorf("etcd key %s: %w", tableKey, err)
	}
	v.TableRevision = table.ModRevision
	return v, nil
}

// encoded is v as JSON. Only plain structs come here, which always can be.
func encoded(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// weightSteps is how finely weights are told apart, where the heaviest allows it.
const weightSteps = 1000

// firstTable is the table that a new cluster begins with.
func firstTable(s Settings, members []Member) (*ring.Table, error) {
	empty, err := ring.New(s.Partitions)
	if err != nil {
		return nil, err
	}
	return ring.Plan(empty, planned(members), s.Replicas)
}

// planned is how the planner sees members. Its weights are whole numbers: all are multiplied alike, and nobody's becomes 0.
func planned(members []Member) []ring.Member {
	scale := float64(weightSteps)
	for _, m := range members {
		scale = min(scale, ring.WeightMax/m.Weight)
	}
	var list []ring.Member
	for _, m := range members {
		weight := uint32(max(1, math.Round(m.Weight*scale)))
		list = append(list, ring.Member{ID: m.Node, Weight: min(weight, ring.WeightMax), Zone: m.Zone})
	}
	return list
}
