package peer

import (
	"fmt"
	"time"

	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
)

// A DownError says that there is no answer of a node because it is, or went, down. If the question surely never left this
// process, it is a register.ErrUnreachable too.
type DownError struct {
	Node   ring.NodeID
	Since  time.Time // of the end of its last session, or from when on it is looked for
	Cause  error
	Unsent bool
}

func (e *DownError) Error() string {
	return fmt.Sprintf("%v is down for %v: %v", e.Node, time.Since(e.Since).Round(time.Millisecond), e.Cause)
}

func (e *DownError) Unwrap() error { return e.Cause }

// Is tells errors.Is that an unsent question was not begun.
func (e *DownError) Is(target error) bool { return e.Unsent && target == register.ErrUnreachable }

// An unbegunError is why something was surely not begun at the other node.
type unbegunError struct {
	cause error
}

func (e *unbegunError) Error() string        { return e.cause.Error() + "; nothing was begun" }
func (e *unbegunError) Unwrap() error        { return e.cause }
func (e *unbegunError) Is(target error) bool { return target == register.ErrUnreachable }
