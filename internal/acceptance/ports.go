package acceptance

import (
	"errors"
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

// FreePorts finds four ports of Host that nobody listens on.
func FreePorts() (Ports, error) {
	var found []int
	for range portTries {
		port := portLow + rand.IntN(portHigh-portLow)
		l, err := net.Listen("tcp", net.JoinHostPort(Host, strconv.Itoa(port)))
		if err != nil {
			continue
		}
		defer l.Close() // all are held until all are found, so that no two are the same
		if found = append(found, port); len(found) == 4 {
			return Ports{found[0], found[1], found[2], found[3]}, nil
		}
	}
	return Ports{}, errors.New("no free ports on " + Host)
}
