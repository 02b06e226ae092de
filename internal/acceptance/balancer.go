package acceptance

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A Balancer is Caddy with the configuration that the product ships.
type Balancer struct {
	Process
	Binary    string
	Caddyfile string
	Port      int
}

// NewBalancer describes a balancer on Host and a port (0: a free one) in front of upstreams, which are host:port of each node's API. What
// Caddy keeps for itself goes to dir, and so does its log; nothing is started.
func NewBalancer(binary, caddyfile, dir string, port int, upstreams ...string) (*Balancer, error) {
	if port == 0 {
		found, err := freePorts(1, []string{Host})
		if err != nil {
			return nil, err
		}
		port = found[0]
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	env := []string{
		"BALANCER_BIND=" + Host, "BALANCER_PORT=" + strconv.Itoa(port), "BALANCER_NODES=" + strings.Join(upstreams, " "),
		"XDG_DATA_HOME=" + dir, "XDG_CONFIG_HOME=" + dir,
	}
	return &Balancer{
		Process: Process{LogPath: filepath.Join(dir, "log"), Env: env},
		Binary:  binary, Caddyfile: caddyfile, Port: port,
	}, nil
}

// Start launches Caddy and waits until it answers.
func (b *Balancer) Start(ctx context.Context) error {
	if err := b.launch([]string{b.Binary, "run", "--adapter", "caddyfile", "--config", b.Caddyfile}); err != nil {
		return err
	}
	ctx, cancel := b.whileItRuns(ctx)
	defer cancel()
	if err := Await(ctx, func() error { return b.lives(ctx) }); err != nil {
		return fmt.Errorf("caddy does not answer: %w (%w)\n%s", context.Cause(ctx), err, b.LogTail())
	}
	return nil
}

// lives asks the balancer itself, whatever the nodes do.
func (b *Balancer) lives(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.Address()+"/_health", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("/_health says %d", resp.StatusCode)
	}
	return nil
}

// Address is where clients connect: host:port.
func (b *Balancer) Address() string { return net.JoinHostPort(Host, strconv.Itoa(b.Port)) }
