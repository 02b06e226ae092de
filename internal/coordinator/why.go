package coordinator

import (
	"errors"
	"slices"
	"strings"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
)

// account puts into the error of a decided operation what only the shell knows.
func (r *carriage) account() {
	_, err := r.op.Outcome()
	quorum, is := errors.AsType[*register.QuorumError](err)
	if !is {
		return
	}
	var heard []hearing
	if r.fan != nil {
		heard = r.fan.heard
	}
	r.explain(r.k, r.set, quorum, heard)
}

// lacking is the error of an operation for which there are too few replicas, for that cause.
func (c *Coordinator) lacking(k key.Key, set ring.Set, cause error, heard []hearing) error {
	quorum := &register.QuorumError{Cause: cause}
	c.explain(k, set, quorum, heard)
	return quorum
}

// explain fills in where a quorum is missing and whose answers lacked. A replica that was not asked, or not waited for, as the others could not
// make up a quorum with it anyway, counts as one that answered.
func (c *Coordinator) explain(k key.Key, set ring.Set, quorum *register.QuorumError, heard []hearing) {
	quorum.Partition, _ = c.place(k)
	quorum.RetryAfter = retryAfter
	quorum.Answered, quorum.Replicas = 0, 0
	var silent []string
	for node := range set.Members() {
		quorum.Replicas++
		if why := c.silence(node, heard); why != "" {
			silent = append(silent, c.name(node)+" "+why)
			continue
		}
		quorum.Answered++
	}
	quorum.Detail = strings.Join(silent, ", ")
}

// silence says why a replica gave no answer, for people; "" if it did.
func (c *Coordinator) silence(node ring.NodeID, heard []hearing) string {
	reached := c.up(node)
	if i := slices.IndexFunc(heard, func(h hearing) bool { return h.node == node }); i >= 0 {
		switch h := heard[i]; {
		case h.late:
			return "gave no answer"
		case h.waiting || h.err == nil:
			return ""
		case !errors.Is(h.err, register.ErrUnreachable):
			return saying(h.err)
		}
		reached = false
	}
	if reached {
		return ""
	}
	if w, can := c.peer(node).(interface{ Why() string }); can {
		if why := w.Why(); why != "" {
			return why
		}
	}
	return "not reached"
}

// saying puts an error of a replica into few words, without the names of its files.
func saying(err error) string {
	for _, known := range []struct {
		is   error
		text string
	}{
		{ErrLate, "gave no answer"},
		{register.ErrFull, "has a full disk"},
		{register.ErrFailed, "has a failed disk"},
		{register.ErrOverload, "is overloaded"},
		{register.ErrStopped, "is shutting down"},
		{register.ErrNoBytes, "has not got the value's bytes"},
	} {
		if errors.Is(err, known.is) {
			return known.text
		}
	}
	if damage, is := errors.AsType[*register.DamageError](err); is {
		return "has a damaged copy: " + damage.What
	}
	return "failed: " + err.Error()
}
