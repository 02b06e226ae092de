package api

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/estorajed/estorajed/internal/register"
)

const octets = "application/octet-stream"

// get answers GET and HEAD.
func (x *exchange) get(eventual bool) error {
	condition, err := conditionOf(x.request.Header)
	if err != nil {
		return err
	}
	record, value, err := x.server.config.Keys.Read(x.ctx, x.key, eventual)
	if value != nil {
		defer value.Close()
	}
	if err != nil {
		return err
	}
	// Conditions do not matter where there is nothing (RFC 9110, section 13.2.1); and a 404 is empty, so that a shell's
	// v=$(curl -s URL) is.
	if !record.Present() {
		x.Header()["Content-Length"] = []string{"0"}
		x.WriteHeader(http.StatusNotFound)
		return nil
	}
	if value == nil {
		return errors.New("a read gave a value's record without its bytes")
	}
	if !condition.Holds(&record) {
		return x.unmet(condition, &record)
	}
	return x.give(&record, value)
}

// unmet answers a read whose condition does not hold: the client has the value already, or wanted another.
func (x *exchange) unmet(c register.Condition, record *register.Record) error {
	c.IfNoneMatch = register.Tags{}
	if !c.Holds(record) {
		return register.ErrPrecondition
	}
	x.Header()["Etag"] = []string{entityTag(record.Version)}
	x.WriteHeader(http.StatusNotModified)
	return nil
}

// give sends the value, or the part of it that was asked for.
func (x *exchange) give(record *register.Record, value io.ReadSeeker) error {
	length := record.Value.Length
	part, status := span{0, length}, http.StatusOK
	if wanted, ok := rangeOf(x.request.Header, record.Version); ok && x.request.Method == http.MethodGet {
		if part, ok = wanted.of(length); !ok {
			return unsatisfiable(length)
		}
		status = http.StatusPartialContent
		x.Header()["Content-Range"] = []string{part.content(length)}
	}
	x.describe(record, part.length)
	if x.request.Method == http.MethodHead {
		x.WriteHeader(status)
		return nil
	}
	if part.start > 0 {
		if _, err := value.Seek(part.start, io.SeekStart); err != nil {
			return fmt.Errorf("go to byte %d of the value: %w", part.start, err)
		}
	}
	return x.stream(status, value, part.length)
}

// describe sets a value's headers. One array holds what would be an allocation for each.
func (x *exchange) describe(record *register.Record, length int64) {
	mediaType := record.MediaType()
	if mediaType == "" {
		mediaType = octets
	}
	h := x.Header()
	values := []string{entityTag(record.Version), mediaType, strconv.FormatInt(length, 10), "bytes"}
	h["Etag"], h["Content-Type"], h["Content-Length"], h["Accept-Ranges"] = values[0:1:1], values[1:2:2], values[2:3:3], values[3:4:4]
	for _, f := range record.Metadata {
		if f.Name == contentEncoding {
			h["Content-Encoding"] = []string{f.Value}
		}
	}
}

func unsatisfiable(length int64) error {
	total := strconv.FormatInt(length, 10)
	return &refusal{
		status: http.StatusRequestedRangeNotSatisfiable,
		header: map[string]string{"Content-Range": "bytes */" + total},
		text:   "the range lies outside the value, which is " + total + " bytes long",
	}
}

// stream sends length bytes of value. The status is not sent before the first chunk is at hand, so that a value which
// cannot be read is an honest error; later the connection is cut, so that the client counts too few bytes.
func (x *exchange) stream(status int, value io.Reader, length int64) error {
	if length == 0 {
		x.WriteHeader(status)
		return nil
	}
	buffer := x.server.buffers.Get().(*[chunk]byte)
	defer x.server.buffers.Put(buffer)
	for sent := int64(0); sent < length; {
		piece := buffer[:min(chunk, length-sent)]
		if _, err := io.ReadFull(value, piece); err != nil {
			return fmt.Errorf("read the value at byte %d of %d to be sent: %w", sent, length, err)
		}
		if sent == 0 {
			x.WriteHeader(status)
		}
		if _, err := x.Write(piece); err != nil {
			return &goneError{err}
		}
		sent += int64(len(piece))
	}
	return nil
}
