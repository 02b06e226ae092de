package main

import "testing"

func TestCPUTime(t *testing.T) {
	const rest = " S 1 2 3 4 5 6 7 8 9 10 250 125 13 14\n"
	for _, tc := range []struct {
		name, stat string
		want       float64
		faulty     bool
	}{
		{"user and system", "17 (etcd)" + rest, 3750, false},
		{"a name with all that splits", "17 (a) 1 2 (b)" + rest, 3750, false},
		{"too short", "17 (etcd) S 1 2\n", 0, true},
		{"nothing", "", 0, true},
	} {
		got, err := cpuTime([]byte(tc.stat))
		if got != tc.want || (err != nil) != tc.faulty {
			t.Errorf("%s: cpuTime = %v, %v; want %v, error: %v", tc.name, got, err, tc.want, tc.faulty)
		}
	}
}
