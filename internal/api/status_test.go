package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/estorajed/estorajed/internal/register"
)

func TestEveryOutcomeHasItsStatus(t *testing.T) {
	told := &register.QuorumError{Partition: 311, Answered: 1, Replicas: 3, Detail: "n2 down for 40s, n3 not reached", RetryAfter: 2 * time.Second, Cause: register.ErrUnreachable}
	quorum := &register.QuorumError{Partition: 311, Answered: 1, Replicas: 3, RetryAfter: 1500 * time.Millisecond}
	damage := &register.DamageError{Where: "/secret/place", What: "bad block"}
	for _, tc := range []struct {
		name   string
		err    error
		status int
		after  int // seconds in Retry-After
		reason string
		fault  bool
		part   string
	}{
		{"condition", register.ErrPrecondition, 412, 0, "", false, "nothing was changed"},
		{"full", register.ErrFull, 507, 0, ReasonFull, false, "nothing was written"},
		{"failed", register.ErrFailed, 503, 0, ReasonFailed, false, "another node"},
		{"overload", register.ErrOverload, 429, 1, ReasonOverload, false, "try again in 1s"},
		{"stopped", register.ErrStopped, 503, 1, ReasonDraining, false, "shutting down"},
		{"not ready", &register.NotReadyError{Why: "waiting for n2"}, 503, 1, ReasonNotReady, false, "waiting for n2; nothing was begun; try again in 1s"},
		{"quorum", quorum, 503, 2, "", true, "1 of 3 replicas answered; nothing was written; try again in 2s"},
		{"quorum that does not say when", &register.QuorumError{}, 503, 2, "", true, "try again in 2s"},
		{
			"quorum that knows who did not answer", told, 503, 2, "", true,
			"no quorum for partition 311: 1 of 3 replicas answered (n2 down for 40s, n3 not reached); nothing was written; try again in 2s",
		},
		{"quorum for a full disk", &register.QuorumError{Cause: register.ErrFull}, 507, 0, ReasonFull, false, "full"},
		{"quorum for damage", &register.QuorumError{Replicas: 3, Cause: damage}, 503, 2, "", true, "0 of 3 replicas answered; nothing was written: bad block"},
		{"unknown", &register.UnknownError{Cause: errors.New("1 of 2 acks")}, 504, 0, "", true, "outcome unknown: 1 of 2 acks; read the key"},
		{"unknown since the client left", &register.UnknownError{Cause: context.Canceled}, 504, 0, "", true, "unknown"},
		{"unknown for a full disk", &register.UnknownError{Cause: register.ErrFull}, 504, 0, "", true, "unknown"},
		{"damage", damage, 503, 0, "", true, "bad block"},
		{"client gone", context.Canceled, StatusClientGone, 0, "", false, ""},
		{"response not taken", &goneError{io.ErrShortWrite}, StatusClientGone, 0, "", false, ""},
		{"deadline", context.DeadlineExceeded, 504, 0, "", true, "outcome is unknown"},
		{"anything else", errors.New("secret"), 500, 0, "", true, "log has the cause"},
		{"a disk's error", &os.PathError{Op: "read", Path: "secret", Err: os.ErrInvalid}, 500, 0, "", true, "log has the cause"},
		{"body too long", &bodyError{&http.MaxBytesError{Limit: 7}}, 413, 0, ReasonTooLarge, false, "longer than 7 bytes"},
		{"body too slow", &bodyError{os.ErrDeadlineExceeded}, 408, 0, ReasonSlow, false, "too slowly"},
		{"body cut short", &bodyError{io.ErrUnexpectedEOF}, 400, 0, ReasonBadRequest, false, "before its declared end; nothing was stored"},
		{"body reset", &bodyError{&net.OpError{Op: "read", Err: os.ErrClosed}}, StatusClientGone, 0, "", false, ""},
		{"body garbled", &bodyError{errors.New("bad chunk")}, 400, 0, ReasonBadRequest, false, "bad chunk; nothing was stored"},
		{"own words", refuse(418, ReasonBadRequest, "teapot"), 418, 0, ReasonBadRequest, false, "teapot"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := answerTo(fmt.Errorf("write %q: %w", "k", tc.err))
			if a.status != tc.status || a.reason != tc.reason || a.fault != tc.fault || seconds(a.retryAfter) != tc.after {
				t.Errorf("answerTo(%v) = %+v", tc.err, a)
			}
			if a.reason != "" && !slices.Contains(Reasons(), a.reason) {
				t.Errorf("answerTo(%v): Reasons does not list %q", tc.err, a.reason)
			}
			if !strings.Contains(a.text, tc.part) || strings.Contains(a.text, "secret") {
				t.Errorf("answerTo(%v) says %q, want something of %q and no secret", tc.err, a.text, tc.part)
			}
		})
	}
}

func TestErrorsReachTheClientAndTheEvents(t *testing.T) {
	for _, tc := range []struct {
		err    error
		status int
		failed int
	}{
		{errors.New("disk on fire"), 500, 1},
		{register.ErrFull, 507, 0},
		{&register.QuorumError{Replicas: 3}, 503, 1},
	} {
		j := newJournal()
		keys := &memory{beforeWrite: func(context.Context) error { return tc.err }}
		addr := start(t, testConfig(keys, j))
		r := do(t, addr, "PUT", "/k", nil, "v")
		if r.StatusCode != tc.status {
			t.Errorf("%v = %d, want %d", tc.err, r.StatusCode, tc.status)
		}
		expectProblem(t, r, "")
		if s := j.last(t, 1); s.Status != tc.status || len(j.failed) != tc.failed {
			t.Errorf("%v: the events tell of %+v and failures %v", tc.err, s, j.failed)
		}
	}
}

func TestAPanicIsA500AndCounted(t *testing.T) {
	j := newJournal()
	c := testConfig(&memory{beforeWrite: func(context.Context) error { panic("bug") }}, j)
	addr := start(t, c)
	r := do(t, addr, "PUT", "/k", nil, "v")
	if r.StatusCode != 500 {
		t.Errorf("PUT = %d", r.StatusCode)
	}
	expectProblem(t, r, "internal error")
	if s := j.last(t, 1); s.Status != 500 || len(j.panicked) != 1 || j.panicked[0] != "bug" {
		t.Errorf("the events tell of %+v and panics %v", s, j.panicked)
	}
}

func TestAPanicAmidAResponseCutsTheConnection(t *testing.T) {
	j, keys := newJournal(), &memory{}
	keys.wrap = func(r io.ReadSeeker) io.ReadSeeker { return &panicking{r, 2} }
	addr := start(t, testConfig(keys, j))
	do(t, addr, "PUT", "/k", nil, strings.Repeat("x", 4*chunk))
	r := do(t, addr, "GET", "/k", nil, "")
	if r.StatusCode != 200 || len(r.body) >= 4*chunk {
		t.Errorf("GET = %d with %d bytes", r.StatusCode, len(r.body))
	}
	if s := j.last(t, 2); s.Status != 500 || len(j.panicked) != 1 {
		t.Errorf("the events tell of %+v and panics %v", s, j.panicked)
	}
}

type panicking struct {
	io.ReadSeeker
	left int
}

func (p *panicking) Read(b []byte) (int, error) {
	if p.left--; p.left < 0 {
		panic("bug")
	}
	return p.ReadSeeker.Read(b)
}

func TestEventsTellWhatARequestWas(t *testing.T) {
	j := newJournal()
	addr := start(t, testConfig(&memory{}, j))
	do(t, addr, "PUT", "/k", nil, "12345")
	do(t, addr, "GET", "/k", nil, "")
	do(t, addr, "BREW", "/k", nil, "")
	do(t, addr, "GET", "/_health", nil, "")
	do(t, addr, "GET", "/_other", nil, "")
	want := []Summary{
		{Route: RouteKey, Method: "PUT", Status: 201, BytesIn: 5},
		{Route: RouteKey, Method: "GET", Status: 200, BytesOut: 5},
		{Route: RouteKey, Method: MethodOther, Status: 405},
		{Route: RouteHealth, Method: "GET", Status: 200},
		{Route: RouteReserved, Method: "GET", Status: 404},
	}
	for i, w := range want {
		got := j.last(t, i+1)
		if got.Elapsed <= 0 || got.Elapsed > 5*time.Second {
			t.Errorf("%s %s took %v", got.Method, got.Route, got.Elapsed)
		}
		got.Elapsed = 0
		if w.BytesOut == 0 {
			got.BytesOut = 0
		}
		if got != w {
			t.Errorf("request %d is told as %+v, want %+v", i+1, got, w)
		}
		if j.started[i] != w.Route || !slices.Contains(Routes(), w.Route) {
			t.Errorf("request %d started on route %s", i+1, j.started[i])
		}
	}
}
