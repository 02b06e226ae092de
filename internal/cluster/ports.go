package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
)

// Ports are etcd's two listeners, held from the start so that it is told at once if one is taken, and given up for etcd to take.
type ports struct {
	peer, client net.Listener
}

func takePorts(ctx context.Context, c Config) (ports, error) {
	peer, err := listen(ctx, c.Bind, "etcd-peer-port", c.PeerPort)
	if err != nil {
		return ports{}, err
	}
	client, err := listen(ctx, c.Bind, "etcd-client-port", c.ClientPort)
	if err != nil {
		peer.Close()
		return ports{}, err
	}
	return ports{peer, client}, nil
}

func listen(ctx context.Context, bind, flag string, port int) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(bind, strconv.Itoa(port)))
	if bind == "" {
		bind = "all interfaces"
	}
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("-%s %d is in use on %s: stop what listens there, or give another -%s", flag, port, bind, flag)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("-%s %d needs rights that this user has not: give a port above 1023", flag, port)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("-bind %s is no address of this machine: give one that is", bind)
	}
	return nil, fmt.Errorf("-bind %s, -%s %d: %w: give an address of this machine", bind, flag, port, err)
}

// close gives the ports up; those that are given up already stay so.
func (p ports) close() {
	p.peer.Close()
	p.client.Close()
}
