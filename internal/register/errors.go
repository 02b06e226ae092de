package register

import (
	"errors"
	"fmt"
	"time"
)

// The outcomes that are not success. Whoever returns one may wrap it with what it was doing; the edge tells them apart with
// errors.Is and errors.As and knows a status for each.
var (
	// ErrPrecondition: the condition that came with the operation does not hold; nothing was changed.
	ErrPrecondition = errors.New("the condition does not hold")
	// ErrFull: the disk is too full, or short of inodes; nothing was written.
	ErrFull = errors.New("the disk is full")
	// ErrFailed: the store saw a sync, or a write, fail and takes no more writes until the node is replaced or repaired.
	ErrFailed = errors.New("the store takes no writes since its disk failed")
	// ErrOverload: too much is under way; nothing was begun.
	ErrOverload = errors.New("too many operations are under way")
	// ErrNoBytes: a replica has not got the bytes of a record's value, and nobody it was told of gave them.
	ErrNoBytes = errors.New("the bytes of the value are not here")
	// ErrUnreachable: there is no way to the node now; nothing was begun there.
	ErrUnreachable = errors.New("the node cannot be reached")
	// ErrStopped: the node is shutting down; nothing was begun.
	ErrStopped = errors.New("the node is shutting down")
)

// A NotReadyError says that the node does not serve keys yet; nothing was begun.
type NotReadyError struct {
	Why string
}

func (e *NotReadyError) Error() string { return "this node does not serve yet: " + e.Why }

// An UnknownError says that a write was begun and its outcome cannot be told: it may have been applied, or be applied later.
type UnknownError struct {
	Cause error
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("outcome unknown: %v; read the key before writing again", e.Cause)
}

func (e *UnknownError) Unwrap() error { return e.Cause }

// A QuorumError says that too few replicas answered; nothing was written.
type QuorumError struct {
	Partition  int
	Answered   int
	Replicas   int
	Detail     string // which replicas gave no answer, and why; of the shell's making, may be empty
	RetryAfter time.Duration
	Cause      error // of the replica that failed last; may be nil
}

func (e *QuorumError) Error() string {
	s := fmt.Sprintf("no quorum for partition %d: %d of %d replicas answered", e.Partition, e.Answered, e.Replicas)
	if e.Detail != "" {
		return s + " (" + e.Detail + "); nothing was written"
	}
	s += "; nothing was written"
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

func (e *QuorumError) Unwrap() error { return e.Cause }

// A DamageError says that this replica's copy of a key cannot be trusted: it answers neither with a value nor with 'absent'.
type DamageError struct {
	Where string // the file, for the operator
	What  string // what was found to be wrong with it
}

func (e *DamageError) Error() string { return fmt.Sprintf("damaged copy: %s: %s", e.Where, e.What) }
