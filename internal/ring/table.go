package ring

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
)

// Limits of a table. With them its encoded form stays well below the 1.5 MiB that etcd takes as one value.
const (
	PartitionsMax = 1 << 14
	NodesMax      = 1 << 12 // named in one table
)

// A Table says who holds which partition. Once made it is never changed, so it may be shared freely.
type Table struct {
	Epoch uint64 // grows by one with each change; 0 before the first table
	Sets  []Set  // by partition; a power of two of them
}

// New is the table from which a cluster's first one is planned: so many partitions, held by nobody.
func New(partitions int) (*Table, error) {
	t := &Table{Sets: make([]Set, max(partitions, 0))}
	if err := t.checkSize(); err != nil {
		return nil, err
	}
	return t, nil
}

// Partition is where a hash falls among so many partitions, a power of two: the hash's top bits.
func Partition(hash uint64, partitions int) int {
	top, _ := bits.Mul64(hash, uint64(partitions))
	return int(top)
}

// checkSize tells what is wrong with the number of partitions.
func (t *Table) checkSize() error {
	if q := len(t.Sets); q < 1 || q > PartitionsMax || q&(q-1) != 0 {
		return fmt.Errorf("a ring of %d partitions is not possible: take a power of two from 1 to %d", q, PartitionsMax)
	}
	return nil
}

// check tells what is wrong with a table that nodes are to live by.
func (t *Table) check() error {
	if err := t.checkSize(); err != nil {
		return err
	}
	if t.Epoch == 0 {
		return errors.New("ring table has no epoch")
	}
	for p, s := range t.Sets {
		if err := s.check(); err != nil {
			return fmt.Errorf("ring table, partition %d: %w", p, err)
		}
		if s.Epoch == 0 || s.Epoch > t.Epoch {
			return fmt.Errorf("ring table, partition %d: its set is of epoch %d, the table of %d", p, s.Epoch, t.Epoch)
		}
	}
	return nil
}

func (s Set) check() error {
	if len(s.Current) == 0 {
		return errors.New("nobody holds it")
	}
	for _, nodes := range [][]NodeID{s.Current, s.Next} {
		if len(nodes) > ReplicasMax {
			return fmt.Errorf("%d holders; at most %d are allowed", len(nodes), ReplicasMax)
		}
		for i, n := range nodes {
			if n == 0 {
				return errors.New("node number 0 is no node")
			}
			if slices.Contains(nodes[:i], n) {
				return fmt.Errorf("%v holds it twice", n)
			}
		}
	}
	return nil
}
