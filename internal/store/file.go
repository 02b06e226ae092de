package store

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/estorajed/estorajed/internal/key"
	"github.com/estorajed/estorajed/internal/register"
	"github.com/estorajed/estorajed/internal/store/vfs"
)

// dirtyFolders are the folders whose entries a checkpoint must sync, where syncfs is not trusted.
type dirtyFolders struct {
	each bool
	mu   sync.Mutex
	set  map[string]bool
}

func (d *dirtyFolders) add(folder string) {
	if !d.each {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.set == nil {
		d.set = make(map[string]bool)
	}
	d.set[folder] = true
}

func (d *dirtyFolders) take() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	folders := slices.Sorted(maps.Keys(d.set))
	d.set = nil
	return folders
}

// writeFile carries out a fileJob. What it does needs no sync of its own: until the next checkpoint the journal holds the record.
func (s *Store) writeFile(job fileJob) error {
	err := s.tryFile(job)
	if err != nil && s.discarded(job.item) {
		return nil // a sweep was faster
	}
	return err
}

func (s *Store) tryFile(job fileJob) error {
	it := job.item
	if it.recovered {
		newer, err := s.newerOnDisk(job)
		if newer || err != nil {
			return err
		}
	}
	if it.damaged {
		if err := s.quarantine(job); err != nil {
			return err
		}
	}
	target := keyPath(job.folder, job.key, it.rec.Kind)
	if err := s.place(job, target); err != nil {
		return err
	}
	if !it.both {
		return nil
	}
	other := keyPath(job.folder, job.key, register.Tombstone)
	if it.rec.Kind == register.Tombstone {
		other = keyPath(job.folder, job.key, register.Data)
	}
	if err := s.removeFile(other); err != nil {
		return err
	}
	s.dirty.add(parent(other))
	if it.recovered {
		return errors.Join(s.removeFile(tempOf(other)), s.removeFile(tempOf(target)))
	}
	return nil
}

// quarantine takes the damaged files of a key aside, for the operator to look at. The journal holds what replaces them.
func (s *Store) quarantine(job fileJob) error {
	for _, kind := range []register.Kind{register.Data, register.Tombstone} {
		name := keyPath(job.folder, job.key, kind)
		file, err := s.openFile(name, job.key)
		if file != nil {
			err = file.checkAll()
			file.Close()
		}
		var damage *register.DamageError
		if err != nil && !errors.As(err, &damage) {
			return err
		}
		if err != nil {
			err = s.fs.Rename(name, asideOf(job, kind))
		}
		if err != nil {
			return err
		}
		s.mu.Lock()
		delete(s.damaged, name)
		s.mu.Unlock()
	}
	return nil
}

// asideOf is where a damaged file goes: its folder, the ballot that replaces it, and its name, which tells the key, if that fits.
func asideOf(job fileJob, kind register.Kind) string {
	aside := fmt.Sprintf("%s.%v.%v.%s", job.folder[len(keysDir)+1:], job.item.rec.Ballot, kind, key.FileName(job.key))
	return quarantineDir + "/" + aside[:min(len(aside), nameMax)]
}

// place puts the record's file where it belongs.
func (s *Store) place(job fileJob, target string) error {
	var err error
	if job.item.kind == entryStaged {
		err = s.placeStaged(job, target)
	} else {
		err = s.placeInline(job, target)
	}
	if err == nil {
		s.dirty.add(parent(target))
	}
	return err
}

func (s *Store) placeStaged(job fileJob, target string) error {
	if err := s.keepFolder(job); err != nil {
		return err
	}
	err := s.fs.Rename(stagePath(job.item.rec.Value.Stage), target)
	if errors.Is(err, fs.ErrNotExist) && s.isPlaced(job, target) {
		return nil // an earlier run of this process renamed it
	}
	return err
}

// placeInline writes a temporary file beside the target and renames it: files made in one common folder would all be put into
// the same region of an ext4 disk, and finding room there costs more than all the rest.
func (s *Store) placeInline(job fileJob, target string) error {
	temp := tempOf(target)
	f, err := s.fs.Create(temp)
	switch {
	case errors.Is(err, fs.ErrExist): // left by a run that ended here
		if err := s.removeFile(temp); err != nil {
			return err
		}
		f, err = s.fs.Create(temp)
	case errors.Is(err, fs.ErrNotExist):
		if err := s.makeFolder(target); err != nil {
			return err
		}
		f, err = s.fs.Create(temp)
	}
	if err != nil {
		return err
	}
	err = s.fillTemp(f, temp, job)
	if err == nil {
		err = s.fs.Rename(temp, target)
	}
	if err != nil {
		return errors.Join(err, s.removeFile(temp))
	}
	return nil
}

// discarded tells whether the item's generation no longer counts.
func (s *Store) discarded(it *item) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return it.gen < s.m.state.parts[it.part].gen
}

// isPlaced tells whether target is the item's file. A damaged one counts as it: the staged file is gone, so that is what is left of it, and
// what reads must find; it is no reason for the store to fail.
func (s *Store) isPlaced(job fileJob, target string) bool {
	file, err := s.openFile(target, job.key)
	if _, damaged := errors.AsType[*register.DamageError](err); damaged {
		return true
	}
	if err != nil || file == nil {
		return false
	}
	defer file.Close()
	return file.rec.Ballot == job.item.rec.Ballot
}

func (s *Store) fillTemp(f vfs.File, name string, job fileJob) error {
	rec := &job.item.rec
	value := rec.Value.Inline
	b := make([]byte, 0, len(value)+len(job.key)+footerSize+entrySlack)
	b = append(b, value...)
	b = appendTrailer(b, job.key, rec, blockSums(value))
	_, err := f.WriteAt(b, 0)
	if err == nil && s.cfg.SyncEach {
		err = s.syncFile(f, name)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// newerOnDisk tells whether the file of a record out of the journal is of a higher ballot: then it stays. The store itself never leaves
// such a file; somebody who put a copy back by hand may.
func (s *Store) newerOnDisk(job fileJob) (bool, error) {
	file, err := s.openKey(job.folder, job.key)
	var damage *register.DamageError
	if errors.As(err, &damage) || file == nil && err == nil {
		return false, nil // torn, or not there: the journal knows better
	}
	if err != nil {
		return false, err
	}
	defer file.Close()
	return job.item.rec.Ballot.Less(file.rec.Ballot), nil
}

// makeFolder makes the folders on the way to a key's file.
func (s *Store) makeFolder(target string) error {
	folder := parent(target)
	if strings.HasSuffix(folder, "/"+deletedDir) {
		if err := s.mkdir(parent(folder)); err != nil {
			return err
		}
	}
	return s.mkdir(folder)
}

func (s *Store) mkdir(dir string) error {
	if err := s.fs.Mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	s.dirty.add(parent(dir))
	return nil
}

// keepFolder sees to it that a partition's folder is durable before a staged value is renamed into it: the journal does not hold
// such a value's bytes, and a power cut must not take it away together with its folder.
func (s *Store) keepFolder(job fileJob) error {
	s.mu.RLock()
	kept := s.kept[job.item.part] == job.item.gen
	s.mu.RUnlock()
	if kept {
		return nil
	}
	if err := s.mkdir(job.folder); err != nil {
		return err
	}
	if err := s.syncDir(keysDir); err != nil {
		return err
	}
	s.mu.Lock()
	s.kept[job.item.part] = job.item.gen
	s.mu.Unlock()
	return nil
}

func parent(name string) string { return name[:strings.LastIndexByte(name, '/')] }

func (s *Store) removeFile(name string) error {
	if err := s.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// sweep carries out a sweepJob.
func (s *Store) sweep(job sweepJob) error {
	if job.file != "" {
		return s.removeFile(job.file)
	}
	for _, dir := range []string{job.folder + "/" + deletedDir, job.folder} {
		names, err := s.fs.List(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := s.removeFile(dir + "/" + name); err != nil {
				return err
			}
		}
		if err := s.removeFile(dir); err != nil {
			return err
		}
	}
	return nil
}

// syncFile and syncDir mark a failed sync: from then on nobody knows what the disk holds.
func (s *Store) syncFile(f vfs.File, name string) error {
	if err := f.Sync(); err != nil {
		return s.fail(fmt.Errorf("sync %s: %w", name, err))
	}
	return nil
}

func (s *Store) syncDir(dir string) error {
	err := s.fs.SyncDir(dir)
	if err != nil && !isShort(err) && !errors.Is(err, fs.ErrPermission) { // with those the folder could not even be opened
		return s.fail(fmt.Errorf("sync %s: %w", dir, err))
	}
	return err
}
