package main

import (
	"math"
	"testing"
)

func TestInitialCluster(t *testing.T) {
	const want = "node_1=http://127.0.0.1:2380,node_2=http://127.0.0.2:2380,node_3=http://127.0.0.3:2380"
	if got := initialCluster(2380); got != want {
		t.Errorf("initialCluster = %s, want %s", got, want)
	}
}

func TestTold(t *testing.T) {
	s := &side{metrics: [kindsOfCost][]series{
		allocations:  {{"mallocs", ""}},
		bytesBetween: {{"bytes", `to="2"`}},
		syncs:        {{"syncs", ""}, {"mallocs", ""}},
		roundTrips:   {{"mallocs", ""}, {"bytes", ""}},
	}}
	c, err := s.told("mallocs 5\nbytes{to=\"1\"} 6\nbytes{to=\"2\"} 7\n")
	if err != nil || c[allocations] != 5 || c[bytesBetween] != 7 || c[roundTrips] != 18 {
		t.Errorf("told = %v, %v", c, err)
	}
	for _, kind := range []int{cpuMillis, syncs} {
		if !math.IsNaN(c[kind]) {
			t.Errorf("cost %d is %v, which nobody told, or not all of it", kind, c[kind])
		}
	}
}

func TestRowsOfTheCluster(t *testing.T) {
	side := func(first, second float64, c costs) showing {
		return showing{rounds{rates: []float64{first, second}, p50s: []float64{10, 20}, p99s: []float64{30, 40}, busy: []float64{0.5, 0.7}, requests: 100}, c}
	}
	shown := []showing{
		side(4000, 2000, costs{5, 2500, math.NaN(), math.NaN(), math.NaN()}),
		side(500, 500, costs{40, 10000, 300000, 25, 167}),
		side(1000, 1000, costs{20, 5000, 200000, 10, 133}),
	}
	for _, tc := range []struct{ name, got, want string }{
		{"speeds", speeds(shown), "3000 | 500 | 1000 | **0.38** | **2.00** | 15, 15, 15 | 35, 35, 35 | 15, 20, 20 | 60, 60, 60"},
		{"prices", prices(shown), "0.050, 0.400, 0.200 | 25, 100, 50 | -, 3000, 2000 | -, 0.250, 0.100 | -, 1.67, 1.33"},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, tc.got, tc.want)
		}
	}
}
