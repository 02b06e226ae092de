package register

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/estorajed/estorajed/internal/ring"
)

// A Stamp names one event of the cluster: hybrid time, then the number of the node that drew it. It serves as
// ballot, as version and as operation. No node draws a stamp twice. The zero Stamp lies below all others.
type Stamp struct {
	Time Time
	Node ring.NodeID
}

// Compare orders stamps by time, then by node.
func (s Stamp) Compare(o Stamp) int {
	if c := cmp.Compare(s.Time, o.Time); c != 0 {
		return c
	}
	return cmp.Compare(s.Node, o.Node)
}

// Less tells whether s lies below o.
func (s Stamp) Less(o Stamp) bool { return s.Compare(o) < 0 }

// IsZero tells whether s names nothing.
func (s Stamp) IsZero() bool { return s == Stamp{} }

// String writes the stamp as "time-node", both in hexadecimal: the form of ETags, file footers and logs.
func (s Stamp) String() string {
	b := make([]byte, 0, 26)
	b = strconv.AppendUint(b, uint64(s.Time), 16)
	b = append(b, '-')
	return string(strconv.AppendUint(b, uint64(s.Node), 16))
}

var errStamp = errors.New(`a version is written as two hexadecimal numbers, "time-node"`)

// ParseStamp reads what String wrote.
func ParseStamp(text string) (Stamp, error) {
	left, right, ok := strings.Cut(text, "-")
	if !ok {
		return Stamp{}, fmt.Errorf("%q: %w", text, errStamp)
	}
	t, err := strconv.ParseUint(left, 16, 64)
	if err != nil {
		return Stamp{}, fmt.Errorf("%q: %w", text, errStamp)
	}
	n, err := strconv.ParseUint(right, 16, 32)
	if err != nil {
		return Stamp{}, fmt.Errorf("%q: %w", text, errStamp)
	}
	return Stamp{Time(t), ring.NodeID(n)}, nil
}

// StampSize is the length of a stamp in binary form.
const StampSize = 12

// Append writes the stamp's binary form, StampSize bytes.
func (s Stamp) Append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(s.Time))
	return binary.LittleEndian.AppendUint32(b, uint32(s.Node))
}

// DecodeStamp reads what Append wrote; b has at least StampSize bytes.
func DecodeStamp(b []byte) Stamp {
	return Stamp{Time(binary.LittleEndian.Uint64(b)), ring.NodeID(binary.LittleEndian.Uint32(b[8:]))}
}
