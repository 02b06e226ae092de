package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A load is what one run of the generator does: each connection sends a request, waits for the whole response, and sends the
// next one, until the time is over or the number reached.
type load struct {
	Port     int
	Hosts    int    // the connections are spread over 127.0.0.1 and those that follow; 0: only that one
	Etcd     bool   // the servers are etcd, a POST is a put
	Method   string // GET or POST
	Eventual bool   // a GET may be answered with what was once true
	Conns    int
	Keys     int           // random keys below this
	First    int           // if Count is set: keys are First, First+1, ...
	Count    int           // requests; 0: as many as go into Length
	Length   time.Duration // 0: until Count is reached
	Value    int           // bytes of a POST's body, and of a GET's answer
}

// A result is what the generator saw. All requests that were sent were answered, with the expected status.
type result struct {
	Requests int
	Elapsed  time.Duration
	P50, P99 time.Duration
	Busy     float64 // share of the time that the generator's core was busy with it: near 1, it is the limit
}

// rate is requests per second.
func (r result) rate() float64 { return float64(r.Requests) / r.Elapsed.Seconds() }

// args is l as the command line of 'bench load'.
func (l load) args() []string {
	return []string{
		"load", "-port", strconv.Itoa(l.Port), "-hosts", strconv.Itoa(l.Hosts), fmt.Sprintf("-etcd=%v", l.Etcd),
		"-method", l.Method, fmt.Sprintf("-eventual=%v", l.Eventual), "-conns", strconv.Itoa(l.Conns), "-keys", strconv.Itoa(l.Keys),
		"-first", strconv.Itoa(l.First), "-count", strconv.Itoa(l.Count), "-length", l.Length.String(), "-value", strconv.Itoa(l.Value),
	}
}

// generate is 'bench load': it runs a load and prints the result as JSON.
func generate(args []string) error {
	var l load
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	flags.IntVar(&l.Port, "port", 0, "")
	flags.IntVar(&l.Hosts, "hosts", 0, "")
	flags.BoolVar(&l.Etcd, "etcd", false, "")
	flags.StringVar(&l.Method, "method", "GET", "")
	flags.BoolVar(&l.Eventual, "eventual", false, "")
	flags.IntVar(&l.Conns, "conns", 1, "")
	flags.IntVar(&l.Keys, "keys", 1, "")
	flags.IntVar(&l.First, "first", 0, "")
	flags.IntVar(&l.Count, "count", 0, "")
	flags.DurationVar(&l.Length, "length", 0, "")
	flags.IntVar(&l.Value, "value", 0, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	run := load.run
	if l.Etcd {
		run = load.runEtcd
	}
	r, err := run(l)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

const (
	keyDigits    = 9
	responseMax  = 64 << 10         // bytes of a response, headers included
	answerWithin = 30 * time.Second // a server that is silent for so long is an error
	latencyRoom  = 1 << 20          // latencies for which there is room from the start
)

// keyText is the n-th key; all have the same length.
func keyText(n int) string { return fmt.Sprintf("k%0*d", keyDigits, n) }

// A generator is a load that is being run: one thread, which writes to and reads from the sockets directly and waits for
// them with epoll, so that it costs less than the servers that it measures.
type generator struct {
	load
	request   []byte // with room for the key's digits
	digits    int    // their place in request
	rng       *rand.Rand
	sent      int
	latencies []time.Duration
	start     time.Time
	conns     map[int32]*connection // by descriptor
	poll      int                   // the epoll descriptor
}

// A connection has at most one request under way.
type connection struct {
	fd   int
	sent time.Time
	in   []byte
	have int // bytes of in
}

// run carries the load out.
func (l load) run() (result, error) {
	runtime.LockOSThread()
	g := &generator{load: l, rng: rand.New(rand.NewPCG(1, 2)), latencies: make([]time.Duration, 0, latencyRoom), conns: make(map[int32]*connection)}
	g.prepare()
	if err := g.connect(); err != nil {
		return result{}, err
	}
	before := ownCPU()
	if err := g.exchange(); err != nil {
		return result{}, err
	}
	return summary(g.latencies, time.Since(g.start), ownCPU()-before), nil
}

// summary is the result of a load of which each request took so long. It sorts them.
func summary(latencies []time.Duration, elapsed, cpu time.Duration) result {
	slices.Sort(latencies)
	return result{
		Requests: len(latencies), Elapsed: elapsed,
		P50: percentile(latencies, 0.5), P99: percentile(latencies, 0.99),
		Busy: float64(cpu) / float64(elapsed),
	}
}

// ownCPU is the processor time that this process has used so far.
func ownCPU() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // cannot fail with these arguments
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// prepare builds the request; only the key changes from one to the next.
func (g *generator) prepare() {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s /k", g.Method)
	g.digits = b.Len()
	fmt.Fprintf(&b, "%0*d", keyDigits, 0)
	if g.Eventual {
		b.WriteString("?consistency=eventual")
	}
	b.WriteString(" HTTP/1.1\r\nHost: bench\r\n")
	if g.Method == "POST" {
		fmt.Fprintf(&b, "Content-Type: application/octet-stream\r\nContent-Length: %d\r\n", g.Value)
	}
	b.WriteString("\r\n")
	if g.Method == "POST" {
		b.Write(bytes.Repeat([]byte{'v'}, g.Value))
	}
	g.request = b.Bytes()
}

func (g *generator) connect() (err error) {
	if g.poll, err = unix.EpollCreate1(0); err != nil {
		return err
	}
	for i := range g.Conns {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		host := [4]byte{127, 0, 0, byte(1 + i%max(g.Hosts, 1))}
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: g.Port, Addr: host}); err != nil {
			return fmt.Errorf("connect to port %d of %v: %w", g.Port, host, err)
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
			return err
		}
		event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
		if err := unix.EpollCtl(g.poll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
			return err
		}
		g.conns[int32(fd)] = &connection{fd: fd, in: make([]byte, responseMax)}
	}
	return nil
}

// exchange sends requests until it is time to stop, and returns when the last one is answered.
func (g *generator) exchange() error {
	g.start = time.Now()
	for _, c := range g.conns {
		if g.over(g.start) {
			break
		}
		if err := g.send(c, time.Now()); err != nil {
			return err
		}
	}
	events := make([]unix.EpollEvent, g.Conns)
	for len(g.latencies) < g.sent {
		n, err := unix.EpollWait(g.poll, events, int(answerWithin.Milliseconds()))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("no answer within %v", answerWithin)
		}
		for _, e := range events[:n] {
			if err := g.receive(g.conns[e.Fd]); err != nil {
				return err
			}
		}
	}
	return nil
}

// over tells whether no further request is to be sent.
func (g *generator) over(now time.Time) bool {
	return g.Count > 0 && g.sent >= g.Count || g.Length > 0 && now.Sub(g.start) >= g.Length
}

// send writes the next request.
func (g *generator) send(c *connection, now time.Time) error {
	n := g.First + g.sent
	if g.Count == 0 {
		n = g.rng.IntN(g.Keys)
	}
	for at := g.digits + keyDigits - 1; at >= g.digits; at-- {
		g.request[at] = byte('0' + n%10)
		n /= 10
	}
	g.sent++
	c.sent = now
	w, err := unix.Write(c.fd, g.request)
	if err == nil && w < len(g.request) {
		err = errors.New("the socket takes no whole request")
	}
	return err
}

// receive reads what there is; with it, the response may be complete, and the next request due.
func (g *generator) receive(c *connection) error {
	n, err := unix.Read(c.fd, c.in[c.have:])
	if err != nil {
		return err
	}
	if n == 0 {
		return fmt.Errorf("the server closed a connection after %q", c.in[:c.have])
	}
	c.have += n
	whole, err := complete(c.in[:c.have], g.Method, g.Value)
	if err != nil || !whole {
		return err
	}
	now := time.Now()
	g.latencies = append(g.latencies, now.Sub(c.sent))
	c.have = 0
	if g.over(now) {
		return nil
	}
	return g.send(c, now)
}
