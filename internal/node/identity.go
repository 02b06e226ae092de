package node

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/estorajed/estorajed/internal/cluster"
	"github.com/estorajed/estorajed/internal/ring"
)

// Files of the data directory that are the node's own; the rest is the store's.
const (
	identityName = "identity"
	spareName    = "identity.new" // the last identity but one, kept so that its room is there when the disk is full
	lockName     = "lock"
)

// identitySize is the length to which both are filled up with spaces, in bytes: one block, so that writing one anew takes no room.
const identitySize = 4 << 10

// identityFormat is the version of the data directory as a whole.
const identityFormat = 1

// An Identity says whose data directory this is. It is kept as JSON, replaced whole.
type Identity struct {
	Format     int         `json:"format"`
	Directory  string      `json:"directory"` // drawn when the directory is made, 32 hexadecimal digits
	Cluster    string      `json:"cluster"`   // drawn when the cluster is created, 32 hexadecimal digits; until Node is set, this node's proposal
	Name       string      `json:"name"`
	Node       ring.NodeID `json:"node"`      // 0 until the cluster has given a number
	Start      uint64      `json:"start"`     // how often the node was started with this directory
	LaidOut    bool        `json:"laid_out"`  // the store was opened here once: what is missing later was lost
	HashSeed   uint64      `json:"hash_seed"` // of the cluster, so that outsiders cannot aim keys at a partition
	Partitions int         `json:"partitions"`
	Replicas   int         `json:"replicas"`
	MaxVoters  int         `json:"max_voters"`
}

// A DirectoryError says why a data directory cannot be used, and what to do.
type DirectoryError struct {
	Path string
	What string
}

func (e *DirectoryError) Error() string { return fmt.Sprintf("-dataPath %s %s", e.Path, e.What) }

// A Directory is a data directory that this process holds.
type Directory struct {
	Path     string
	Identity *Identity // nil: the directory is new
	lock     *os.File
}

// Take makes the data directory if need be, locks it and reads its identity. Errors: *DirectoryError.
func Take(path string) (*Directory, error) {
	if err := makeFolders(filepath.Clean(path)); err != nil {
		return nil, &DirectoryError{path, "cannot be made: " + reason(err) + ": give a directory that this user may write to"}
	}
	lock, err := os.OpenFile(filepath.Join(path, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, &DirectoryError{path, "cannot be used: " + reason(err) + ": give a directory that this user may read and write"}
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, &DirectoryError{path, "is held by another estorajed: stop that one, or give another directory"}
		}
		return nil, &DirectoryError{path, "cannot be locked: " + reason(err) + ": give a directory on a local file system"}
	}
	d := &Directory{Path: path, lock: lock}
	if d.Identity, err = d.read(); err != nil {
		d.Release()
		return nil, err
	}
	return d, nil
}

// reason is an error's last cause, without the path that the message names already.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// Release lets other processes take the directory.
func (d *Directory) Release() { d.lock.Close() }

func (d *Directory) read() (*Identity, error) {
	b, err := os.ReadFile(filepath.Join(d.Path, identityName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, d.mustBeEmpty()
	}
	if err != nil {
		return nil, &DirectoryError{d.Path, "cannot be read: " + reason(err) + ": let this user read it"}
	}
	id := &Identity{}
	if err := json.Unmarshal(b, id); err != nil {
		return nil, &DirectoryError{d.Path, fmt.Sprintf("has a damaged file %s (%v): restore the directory from a backup, or give an empty one", identityName, err)}
	}
	if id.Format != identityFormat {
		return nil, &DirectoryError{d.Path, fmt.Sprintf("is of format %d, and this build knows format %d: run the build that wrote it", id.Format, identityFormat)}
	}
	return id, nil
}

// mustBeEmpty: a directory without identity is new only if there is nothing in it. (lost+found is the file system's.)
func (d *Directory) mustBeEmpty() error {
	entries, err := os.ReadDir(d.Path)
	if err != nil {
		return &DirectoryError{d.Path, "cannot be read: " + reason(err) + ": let this user read it"}
	}
	for _, e := range entries {
		if name := e.Name(); name != lockName && name != "lost+found" && name != spareName {
			return &DirectoryError{d.Path, fmt.Sprintf("holds %q but no file %q, so it is not estorajed's: give an empty directory", name, identityName)}
		}
	}
	return nil
}

// Settings are what a node's flags say of its identity.
type Settings struct {
	Name       string
	Partitions int
	Replicas   int
	MaxVoters  int
}

// Begin checks that the directory is this node's and counts the start, durably. Errors: *DirectoryError.
func (d *Directory) Begin(s Settings) error {
	if d.Identity == nil {
		d.Identity = newIdentity(s)
	}
	id := d.Identity
	if id.Name != s.Name {
		return &DirectoryError{d.Path, fmt.Sprintf("belongs to node %q, not %q: start with -name %s, or give an empty directory", id.Name, s.Name, id.Name)}
	}
	for _, c := range []struct {
		flag         string
		stored, want int
	}{
		{"partitions", id.Partitions, s.Partitions},
		{"replicas", id.Replicas, s.Replicas},
		{"max-voters", id.MaxVoters, s.MaxVoters},
	} {
		if c.stored != c.want {
			return &DirectoryError{d.Path, fmt.Sprintf("belongs to a cluster with -%s %d, not %d: it is fixed when the cluster is created, so start with -%s %d", c.flag, c.stored, c.want, c.flag, c.stored)}
		}
	}
	if id.Directory == "" { // made by a version that knew no clusters
		id.Directory = drawName()
	}
	id.Start++
	if err := d.write(id); err != nil {
		return &DirectoryError{d.Path, "cannot be written: " + reason(err) + ": make room, or let this user write there"}
	}
	return nil
}

func newIdentity(s Settings) *Identity {
	var random [8]byte
	rand.Read(random[:]) // never fails: see crypto/rand
	return &Identity{
		Format: identityFormat, Directory: drawName(), Cluster: drawName(), Name: s.Name,
		HashSeed:   binary.LittleEndian.Uint64(random[:]) >> 11, // 53 bits, so that every JSON reader keeps it exact
		Partitions: s.Partitions, Replicas: s.Replicas, MaxVoters: s.MaxVoters,
	}
}

// drawName gives 32 hexadecimal digits that nobody else has.
func drawName() string {
	var random [16]byte
	rand.Read(random[:]) // never fails: see crypto/rand
	return hex.EncodeToString(random[:])
}

// Joined notes, durably, as which node of which cluster the directory counts from here on. Errors: *DirectoryError.
func (d *Directory) Joined(s cluster.Settings, node ring.NodeID) error {
	id := d.Identity
	if id.Cluster == s.Cluster && id.HashSeed == s.HashSeed && id.Node == node {
		return nil
	}
	if id.Node != 0 { // its keys are placed by the old seed, its promises were made under the old number
		return &DirectoryError{d.Path, fmt.Sprintf(
			"is node %d of cluster %s, but etcd says node %d of cluster %s: restore what etcd kept, or give empty directories to all nodes", id.Node, id.Cluster, node, s.Cluster,
		)}
	}
	id.Cluster, id.HashSeed, id.Node = s.Cluster, s.HashSeed, node
	if err := d.write(id); err != nil {
		return &DirectoryError{d.Path, "cannot be written: " + reason(err) + ": make room, or let this user write there"}
	}
	return nil
}

// write replaces the identity: whole and durable before it returns.
func (d *Directory) write(id *Identity) error {
	b, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return err
	}
	name, spare := filepath.Join(d.Path, identityName), filepath.Join(d.Path, spareName)
	f, err := os.OpenFile(spare, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	b = append(b, bytes.Repeat([]byte{' '}, max(0, identitySize-1-len(b)))...)
	_, err = f.Write(append(b, '\n'))
	if err = errors.Join(err, f.Truncate(int64(len(b)+1)), f.Sync(), f.Close()); err != nil {
		return err
	}
	err = unix.Renameat2(unix.AT_FDCWD, spare, unix.AT_FDCWD, name, unix.RENAME_EXCHANGE)
	if err != nil { // the first time there is nothing to exchange; some file systems cannot
		err = os.Rename(spare, name)
	}
	if err != nil {
		return err
	}
	return syncFolder(d.Path)
}

// makeFolders makes a folder, and those above it, durably.
func makeFolders(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil
	}
	if above := filepath.Dir(path); above != path {
		if err := makeFolders(above); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// LaidOut notes that the store is there, durably. Errors: *DirectoryError.
func (d *Directory) LaidOut() error {
	if d.Identity.LaidOut {
		return nil
	}
	d.Identity.LaidOut = true
	if err := d.write(d.Identity); err != nil {
		return &DirectoryError{d.Path, "cannot be written: " + reason(err) + ": make room, or let this user write there"}
	}
	return nil
}
