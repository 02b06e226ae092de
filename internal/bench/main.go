// Command bench measures the daemon against a bare server, and three against etcd, on the same machine, in the same minutes, and prints Markdown.
//
// A number of requests per second says little by itself: machines differ, and one machine differs from one minute to the next. So
// every round runs the bare server and the daemon one after the other under the same load, and what counts is the median of the
// rounds' ratios. The bare server is net/http behind httprouter: for GET os.ReadFile of a file, for POST a body that is thrown away. It
// marks what could at best be reached with these libraries; nothing in it is durable, checked or watched.
//
// A cluster is compared with etcd too: with three members of the version that the daemon embeds, each a process of its own, tuned as
// etcd ships it and asked with its own client. Rates are not all: what a request costs in processor time, allocations, bytes, syncs
// and round trips holds on other machines as well.
//
// The load generator is a process of its own on one core, the servers share another one. Generator and servers are this
// binary run again (bench load, bench bare, bench etcd), put on their cores by 'bench pin'.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/estorajed/estorajed/internal/acceptance"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run is the whole program: the bench itself, or one of the processes that it starts.
func run(ctx context.Context, args []string) error {
	roles := map[string]func([]string) error{"pin": pin, "load": generate, "bare": serveBare, "etcd": serveEtcd, "watch": watch}
	if len(args) > 0 {
		if role, ok := roles[args[0]]; ok {
			return role(args[1:])
		}
	}
	b, err := parse(args)
	if err != nil {
		return err
	}
	return b.run(ctx)
}

// The cores that the processes are put on.
const (
	generatorCore = 0
	serverCore    = 1
)

// A bench is what one run of the command measures.
type bench struct {
	only     []string // parts; empty: all
	rounds   int
	length   time.Duration // of one measurement
	conns    []int
	keys     int // of the part 'keys'
	value    int // bytes
	keyValue int // bytes of a value in the part 'keys'
	dir      string
	binary   string // of the daemon
	self     string
}

// parts are run in this order.
func parts() []part {
	return []part{
		{"get", "GET against os.ReadFile", (*bench).get},
		{"post", "POST against a body thrown away", (*bench).post},
		{"syncs", "Syncs per acknowledged write", (*bench).syncs},
		{"allocs", "Allocations per request", (*bench).allocs},
		{"keys", "Many keys", (*bench).many},
		{"cluster", "Three nodes against three members of etcd", (*bench).cluster},
	}
}

type part struct {
	name, title string
	run         func(*bench, context.Context) error
}

func parse(args []string) (*bench, error) {
	b := &bench{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	only := flags.String("only", "", "parts to run, with commas between: get, post, syncs, allocs, keys, cluster (default all)")
	conns := flags.String("conns", "1,32,128", "numbers of connections")
	flags.IntVar(&b.rounds, "rounds", 5, "rounds, of which the median counts")
	flags.DurationVar(&b.length, "length", 2*time.Second, "length of one measurement")
	flags.IntVar(&b.keys, "keys", 1_000_000, "number of keys in the part keys")
	flags.IntVar(&b.value, "value", 1<<10, "bytes of a value")
	flags.IntVar(&b.keyValue, "key-value", 100, "bytes of a value in the part keys")
	flags.StringVar(&b.dir, "dir", os.TempDir(), "folder for the data: the disk under it is what is measured")
	flags.StringVar(&b.binary, "binary", "", "the daemon (default: it is built)")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	for text := range strings.SplitSeq(*conns, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("-conns %s: want numbers with commas between", *conns)
		}
		b.conns = append(b.conns, n)
	}
	if *only != "" {
		b.only = strings.Split(*only, ",")
	}
	for _, name := range b.only {
		if !slices.ContainsFunc(parts(), func(p part) bool { return p.name == name }) {
			return nil, fmt.Errorf("-only %s: there is no part %q", *only, name)
		}
	}
	if b.rounds < 1 || b.length <= 0 || b.keys < 1 {
		return nil, errors.New("-rounds, -length and -keys must be positive")
	}
	return b, nil
}

// run runs the chosen parts in a folder of their own, which is removed at the end.
func (b *bench) run(ctx context.Context) (err error) {
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp(b.dir, "estorajed-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if b.binary == "" {
		if b.binary, err = acceptance.Build(b.dir); err != nil {
			return err
		}
	}
	fmt.Println(b.setting())
	for _, p := range parts() {
		if len(b.only) > 0 && !slices.Contains(b.only, p.name) {
			continue
		}
		fmt.Printf("\n### %s\n\n", p.title)
		if err := p.run(b, ctx); err != nil {
			return fmt.Errorf("part %s: %w", p.name, err)
		}
	}
	return nil
}

// setting says on what and how it was measured.
func (b *bench) setting() string {
	pinned := fmt.Sprintf("load generator pinned to core %d, servers to core %d", generatorCore, serverCore)
	if !canPin() {
		pinned = "load generator and servers share one core"
	}
	return fmt.Sprintf("%s, %s, %d cores of %s, data on %s; %s; median of %d interleaved rounds of %v; values of %d bytes.",
		time.Now().UTC().Format(time.DateOnly), runtime.Version(), runtime.NumCPU(), processor(), fileSystem(b.dir), pinned, b.rounds, b.length, b.value)
}

// folder makes a new folder for one part's data.
func (b *bench) folder(name string) (string, error) {
	dir := filepath.Join(b.dir, name)
	return dir, os.MkdirAll(dir, 0o700)
}
