package store

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/estorajed/estorajed/internal/register"
)

// diskError says what was being done, and gives the system's errors that are not the disk's fault the house's names.
func diskError(doing string, err error) error {
	switch {
	case isFull(err):
		return fmt.Errorf("%s: %w: %w", doing, register.ErrFull, err)
	case isShort(err):
		return fmt.Errorf("%s: %w: %w", doing, register.ErrOverload, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// isFull: the file system has no room, now.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// isShort: the process or the system has no descriptors or memory left, now. Nothing was done then. A sync gives no such error.
func isShort(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM)
}

// passes tells whether what failed is worth trying again later: anything but a failed sync and an error of the disk.
func passes(err error) bool { return isFull(err) || isShort(err) }
