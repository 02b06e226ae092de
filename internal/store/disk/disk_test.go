package disk

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"syscall"
	"testing"
)

func temporary(t *testing.T) *FS {
	t.Helper()
	d, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestFilesReadBackAsWritten(t *testing.T) {
	d := temporary(t)
	f, err := d.Create("a")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Allocate(1000); err != nil {
		t.Error(err)
	}
	_, err = f.WriteAt([]byte("hello"), 998)
	if err = errors.Join(err, f.Sync(), f.Close(), d.SyncDir("."), d.SyncAll()); err != nil {
		t.Fatal(err)
	}
	if err := d.Rename("a", "b"); err != nil {
		t.Fatal(err)
	}
	f, err = d.Open("b")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := f.Size()
	b := make([]byte, 10)
	n, rerr := f.ReadAt(b, 996)
	if size != 1003 || err != nil || string(b[:n]) != "\x00\x00hello" || rerr != io.EOF {
		t.Errorf("%d bytes, %v; at 996 %q, %v", size, err, b[:n], rerr)
	}
	f.Forget()
	if n, err := f.ReadAt(b[:5], 998); n != 5 || err != nil {
		t.Errorf("after Forget %d bytes, %v", n, err)
	}
}

func TestFolders(t *testing.T) {
	d := temporary(t)
	if err := d.Mkdir("x"); err != nil {
		t.Fatal(err)
	}
	f, err := d.Create("x/file")
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	names, err := d.List("x")
	if err != nil || !slices.Equal(names, []string{"file"}) {
		t.Errorf("List: %v, %v", names, err)
	}
	if err := errors.Join(d.Remove("x/file"), d.Remove("x")); err != nil {
		t.Error(err)
	}
	if u, err := d.Usage(); err != nil || u.Size < u.Free || u.Free <= 0 {
		t.Errorf("Usage: %+v, %v", u, err)
	}
}

func TestErrorsAreTheSystems(t *testing.T) {
	d := temporary(t)
	f, err := d.Create("there")
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := errors.Join(d.Mkdir("full"), d.Rename("there", "full/there")); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		do   func() error
		want error
	}{
		{"open what is not there", func() error { _, err := d.Open("no"); return err }, fs.ErrNotExist},
		{"create in a folder that is not there", func() error { _, err := d.Create("no/a"); return err }, fs.ErrNotExist},
		{"create what is there", func() error { _, err := d.Create("full/there"); return err }, fs.ErrExist},
		{"make what is there", func() error { return d.Mkdir("full") }, fs.ErrExist},
		{"remove what is not there", func() error { return d.Remove("no") }, fs.ErrNotExist},
		{"remove a folder that is not empty", func() error { return d.Remove("full") }, syscall.ENOTEMPTY},
		{"rename what is not there", func() error { return d.Rename("no", "a") }, fs.ErrNotExist},
		{"list what is not there", func() error { _, err := d.List("no"); return err }, fs.ErrNotExist},
		{"sync a folder that is not there", func() error { return d.SyncDir("no") }, fs.ErrNotExist},
	} {
		if err := tc.do(); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
}
