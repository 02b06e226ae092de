package api

import (
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A listener bounds the number of open connections, and dresses each as a conn. (netutil.LimitListener would hide that a
// connection's writing side can be closed alone, which net/http needs to have a refusal read by a client that still sends.)
type listener struct {
	net.Listener
	server *Server
	slots  chan struct{} // one value per open connection
	closed chan struct{} // by Close, once
	once   sync.Once
}

func (s *Server) listen(l net.Listener) *listener {
	return &listener{
		Listener: l, server: s,
		slots: make(chan struct{}, s.limits.Connections), closed: make(chan struct{}),
	}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		// A peer that vanished is noticed within a minute; that this cannot be set is no reason to refuse the client.
		_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 10 * time.Second, Count: 4})
	}
	return &conn{Conn: c, server: l.server, release: sync.OnceFunc(func() { <-l.slots })}, nil
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// A conn is one client's connection. It bounds how long each chunk of a response may take to be sent, and knows whether a
// handler is at work: if none is, whatever net/http writes is an answer of its own to a request that it could not read, and
// is replaced by ours. It hides io.ReaderFrom: values are checked on their way, so there is nothing for sendfile to do.
type conn struct {
	net.Conn
	server  *Server
	release func()      // gives the connection's slot back; may be called again
	serving atomic.Bool // from the start of a handler until net/http has flushed what it wrote
}

type connKey struct{}

// state is net/http's ConnState hook.
func state(c net.Conn, now http.ConnState) {
	if c, ok := c.(*conn); ok && now == http.StateIdle {
		c.serving.Store(false)
	}
}

func (c *conn) Write(p []byte) (int, error) {
	if c.serving.Load() {
		return c.send(p)
	}
	if _, err := c.send(c.server.malformed(c.RemoteAddr(), p)); err != nil {
		return 0, err
	}
	c.linger()
	return len(p), nil
}

// send writes p, chunk by chunk, each within its time.
func (c *conn) send(p []byte) (sent int, err error) {
	for piece := range slices.Chunk(p, chunk) {
		if err := c.SetWriteDeadline(time.Now().Add(c.server.limits.StallTimeout)); err != nil {
			return sent, err
		}
		n, err := c.Conn.Write(piece)
		sent += n
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// linger gives a client that was refused amid its request a moment to stop sending and to read why: bytes that arrive at a
// closed socket make the kernel reset the connection, and the refusal be lost. Nothing is read after it.
func (c *conn) linger() {
	_ = c.CloseWrite()
	_ = c.SetReadDeadline(time.Now().Add(lingerTimeout))
	_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes)
	_ = c.SetReadDeadline(time.Now())
}

// CloseWrite tells the client that nothing more will come, while it may still be sending.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

func (c *conn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
