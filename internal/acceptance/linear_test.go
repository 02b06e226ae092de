package acceptance

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// The kinds of operation in a history.
const (
	histGet = iota
	histPut
	histDelete
	histIfMatch  // a put upon the value that a client has seen before
	histIfAbsent // a put upon nothing
)

// How an operation of a history ended. What surely did nothing is left out of the history.
const (
	histDone    = iota
	histRefused // 412: the condition did not hold
	histUnknown // it may take effect at any time from its beginning on, or never
)

// A histInput is what a client asked for. Values are told apart by their ids; 0 is no value.
type histInput struct {
	key     string
	kind    int
	value   uint64 // that is put
	expects uint64 // of If-Match
}

// A histOutput is what a client was told.
type histOutput struct {
	how     int
	value   uint64 // that was read
	created bool   // 201: surely upon nothing
}

// A key's whole state is the id of its value.
type histState uint64

// history is the model that histories of a cluster are judged by, one key at a time.
var history = porcupine.Model{
	Partition: byKey,
	Init:      func() any { return histState(0) },
	Step: func(state, input, output any) (bool, any) {
		return state.(histState).step(input.(histInput), output.(histOutput))
	},
	DescribeOperation: func(input, output any) string { return describe(input.(histInput), output.(histOutput)) },
	DescribeState:     func(state any) string { return fmt.Sprint(state) },
}

func byKey(all []porcupine.Operation) (parts [][]porcupine.Operation) {
	at := map[string]int{}
	for _, op := range all {
		key := op.Input.(histInput).key
		i, known := at[key]
		if !known {
			i = len(parts)
			at[key] = i
			parts = append(parts, nil)
		}
		parts[i] = append(parts[i], op)
	}
	return parts
}

// step tells whether an operation may do that to this state, and what it makes of it.
func (s histState) step(in histInput, out histOutput) (bool, histState) {
	holds, next := true, histState(in.value)
	switch in.kind {
	case histGet:
		return out.value == uint64(s), s
	case histDelete:
		return true, 0
	case histIfMatch:
		holds = uint64(s) == in.expects
	case histIfAbsent:
		holds = s == 0
	}
	switch {
	case out.how == histUnknown && !holds:
		return true, s
	case out.how == histUnknown:
		return true, next
	case out.how == histRefused:
		return !holds, s
	}
	return holds && (s == 0 || !out.created), next // 200 is also said when nobody knows
}

func describe(in histInput, out histOutput) string {
	what := []string{"get", "put %d", "delete", "put %d if %d", "put %d if nothing"}[in.kind]
	switch in.kind {
	case histPut, histIfAbsent:
		what = fmt.Sprintf(what, in.value)
	case histIfMatch:
		what = fmt.Sprintf(what, in.value, in.expects)
	}
	told := []string{"", ": no", ": ?"}[out.how]
	switch {
	case in.kind == histGet:
		told = fmt.Sprintf(": %d", out.value)
	case out.created:
		told = ": created"
	}
	return what + told
}

const judgePatience = 2 * time.Minute // it takes seconds, or it is a history that nobody can judge

// judge fails the test if the history is not linearizable, or nobody can tell within the patience; it leaves a picture then.
func judge(t testing.TB, all []porcupine.Operation) {
	t.Helper()
	result, info := porcupine.CheckOperationsVerbose(history, all, judgePatience)
	if result == porcupine.Ok {
		return
	}
	dir, err := os.MkdirTemp("", "estorajed-history-")
	if err != nil {
		t.Fatal(err)
	}
	picture := filepath.Join(dir, "history.html")
	if err := porcupine.VisualizePath(history, info, picture); err != nil {
		t.Error(err)
	}
	t.Errorf("the history of %d operations is judged %s; see %s", len(all), result, picture)
}

// never stands for the return of an operation whose outcome is unknown.
const never = math.MaxInt64

// The judge must find what is wrong, and accept what is right.
func TestHistoriesAreJudged(t *testing.T) {
	op := func(call, ret int64, in histInput, out histOutput) porcupine.Operation {
		in.key = "k"
		return porcupine.Operation{Input: in, Call: call, Output: out, Return: ret}
	}
	put := func(call, ret int64, value uint64, created bool) porcupine.Operation {
		return op(call, ret, histInput{kind: histPut, value: value}, histOutput{created: created})
	}
	get := func(call, ret int64, value uint64) porcupine.Operation {
		return op(call, ret, histInput{kind: histGet}, histOutput{value: value})
	}
	unknown := func(call int64, in histInput) porcupine.Operation {
		return op(call, never, in, histOutput{how: histUnknown})
	}
	for _, tc := range []struct {
		name string
		all  []porcupine.Operation
		want porcupine.CheckResult
	}{
		{"one after the other", []porcupine.Operation{put(1, 2, 7, true), get(3, 4, 7), put(5, 6, 8, false), get(7, 8, 8)}, porcupine.Ok},
		{"an old value", []porcupine.Operation{put(1, 2, 7, true), put(3, 4, 8, false), get(5, 6, 7)}, porcupine.Illegal},
		{"a lost value", []porcupine.Operation{put(1, 2, 7, true), get(3, 4, 0)}, porcupine.Illegal},
		{"a value that was seen and then was not", []porcupine.Operation{put(1, 9, 7, true), get(2, 3, 7), get(4, 5, 0)}, porcupine.Illegal},
		{"created twice", []porcupine.Operation{put(1, 2, 7, true), put(3, 4, 8, true)}, porcupine.Illegal},
		{
			"a deleted value that is back",
			[]porcupine.Operation{put(1, 2, 7, true), op(3, 4, histInput{kind: histDelete}, histOutput{}), get(5, 6, 7)},
			porcupine.Illegal,
		},
		{"an unknown write that shows late", []porcupine.Operation{put(1, 2, 7, true), unknown(3, histInput{kind: histPut, value: 8}), get(4, 5, 7), get(8, 9, 8)}, porcupine.Ok},
		{"an unknown write that comes and goes", []porcupine.Operation{put(1, 2, 7, true), unknown(3, histInput{kind: histPut, value: 8}), get(4, 5, 8), get(8, 9, 7)}, porcupine.Illegal},
		{"an unknown write that took no effect", []porcupine.Operation{put(1, 2, 7, true), unknown(3, histInput{kind: histIfMatch, value: 8, expects: 6}), get(4, 5, 7)}, porcupine.Ok},
		{"an unknown write that could not", []porcupine.Operation{put(1, 2, 7, true), unknown(3, histInput{kind: histIfMatch, value: 8, expects: 6}), get(4, 5, 8)}, porcupine.Illegal},
		{
			"a condition that held, and was refused",
			[]porcupine.Operation{put(1, 2, 7, true), op(3, 4, histInput{kind: histIfMatch, value: 8, expects: 7}, histOutput{how: histRefused})},
			porcupine.Illegal,
		},
		{
			"two who both found nothing",
			[]porcupine.Operation{
				op(1, 5, histInput{kind: histIfAbsent, value: 7}, histOutput{created: true}),
				op(2, 6, histInput{kind: histIfAbsent, value: 8}, histOutput{created: true}),
			},
			porcupine.Illegal,
		},
	} {
		if got := porcupine.CheckOperationsTimeout(history, tc.all, judgePatience); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}
