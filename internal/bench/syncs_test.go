package main

import "testing"

func TestTotalCalls(t *testing.T) {
	const table = `% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 99.08    1.203942         601      2003         1 fdatasync
  0.92    0.011150         796        14           fsync
------ ----------- ----------- --------- --------- ----------------
100.00    1.215092         602      2017         1 total
`
	if n, err := totalCalls(table); n != 2017 || err != nil {
		t.Errorf("totalCalls = %v, %v; want 2017", n, err)
	}
	if _, err := totalCalls("strace: nothing\n"); err == nil {
		t.Error("a table without a total is no error")
	}
}
