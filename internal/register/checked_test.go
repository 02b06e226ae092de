//go:build !race

package register

const checked = false
