package api

import (
	"errors"
	"io"
	"net/http"

	"github.com/estorajed/estorajed/internal/register"
)

// put answers PUT and POST, which are the same here: the key is given its value.
func (x *exchange) put() error {
	change := register.Change{Kind: register.Data}
	if err := x.admit(&change); err != nil {
		return err
	}
	if err := x.peek(change.Condition); err != nil {
		return err
	}
	outcome, err := x.server.config.Keys.Write(x.ctx, x.key, change, &x.body, x.request.ContentLength)
	if err != nil {
		return x.because(err)
	}
	x.Header()["Etag"] = []string{entityTag(outcome.Version)}
	if outcome.Replaced {
		x.WriteHeader(http.StatusOK)
		return nil
	}
	x.WriteHeader(http.StatusCreated)
	return nil
}

// admit refuses, before the body is asked for, whatever can be refused without it; and fills in the change.
func (x *exchange) admit(change *register.Change) (err error) {
	h := x.request.Header
	if len(h["Content-Range"]) > 0 {
		return refuse(http.StatusBadRequest, ReasonBadRequest,
			"Content-Range: a value is written whole or not at all; nothing was stored")
	}
	if x.request.ContentLength > x.server.config.MaxValueSize {
		return tooLarge(x.server.config.MaxValueSize)
	}
	if change.Condition, err = conditionOf(h); err != nil {
		return err
	}
	if change.Metadata, err = metadataOf(h); err != nil {
		return err
	}
	if x.body.digests, err = contentDigests(h); err != nil {
		return err
	}
	// Nobody need read an empty body to its end, so it is checked here.
	if x.request.ContentLength == 0 {
		if err := x.body.verify(); err != io.EOF {
			return err
		}
	}
	if x.server.config.Writable == nil {
		return nil
	}
	return x.server.config.Writable(x.request.ContentLength)
}

// peek spares a client the upload of a long body if its condition does not hold now. A read is as good a ground for a 412
// as a round of the write's own; that the condition holds here decides nothing.
func (x *exchange) peek(c register.Condition) error {
	size := x.request.ContentLength
	if !conditional(c) || size == 0 || 0 < size && size <= register.InlineMax && x.request.Header.Get("Expect") == "" {
		return nil
	}
	record, value, err := x.server.config.Keys.Read(x.ctx, x.key, false)
	if value != nil {
		defer value.Close()
	}
	if err != nil {
		return err
	}
	if !c.Holds(&record) {
		return register.ErrPrecondition
	}
	return nil
}

// because prefers what was wrong with the body over what became of the write for that; but what cannot be told stays so.
func (x *exchange) because(err error) error {
	if _, unknown := errors.AsType[*register.UnknownError](err); unknown {
		return err
	}
	if fault := x.body.fault(); fault != nil {
		return fault
	}
	return err
}

// delete answers DELETE.
func (x *exchange) delete() error {
	condition, err := conditionOf(x.request.Header)
	if err != nil {
		return err
	}
	change := register.Change{Kind: register.Tombstone, Condition: condition}
	if _, err := x.server.config.Keys.Write(x.ctx, x.key, change, nil, 0); err != nil {
		return err
	}
	x.WriteHeader(http.StatusNoContent)
	return nil
}
