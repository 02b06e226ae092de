package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/estorajed/estorajed/internal/register"
)

// blockPool holds buffers of one block: what a read of a large value keeps in memory.
type blockPool struct{ sync.Pool }

func (p *blockPool) get() *[blockSize]byte {
	if b, ok := p.Get().(*[blockSize]byte); ok {
		return b
	}
	return new([blockSize]byte)
}

// fileBody gives a large value, block by block, each checked before its first byte is given.
type fileBody struct {
	*openFile
	ctx   context.Context
	store *Store

	at    int64            // of the next byte to give
	block int64            // number of the block in buf, plus 1; 0 if none
	buf   *[blockSize]byte // from the store's pool, nil until the first read
}

// Read gives bytes of one block at most. Errors: *register.DamageError.
func (b *fileBody) Read(p []byte) (int, error) {
	length := b.rec.Value.Length
	if b.at >= length {
		return 0, io.EOF
	}
	block := b.at / blockSize
	start := block * blockSize
	size := min(blockSize, length-start)
	if b.block != block+1 {
		if err := b.load(block, size); err != nil {
			return 0, b.store.damage(b.ctx, err)
		}
	}
	n := copy(p, b.buf[b.at-start:size])
	b.at += int64(n)
	return n, nil
}

func (b *fileBody) load(block, size int64) error {
	if b.buf == nil {
		b.buf = b.store.blocks.get()
	}
	b.block = 0
	if err := readFull(b.File, b.buf[:size], block*blockSize); err != nil {
		return &register.DamageError{Where: b.name, What: err.Error()}
	}
	if checksum(b.buf[:size]) != b.blocks[block] {
		return &register.DamageError{Where: b.name, What: fmt.Sprintf("the checksum of block %d of %d is wrong", block+1, len(b.blocks))}
	}
	b.block = block + 1
	return nil
}

// checkAll reads every block and gives the first damage.
func (f *openFile) checkAll() error {
	buf := make([]byte, blockSize)
	for i, want := range f.blocks {
		at := int64(i) * blockSize
		block := buf[:min(blockSize, f.rec.Value.Length-at)]
		if err := readFull(f.File, block, at); err != nil {
			return &register.DamageError{Where: f.name, What: err.Error()}
		}
		if checksum(block) != want {
			return &register.DamageError{Where: f.name, What: fmt.Sprintf("the checksum of block %d of %d is wrong", i+1, len(f.blocks))}
		}
	}
	return nil
}

// Seek sets where the next Read begins.
func (b *fileBody) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += b.at
	case io.SeekEnd:
		offset += b.rec.Value.Length
	}
	if offset < 0 {
		return 0, errors.New("seek before the start of a value")
	}
	b.at = offset
	return offset, nil
}

// Close gives the file and the buffer back.
func (b *fileBody) Close() error {
	if b.buf != nil {
		b.store.blocks.Put(b.buf)
		b.buf = nil
	}
	return b.openFile.Close()
}
