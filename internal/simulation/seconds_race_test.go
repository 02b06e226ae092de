//go:build race

package simulation

const defaultSeconds = 15 // the race detector makes each step slow, and the steps are the same
