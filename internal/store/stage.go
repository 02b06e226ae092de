package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/store/vfs"
)

// A stagedValue is a large value on the disk that no record names yet.
type stagedValue struct {
	file   vfs.File
	length int64
	sum    uint64
	blocks []uint32
}

// Stage takes a value's bytes off body before anybody knows whether they will count. Values of up to register.InlineMax bytes come back
// inline; longer ones are on the disk, synced, under id. size is the expected length, or -1; it is a hint only.
// Errors: register.ErrFull, register.ErrFailed, or what body gave; nothing is left behind then.
func (s *Store) Stage(ctx context.Context, id register.Stamp, body io.Reader, size int64) (register.Value, error) {
	head, whole, err := readHead(body, size)
	if err != nil {
		return register.Value{}, err
	}
	if whole {
		return register.Value{Length: int64(len(head)), Sum: xxhash.Sum64(head), Inline: head}, nil
	}
	if err := s.Writable(size); err != nil {
		return register.Value{}, err
	}
	return s.stageFile(ctx, id, io.MultiReader(bytes.NewReader(head), body))
}

// stageFile takes a value's bytes into a file of the staging folder.
func (s *Store) stageFile(ctx context.Context, id register.Stamp, body io.Reader) (register.Value, error) {
	name := uploadPath(id)
	f, err := s.fs.Create(name)
	if err != nil {
		return register.Value{}, diskError("stage a value", err)
	}
	v, err := s.fill(ctx, f, body)
	if err == nil {
		err = s.syncFile(f, name)
	}
	if err != nil {
		f.Close()
		return register.Value{}, errors.Join(diskError("stage a value", err), s.fs.Remove(name))
	}
	s.mu.Lock()
	s.staged[id] = v
	s.mu.Unlock()
	return register.Value{Length: v.length, Sum: v.sum, Stage: id}, nil
}

// readHead reads up to what fits inline, and whether that is all.
func readHead(body io.Reader, size int64) (head []byte, whole bool, err error) {
	room := int64(guess)
	if size >= 0 {
		room = min(register.InlineMax, size) + 1
	}
	head = make([]byte, room)
	for n := 0; ; {
		m, whole, err := readBlock(body, head[n:])
		n += m
		if err != nil || whole {
			if size < 0 {
				return bytes.Clone(head[:n]), whole, err // it stays in memory for a while, and its room would with it
			}
			return head[:n:n], whole, err
		}
		if n > register.InlineMax {
			return head, false, nil
		}
		head = append(head, make([]byte, min(n, register.InlineMax+1-n))...)
	}
}

// guess is the room that is made at first for a value of unknown length, in bytes.
const guess = 4 << 10

// readBlock fills b; last tells that the reader ended. An end that the reader calls unexpected is an error, not an end.
func readBlock(r io.Reader, b []byte) (n int, last bool, err error) {
	for n < len(b) {
		m, err := r.Read(b[n:])
		n += m
		if err == io.EOF {
			return n, true, nil
		}
		if err != nil {
			return n, false, fmt.Errorf("read the body: %w", err)
		}
	}
	return n, false, nil
}

// fill writes a body to f, block by block.
func (s *Store) fill(ctx context.Context, f vfs.File, body io.Reader) (*stagedValue, error) {
	v := &stagedValue{file: f}
	sum := xxhash.New()
	buf := s.blocks.get()
	defer s.blocks.Put(buf)
	for last := false; !last; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var n int
		var err error
		if n, last, err = readBlock(body, buf[:]); err != nil {
			return nil, err
		}
		if n == 0 {
			break
		}
		if err := s.space.take(int64(n), 0); err != nil {
			return nil, err
		}
		if _, err := f.WriteAt(buf[:n], v.length); err != nil {
			return nil, err
		}
		v.blocks = append(v.blocks, checksum(buf[:n]))
		sum.Write(buf[:n])
		v.length += int64(n)
	}
	v.sum = sum.Sum64()
	return v, nil
}

// Unstage gives up a staged value that no record names; a no-op for inline values and for accepted ones.
func (s *Store) Unstage(v register.Value) {
	if v.Stage.IsZero() {
		return
	}
	s.mu.Lock()
	st := s.staged[v.Stage]
	delete(s.staged, v.Stage)
	s.mu.Unlock()
	if st == nil {
		return
	}
	st.file.Close()
	_ = s.fs.Remove(uploadPath(v.Stage)) // recovery clears what is left
}

// settleBytes sees to it that the bytes of a record's value are where its journal entry will say.
func (s *Store) settleBytes(ctx context.Context, it *item) error {
	s.mu.Lock()
	st := s.staged[it.rec.Value.Stage]
	delete(s.staged, it.rec.Value.Stage)
	s.mu.Unlock()
	if st == nil {
		var err error
		if st, err = s.carry(ctx, it); err != nil || st == nil {
			return err
		}
	}
	if st.length != it.rec.Value.Length || st.sum != it.rec.Value.Sum { // what came here is not what the writer sent
		st.file.Close()
		return errors.Join(register.ErrNoBytes, s.removeFile(uploadPath(it.rec.Value.Stage)))
	}
	it.kind = entryStaged
	upload := uploadPath(it.rec.Value.Stage)
	it.rec.Value.Stage = it.rec.Ballot
	name := stagePath(it.rec.Ballot)
	if err := s.seal(it.key, &it.rec, st, upload, name); err != nil {
		st.file.Close()
		return errors.Join(diskError("stage a value", err), s.removeFile(upload), s.removeFile(name))
	}
	return nil
}

// seal completes an uploaded file with the trailer of its record and makes it durable, under the name that the record gives it.
func (s *Store) seal(k key.Key, rec *register.Record, st *stagedValue, upload, name string) error {
	trailer := appendTrailer(nil, k, rec, st.blocks)
	if _, err := st.file.WriteAt(trailer, st.length); err != nil {
		return err
	}
	if err := s.syncFile(st.file, name); err != nil {
		return err
	}
	if err := s.fs.Rename(upload, name); err != nil {
		return err
	}
	if err := s.syncDir(stagingDir); err != nil {
		return err
	}
	return st.file.Close()
}

// carry takes the bytes of a record that is proposed anew from the copy here, which must be of the same version. A small value
// becomes inline; a large one is staged anew.
func (s *Store) carry(ctx context.Context, it *item) (*stagedValue, error) {
	cur, body, err := s.Read(ctx, it.key)
	if err != nil {
		return nil, err
	}
	if !cur.Present() || cur.Version != it.rec.Version {
		if body != nil {
			body.Close()
		}
		return nil, fmt.Errorf("version %v: %w", it.rec.Version, register.ErrNoBytes)
	}
	defer body.Close()
	if cur.Value.Inline != nil {
		it.rec.Value.Inline = cur.Value.Inline
		return nil, nil
	}
	it.rec.Value.Stage = it.rec.Ballot
	name := uploadPath(it.rec.Ballot)
	f, err := s.fs.Create(name)
	if err != nil {
		return nil, diskError("stage a value", err)
	}
	st, err := s.fill(ctx, f, body)
	if err != nil {
		f.Close()
		return nil, errors.Join(diskError("stage a value", err), s.fs.Remove(name))
	}
	return st, nil
}
