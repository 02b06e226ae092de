package peer

import (
	"net"
	"sync"
	"testing"
)

// A proxy stands between two nodes. It can fall silent, as a machine does that is stopped or cut off, and break off.
type proxy struct {
	listener net.Listener
	target   string

	mu     sync.Mutex
	flow   *sync.Cond // with mu
	silent bool
	conns  map[net.Conn]bool
	all    sync.WaitGroup
}

func newProxy(t testing.TB, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, target: target, conns: map[net.Conn]bool{}}
	p.flow = sync.NewCond(&p.mu)
	p.all.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.setSilent(false)
		p.cut()
		p.all.Wait()
	})
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		from, err := p.listener.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", p.target)
		if err != nil {
			from.Close()
			continue
		}
		p.mu.Lock()
		p.conns[from], p.conns[to] = true, true
		p.mu.Unlock()
		p.all.Go(func() { p.copy(from, to) })
		p.all.Go(func() { p.copy(to, from) })
	}
}

func (p *proxy) copy(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	b := make([]byte, 16<<10)
	for {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		p.mu.Lock()
		for p.silent {
			p.flow.Wait()
		}
		p.mu.Unlock()
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

// setSilent stops, or goes on, forwarding; connections stay open.
func (p *proxy) setSilent(silent bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = silent
	p.flow.Broadcast()
}

// cut breaks all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
	clear(p.conns)
}
