package key

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// The two kinds of file name, and the longest name that file systems take (NAME_MAX), in bytes.
const (
	readable = "k-"
	hashed   = "h-"
	nameMax  = 255
)

const upperHex = "0123456789ABCDEF"

// FileName is the name of the file that holds k: "k-" and the key in percent-encoding, where exactly the unreserved bytes of RFC 3986
// (A-Z a-z 0-9 - . _ ~) stand for themselves; or, if that is longer than 255 bytes, "h-" and the key's SHA-256 in lower-case hex. No
// two keys share a name, no name is special to the file system, and none holds a character that is special to a shell or to find(1).
//
// By hand, the name for a key is what this prints, here k-some%2Fkey:
//
//	printf %s 'some/key' | python3 -c 'import sys, urllib.parse as u; print("k-" + u.quote(sys.stdin.buffer.read(), safe=""))'
//
// (or jq -sRr '"k-" + @uri' if jq is 1.7 or newer and the key is UTF-8), and if that has more than 255 characters:
//
//	printf %s 'some/key' | sha256sum | sed 's/^/h-/; s/ .*//'
//
// Then find data -name NAME gives the file, whatever its partition.
func FileName(k Key) string {
	length := len(readable)
	for i := range len(k) {
		if unreserved(k[i]) {
			length++
			continue
		}
		length += 3
	}
	if length > nameMax {
		sum := sha256.Sum256([]byte(k))
		return hashed + hex.EncodeToString(sum[:])
	}
	var b strings.Builder
	b.Grow(length)
	b.WriteString(readable)
	for i := range len(k) {
		c := k[i]
		if unreserved(c) {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(upperHex[c>>4])
		b.WriteByte(upperHex[c&15])
	}
	return b.String()
}

// FromFileName reads a name that FileName made. known tells whether the name says the key; if not, only the file itself does. A name
// that FileName makes of no key is an error, so that each key has one name and each readable name one key.
func FromFileName(name string) (k Key, known bool, err error) {
	if len(name) > nameMax {
		return "", false, fmt.Errorf("%.32q... is no key's file name: %d bytes, at most %d are possible", name, len(name), nameMax)
	}
	if digits, ok := strings.CutPrefix(name, hashed); ok {
		return "", false, checkHashed(name, digits)
	}
	encoded, ok := strings.CutPrefix(name, readable)
	if !ok {
		return "", false, fmt.Errorf("%q is no key's file name: it begins with neither %s nor %s", name, readable, hashed)
	}
	if encoded == "" {
		return "", false, fmt.Errorf("%q is no key's file name: the key would be empty", name)
	}
	escapes, err := countEscapes(encoded)
	if err != nil {
		return "", false, fmt.Errorf("%q is no key's file name: a percent sign lacks its two digits", name)
	}
	k = Key(unescape(encoded, len(encoded)-2*escapes))
	if FileName(k) != name {
		return "", false, fmt.Errorf("%q is no key's file name: that key's name is %q", name, FileName(k))
	}
	return k, true, nil
}

func checkHashed(name, digits string) error {
	if len(digits) != hex.EncodedLen(sha256.Size) || strings.Trim(digits, "0123456789abcdef") != "" {
		return fmt.Errorf("%q is no key's file name: 64 lower-case hexadecimal digits must follow %s", name, hashed)
	}
	return nil
}

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}
