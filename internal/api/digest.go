package api

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"hash"
	"net/http"

	"github.com/dunglas/httpsfv"
)

// A digest is what a body's bytes must hash to (RFC 9530, Content-Digest).
type digest struct {
	name string
	want []byte
	sum  hash.Hash
}

// contentDigests reads the header; none if it was not sent. Algorithms that are not known here are passed over as long as
// there is one that is: a client that asks for a check is never told of success without one.
func contentDigests(h http.Header) ([]digest, error) {
	lines := h["Content-Digest"]
	if len(lines) == 0 {
		return nil, nil
	}
	members, err := httpsfv.UnmarshalDictionary(lines)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, ReasonBadRequest,
			"Content-Digest is malformed (%v): write sha-256=:<base64>:; nothing was stored", err)
	}
	var digests []digest
	for _, name := range members.Names() {
		d := digest{name: name}
		switch name {
		case "sha-256":
			d.sum = sha256.New()
		case "sha-512":
			d.sum = sha512.New()
		default:
			continue
		}
		member, _ := members.Get(name)
		item, _ := member.(httpsfv.Item)
		d.want, _ = item.Value.([]byte)
		if len(d.want) != d.sum.Size() {
			return nil, refuse(http.StatusBadRequest, ReasonBadRequest,
				"Content-Digest: %s must be %d bytes in base64 between colons; nothing was stored", name, d.sum.Size())
		}
		digests = append(digests, d)
	}
	if len(digests) == 0 {
		return nil, refuse(http.StatusBadRequest, ReasonBadRequest,
			"Content-Digest names no algorithm that is known here: use sha-256 or sha-512; nothing was stored")
	}
	return digests, nil
}

// verify compares; what was summed up must be all of the body.
func (d digest) verify() error {
	got := d.sum.Sum(nil)
	if bytes.Equal(got, d.want) {
		return nil
	}
	return refuse(http.StatusBadRequest, ReasonBadRequest,
		"the body does not match Content-Digest: its %s is :%s:; nothing was stored", d.name, base64.StdEncoding.EncodeToString(got))
}
