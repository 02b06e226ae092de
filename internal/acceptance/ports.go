package acceptance

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are the listeners of one daemon.
type Ports struct {
	API, Peer, EtcdClient, EtcdPeer int
}

// Ports are taken from below the range that the kernel gives to outgoing connections (32768 and up): between a kill and the
// restart no client's own socket can sit on the daemon's port, and none can connect to itself there.
const (
	portLow   = 15000
	portHigh  = 32000
	portTries = 1000
)

// FreePorts finds four ports that nobody listens on, the same on each host; without hosts, on Host.
func FreePorts(hosts ...string) (Ports, error) {
	if len(hosts) == 0 {
		hosts = []string{Host}
	}
	found, err := freePorts(4, hosts)
	if err != nil {
		return Ports{}, err
	}
	return Ports{found[0], found[1], found[2], found[3]}, nil
}

func freePorts(n int, hosts []string) (found []int, err error) {
	for range portTries {
		port := portLow + rand.IntN(portHigh-portLow)
		held, err := holdPort(hosts, port)
		defer release(held) // all are held until all are found, so that no two are the same
		if err != nil {
			continue
		}
		if found = append(found, port); len(found) == n {
			return found, nil
		}
	}
	return nil, fmt.Errorf("no free ports on %v", hosts)
}

// holdPort listens on one port of each host; the error is that of the first host where it cannot.
func holdPort(hosts []string, port int) (held []net.Listener, err error) {
	for _, host := range hosts {
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if err != nil {
			return held, err
		}
		held = append(held, l)
	}
	return held, nil
}

func release(held []net.Listener) {
	for _, l := range held {
		l.Close()
	}
}
