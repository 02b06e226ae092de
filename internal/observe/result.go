package observe

import (
	"context"
	"errors"
	"io"

	"github.com/estorajed/estorajed/internal/peer"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/telemetry"
)

// resultOf is the position of an outcome in the label result. What is more certain comes first, as where the API chooses a status.
func resultOf(err error) int {
	if err == nil {
		return telemetry.ResultOK
	}
	if _, unknown := errors.AsType[*register.UnknownError](err); unknown {
		return telemetry.ResultUnknown
	}
	switch {
	case errors.Is(err, register.ErrPrecondition):
		return telemetry.ResultPrecondition
	case errors.Is(err, register.ErrFull):
		return telemetry.ResultFull
	case errors.Is(err, register.ErrFailed), errors.Is(err, register.ErrStopped):
		return telemetry.ResultUnavailable
	case errors.Is(err, register.ErrOverload):
		return telemetry.ResultOverload
	}
	if _, quorum := errors.AsType[*register.QuorumError](err); quorum {
		return telemetry.ResultUnavailable
	}
	if _, early := errors.AsType[*register.NotReadyError](err); early {
		return telemetry.ResultUnavailable
	}
	if _, damaged := errors.AsType[*register.DamageError](err); damaged {
		return telemetry.ResultDamaged
	}
	switch {
	case errors.Is(err, context.Canceled):
		return telemetry.ResultClient
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, register.ErrUnreachable):
		return telemetry.ResultUnavailable
	}
	if _, down := errors.AsType[*peer.DownError](err); down {
		return telemetry.ResultUnavailable
	}
	return telemetry.ResultError
}

// fault tells whether a result is the node's fault: its span failed.
func fault(result int) bool {
	switch result {
	case telemetry.ResultOK, telemetry.ResultNotFound, telemetry.ResultPrecondition, telemetry.ResultClient:
		return false
	}
	return true
}

// end closes a span with its result.
func end(span telemetry.Span, result int, err error) {
	if !span.Recording() {
		return
	}
	name := telemetry.Results.Values[result]
	span.Set(resultKey.String(name))
	if fault(result) {
		span.Fail(name, err)
	}
	span.End()
}

// An upload is a request's body on its way down. It remembers what the client did wrong, so that this is not taken for a fault
// of the node. It is the only thing that an observed write costs when nobody keeps its trace.
type upload struct {
	from io.Reader
	err  error // of the body; io.EOF is none
}

func (u *upload) Read(p []byte) (int, error) {
	n, err := u.from.Read(p)
	if err != nil && err != io.EOF {
		u.err = err
	}
	return n, err
}

// resultOfUpload is resultOf for what took in a body.
func resultOfUpload(body io.Reader, err error) int {
	result := resultOf(err)
	if u, ok := body.(*upload); ok && result == telemetry.ResultError && u.err != nil {
		return telemetry.ResultClient
	}
	return result
}

// A download is a kept read's bytes on their way up: its span lasts until they are closed.
type download struct {
	io.ReadSeekCloser
	span   telemetry.Span
	result int
	given  int64
	err    error // of reading; io.EOF is none
}

func (d *download) Read(p []byte) (int, error) {
	n, err := d.ReadSeekCloser.Read(p)
	d.given += int64(n)
	if err != nil && err != io.EOF {
		d.err, d.result = err, resultOf(err)
	}
	return n, err
}

func (d *download) Close() error {
	err := d.ReadSeekCloser.Close()
	if d.err == nil && err != nil {
		d.err, d.result = err, resultOf(err)
	}
	d.span.Set(valueBytes.Int64(d.given))
	end(d.span, d.result, d.err)
	return err
}

// follow ends the span of a read with its body, or at once if there is none; it gives the body on.
func follow(span telemetry.Span, body io.ReadSeekCloser, result int, err error) io.ReadSeekCloser {
	if !span.Recording() {
		return body
	}
	if body == nil {
		end(span, result, err)
		return nil
	}
	return &download{ReadSeekCloser: body, span: span, result: result, err: err}
}
