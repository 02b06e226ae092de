//go:build system

package acceptance

import (
	"os"
	"syscall"
	"time"
)

func syscallQuit(s subject) {
	s.process.Signal(syscall.SIGQUIT)
	<-time.After(2 * time.Second)
	os.WriteFile("/tmp/f/quit.log", []byte(s.Log()), 0644)
}
