package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/estorajed/estorajed/internal/peer/wire"
	"github.com/estorajed/estorajed/internal/register"
)

// acrossFault is an error as the other end finds it.
func acrossFault(t *testing.T, err error) error {
	t.Helper()
	b, failed := proto.Marshal(&wire.Envelope{Fault: encodeFault(err)})
	if failed != nil {
		t.Fatal(failed)
	}
	e := &wire.Envelope{}
	if failed := proto.Unmarshal(b, e); failed != nil {
		t.Fatal(failed)
	}
	return decodeFault(e.GetFault())
}

func TestErrorsKeepTheirMeaning(t *testing.T) {
	sentinels := []error{
		register.ErrPrecondition, register.ErrFull, register.ErrFailed, register.ErrOverload, register.ErrNoBytes, register.ErrStopped,
		context.Canceled, context.DeadlineExceeded,
	}
	for _, tc := range []struct {
		name string
		err  error
		is   []error
	}{
		{"full", register.ErrFull, []error{register.ErrFull}},
		{"failed", fmt.Errorf("put: %w", register.ErrFailed), []error{register.ErrFailed}},
		{"overload", register.ErrOverload, []error{register.ErrOverload}},
		{"stopped", register.ErrStopped, []error{register.ErrStopped}},
		{"precondition", register.ErrPrecondition, []error{register.ErrPrecondition}},
		{"no bytes", &register.NothingError{Cause: register.ErrNoBytes}, []error{register.ErrNoBytes}},
		{"nothing was written", fmt.Errorf("accept at n3: %w", &register.NothingError{Cause: fmt.Errorf("x: %w", register.ErrFull)}), []error{register.ErrFull}},
		{"nothing, for a cause without a type", &register.NothingError{Cause: errOther}, nil},
		{"unknown", &register.UnknownError{Cause: context.DeadlineExceeded}, []error{context.DeadlineExceeded}},
		{"quorum", &register.QuorumError{Partition: 311, Answered: 1, Replicas: 3, RetryAfter: 2 * time.Second, Cause: register.ErrFailed}, []error{register.ErrFailed}},
		{"quorum without a cause", &register.QuorumError{Partition: 3, Replicas: 3}, nil},
		{"quorum with its detail", &register.QuorumError{Answered: 1, Replicas: 3, Detail: "n2 down for 40s", Cause: register.ErrFailed}, []error{register.ErrFailed}},
		{"not ready", fmt.Errorf("get: %w", &register.NotReadyError{Why: "waiting for n2"}), nil},
		{"damage", fmt.Errorf("look: %w", &register.DamageError{Where: "p0311.g7/k", What: "a checksum is wrong"}), nil},
		{"skew", &register.SkewError{Ahead: 25 * time.Hour}, nil},
		{"canceled", context.Canceled, []error{context.Canceled}},
		{"deadline", fmt.Errorf("wait: %w", context.DeadlineExceeded), []error{context.DeadlineExceeded}},
		{"two in one", errors.Join(register.ErrFull, register.ErrStopped), []error{register.ErrFull, register.ErrStopped}},
		{"another", errOther, nil},
		{"another, wrapped", fmt.Errorf("read: %w", errOther), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := acrossFault(t, tc.err)
			if got.Error() != tc.err.Error() {
				t.Errorf("it says %q, not %q", got, tc.err)
			}
			for _, sentinel := range sentinels {
				if was, is := errors.Is(tc.err, sentinel), errors.Is(got, sentinel); was != is {
					t.Errorf("it is %q: %v before, %v after", sentinel, was, is)
				}
			}
			for _, want := range tc.is {
				if !errors.Is(got, want) {
					t.Errorf("it is not %q any more", want)
				}
			}
			same[*register.NothingError](t, got, tc.err)
			same[*register.UnknownError](t, got, tc.err)
			same[*register.QuorumError](t, got, tc.err)
			same[*register.DamageError](t, got, tc.err)
			same[*register.SkewError](t, got, tc.err)
			same[*register.NotReadyError](t, got, tc.err)
		})
	}
}

// same compares what errors.AsType finds in two errors, causes by their texts.
func same[E error](t *testing.T, got, want error) {
	t.Helper()
	a, isA := errors.AsType[E](got)
	b, isB := errors.AsType[E](want)
	if isA != isB {
		t.Errorf("%T is in it: %v, before: %v", b, isA, isB)
		return
	}
	if !isA {
		return
	}
	x, y := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	for i := range x.NumField() {
		if x.Type().Field(i).Name == "Cause" {
			continue // the text of the whole tells it, and what it is was compared
		}
		if !reflect.DeepEqual(x.Field(i).Interface(), y.Field(i).Interface()) {
			t.Errorf("%s is %v, not %v", x.Type().Field(i).Name, x.Field(i), y.Field(i))
		}
	}
}

func TestUnreachableFromThereIsNotUnreachableFromHere(t *testing.T) {
	there := &register.QuorumError{Replicas: 3, Cause: &DownError{Node: 3, Cause: io.EOF, Unsent: true}}
	if got := acrossFault(t, there); errors.Is(got, register.ErrUnreachable) {
		t.Errorf("%v counts as unreachable", got)
	}
	if got := acrossFault(t, errOtherLife); !errors.Is(got, register.ErrUnreachable) {
		t.Errorf("%v does not count as unreachable", got)
	}
}

func TestFaultsAreBounded(t *testing.T) {
	deep, wide := error(register.ErrFull), []error(nil)
	for range 1000 {
		deep = fmt.Errorf("x: %w", deep)
		wide = append(wide, register.ErrFull)
	}
	for name, err := range map[string]error{
		"deep": deep, "wide": errors.Join(wide...), "long": errors.New(strings.Repeat("é", 1<<20)), "not text": errors.New("\xff\xfe"),
	} {
		b, failed := proto.Marshal(encodeFault(err))
		if failed != nil || len(b) > 64<<10 {
			t.Errorf("%s: %d bytes, %v", name, len(b), failed)
		}
		if text := acrossFault(t, err).Error(); !utf8.ValidString(text) || text == "" {
			t.Errorf("%s: it says %q", name, text)
		}
	}
}

func TestNoFaultBreaksItsReader(t *testing.T) {
	endless := &wire.Fault{Code: wire.Fault_NOTHING}
	for range 100 {
		endless = &wire.Fault{Code: wire.Fault_UNKNOWN, Causes: []*wire.Fault{endless}}
	}
	for name, f := range map[string]*wire.Fault{
		"nothing without a cause": {Code: wire.Fault_NOTHING}, "unknown without a cause": {Code: wire.Fault_UNKNOWN},
		"a code to come": {Code: 99, Text: "x"}, "empty": {}, "deeper than any of ours": endless,
	} {
		if err := decodeFault(f); err == nil {
			t.Errorf("%s: no error", name)
		} else {
			_ = err.Error()
		}
	}
	if decodeFault(nil) != nil || encodeFault(nil) != nil {
		t.Error("no error becomes one")
	}
}
