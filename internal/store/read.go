package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/store/vfs"
)

// Head gives the newest record of k that is durable here; the zero Record says that there is none. Value.Inline may be nil.
// Errors: *register.DamageError.
func (s *Store) Head(ctx context.Context, k key.Key) (register.Record, error) {
	hash, part := s.cfg.Locate(k)
	rec, _, err := s.head(ctx, k, hash, part)
	return rec, err
}

// head is Head; the record is true at least until the key's stripe leaves seq.
func (s *Store) head(ctx context.Context, k key.Key, hash uint64, part int) (rec register.Record, seq uint64, err error) {
	for {
		s.mu.RLock()
		st := s.stripe(hash)
		seq = st.seq
		it, onItsWay := s.m.shown(k)
		known := st.memo
		folder := s.folders[part]
		s.mu.RUnlock()
		if onItsWay {
			return it.rec, seq, nil
		}
		if known != nil && known.key == k {
			return known.rec, seq, nil
		}
		if s.cache != nil {
			if c, ok := s.cache.GetEntryQuietly(k); ok {
				return c.Value.rec, seq, nil
			}
		}
		file, err := s.openKey(folder, k)
		if err != nil {
			return register.Record{}, seq, s.damage(ctx, err)
		}
		if file != nil {
			rec = file.rec
			file.Close()
		}
		s.mu.Lock()
		same := st.seq == seq
		if same {
			st.memo = &memo{k, rec}
		}
		s.mu.Unlock()
		if same {
			return rec, seq, nil
		}
	}
}

// learnPrior finds what a new record replaces, as far as files and durable entries say, and the sequence number of its stripe. Of
// a copy too damaged to tell, only the place is known: its length and its share of the digest are for a scrub to put right.
func (s *Store) learnPrior(ctx context.Context, it *item) (seq uint64, err error) {
	rec, seq, err := s.head(ctx, it.key, it.hash, it.part)
	it.prior = priorOf(&rec)
	var damage *register.DamageError
	if errors.As(err, &damage) {
		it.damaged = true
		it.prior.kind = register.Data
		if strings.Contains(damage.Where, "/"+deletedDir+"/") {
			it.prior.kind = register.Tombstone
		}
		return seq, nil
	}
	s.mu.RLock()
	if len(s.damaged) > 0 { // by a read of its bytes, although its trailer is sound
		it.damaged = s.damaged[keyPath(s.folders[it.part], it.key, rec.Kind)]
	}
	s.mu.RUnlock()
	return seq, err
}

// Read gives the newest record of k that is durable here and, if it is Present, its bytes, to be closed by the caller.
// Errors: *register.DamageError, from Read or from the body: no byte of a block is given before the block was checked.
func (s *Store) Read(ctx context.Context, k key.Key) (register.Record, io.ReadSeekCloser, error) {
	hash, part := s.cfg.Locate(k)
	for {
		s.mu.RLock()
		seq := s.stripe(hash).seq
		it, onItsWay := s.m.shown(k)
		folder := s.folders[part]
		s.mu.RUnlock()
		if onItsWay && it.kind == entryPut {
			s.hit()
			return it.rec, inMemory(&it.rec), nil
		}
		if s.cache != nil {
			if c, ok := s.cache.GetIfPresent(k); ok {
				s.hit()
				return c.rec, inMemory(&c.rec), nil
			}
		}
		rec, body, err := s.readFiles(ctx, k, folder, it)
		if err == nil && rec.Kind == register.None && s.moved(hash, seq) {
			continue // between a look at one place and a look at the other the record went from the one to the other
		}
		if err == nil {
			s.miss(k, hash, seq, &rec)
		}
		return rec, body, err
	}
}

func (s *Store) moved(hash, seq uint64) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.stripe(hash).seq != seq
}

func (s *Store) hit() {
	if f := s.cfg.Events.CacheHit; f != nil {
		f()
	}
}

func (s *Store) miss(k key.Key, hash, seq uint64, rec *register.Record) {
	if f := s.cfg.Events.CacheMiss; f != nil {
		f()
	}
	if rec.Present() && (rec.Value.Inline != nil || rec.Value.Length == 0) {
		s.remember(k, hash, seq, rec)
	}
}

// readFiles reads k's record from its file, or from the staged file of a record on its way.
func (s *Store) readFiles(ctx context.Context, k key.Key, folder string, it *item) (register.Record, io.ReadSeekCloser, error) {
	var file *openFile
	var err error
	if it != nil {
		file, err = s.openFile(stagePath(it.rec.Value.Stage), k)
	}
	if file == nil && err == nil {
		file, err = s.openKey(folder, k)
	}
	if err != nil {
		return register.Record{}, nil, s.damage(ctx, err)
	}
	if file == nil {
		return register.Record{}, nil, nil
	}
	if !file.rec.Present() {
		file.Close()
		return file.rec, nil, nil
	}
	if file.rec.Value.Length > register.InlineMax {
		return file.rec, &fileBody{openFile: file, ctx: ctx, store: s}, nil
	}
	defer file.Close()
	if err := file.readInline(); err != nil {
		return register.Record{}, nil, s.damage(ctx, err)
	}
	return file.rec, inMemory(&file.rec), nil
}

// damage reports a damaged copy once, whatever the number of reads that meet it.
func (s *Store) damage(ctx context.Context, err error) error {
	var d *register.DamageError
	if !errors.As(err, &d) {
		return err
	}
	s.mu.Lock()
	known := s.damaged[d.Where]
	s.damaged[d.Where] = true
	s.mu.Unlock()
	if f := s.cfg.Events.Damaged; f != nil && !known {
		f(ctx, d.Where, d.What, "read")
	}
	return err
}

// An openFile is a key file whose trailer was read and checked.
type openFile struct {
	vfs.File
	keyFile
	name string
}

// openKey opens the file of a key, wherever it is; nil if there is none.
func (s *Store) openKey(folder string, k key.Key) (*openFile, error) {
	file, err := s.openFile(keyPath(folder, k, register.Data), k)
	if file != nil || err != nil {
		return file, err
	}
	return s.openFile(keyPath(folder, k, register.Tombstone), k)
}

// tailGuess is how much of a file's end is read at first: most trailers are shorter.
const tailGuess = 1 << 10

// openFile opens one file and reads its trailer; nil if there is no such file.
func (s *Store) openFile(name string, k key.Key) (*openFile, error) {
	f, err := s.fs.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, diskError("open a key file", err)
	}
	kf, err := readTrailer(f)
	if err == nil && kf.key != k {
		err = fmt.Errorf("it holds the key %q", string(kf.key))
	}
	if err != nil {
		f.Close()
		return nil, &register.DamageError{Where: name, What: err.Error()}
	}
	return &openFile{File: f, keyFile: kf, name: name}, nil
}

func readTrailer(f vfs.File) (keyFile, error) {
	size, err := f.Size()
	if err != nil {
		return keyFile{}, err
	}
	if size < int64(footerSize) {
		return keyFile{}, fmt.Errorf("%d bytes are too few for a key file", size)
	}
	tail := make([]byte, min(size, tailGuess))
	if err := readFull(f, tail, size-int64(len(tail))); err != nil {
		return keyFile{}, err
	}
	trailer, err := trailerLength(tail[len(tail)-footerSize:], size)
	if err != nil {
		return keyFile{}, err
	}
	whole := trailer + footerSize
	if whole > len(tail) {
		tail = make([]byte, whole)
		if err := readFull(f, tail, size-int64(whole)); err != nil {
			return keyFile{}, err
		}
	}
	return parseTrailer(tail[len(tail)-whole:], size)
}

func readFull(f vfs.File, b []byte, at int64) error {
	n, err := f.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	return fmt.Errorf("read %d bytes at %d: %w", len(b), at, err)
}

// readInline reads and checks the whole value.
func (f *openFile) readInline() error {
	b := make([]byte, f.rec.Value.Length)
	if err := readFull(f.File, b, 0); err != nil {
		return &register.DamageError{Where: f.name, What: err.Error()}
	}
	if len(b) > 0 && checksum(b) != f.blocks[0] {
		return &register.DamageError{Where: f.name, What: "the checksum of its only block is wrong"}
	}
	f.rec.Value.Inline = b
	return nil
}

// memoryBody is a value that is in memory.
type memoryBody struct{ bytes.Reader }

func (*memoryBody) Close() error { return nil }

func inMemory(rec *register.Record) io.ReadSeekCloser {
	if !rec.Present() {
		return nil
	}
	b := &memoryBody{}
	b.Reset(rec.Value.Inline)
	return b
}
