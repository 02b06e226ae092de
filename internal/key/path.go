package key

import (
	"fmt"
	"strings"
)

// A Fault is why a path names no key that a client may use.
type Fault uint8

// The faults, in the order in which they are looked for.
const (
	BadEscape Fault = iota + 1 // a percent sign without two hexadecimal digits after it
	Empty                      // nothing follows the first slash, or there is none
	TooLong                    // more than Max bytes once decoded
	Reserved                   // the daemon's own names: a first path segment that starts with "_", and "metrics" alone
)

// String is the fault as a metric's label.
func (f Fault) String() string {
	switch f {
	case BadEscape:
		return "bad_escape"
	case Empty:
		return "empty"
	case TooLong:
		return "too_long"
	case Reserved:
		return "reserved"
	}
	return "unknown"
}

// A PathError tells a client what is wrong with its key.
type PathError struct {
	Fault  Fault
	Length int    // of the decoded key, in bytes; 0 if BadEscape
	Text   string // what is at fault: the escape, or the reserved first segment; else ""
}

func (e *PathError) Error() string {
	switch e.Fault {
	case BadEscape:
		return fmt.Sprintf("bad escape %q in the path: a percent sign stands before two hexadecimal digits; write %%25 for a percent sign itself", e.Text)
	case Empty:
		return fmt.Sprintf("key is empty: give 1 to %d bytes after the first slash", Max)
	case TooLong:
		return fmt.Sprintf("key is %d bytes; at most %d are allowed", e.Length, Max)
	case Reserved:
		return fmt.Sprintf("key is reserved: a first path segment that starts with _, here %.32q, belongs to the daemon, as does /%s", e.Text, metrics)
	}
	return "no key"
}

// metrics is the one reserved key that does not start with an underscore; keys below it, metrics/x, are free.
const metrics = "metrics"

// FromPath reads the key out of a URL's path as it came over the wire (url.URL.EscapedPath): all that follows the first slash, with
// its percent-escapes decoded once. Nothing is cleaned: "a", "a/", "a//b" and "a/../b" are four keys, a plus sign is a plus sign, and
// /a%2Fb is /a/b. A key without escapes shares the path's memory. Errors: *PathError.
func FromPath(escaped string) (Key, error) {
	raw, ok := strings.CutPrefix(escaped, "/")
	if !ok {
		return "", &PathError{Fault: Empty}
	}
	escapes, err := countEscapes(raw)
	if err != nil {
		return "", err
	}
	length := len(raw) - 2*escapes
	if length == 0 {
		return "", &PathError{Fault: Empty}
	}
	if length > Max {
		return "", &PathError{Fault: TooLong, Length: length}
	}
	decoded := raw
	if escapes > 0 {
		decoded = unescape(raw, length)
	}
	if decoded[0] == '_' || decoded == metrics {
		segment, _, _ := strings.Cut(decoded, "/")
		return "", &PathError{Fault: Reserved, Length: length, Text: segment}
	}
	return Key(decoded), nil
}

func countEscapes(s string) (int, error) {
	n := 0
	for i := strings.IndexByte(s, '%'); i >= 0 && i < len(s); i++ {
		if s[i] != '%' {
			continue
		}
		if i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2]) {
			return 0, &PathError{Fault: BadEscape, Text: s[i:min(i+3, len(s))]}
		}
		n++
		i += 2
	}
	return n, nil
}

// unescape decodes s, whose escapes are known to be good, to length bytes.
func unescape(s string, length int) string {
	var b strings.Builder
	b.Grow(length)
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		b.WriteByte(fromHex(s[i+1])<<4 | fromHex(s[i+2]))
		i += 2
	}
	return b.String()
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func fromHex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}
