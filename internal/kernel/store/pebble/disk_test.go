package pebble_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/kernel/store/pebble"
)

// TestFailingDisk breaks one kind of disk operation after another. Whatever breaks: no Update hangs, none is
// acknowledged that a power cut loses, readers keep what was durable, and the store says that it failed.
func TestFailingDisk(t *testing.T) {
	const eio, full = syscall.EIO, syscall.ENOSPC
	sync := []errorfs.OpKind{errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo}
	wr := []errorfs.OpKind{errorfs.OpFileWrite}
	create := []errorfs.OpKind{errorfs.OpCreate, errorfs.OpReuseForWrite}
	tests := []struct {
		name  string
		ops   []errorfs.OpKind
		file  string
		cause error
		kind  fail.Kind
	}{
		{"log sync", sync, ".log", eio, fail.Unavailable},
		{"log sync, full", sync, ".log", full, fail.NoSpace},
		{"log write", wr, ".log", eio, fail.Unavailable},
		{"log write, full", wr, ".log", full, fail.NoSpace},
		{"new log", create, ".log", eio, fail.Unavailable},
		{"new log, full", create, ".log", full, fail.NoSpace},
		{"table sync", sync, ".sst", eio, fail.Unavailable},
		{"table write", wr, ".sst", eio, fail.Unavailable},
		{"new table", create, ".sst", eio, fail.Unavailable},
		{"manifest sync", sync, "MANIFEST", eio, fail.Unavailable},
		{"manifest sync, full", sync, "MANIFEST", full, fail.NoSpace},
		{"manifest write", wr, "MANIFEST", eio, fail.Unavailable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			disk := vfs.NewCrashableMem()
			var broken atomic.Bool
			opts := small()
			opts.FS = errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if broken.Load() && strings.Contains(op.Path, test.file) {
					for _, k := range test.ops {
						if k == op.Kind {
							return test.cause
						}
					}
				}
				return nil
			}))
			s, err := pebble.Open("data", opts)
			if err != nil {
				t.Fatal(err)
			}
			var acknowledged [writers]int
			write := func() error {
				var n int
				_, err := s.Update(t.Context(), func(tx store.Tx) error {
					n = count(tx, 0)
					half := bytes.Repeat([]byte("x"), 1000)
					return errors.Join(tx.Put(fmt.Sprintf("row/0/%06d/a", n), half), tx.Put(fmt.Sprintf("row/0/%06d/b", n), half),
						tx.Put("count/0", fmt.Append(nil, n+1)))
				})
				if err == nil {
					acknowledged[0] = n + 1
				}
				return err
			}
			for range 10 {
				if err := write(); err != nil {
					t.Fatal(err)
				}
			}
			broken.Store(true)
			within(t, 20*time.Second, "writing", func() {
				for range 1000 {
					if err = write(); err != nil {
						return
					}
				}
			})
			if !fail.Is(err, test.kind) {
				t.Errorf("Update gives %v, want kind %s", err, test.kind)
			}
			within(t, 5*time.Second, "telling the owner", func() { <-s.Failed() })
			broken.Store(false) // a disk that comes back does not make the store trust what it wrote
			within(t, 5*time.Second, "a refused Update", func() { err = write() })
			if !fail.Is(err, test.kind) {
				t.Errorf("the next Update gives %v", err)
			}
			within(t, 5*time.Second, "View", func() { checkRows(t, s, acknowledged) })
			after := disk.CrashClone(vfs.CrashCloneCfg{})
			within(t, 5*time.Second, "Close", func() { _ = s.Close() })
			opts = small()
			opts.FS = after
			again, err := pebble.Open("data", opts)
			if err != nil {
				t.Fatal(err)
			}
			checkRows(t, again, acknowledged)
			if err := again.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestFullDisk refuses writes while there is still some room, and takes them again when there is more.
func TestFullDisk(t *testing.T) {
	disk := vfs.NewCrashableMem()
	s, err := pebble.Open("data", pebble.Options{FS: disk, ReserveBytes: 10 << 20})
	if err != nil {
		t.Fatal(err)
	}
	write := func() error {
		_, err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Put("k", []byte("v")) })
		return err
	}
	for _, free := range []uint64{100 << 20, 9 << 20, 11 << 20, 0} {
		disk.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: free, TotalBytes: 1 << 40})
		if err := write(); (err != nil) != (free < 10<<20) || (err != nil && !fail.Is(err, fail.NoSpace)) {
			t.Errorf("with %d bytes free Update gives %v", free, err)
		}
	}
	if err := s.View(t.Context(), func(tx store.Tx) error { _, _, err := tx.Get("k"); return err }); err != nil {
		t.Errorf("a full disk stops readers: %v", err)
	}
	if err := s.Restore(t.Context(), strings.NewReader("")); !fail.Is(err, fail.NoSpace) {
		t.Errorf("Restore on a full disk gives %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestSmallDisk fills a real one: with the reserve, and without.
func TestSmallDisk(t *testing.T) {
	for _, reserve := range []uint64{4 << 20, 1} {
		t.Run(fmt.Sprint("reserve ", reserve), func(t *testing.T) {
			dir := t.TempDir()
			if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"); err != nil {
				t.Skipf("cannot mount a small tmpfs (root needed): %v", err)
			}
			t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
			opts := pebble.Options{MemTableBytes: 1 << 20, ReserveBytes: reserve}
			s, err := pebble.Open(dir+"/s", opts)
			if err != nil {
				t.Fatal(err)
			}
			acknowledged := 0
			value := make([]byte, 10_000)
			within(t, 30*time.Second, "filling the disk", func() {
				for err == nil && acknowledged < 10_000 {
					for i := range value { // incompressible
						value[i] = byte(uint(acknowledged*31+i) * 2654435761 >> 11)
					}
					if _, err = s.Update(t.Context(), func(tx store.Tx) error {
						return tx.Put(fmt.Sprintf("%06d", acknowledged), value)
					}); err == nil {
						acknowledged++
					}
				}
			})
			if !fail.Is(err, fail.NoSpace) || acknowledged == 0 {
				t.Errorf("after %d rows Update gives %v", acknowledged, err)
			}
			within(t, 10*time.Second, "Close", func() { _ = s.Close() })
			if reserve == 1 {
				return // this process still has the files of the failed store open
			}
			if s, err = pebble.Open(dir+"/s", opts); err != nil {
				t.Fatal(err)
			}
			if got := len(state(t, s)); got != acknowledged {
				t.Errorf("%d rows were acknowledged, %d are there", acknowledged, got)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestOpenRefuses says what is wrong with a folder.
func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	s, err := pebble.Open(dir, pebble.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		damage func() error
	}{
		{"the database is gone", func() error { return os.Rename(dir+"/g000001", dir+"/elsewhere") }},
		{"a file in its place", func() error { return os.WriteFile(dir+"/g000001", nil, 0o600) }},
	}
	for _, test := range tests {
		if err := test.damage(); err != nil {
			t.Fatal(err)
		}
		if _, err := pebble.Open(dir, pebble.Options{}); err == nil || !strings.Contains(fail.From(err).Public(), dir) {
			t.Errorf("%s: Open gives %v", test.name, err)
		}
	}
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := pebble.Open(file, pebble.Options{}); !fail.Is(err, fail.Unavailable) {
		t.Errorf("opening a file gives %v", err)
	}
}

// TestSlowReaderKeepsItsState has a View stay on the old state across restores and writes.
func TestSlowReaderKeepsItsState(t *testing.T) {
	s := open(t)
	older := fill(t, s, "old")
	var snapshot bytes.Buffer
	if _, err := s.Snapshot(t.Context(), &snapshot); err != nil {
		t.Fatal(err)
	}
	err := s.View(t.Context(), func(tx store.Tx) error {
		n := 0
		for range tx.Scan("", "") {
			if n++; n%300 == 0 {
				if err := s.Restore(context.Background(), bytes.NewReader(snapshot.Bytes())); err != nil {
					return err
				}
				fill(t, s, fmt.Sprint("new", n))
			}
		}
		if n != len(older) {
			t.Errorf("saw %d of %d keys", n, len(older))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
