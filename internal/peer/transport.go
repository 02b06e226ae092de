package peer

import (
	"bytes"
	"context"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/stats"
)

// Credentials are made here and nowhere else. There are none yet: the peer port belongs on a private network.
func serverCredentials() credentials.TransportCredentials { return insecure.NewCredentials() }
func clientCredentials() credentials.TransportCredentials { return insecure.NewCredentials() }

// dial opens a connection.
func dial(ctx context.Context, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err == nil {
		keepShort(c)
	}
	return c, err
}

// keepShort lets no more than a few frames wait in the kernel for being sent: where the network is slow, a heartbeat would wait behind
// megabytes there, and nothing can overtake them. If it cannot be set, that is no reason not to talk.
func keepShort(c net.Conn) {
	tcp, is := c.(*net.TCPConn)
	if !is {
		return
	}
	if raw, err := tcp.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentBytes)
		})
	}
}

// A listener looks at how each connection begins.
type listener struct {
	net.Listener
	peers *Peers
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	keepShort(c)
	return &conn{Conn: c, peers: l.peers, expected: []byte(preface)}, nil
}

// preface is what every HTTP/2 client sends first (RFC 9113, section 3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// A conn reports what does not begin as HTTP/2 does, before gRPC closes it.
type conn struct {
	net.Conn
	peers    *Peers
	expected []byte // of the preface, what is still to come
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if len(c.expected) == 0 || n == 0 {
		return n, err
	}
	came := b[:min(n, len(c.expected))]
	if !bytes.HasPrefix(c.expected, came) {
		c.expected = nil
		refusal := &refusal{ReasonGarbage, fmt.Sprintf("it sends %q, which no node does", came)}
		c.peers.refused(refusal, c.RemoteAddr().String())
		return n, refusal
	}
	c.expected = c.expected[len(came):]
	return n, err
}

// frames reports each message of gRPC.
type frames struct {
	frame func(out bool, bytes int)
}

func (f frames) HandleRPC(_ context.Context, s stats.RPCStats) {
	switch s := s.(type) {
	case *stats.InPayload:
		f.frame(false, s.WireLength)
	case *stats.OutPayload:
		f.frame(true, s.WireLength)
	}
}

func (frames) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (frames) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (frames) HandleConn(context.Context, stats.ConnStats)                       {}
