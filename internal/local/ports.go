package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"github.com/estorajed/estorajed/internal/acceptance"
)

// inUse names the addresses that the nodes and the balancer need and cannot have.
func inUse(ctx context.Context, ports acceptance.Ports, front int) error {
	var errs []error
	for _, host := range acceptance.Hosts(nodes) {
		for _, port := range []int{ports.API, ports.Peer, ports.EtcdClient, ports.EtcdPeer} {
			errs = append(errs, free(ctx, host, port))
		}
	}
	return errors.Join(append(errs, free(ctx, acceptance.Host, front))...)
}

// free is nil if the address can be listened on.
func free(ctx context.Context, host string, port int) error {
	address := net.JoinHostPort(host, strconv.Itoa(port))
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s is in use: stop what listens there ('ss -tlnp sport = :%d' shows it), or choose other ports (ARGS=-help shows how)", address, port)
	}
	if err != nil {
		return err
	}
	return l.Close()
}
