package store

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
)

// The data directory, below its root:
//
//	checkpoint                  digests, generations and the first live segment
//	journal/0000000000000001    segments
//	keys/p0311.g7/k-NAME        values of partition 311, generation 7
//	keys/p0311.g7/deleted/k-NAME  its tombstones
//	keys/p0311.g7/tkNAME        a file on its way, to be renamed
//	staging/                    large values on their way: u-ID as they come, s-BALLOT once a record names them
//	quarantine/                 files that were found damaged
const (
	checkpointName = "checkpoint"
	checkpointTemp = "staging/checkpoint"
	journalDir     = "journal"
	keysDir        = "keys"
	stagingDir     = "staging"
	quarantineDir  = "quarantine"
	deletedDir     = "deleted"
)

// nameMax is the longest name of a file, in bytes, that file systems take (NAME_MAX).
const nameMax = 255

func segmentName(id uint64) string { return fmt.Sprintf("%s/%016x", journalDir, id) }

func parseSegment(name string) (uint64, bool) {
	id, err := strconv.ParseUint(name, 16, 64)
	return id, err == nil && len(name) == 16
}

// folderName is the folder of a partition in one generation.
func folderName(part int, gen uint32) string {
	b := make([]byte, 0, 32)
	b = append(b, keysDir+"/p"...)
	for width := 1000; width > part && width > 1; width /= 10 {
		b = append(b, '0')
	}
	b = strconv.AppendInt(b, int64(part), 10)
	b = append(b, ".g"...)
	return string(strconv.AppendUint(b, uint64(gen), 10))
}

// parseFolder reads the last part of what folderName wrote.
func parseFolder(name string) (part int, gen uint32, ok bool) {
	left, right, found := strings.Cut(name, ".g")
	if !found || !strings.HasPrefix(left, "p") {
		return 0, 0, false
	}
	p, err := strconv.ParseUint(left[1:], 10, 31)
	if err != nil {
		return 0, 0, false
	}
	g, err := strconv.ParseUint(right, 10, 32)
	return int(p), uint32(g), err == nil
}

// keyPath is where the record of a key lies; values and tombstones have their own places.
func keyPath(folder string, k key.Key, kind register.Kind) string {
	if kind == register.Tombstone {
		return folder + "/" + deletedDir + "/" + key.FileName(k)
	}
	return folder + "/" + key.FileName(k)
}

// uploadPath is where a value is staged under its id, until a record names it.
func uploadPath(id register.Stamp) string { return stagingDir + "/u-" + id.String() }

// stagePath is where the staged value of a record lies, complete with its trailer, until it is put in its place. Its name is the record's
// ballot, so that it is never another's, even if the same value is staged once more.
func stagePath(ballot register.Stamp) string { return stagingDir + "/s-" + ballot.String() }

// tempOf is the temporary file in which a key's file is written: beside it, and no other key's.
func tempOf(target string) string {
	i := strings.LastIndexByte(target, '/') + 1
	return target[:i] + "t" + target[i:i+1] + target[i+2:]
}
