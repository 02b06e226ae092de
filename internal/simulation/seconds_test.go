//go:build !race

package simulation

const defaultSeconds = 60
