//go:build race

package register

// checked tells that the race detector is on, which costs much time.
const checked = true
