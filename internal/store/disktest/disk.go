// Package disktest is a simulated disk that keeps no promise it did not make. What was not synced may be lost, torn at sector
// boundaries, reordered or turned to garbage by a power cut; folder entries and file contents go separately. Everything is drawn from one
// seeded generator, so a run repeats itself. (The faults are those that Pillai and others, 'All File Systems Are Not Created Equal',
// OSDI 2014, found real file systems to show.)
package disktest

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/estorajed/estorajed/internal/store/vfs"
)

// ErrCrashed is what every call gets once the disk's host has crashed.
var ErrCrashed = errors.New("the simulated host has crashed")

// Disk is the disk as its host sees it. It is safe for concurrent use.
type Disk struct {
	mu      sync.Mutex
	rng     *rand.Rand
	entries map[string]*inode // what the host sees
	durable map[string]*inode // what a power cut surely leaves
	pending []change          // from durable to entries, in order
	dirty   map[*inode]bool   // files with unsynced contents
	fuse    int               // calls until the host crashes; negative: never
	dead    bool
	inject  func(op, name string) error
	usage   vfs.Usage
	calls   int
}

// An op is a step of folder contents: name has that inode from here on; nil: none.
type op struct {
	name string
	node *inode
}

// A change is what one call did to folders; it reaches the disk whole or not at all.
type change []op

// New makes an empty disk with plenty of room.
func New(rng *rand.Rand) *Disk {
	root := &inode{folder: true}
	return &Disk{
		rng: rng, fuse: -1, dirty: make(map[*inode]bool),
		entries: map[string]*inode{".": root}, durable: map[string]*inode{".": root},
		usage: vfs.Usage{Size: 1 << 40, Free: 1 << 39, Inodes: 1 << 30, FreeInodes: 1 << 29},
	}
}

// CrashAfter lets the host crash at the n-th call from now on, counted from 1; what that call was to do is not done, or half.
func (d *Disk) CrashAfter(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fuse = n
}

// Crashed tells whether the host has crashed.
func (d *Disk) Crashed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.dead
}

// Inject asks f at each call whether it is to fail, and with what; f is nil for none. Operations are create, open, rename, remove, mkdir, list,
// syncdir, syncall, usage, read, write, size, allocate, sync, close.
func (d *Disk) Inject(f func(op, name string) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inject = f
}

// SetUsage sets what Usage answers; writing does not change it.
func (d *Disk) SetUsage(u vfs.Usage) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.usage = u
}

// Calls counts the calls so far.
func (d *Disk) Calls() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.calls
}

// Kill ends the host's process and leaves the system running: what was not synced stays in its memory. Old handles are dead.
func (d *Disk) Kill() *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = true
	return &Disk{
		rng: d.rng, fuse: -1, usage: d.usage,
		entries: d.entries, durable: d.durable, pending: d.pending, dirty: d.dirty,
	}
}

// Cut cuts the power: the disk that the host finds afterwards.
func (d *Disk) Cut() *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = true
	left := d.durable
	for _, c := range d.pending {
		if d.rng.IntN(2) == 0 {
			continue
		}
		apply(left, c)
	}
	n := &Disk{rng: d.rng, fuse: -1, usage: d.usage, dirty: make(map[*inode]bool)}
	n.durable = make(map[string]*inode, len(left))
	n.entries = make(map[string]*inode, len(left))
	for _, name := range slices.Sorted(keys(left)) {
		node := left[name]
		if !reachable(left, name) {
			continue
		}
		if d.dirty[node] || len(node.lost) > 0 {
			node.tear(d.rng)
			delete(d.dirty, node) // torn once, under whatever names
		}
		n.durable[name], n.entries[name] = node, node
	}
	return n
}

func keys(m map[string]*inode) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func reachable(entries map[string]*inode, name string) bool {
	for name != "." {
		name = parent(name)
		if entries[name] == nil || !entries[name].folder {
			return false
		}
	}
	return true
}

func apply(entries map[string]*inode, c change) {
	for _, o := range c {
		if o.node == nil {
			delete(entries, o.name)
			continue
		}
		entries[o.name] = o.node
	}
}

func parent(name string) string {
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		return name[:i]
	}
	return "."
}

// enter begins a call. The caller holds mu.
func (d *Disk) enter(op, name string) error {
	d.calls++
	if d.fuse > 0 {
		d.fuse--
		if d.fuse == 0 {
			d.dead = true
		}
	}
	if d.dead {
		return fmt.Errorf("%s %s: %w", op, name, ErrCrashed)
	}
	if d.inject != nil {
		if err := d.inject(op, name); err != nil {
			return &fs.PathError{Op: op, Path: name, Err: err}
		}
	}
	return nil
}

func (d *Disk) change(c change) {
	apply(d.entries, c)
	d.pending = append(d.pending, c)
}

// find gives the inode of a name. The caller holds mu.
func (d *Disk) find(op, name string) (*inode, error) {
	node := d.entries[name]
	if node == nil || !reachable(d.entries, name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return node, nil
}

// Create makes a new file.
func (d *Disk) Create(name string) (vfs.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.enter("create", name); err != nil {
		return nil, err
	}
	if _, err := d.find("create", parent(name)); err != nil {
		return nil, err
	}
	if d.entries[name] != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	node := newInode()
	d.change(change{{name, node}})
	return &handle{d: d, node: node, name: name}, nil
}

// Open opens a file for reading.
func (d *Disk) Open(name string) (vfs.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.enter("open", name); err != nil {
		return nil, err
	}
	node, err := d.find("open", name)
	if err != nil {
		return nil, err
	}
	return &handle{d: d, node: node, name: name}, nil
}

// Rename puts from in the place of to.
func (d *Disk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.enter("rename", to); err != nil {
		return err
	}
	node, err := d.find("rename", from)
	if err != nil {
		return err
	}
	if _, err := d.find("rename", parent(to)); err != nil {
		return err
	}
	d.change(change{{from, nil}, {to, node}})
	return nil
}

// Remove takes a file or an empty folder away.
func (d *Disk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.enter("remove", name); err != nil {
		return err
	}
	node, err := d.find("remove", name)
	if err != nil {
		return err
	}
	if node.folder && len(d.children(name)) > 0 {
		return &fs.PathError{Op: "remove", Path: name, Err: syscall.ENOTEMPTY}
	}
	d.change(change{{name, nil}})
	return nil
}

// Mkdir makes one folder.
func (d *Disk) Mkdir(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.enter("mkdir", name); err != nil {
		return err
	}
	if _, err := d.find("mkdir", parent(name)); err != nil {
		return err
	}
	if d.entries[name] != nil {
		return &fs.PathError{Op: "mkdir", Path: name, Err: fs.ErrExist}
	}
	d.change(change{{name, &inode{folder: true}}})
	return nil
}

// List gives the names in a folder, sorted.
func (d *Disk) List(dir string) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.enter("list", dir); err != nil {
		return nil, err
	}
	if _, err := d.find("list", dir); err != nil {
		return nil, err
	}
	return d.children(dir), nil
}

func (d *Disk) children(dir string) []string {
	var names []string
	for name := range d.entries {
		if name != "." && parent(name) == dir {
			names = append(names, name[strings.LastIndexByte(name, '/')+1:])
		}
	}
	slices.Sort(names)
	return names
}

// SyncDir makes the entries of a folder durable.
func (d *Disk) SyncDir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.enter("syncdir", dir); err != nil {
		return err
	}
	if _, err := d.find("syncdir", dir); err != nil {
		return err
	}
	// What was done to the same names before goes along, or it would undo later what is durable now.
	along := make([]bool, len(d.pending))
	names := make(map[string]bool)
	for i, c := range slices.Backward(d.pending) {
		along[i] = slices.ContainsFunc(c, func(o op) bool { return parent(o.name) == dir || names[o.name] })
		if along[i] {
			for _, o := range c {
				names[o.name] = true
			}
		}
	}
	var rest []change
	for i, c := range d.pending {
		if along[i] {
			apply(d.durable, c)
			continue
		}
		rest = append(rest, c)
	}
	d.pending = rest
	return nil
}

// SyncAll makes everything durable.
func (d *Disk) SyncAll() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.enter("syncall", "."); err != nil {
		if !d.dead {
			for node := range d.dirty {
				node.fail()
			}
		}
		return err
	}
	for _, c := range d.pending {
		apply(d.durable, c)
	}
	d.pending = nil
	for node := range d.dirty {
		node.sync()
	}
	clear(d.dirty)
	return nil
}

// Usage gives what SetUsage set.
func (d *Disk) Usage() (vfs.Usage, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.enter("usage", "."); err != nil {
		return vfs.Usage{}, err
	}
	return d.usage, nil
}

// Rot turns one byte of a file into another, on the disk and in the system's memory, as if it had always been so: the byte at that place,
// counted from the end if it is negative. False if there is no such byte.
func (d *Disk) Rot(name string, at int64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	node := d.entries[name]
	if d.dead || node == nil || node.folder {
		return false
	}
	if at < 0 {
		at += node.size
	}
	if at < 0 || at >= node.size {
		return false
	}
	flip := byte(1 + d.rng.IntN(255))
	for _, sectors := range []map[int64]*sector{node.sectors, node.old} {
		var s sector
		if old := sectors[at/sectorSize]; old != nil {
			s = *old
		}
		s[at%sectorSize] ^= flip
		sectors[at/sectorSize] = &s
	}
	return true
}

// Names gives the paths of what is in a folder, as of now and whatever the host's state; none if there is no such folder.
func (d *Disk) Names(dir string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	names := d.children(dir)
	for i := range names {
		names[i] = dir + "/" + names[i]
	}
	return names
}
