package api

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// A body is a request's body on its way to the store. Its last bytes are given out only after all digests were found to
// match, so that whoever stops reading at the declared length has been told as well.
//
// It bounds slow senders by progress: time spent waiting for the client counts, and each chunk of bytes fills the
// allowance up again. Time that the store takes between two reads does not count.
type body struct {
	source   io.Reader // nil: the request has no body
	deadline http.ResponseController
	stall    time.Duration // the whole allowance
	left     time.Duration // of the allowance
	progress int           // bytes since it was filled up
	size     int64         // as declared; -1: unknown
	taken    int64         // bytes read so far
	digests  []digest      // to be checked at the end
	end      error         // io.EOF or *bodyError once the end was met; given ever after
}

// open takes over r's body. The deadline that it sets also bounds what net/http reads of a body that nobody wanted.
func (b *body) open(w http.ResponseWriter, r *http.Request, limit int64, stall time.Duration) {
	b.source = r.Body
	b.size = r.ContentLength
	if b.size < 0 {
		b.source = http.MaxBytesReader(w, r.Body, limit)
	}
	b.deadline = *http.NewResponseController(w)
	b.stall, b.left = stall, stall
	b.extend(time.Now())
}

// extend moves the connection's read deadline to the end of the allowance. Only a connection has one: elsewhere, as in
// tests that bring their own ResponseWriter, nothing is bounded.
func (b *body) extend(now time.Time) { _ = b.deadline.SetReadDeadline(now.Add(b.left)) }

func (b *body) Read(p []byte) (int, error) {
	if b.source == nil && b.end == nil {
		b.end = b.verify()
	}
	if b.end != nil {
		return 0, b.end
	}
	// After the last byte the connection's deadline is net/http's again, which reads on to notice that a client leaves.
	began := time.Now()
	b.extend(began)
	n, err := b.source.Read(p)
	b.charge(time.Since(began), n)
	b.taken += int64(n)
	for _, d := range b.digests {
		d.sum.Write(p[:n])
	}
	if err == nil && b.taken != b.size {
		return n, nil
	}
	if err != nil && !errors.Is(err, io.EOF) {
		b.end = &bodyError{err}
		return n, b.end
	}
	if b.end = b.verify(); b.end != io.EOF {
		return 0, b.end
	}
	return n, err
}

// charge takes what a read cost off the allowance.
func (b *body) charge(d time.Duration, n int) {
	b.left -= d
	if b.progress += n; b.progress >= chunk {
		b.left, b.progress = b.stall, 0
	}
}

// verify gives io.EOF if the bytes taken are those that the client announced.
func (b *body) verify() error {
	for _, d := range b.digests {
		if err := d.verify(); err != nil {
			return err
		}
	}
	return io.EOF
}

// fault is why the body could not be had in full, or nil.
func (b *body) fault() error {
	if b.end == io.EOF {
		return nil
	}
	return b.end
}
