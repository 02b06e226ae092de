package replicatest_test

import (
	"testing"

	"github.com/estorajed/estorajed/internal/replica"
	"github.com/estorajed/estorajed/internal/replica/replicatest"
)

func TestTheStoreInMemoryKeepsTheContract(t *testing.T) {
	replicatest.Run(t, func(*testing.T) replica.Store { return &replicatest.Store{} })
}
