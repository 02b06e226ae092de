package register

import (
	"errors"
	"testing"
	"time"
)

func TestStampsGrowWhateverTheWallClockDoes(t *testing.T) {
	wall := time.UnixMilli(1_000_000)
	c := NewClock(3, 0)
	last := c.Now(wall)
	if last.Node != 3 || last.Time.Wall() != wall {
		t.Errorf("first stamp %v is not of node 3 at %v", last, wall)
	}
	for _, step := range []time.Duration{0, time.Millisecond, -time.Hour, -time.Hour, 2 * time.Hour, 0} {
		wall = wall.Add(step)
		s := c.Now(wall)
		if !last.Less(s) {
			t.Errorf("stamp %v follows %v after the wall clock moved by %v", s, last, step)
		}
		last = s
	}
}

func TestClockBeginsAtTheCeiling(t *testing.T) {
	wall := time.UnixMilli(1_000_000)
	ceiling := TimeOf(wall).Add(5 * time.Second)
	c := NewClock(1, ceiling)
	if s := c.Now(wall); s.Time <= ceiling {
		t.Errorf("first stamp %v after a restart does not lie above the ceiling %v", s.Time, ceiling)
	}
}

func TestMergedTimeIsPassed(t *testing.T) {
	wall := time.UnixMilli(1_000_000)
	for _, tc := range []struct {
		name  string
		ahead time.Duration
		taken bool
	}{
		{"behind", -time.Hour, true},
		{"a second ahead", time.Second, true},
		{"a day ahead", MaxAhead, true},
		{"more than a day ahead", MaxAhead + time.Second, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := NewClock(1, 0)
			before := c.Now(wall)
			heard := TimeOf(wall.Add(tc.ahead))
			err := c.Merge(heard, wall)
			if skew := (*SkewError)(nil); (err == nil) != tc.taken || err != nil && !errors.As(err, &skew) {
				t.Fatalf("Merge = %v, want it to be taken: %v", err, tc.taken)
			}
			s := c.Now(wall)
			if tc.taken && s.Time <= heard {
				t.Errorf("stamp %v does not lie above %v, which was merged", s, heard)
			}
			if !tc.taken && s.Time != before.Time+1 {
				t.Errorf("a refused time moved the clock from %v to %v", before, s)
			}
		})
	}
}

func TestOwnTimeIsNotRefusedWhenTheWallClockIsPutBack(t *testing.T) {
	wall := time.UnixMilli(1_000_000).Add(100 * 24 * time.Hour)
	c := NewClock(1, 0)
	own := c.Now(wall)
	if err := c.Merge(own.Time, wall.Add(-90*24*time.Hour)); err != nil {
		t.Errorf("Merge of the clock's own time = %v", err)
	}
}
