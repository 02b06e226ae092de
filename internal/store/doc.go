// Package store keeps one file per key behind a journal.
//
// A write is appended to the journal; one sync of the journal serves all writes that wait for it (group commit). From then on the
// record may be shown and acknowledged. Its key file follows behind the answer: a temporary file, then a rename, with no sync of its
// own. Until the file is there, the record is answered from memory. A checkpoint starts a new journal segment, waits until every
// record of the old ones has its file, syncs the whole file system once, saves the partitions' digests and drops the old segments: so
// the length of the journal, and with it memory and the time of recovery, has a bound. Values too long for the journal are staged:
// written and synced, with their folder, before the journal entry that makes them count, and renamed after it.
//
// Recovery replays the journal over the files: of two records of a key the higher ballot wins, so that replaying twice changes
// nothing. Only then what is left in the staging folder is cleared.
//
// What must happen in which order is decided by the machine (machine.go, files.go, checkpointer.go, recover.go): it knows no goroutine, clock or disk,
// takes events and gives out work. The runner (run.go) carries the work out, so that a test can carry out the same work in any
// order, over a simulated disk, with a crash between any two steps. The rules that the order keeps are those of Pillai and others,
// 'All File Systems Are Not Created Equal' (OSDI 2014): nothing depends on the order in which unsynced writes, renames and removals
// reach the disk.
//
// There is no index of the keys: the file system is the index. The folder of a partition carries a generation (keys/p0311.g7):
// to discard a partition is to raise its generation by a journal entry, so that neither replay nor a slow removal can bring old
// records back. Tombstones lie in the folder's subfolder deleted/, which is therefore their list.
package store
