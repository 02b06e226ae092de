package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
)

// blockSize is the part of a value that one checksum covers, in bytes.
const blockSize = 64 << 10

// A key file is the value's bytes, a trailer and a footer. The trailer holds the full key, the record's fields and a checksum per
// block. The footer is one line of text of fixed width, so that one read of the file's end gives the ballot and the version, to
// programs and to people:
//
//	estoraje1 value     length 00000000000000001024 trailer 00000096 ballot TIME-NODE version TIME-NODE crc 1a2b3c4d
//
// The crc is CRC-32C over the trailer and the footer up to it.
const (
	footerMagic = "\nestoraje1 "
	footerSize  = len(footerMagic) + 9 + len(" length ") + 20 + len(" trailer ") + 8 +
		len(" ballot ") + 25 + len(" version ") + 25 + len(" crc ") + 8 + 1
	trailerMax = 1 << 20 // bytes; a trailer that claims more is damage
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// appendTrailer writes what follows the value of rec: trailer and footer. blocks has a checksum for each block of the value.
func appendTrailer(b []byte, k key.Key, rec *register.Record, blocks []uint32) []byte {
	start := len(b)
	b = binary.AppendUvarint(b, uint64(len(k)))
	b = append(b, k...)
	b = rec.AppendFields(b)
	for _, sum := range blocks {
		b = binary.LittleEndian.AppendUint32(b, sum)
	}
	length := len(b) - start
	b = append(b, footerMagic...)
	b = append(b, fmt.Sprintf("%-9s", rec.Kind)...)
	b = append(b, " length "...)
	b = appendPadded(b, uint64(rec.Value.Length), 10, 20)
	b = append(b, " trailer "...)
	b = appendPadded(b, uint64(length), 10, 8)
	b = append(b, " ballot "...)
	b = appendStampText(b, rec.Ballot)
	b = append(b, " version "...)
	b = appendStampText(b, rec.Version)
	b = append(b, " crc "...)
	b = appendPadded(b, uint64(checksum(b[start:])), 16, 8)
	return append(b, '\n')
}

func appendStampText(b []byte, s register.Stamp) []byte {
	b = appendPadded(b, uint64(s.Time), 16, 16)
	b = append(b, '-')
	return appendPadded(b, uint64(s.Node), 16, 8)
}

func appendPadded(b []byte, v uint64, base, width int) []byte {
	var digits [20]byte
	text := strconv.AppendUint(digits[:0], v, base)
	for range width - len(text) {
		b = append(b, '0')
	}
	return append(b, text...)
}

// blockSums gives the checksum of each block of a value that is in memory.
func blockSums(value []byte) []uint32 {
	sums := make([]uint32, 0, blockCount(int64(len(value))))
	for len(value) > 0 {
		n := min(len(value), blockSize)
		sums = append(sums, checksum(value[:n]))
		value = value[n:]
	}
	return sums
}

func blockCount(length int64) int { return int((length + blockSize - 1) / blockSize) }

// A keyFile is what the end of a key file says.
type keyFile struct {
	key    key.Key
	rec    register.Record // Value.Inline is nil
	blocks []uint32
}

// trailerLength reads the footer, the last footerSize bytes of a file of that size, far enough to know how long the trailer is.
func trailerLength(footer []byte, size int64) (int, error) {
	if len(footer) != footerSize || !bytes.HasPrefix(footer, []byte(footerMagic)) {
		return 0, fmt.Errorf("%d bytes that do not end in a footer", size)
	}
	at := len(footerMagic) + 9 + len(" length ")
	length, err1 := strconv.ParseUint(string(footer[at:at+20]), 10, 63)
	at += 20 + len(" trailer ")
	trailer, err2 := strconv.ParseUint(string(footer[at:at+8]), 10, 31)
	if err1 != nil || err2 != nil || trailer > trailerMax || int64(length) != size-int64(trailer)-int64(footerSize) {
		return 0, fmt.Errorf("%d bytes that do not agree with the lengths in the footer", size)
	}
	return int(trailer), nil
}

// parseTrailer checks and reads trailer and footer together, of a file of that size.
func parseTrailer(b []byte, size int64) (keyFile, error) {
	crcAt := len(b) - 9
	want, err := strconv.ParseUint(string(b[crcAt:crcAt+8]), 16, 32)
	if err != nil || uint32(want) != checksum(b[:crcAt]) || b[len(b)-1] != '\n' {
		return keyFile{}, fmt.Errorf("the trailer's checksum is wrong")
	}
	b = b[:len(b)-footerSize]
	n, w := binary.Uvarint(b)
	if w <= 0 || n < 1 || n > key.Max || int(n) > len(b)-w {
		return keyFile{}, fmt.Errorf("the trailer holds no key")
	}
	k := key.Key(b[w : w+int(n)])
	rec, rest, err := register.DecodeFields(b[w+int(n):])
	if err != nil {
		return keyFile{}, err
	}
	blocks := make([]uint32, blockCount(rec.Value.Length))
	if len(rest) != 4*len(blocks) || rec.Value.Length+int64(len(b)+footerSize) != size {
		return keyFile{}, fmt.Errorf("the trailer does not fit a value of %d bytes", rec.Value.Length)
	}
	for i := range blocks {
		blocks[i] = binary.LittleEndian.Uint32(rest[4*i:])
	}
	return keyFile{key: k, rec: rec, blocks: blocks}, nil
}
