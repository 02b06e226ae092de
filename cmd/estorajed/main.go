// Command estorajed is one node of a key-value store that speaks HTTP: curl writes, reads and deletes keys.
//
// main puts a Config together from flags, environment and file, builds the node of it, and runs that until a signal comes.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signal.Ignore(syscall.SIGPIPE) // a log that nobody reads any more must not end the daemon
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// Exit codes.
const (
	succeeded = 0
	failed    = 1 // while running
	misused   = 2 // before anything was started: what was asked for cannot be done
)

// run is the whole program; it returns the exit code.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	config, err := Parse(args, environ, readConfigFile)
	if err != nil {
		fmt.Fprintf(stderr, "estorajed: %v\n", err)
		return misused
	}
	switch config.Command {
	case Help:
		writeHelp(stdout)
		return succeeded
	case Version:
		fmt.Fprintln(stdout, thisBuild())
		return succeeded
	case CheckConfig:
		writeConfig(stdout, config)
		return succeeded
	}
	return serve(ctx, config, environ, stdout, stderr)
}
