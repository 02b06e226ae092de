package acceptance

import (
	"errors"
	"net/http"
	"strings"
	"testing"
)

// The ledger is what the crash tests rest on: it must find each way to break a promise, and accept what is allowed.
func TestLedgerFindsEveryBrokenPromise(t *testing.T) {
	const key = "k"
	found := func(seq uint64) answer { return answer{status: http.StatusOK, body: makeValue(key, seq, 100)} }
	absent := answer{status: http.StatusNotFound}
	put, remove := state{2, true}, state{2, false}
	for _, tc := range []struct {
		name  string
		acked state
		open  []state
		got   answer
		want  string // in the violation; "" if there is none
	}{
		{"the acknowledged value", put, nil, found(2), ""},
		{"the acknowledged delete", remove, nil, absent, ""},
		{"nothing was ever written", state{}, nil, absent, ""},
		{"an open write was applied", put, []state{{3, true}}, found(3), ""},
		{"an open write was not applied", put, []state{{3, true}}, found(2), ""},
		{"an open delete was applied", put, []state{{3, false}}, absent, ""},
		{"an open delete was not applied", put, []state{{3, false}}, found(2), ""},
		{"an open first write was not applied", state{}, []state{{1, true}}, absent, ""},
		{"one of two open writes was applied", put, []state{{3, false}, {4, true}}, found(4), ""},
		{"lost", put, nil, absent, "lost"},
		{"lost while another write was open", put, []state{{3, true}}, absent, "lost"},
		{"older", put, nil, found(1), "older"},
		{"resurrected", remove, nil, found(1), "deleted key is back"},
		{"a refused write was applied", put, nil, found(4), "refused"},
		{"invented", put, nil, found(9), "nobody wrote"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := &account{key: key, tried: 4, acked: tc.acked, open: tc.open}
			verdict(t, a.check(tc.got), tc.want)
		})
	}
}

func TestLedgerFindsTornValues(t *testing.T) {
	whole := makeValue("k", 7, 1000)
	flipped := append([]byte{}, whole...)
	flipped[len(flipped)/2] ^= 1
	for _, tc := range []struct {
		name  string
		value []byte
		want  string
	}{
		{"whole", whole, ""},
		{"cut short", whole[:len(whole)-1], "torn"},
		{"one bit flipped", flipped, "torn"},
		{"empty", nil, "not its own"},
		{"zeros", make([]byte, len(whole)), "not its own"},
		{"of another key", makeValue("other", 7, 1000), "not its own"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			seq, err := readValue("k", tc.value)
			verdict(t, err, tc.want)
			if err == nil && seq != 7 {
				t.Errorf("sequence %d, want 7", seq)
			}
		})
	}
}

func verdict(t *testing.T, err error, want string) {
	t.Helper()
	v := violation("")
	switch {
	case want == "" && err != nil:
		t.Errorf("got %v, want no violation", err)
	case want != "" && (!errors.As(err, &v) || !strings.Contains(err.Error(), want)):
		t.Errorf("got %v, want a violation with %q in it", err, want)
	}
}
