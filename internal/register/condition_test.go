package register

import "testing"

func TestConditionsHoldAsTheStandardSays(t *testing.T) {
	value, grave, none := state(Data, 0x20, 0x20), state(Tombstone, 0x20, 0x20), Record{}
	any, this, other := Tags{Sent: true, Any: true}, Tags{Sent: true, Versions: []Stamp{bal(0x10, 1), bal(0x20, 1)}}, Tags{Sent: true, Versions: []Stamp{bal(0x10, 1)}}
	empty := Tags{Sent: true}
	for _, tc := range []struct {
		name               string
		match, noneMatch   Tags
		value, grave, none bool // whether it holds
	}{
		{"no condition", Tags{}, Tags{}, true, true, true},
		{"If-Match: *", any, Tags{}, true, false, false},
		{"If-Match with its version", this, Tags{}, true, false, false},
		{"If-Match with another", other, Tags{}, false, false, false},
		{"If-Match with nothing of ours", empty, Tags{}, false, false, false},
		{"If-None-Match: *", Tags{}, any, false, true, true},
		{"If-None-Match with its version", Tags{}, this, false, true, true},
		{"If-None-Match with another", Tags{}, other, true, true, true},
		{"If-None-Match with nothing of ours", Tags{}, empty, true, true, true},
		{"both, one of which does not hold", this, any, false, false, false},
		{"both hold", this, other, true, false, false},
	} {
		c := Condition{IfMatch: tc.match, IfNoneMatch: tc.noneMatch}
		for _, s := range []struct {
			r    *Record
			want bool
		}{{&value, tc.value}, {&grave, tc.grave}, {&none, tc.none}} {
			if got := c.Holds(s.r); got != s.want {
				t.Errorf("%s on %v holds: %v", tc.name, s.r.Kind, got)
			}
		}
	}
}
