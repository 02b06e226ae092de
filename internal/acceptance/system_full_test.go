//go:build system

package acceptance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const (
	roomPatience = 30 * time.Second // from room on the disk to the next accepted write
	fillMax      = 100_000          // writes, by which any of these disks is full
)

func TestSystemFullDiskRefusesWritesAndNothingElse(t *testing.T) {
	needRoot(t)
	for _, tc := range []struct {
		name    string
		options string
		value   int // bytes of a value
		filler  int // files that stand for what others keep on the disk
		size    int // bytes of each
	}{
		{"bytes, large values", "size=256m", 256 << 10, 1, 64 << 20},
		{"bytes, small values", "size=256m", 30 << 10, 1, 64 << 20},
		{"inodes", "size=256m,nr_inodes=8000", 100, 2000, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			disk := mountTmpfs(t, tc.options)
			others := filepath.Join(disk, "others")
			fill(t, others, tc.filler, tc.size)
			s := newSubject(t, t.TempDir())
			s.DataPath = filepath.Join(disk, "data")
			s.start()
			c := newClient(s.Daemon, 1)

			accounts := fillUp(t, c, "fill", tc.value)
			t.Logf("%d values of %d bytes fit", len(accounts), tc.value)
			accounts = append(accounts, fillUp(t, c, "rest", 0)...)
			if s.scrape().value(t, "estorajed_disk_full") != 1 {
				t.Error("estorajed_disk_full is not 1")
			}
			readAll(t, c, accounts)
			for _, a := range accounts[:3] { // deletes go on
				a.next(false)
				a.settle(mustAnswer(t, http.StatusNoContent)(c.delete(t.Context(), a.key)).etag())
			}
			s.Kill() // a full disk is no reason not to start
			s.start()
			readAll(t, c, accounts)

			if err := os.RemoveAll(others); err != nil {
				t.Fatal(err)
			}
			eventually(t, roomPatience, func() error { return write(t.Context(), c, accounts[0], tc.value) })
			readAll(t, c, accounts)
			s.stop()
			s.start()
			readAll(t, c, accounts)
		})
	}
}

func TestSystemDeletesMakeRoomForWrites(t *testing.T) {
	needRoot(t)
	const value = 256 << 10
	disk := mountTmpfs(t, "size=256m")
	s := newSubject(t, t.TempDir())
	s.DataPath = filepath.Join(disk, "data")
	s.start()
	c := newClient(s.Daemon, 1)
	accounts := fillUp(t, c, "fill", value)
	for _, a := range accounts[:len(accounts)/4] {
		a.next(false)
		a.settle(mustAnswer(t, http.StatusNoContent)(c.delete(t.Context(), a.key)).etag())
	}
	for _, a := range accounts[:len(accounts)/8] {
		eventually(t, roomPatience, func() error { return write(t.Context(), c, a, value) })
	}
	readAll(t, c, accounts)
}

// fill makes files of that size in a new folder.
func fill(t *testing.T, dir string, files, size int) {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range files {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// errRefused is a write that was answered with 507.
var errRefused = errors.New("507")

// fillUp writes new keys until one is refused, and gives them all.
func fillUp(t *testing.T, c client, prefix string, size int) []*account {
	t.Helper()
	var accounts []*account
	for i := range fillMax {
		a := &account{key: fmt.Sprintf("%s/%d", prefix, i)}
		switch err := write(t.Context(), c, a, size); {
		case errors.Is(err, errRefused):
			return append(accounts, a) // it must stay absent
		case err != nil:
			t.Fatal(err)
		}
		accounts = append(accounts, a)
	}
	t.Fatalf("%d values were written and the disk is not full", fillMax)
	return nil
}

// write puts a new value. A 507 is errRefused, and what has any other status an error of its own.
func write(ctx context.Context, c client, a *account, size int) error {
	s := a.next(true)
	got, err := c.do(ctx, http.MethodPut, a.key, bytes.NewReader(makeValue(a.key, s.seq, size)))
	if err != nil {
		return err
	}
	switch got.status {
	case http.StatusOK, http.StatusCreated:
		a.settle(got.etag())
		return nil
	case http.StatusInsufficientStorage:
		a.refuse()
		return errRefused
	}
	return fmt.Errorf("write %s: %s", a.key, got)
}

// readAll compares every key with the ledger.
func readAll(t *testing.T, c client, accounts []*account) {
	t.Helper()
	for _, a := range accounts {
		got, err := c.get(t.Context(), a.key)
		if err == nil {
			err = a.check(got)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
