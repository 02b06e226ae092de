package register

import "time"

// Time is a hybrid logical time (Kulkarni and others, 'Logical Physical Clocks', 2014): milliseconds since 1970 in the
// upper 48 bits, a counter in the lower 16. It grows with real time where clocks are good; nothing unsafe follows where they are not.
type Time uint64

const counterBits = 16

// TimeOf is the first hybrid time of that moment.
func TimeOf(t time.Time) Time { return Time(max(t.UnixMilli(), 0)) << counterBits }

// Wall is the moment that t stands for, to the millisecond.
func (t Time) Wall() time.Time { return time.UnixMilli(int64(t >> counterBits)) }

// Add moves t by d, in whole milliseconds.
func (t Time) Add(d time.Duration) Time { return t + Time(d.Milliseconds())<<counterBits }
