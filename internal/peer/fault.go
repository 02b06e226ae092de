package peer

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/estorajed/estorajed/internal/peer/wire"
	"github.com/estorajed/estorajed/internal/register"
)

// Errors cross the wire with their meaning: what errors.Is and errors.As found there, they find here. Of all others the text
// remains, so that nothing is taken here for something it was not there: a node that was unreachable from there is none that is
// unreachable from here.

// errOtherLife is how a server refuses what was meant for another life of its node: a register.ErrUnreachable, on both sides.
var errOtherLife error = &unbegunError{errors.New("it has been restarted")}

// sentinels are the errors that are values.
var sentinels = [...]struct {
	code wire.Fault_Code
	err  error
}{
	{wire.Fault_PRECONDITION, register.ErrPrecondition},
	{wire.Fault_FULL, register.ErrFull},
	{wire.Fault_FAILED, register.ErrFailed},
	{wire.Fault_OVERLOAD, register.ErrOverload},
	{wire.Fault_NO_BYTES, register.ErrNoBytes},
	{wire.Fault_STOPPED, register.ErrStopped},
	{wire.Fault_CANCELED, context.Canceled},
	{wire.Fault_DEADLINE, context.DeadlineExceeded},
	{wire.Fault_OTHER_LIFE, errOtherLife},
}

// encodeFault writes an error down; nil for nil.
func encodeFault(err error) *wire.Fault {
	if err == nil {
		return nil
	}
	parts := faultParts
	return encodePart(err, faultDepth, &parts)
}

// encodePart writes err and, while there is room, what it wraps.
func encodePart(err error, depth int, parts *int) *wire.Fault {
	*parts--
	for _, s := range sentinels {
		if err == s.err {
			return &wire.Fault{Code: s.code}
		}
	}
	f := &wire.Fault{}
	var causes []error
	switch e := err.(type) { // the error itself, not what it wraps: that is a part of its own
	case *register.NothingError:
		f.Code, causes = wire.Fault_NOTHING, []error{e.Cause}
	case *register.UnknownError:
		f.Code, causes = wire.Fault_UNKNOWN, []error{e.Cause}
	case *register.QuorumError:
		f.Code, f.Text, causes = wire.Fault_QUORUM, shortened(e.Detail), []error{e.Cause}
		f.Partition, f.Answered, f.Replicas, f.Nanoseconds = int64(e.Partition), int64(e.Answered), int64(e.Replicas), int64(e.RetryAfter)
	case *register.DamageError:
		f.Code, f.Where, f.Text = wire.Fault_DAMAGE, shortened(e.Where), shortened(e.What)
	case *register.NotReadyError:
		f.Code, f.Text = wire.Fault_NOT_READY, shortened(e.Why)
	case *register.SkewError:
		f.Code, f.Nanoseconds = wire.Fault_SKEW, int64(e.Ahead)
	case interface{ Unwrap() error }:
		f.Text, causes = shortened(err.Error()), []error{e.Unwrap()}
	case interface{ Unwrap() []error }:
		f.Text, causes = shortened(err.Error()), e.Unwrap()
	default:
		f.Text = shortened(err.Error())
	}
	for _, cause := range causes {
		if cause == nil {
			continue
		}
		if depth <= 1 || *parts <= 0 {
			break
		}
		f.Causes = append(f.Causes, encodePart(cause, depth-1, parts))
	}
	if f.Code == wire.Fault_TEXT && !telling(f.Causes) {
		f.Causes = nil
	}
	return f
}

// telling tells whether there is more to the causes than texts, which the outermost text repeats.
func telling(causes []*wire.Fault) bool {
	for _, c := range causes {
		if c.GetCode() != wire.Fault_TEXT || len(c.GetCauses()) > 0 {
			return true
		}
	}
	return false
}

// shortened is a text that fits, and that protobuf takes.
func shortened(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), faultText)], "?")
}

// decodeFault reads what encodeFault wrote, or what anybody else made up; nil for nil.
func decodeFault(f *wire.Fault) error {
	if f == nil {
		return nil
	}
	return decodePart(f, faultDepth)
}

var errUntold = errors.New("the cause was not told")

func decodePart(f *wire.Fault, depth int) error {
	for _, s := range sentinels {
		if f.GetCode() == s.code {
			return s.err
		}
	}
	var causes []error
	if depth > 1 {
		for _, c := range f.GetCauses()[:min(len(f.GetCauses()), faultParts)] {
			causes = append(causes, decodePart(c, depth-1))
		}
	}
	cause := errUntold
	if len(causes) > 0 {
		cause = causes[0]
	}
	switch f.GetCode() {
	case wire.Fault_NOTHING:
		return &register.NothingError{Cause: cause}
	case wire.Fault_UNKNOWN:
		return &register.UnknownError{Cause: cause}
	case wire.Fault_QUORUM:
		e := &register.QuorumError{
			Partition: int(f.GetPartition()), Answered: int(f.GetAnswered()), Replicas: int(f.GetReplicas()),
			Detail: f.GetText(), RetryAfter: time.Duration(f.GetNanoseconds()),
		}
		if len(causes) > 0 {
			e.Cause = cause
		}
		return e
	case wire.Fault_DAMAGE:
		return &register.DamageError{Where: f.GetWhere(), What: f.GetText()}
	case wire.Fault_NOT_READY:
		return &register.NotReadyError{Why: f.GetText()}
	case wire.Fault_SKEW:
		return &register.SkewError{Ahead: time.Duration(f.GetNanoseconds())}
	}
	return &distantError{f.GetText(), causes}
}

// A distantError is an error of another node that has no type of its own.
type distantError struct {
	text   string
	causes []error
}

func (e *distantError) Error() string   { return e.text }
func (e *distantError) Unwrap() []error { return e.causes }
