package main

import (
	"math"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for _, tc := range []struct {
		name   string
		values []float64
		want   float64
	}{
		{"one", []float64{3}, 3},
		{"odd, unsorted", []float64{9, 1, 5}, 5},
		{"even", []float64{4, 1, 3, 2}, 2.5},
		{"one wild round does not count", []float64{10, 11, 12, 11, 9000}, 11},
	} {
		if got := median(tc.values); got != tc.want {
			t.Errorf("%s: median(%v) = %v, want %v", tc.name, tc.values, got, tc.want)
		}
	}
	if got := median(nil); !math.IsNaN(got) {
		t.Errorf("median of nothing = %v, want NaN", got)
	}
}

func TestMedianLeavesItsInputAlone(t *testing.T) {
	values := []float64{3, 1, 2}
	median(values)
	if values[0] != 3 || values[1] != 1 || values[2] != 2 {
		t.Errorf("the values are %v now", values)
	}
}

func TestPercentile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for _, tc := range []struct {
		name   string
		sorted []time.Duration
		share  float64
		want   time.Duration
	}{
		{"nothing", nil, 0.5, 0},
		{"one value is every percentile", hundred[:1], 0.99, 1},
		{"half of a hundred", hundred, 0.5, 50},
		{"99 of a hundred", hundred, 0.99, 99},
		{"all", hundred, 1, 100},
		{"none", hundred, 0, 1},
		{"99 of ten is the last", hundred[:10], 0.99, 10},
	} {
		if got := percentile(tc.sorted, tc.share); got != tc.want {
			t.Errorf("%s: percentile(%v) = %v, want %v", tc.name, tc.share, got, tc.want)
		}
	}
}
