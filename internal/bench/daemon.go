package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/estorajed/estorajed/internal/acceptance"
)

const (
	readyWithin = 2 * time.Minute // with a million keys it should take seconds
	stopWithin  = 2 * time.Minute
	fillConns   = 64
	loadSlack   = time.Minute // that a load may take beyond its length
	loadWithin  = time.Hour   // for a load that is bounded by its number of requests
)

// newDaemon describes a daemon on the servers' core, as it is shipped: all flags but the ports at their defaults.
func (b *bench) newDaemon(name string) (*acceptance.Daemon, error) {
	dir, err := b.folder(name)
	if err != nil {
		return nil, err
	}
	d, err := acceptance.New(b.binary, dir, "-name", "bench", "-drain-delay", "0s")
	if err != nil {
		return nil, err
	}
	d.Wrap = b.pinned(serverCore)
	return d, nil
}

// startDaemon starts one with so many keys in it.
func (b *bench) startDaemon(ctx context.Context, name string, keys int) (*acceptance.Daemon, error) {
	d, err := b.newDaemon(name)
	if err != nil {
		return nil, err
	}
	if _, err := start(ctx, d); err != nil {
		return nil, err
	}
	if _, err := b.load(ctx, load{Port: d.Ports.API, Method: http.MethodPost, Conns: fillConns, Count: keys, Value: b.value}); err != nil {
		d.Kill()
		return nil, fmt.Errorf("put the keys in: %w", err)
	}
	return d, nil
}

// start starts a daemon and tells how long it took until it was ready.
func start(ctx context.Context, d *acceptance.Daemon) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	began := time.Now()
	if err := d.Start(ctx); err != nil {
		d.Kill()
		return 0, err
	}
	return time.Since(began), nil
}

// stop ends a daemon in the proper way and tells how long it took.
func stop(ctx context.Context, d *acceptance.Daemon) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, stopWithin)
	defer cancel()
	began := time.Now()
	err := d.Stop(ctx)
	return time.Since(began), err
}

// load runs the generator on its core.
func (b *bench) load(ctx context.Context, l load) (result, error) {
	limit := loadWithin
	if l.Length > 0 {
		limit = l.Length + loadSlack
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	args := append(b.pinned(generatorCore), b.self)
	args = append(args, l.args()...)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil {
		return result{}, fmt.Errorf("load generator: %w: %s", err, strings.TrimSpace(complaint.String()))
	}
	var r result
	err := json.Unmarshal(out.Bytes(), &r)
	return r, err
}

// remove takes a stopped daemon's folder away: a million files are not to wait for the end of the bench.
func remove(d *acceptance.Daemon) error { return os.RemoveAll(filepath.Dir(d.DataPath)) }
