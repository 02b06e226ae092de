package api

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"
)

// Serve answers what comes over l, within all limits, until ctx ends; then it closes l, lets the requests under way finish,
// and returns nil. If they take longer than StopTimeout they are cut off, and the error says so. Any other error is the
// listener's. It closes l in any case.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: s.limits.HeaderTimeout,
		IdleTimeout:       s.limits.IdleTimeout,
		MaxHeaderBytes:    s.limits.HeaderBytes,
		ConnState:         state,
		ConnContext:       func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		// The end of ctx ends the serving, not the requests that are being served.
		BaseContext:                  func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		ErrorLog:                     log.New(complaints{s}, "", 0),
		DisableGeneralOptionsHandler: true,
	}
	stopped := make(chan error, 1)
	disarm := context.AfterFunc(ctx, func() { stopped <- s.stop(server) })
	err := server.Serve(s.listen(l))
	if disarm() {
		return fmt.Errorf("serve the API: %w", err)
	}
	return <-stopped
}

func (s *Server) stop(server *http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.limits.StopTimeout)
	defer cancel()
	err := server.Shutdown(ctx)
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	_ = server.Close() // it has been told to shut down; what is left are the connections
	return fmt.Errorf("requests were still under way %v after the end, and were cut off", s.limits.StopTimeout)
}

// complaints turns what net/http logs (a listener that has no descriptors left, say) into an event.
type complaints struct{ server *Server }

func (c complaints) Write(line []byte) (int, error) {
	c.server.config.Events.failed(context.Background(), errors.New(strings.TrimSpace(string(line))))
	return len(line), nil
}
