package coordinator

import (
	"context"
	"errors"
	"io"
	"slices"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/ring"
)

// A resumingBody is a value on its way from one replica, and from another one if that fails in mid-stream: its copy turns out to be damaged,
// or the connection is lost. A version's bytes are the same everywhere, so it goes on where the other one ended.
type resumingBody struct {
	*Coordinator
	ctx     context.Context
	k       key.Key
	set     ring.Set
	version register.Stamp
	length  int64

	body  io.ReadSeekCloser // nil after a failure, until another one is found
	tried []ring.NodeID     // who failed; the last of them is, or was, body's
	at    int64             // of the next byte to give
}

// resuming makes the body of a record, that node gives, one that goes on elsewhere. A short one of this node's own is in memory, and
// checked; nil stays nil.
func (c *Coordinator) resuming(ctx context.Context, k key.Key, set ring.Set, node ring.NodeID, rec *register.Record, body io.ReadSeekCloser) io.ReadSeekCloser {
	if body == nil || node == c.node && rec.Value.Length <= register.InlineMax {
		return body
	}
	return &resumingBody{
		Coordinator: c, ctx: ctx, k: k, set: set, version: rec.Version, length: rec.Value.Length,
		body: body, tried: []ring.NodeID{node},
	}
}

// Read gives the next bytes. Its error is that of the replica which failed last, if no other one can go on.
func (b *resumingBody) Read(p []byte) (int, error) {
	if b.at >= b.length {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	for {
		n, err := b.body.Read(p[:min(int64(len(p)), b.length-b.at)])
		b.at += int64(n)
		if err == io.EOF && b.at < b.length {
			err = io.ErrUnexpectedEOF
		}
		if n > 0 || err == nil || err == io.EOF {
			return n, nil // an error that came with bytes comes again, or is made good
		}
		if !b.resume() {
			return 0, err
		}
	}
}

// resume finds another replica that gives the same version from there on.
func (b *resumingBody) resume() bool {
	for node := range b.set.Members() {
		if slices.Contains(b.tried, node) || !b.up(node) || b.ctx.Err() != nil {
			continue
		}
		b.tried = append(b.tried, node)
		rec, body, err := b.fetch(b.ctx, b.k, node, Peer.Read)
		if err == nil && body != nil && rec.Version == b.version {
			if _, err = body.Seek(b.at, io.SeekStart); err == nil {
				b.body.Close()
				b.body = body
				return true
			}
		}
		if body != nil {
			body.Close()
		}
	}
	return false
}

// Seek sets where the next Read begins.
func (b *resumingBody) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += b.at
	case io.SeekEnd:
		offset += b.length
	}
	if offset < 0 {
		return 0, errors.New("seek before the start of a value")
	}
	b.at = offset
	if _, err := b.body.Seek(offset, io.SeekStart); err != nil && !b.resume() {
		return 0, err
	}
	return offset, nil
}

// Close lets go of the replica.
func (b *resumingBody) Close() error { return b.body.Close() }
