package main

import "testing"

func TestTotal(t *testing.T) {
	const text = `# HELP bytes_total Bytes.
# TYPE bytes_total counter
bytes_total{direction="sent",to="2"} 100
bytes_total{direction="sent",to="3"} 1.5e+02
bytes_total{direction="received",to="2"} 7
bytes_total_ever 9
mallocs 12
`
	for _, tc := range []struct {
		name, label string
		want        float64
		found       bool
	}{
		{"mallocs", "", 12, true},
		{"bytes_total", `direction="sent"`, 250, true},
		{"bytes_total", "", 257, true},
		{"bytes_total", `direction="lost"`, 0, false},
		{"bytes", "", 0, false},
	} {
		if got, found, err := total(text, tc.name, tc.label); got != tc.want || found != tc.found || err != nil {
			t.Errorf("total(%s{%s}) = %v, %v, %v; want %v, %v", tc.name, tc.label, got, found, err, tc.want, tc.found)
		}
	}
	if _, _, err := total("mallocs many\n", "mallocs", ""); err == nil {
		t.Error("a value that is no number is no error")
	}
}
