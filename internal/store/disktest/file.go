package disktest

import (
	"io"
	"maps"
	"math/rand/v2"
	"slices"
)

const sectorSize = 512

type sector = [sectorSize]byte

// An inode is a file's contents, or a folder. A sector that is not in the map is zero; sectors are never changed in place.
type inode struct {
	folder  bool
	size    int64
	sectors map[int64]*sector

	oldSize int64 // as of the last sync
	old     map[int64]*sector
	touched map[int64]bool // sectors written since
	lost    map[int64]bool // sectors that a sync failed to write: the system takes them for clean, and shows what the disk does not hold
}

func newInode() *inode {
	return &inode{sectors: make(map[int64]*sector), old: make(map[int64]*sector), touched: make(map[int64]bool), lost: make(map[int64]bool)}
}

func (n *inode) sync() {
	n.oldSize = n.size
	for i := range n.touched {
		n.old[i] = n.sectors[i]
	}
	clear(n.touched)
}

// fail is a sync that the disk refused: nothing was written, and no later sync will write it (Rebello and others, 'Can Applications
// Recover from fsync Failures?', 2020).
func (n *inode) fail() {
	for i := range n.touched {
		n.lost[i] = true
	}
	clear(n.touched)
}

// tear is what a power cut leaves: of each unsynced sector the old contents, the new, or rarely garbage; of the size the old or the new.
func (n *inode) tear(rng *rand.Rand) {
	for _, i := range slices.Sorted(maps.Keys(n.touched)) {
		switch rng.IntN(8) {
		case 0, 1, 2:
			n.old[i] = n.sectors[i]
		case 3:
			var garbage sector
			for j := range garbage {
				garbage[j] = byte(rng.Uint32())
			}
			n.old[i] = &garbage
		}
	}
	if rng.IntN(2) == 0 {
		n.oldSize = n.size
	}
	n.size = n.oldSize
	n.sectors = maps.Clone(n.old)
	clear(n.touched)
	clear(n.lost)
}

// handle is an open file.
type handle struct {
	d    *Disk
	node *inode
	name string
}

// ReadAt fills b from the offset; io.EOF if the file ends before.
func (h *handle) ReadAt(b []byte, at int64) (int, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if err := h.d.enter("read", h.name); err != nil {
		return 0, err
	}
	n := max(0, min(int64(len(b)), h.node.size-at))
	for done := int64(0); done < n; {
		i, o := (at+done)/sectorSize, (at+done)%sectorSize
		part := b[done:min(n, done+sectorSize-o)]
		if s := h.node.sectors[i]; s != nil {
			copy(part, s[o:])
		} else {
			clear(part)
		}
		done += int64(len(part))
	}
	if n < int64(len(b)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

// WriteAt writes b at the offset. A crash in the midst leaves any part of it.
func (h *handle) WriteAt(b []byte, at int64) (int, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	err := h.d.enter("write", h.name)
	if err != nil && (!h.d.dead || h.d.fuse != 0) {
		return 0, err
	}
	if err != nil { // the crash is now
		h.d.fuse = -1
		b = b[:h.d.rng.IntN(len(b)+1)]
	}
	h.d.dirty[h.node] = true
	for done := 0; done < len(b); {
		i, o := (at+int64(done))/sectorSize, (at+int64(done))%sectorSize
		s := new(sector)
		if old := h.node.sectors[i]; old != nil {
			*s = *old
		}
		n := copy(s[o:], b[done:])
		h.node.sectors[i] = s
		h.node.touched[i] = true
		delete(h.node.lost, i)
		done += n
	}
	h.node.size = max(h.node.size, at+int64(len(b)))
	return len(b), err
}

// Size is the file's length.
func (h *handle) Size() (int64, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	return h.node.size, h.d.enter("size", h.name)
}

// Allocate sets the size.
func (h *handle) Allocate(size int64) error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if err := h.d.enter("allocate", h.name); err != nil {
		return err
	}
	h.d.dirty[h.node] = true
	h.node.size = max(h.node.size, size)
	return nil
}

// Sync makes contents and size durable.
func (h *handle) Sync() error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if err := h.d.enter("sync", h.name); err != nil {
		if !h.d.dead {
			h.node.fail()
		}
		return err
	}
	h.node.sync()
	delete(h.d.dirty, h.node)
	return nil
}

// Forget drops what the system shows although the disk does not hold it.
func (h *handle) Forget() {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	for i := range h.node.lost {
		h.node.sectors[i] = h.node.old[i]
	}
	clear(h.node.lost)
}

// Close gives the handle back.
func (h *handle) Close() error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	return h.d.enter("close", h.name)
}
