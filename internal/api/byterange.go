package api

import (
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/estorajed/estorajed/internal/register"
)

// A byteRange is the one range that a client asked for (RFC 9110, section 14): bytes first to last, both included; or, if
// suffix, the last `last` bytes.
type byteRange struct {
	first, last int64
	suffix      bool
}

// A span is a part of a value.
type span struct{ start, length int64 }

// rangeOf reads Range. Several ranges, other units and whatever is malformed are passed over, as the RFC allows: the client
// then gets all, and sees by the status that it did. So is a range whose If-Range is not the value's own strong tag.
func rangeOf(h http.Header, version register.Stamp) (byteRange, bool) {
	lines := h["Range"]
	if len(lines) != 1 {
		return byteRange{}, false
	}
	if condition := h["If-Range"]; len(condition) > 0 && condition[0] != entityTag(version) {
		return byteRange{}, false
	}
	return parseRange(lines[0])
}

func parseRange(text string) (r byteRange, ok bool) {
	unit, set, ok := strings.Cut(text, "=")
	if !ok || !strings.EqualFold(unit, "bytes") {
		return byteRange{}, false
	}
	left, right, ok := strings.Cut(strings.Trim(set, " \t"), "-")
	if !ok {
		return byteRange{}, false
	}
	if left == "" {
		last, ok := position(right)
		return byteRange{last: last, suffix: true}, ok
	}
	if r.first, ok = position(left); !ok {
		return byteRange{}, false
	}
	if right == "" {
		r.last = math.MaxInt64
		return r, true
	}
	if r.last, ok = position(right); !ok || r.last < r.first {
		return byteRange{}, false
	}
	return r, true
}

// position reads digits only; what is too large for a length stands for the largest.
func position(digits string) (int64, bool) {
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return math.MaxInt64, true
	}
	return n, true
}

// of is the part of a value of that length, or false if it holds no byte of it.
func (r byteRange) of(length int64) (span, bool) {
	if r.suffix {
		n := min(r.last, length)
		return span{length - n, n}, n > 0
	}
	if r.first >= length {
		return span{}, false
	}
	return span{r.first, min(r.last, length-1) - r.first + 1}, true
}

// content is the span as Content-Range shows it.
func (s span) content(length int64) string {
	b := make([]byte, 0, 48)
	b = append(b, "bytes "...)
	b = strconv.AppendInt(b, s.start, 10)
	b = append(b, '-')
	b = strconv.AppendInt(b, s.start+s.length-1, 10)
	b = append(b, '/')
	return string(strconv.AppendInt(b, length, 10))
}
