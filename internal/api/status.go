package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/estorajed/estorajed/internal/register"
)

// An answer is what a client is told when its request did not succeed.
type answer struct {
	status     int
	text       string
	retryAfter time.Duration     // 0: no such header
	header     map[string]string // further headers
	reason     string            // one of Reasons if it is a refusal
	fault      bool              // the cause is for the operator to know
}

// A refusal is an error of this room's own making: it knows its answer.
type refusal answer

func (r *refusal) Error() string { return r.text }

func refuse(status int, reason, format string, args ...any) error {
	return &refusal{status: status, reason: reason, text: fmt.Sprintf(format, args...)}
}

// A goneError says that the response could not be written: the client left, or stopped reading.
type goneError struct{ cause error }

func (e *goneError) Error() string { return "the client is gone: " + e.cause.Error() }
func (e *goneError) Unwrap() error { return e.cause }

// A bodyError is what reading the request's body gave.
type bodyError struct{ cause error }

func (e *bodyError) Error() string { return "read the body: " + e.cause.Error() }
func (e *bodyError) Unwrap() error { return e.cause }

const (
	textInternal = "internal error: the node's log has the cause under this trace id; read the key before writing again"

	soon = time.Second     // until a passing overload or a restart is tried again
	wait = 2 * time.Second // until a missing quorum is, if it does not say itself
)

// answerTo is the one place where outcomes become statuses. What is more certain comes first: an unknown outcome wraps its
// cause, and so does a missing quorum, but a full disk is worth its own status even as the cause of that.
func answerTo(err error) answer {
	if a, ok := errors.AsType[*refusal](err); ok {
		return answer(*a)
	}
	if unknown, ok := errors.AsType[*register.UnknownError](err); ok {
		return answer{status: http.StatusGatewayTimeout, text: unknown.Error(), fault: true}
	}
	if b, ok := errors.AsType[*bodyError](err); ok {
		return answerToBody(b.cause)
	}
	if _, ok := errors.AsType[*goneError](err); ok {
		return answer{status: StatusClientGone, text: err.Error()}
	}
	_, lacking := errors.AsType[*register.QuorumError](err) // then the cause is some other node's
	switch {
	case errors.Is(err, register.ErrPrecondition):
		return answer{
			status: http.StatusPreconditionFailed,
			text:   "If-Match or If-None-Match does not hold for the key as it is now; nothing was changed",
		}
	case errors.Is(err, register.ErrFull):
		return answer{
			status: http.StatusInsufficientStorage, reason: ReasonFull,
			text: "the disk is full, here or at too many of the key's replicas; nothing was written; reads and deletes go on, writes come back when there is room",
		}
	case errors.Is(err, register.ErrFailed) && !lacking:
		return answer{
			status: http.StatusServiceUnavailable, reason: ReasonFailed,
			text: "a sync of this node's disk failed and it takes no more writes; nothing was written; try another node, and replace this one",
		}
	case errors.Is(err, register.ErrOverload):
		return answer{
			status: http.StatusTooManyRequests, retryAfter: soon, reason: ReasonOverload,
			text: "too many operations are under way; nothing was begun; try again in 1s",
		}
	}
	return answerToNode(err)
}

// answerToNode goes on with what a node or its partition cannot do now.
func answerToNode(err error) answer {
	if q, ok := errors.AsType[*register.QuorumError](err); ok {
		after := q.RetryAfter
		if after <= 0 {
			after = wait
		}
		public := *q
		if d, ok := errors.AsType[*register.DamageError](q.Cause); ok {
			public.Cause = errors.New(d.What) // where is for the operator
		}
		return answer{
			status: http.StatusServiceUnavailable, retryAfter: after, fault: true,
			text: fmt.Sprintf("%v; try again in %ds", &public, seconds(after)),
		}
	}
	if d, ok := errors.AsType[*register.DamageError](err); ok {
		return answer{
			status: http.StatusServiceUnavailable, fault: true,
			text: fmt.Sprintf("the copy of this key is damaged (%s) and is not served; it can be written anew, or repaired from another replica", d.What),
		}
	}
	if n, ok := errors.AsType[*register.NotReadyError](err); ok {
		return answer{
			status: http.StatusServiceUnavailable, retryAfter: soon, reason: ReasonNotReady,
			text: n.Error() + "; nothing was begun; try again in 1s, or another node",
		}
	}
	switch {
	case errors.Is(err, register.ErrStopped):
		return answer{
			status: http.StatusServiceUnavailable, retryAfter: soon, reason: ReasonDraining,
			text: "this node is shutting down; nothing was begun; try again in 1s, or another node",
		}
	case errors.Is(err, context.Canceled):
		return answer{status: StatusClientGone, text: "the client is gone"}
	case errors.Is(err, context.DeadlineExceeded):
		return answer{
			status: http.StatusGatewayTimeout, fault: true,
			text: "no answer in time; if this was a write its outcome is unknown: read the key before writing again",
		}
	}
	return answer{status: http.StatusInternalServerError, fault: true, text: textInternal}
}

// answerToBody tells what was wrong with a body; whatever it was, nothing was stored.
func answerToBody(cause error) answer {
	if large, ok := errors.AsType[*http.MaxBytesError](cause); ok {
		return answer(*tooLarge(large.Limit))
	}
	if errors.Is(cause, os.ErrDeadlineExceeded) {
		return answer{
			status: http.StatusRequestTimeout, reason: ReasonSlow,
			header: map[string]string{"Connection": "close"},
			text:   "the body came too slowly; nothing was stored",
		}
	}
	if errors.Is(cause, io.ErrUnexpectedEOF) {
		return answer{
			status: http.StatusBadRequest, reason: ReasonBadRequest,
			text: "the body ended before its declared end; nothing was stored",
		}
	}
	if _, ok := errors.AsType[*net.OpError](cause); ok {
		return answer{status: StatusClientGone, text: "the client is gone"}
	}
	return answer{
		status: http.StatusBadRequest, reason: ReasonBadRequest,
		text: fmt.Sprintf("the body cannot be read: %v; nothing was stored", cause),
	}
}

func tooLarge(limit int64) *refusal {
	return &refusal{
		status: http.StatusRequestEntityTooLarge, reason: ReasonTooLarge,
		text: fmt.Sprintf("the value is longer than %d bytes, the most that is taken (-max-value-size); nothing was stored", limit),
	}
}

// seconds rounds up: the header knows nothing shorter than one second.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
