package file_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/awancloud/awan/internal/engine/object/file"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/object"
	"github.com/awancloud/awan/internal/service/object/objecttest"
)

// stored fills an engine with blobs of every kind, so that several volumes are sealed, and one grows.
func stored(t *testing.T, disk *simDisk, paths []string, n int) (file.Options, map[object.Ref][]byte) {
	t.Helper()
	opts := small(paths)
	opts.Disk, opts.Reserve, opts.CompactAt = disk, 64<<10, 2
	e := open(t, opts)
	blobs := map[object.Ref][]byte{}
	for i := range n {
		size := 100 + i*53%9000
		if i%10 == 0 {
			size = i * 6000 % 900_000
		}
		c := content(uint64(i), size)
		ref, err := objecttest.Put(t.Context(), e, c, int64(size), object.Block)
		if err != nil {
			t.Fatal(err)
		}
		blobs[ref] = c
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return opts, blobs
}

// rot changes bytes of files under a folder: some in each file, of every kind of file. It tells of which.
func (d *simDisk) rot(r *rand.Rand, under string, share float64) (hit []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	for name := range d.names {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		b := d.names[name].now
		if !strings.HasPrefix(name, under+"/") || len(b) == 0 || r.Float64() >= share {
			continue
		}
		hit = append(hit, name)
		for range 1 + r.IntN(3) {
			at := r.IntN(len(b))
			switch r.IntN(3) {
			case 0:
				b[at] ^= 1 << r.IntN(8)
			case 1: // a sector of something else
				for i := at; i < min(len(b), at+simSector); i++ {
					b[i] = byte(r.Uint32())
				}
			default:
				clear(b[at:min(len(b), at+simSector)])
			}
		}
		d.names[name].now = b
	}
	return hit
}

// bothHit is whether a blob's log and its index were damaged at the same time. Then nobody can tell a blob whose header
// was hit from one that was never committed.
func bothHit(hit []string, ref object.Ref) bool {
	return slices.ContainsFunc(hit, func(name string) bool {
		return strings.Contains(name, string(ref[1:17])) && strings.HasSuffix(name, ".log")
	}) &&
		slices.ContainsFunc(hit, func(name string) bool {
			return strings.Contains(name, string(ref[1:17])) && strings.HasSuffix(name, ".idx")
		})
}

// TestDamage changes random bytes of random files. Every read is right or says that the data are lost; never wrong, and
// what was not hit is not lost.
func TestDamage(t *testing.T) {
	lost, total := 0, 0
	for round := range 20 * long(10) {
		r := rand.New(rand.NewPCG(7, uint64(round)))
		disk := newSimDisk()
		opts, blobs := stored(t, disk, []string{"/a"}, 120)
		hit := disk.rot(r, "/a", 0.3)
		e := open(t, opts)
		gone := 0
		for ref, want := range blobs {
			total++
			got, err := objecttest.Get(t.Context(), e, ref)
			switch {
			case err == nil:
				if string(got) != string(want) {
					t.Fatalf("round %d: %s gives wrong bytes", round, ref)
				}
			case fail.Is(err, fail.DataLoss), fail.Is(err, fail.NotFound) && bothHit(hit, ref):
				gone++
			default:
				t.Fatalf("round %d: %s: %v", round, ref, err)
			}
			if _, verr := e.Verify(t.Context(), ref); fail.KindOf(verr) != fail.KindOf(err) {
				t.Fatalf("round %d: %s: read %v, verify %v", round, ref, err, verr)
			}
		}
		for _, err := range e.List(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
		}
		if gone > 3*len(hit) {
			t.Errorf("round %d: %d files were damaged, %d blobs are lost: more than those that were hit", round, len(hit), gone)
		}
		lost += gone
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if lost == 0 || lost > total/4 {
		t.Errorf("%d of %d reads were refused", lost, total)
	}
	t.Logf("%d of %d reads were refused, none was wrong", lost, total)
}

// TestParity damages as many folders as may be lost: every read stays right, and Verify mends all of it.
func TestParity(t *testing.T) {
	for _, n := range []int{2, 3, 4, 5, 9} {
		parity := (n + 3) / 4
		for _, how := range []string{"rot", "replaced", "unreadable"} {
			t.Run(fmt.Sprintf("%d of %d folders %s", parity, n, how), func(t *testing.T) {
				var paths []string
				for i := range n {
					paths = append(paths, fmt.Sprintf("/d%d", i))
				}
				disk := newSimDisk()
				opts, blobs := stored(t, disk, paths, 80)
				r := rand.New(rand.NewPCG(3, uint64(n)))
				victims := r.Perm(n)[:parity]
				under := func(name string) bool {
					return slices.ContainsFunc(victims, func(i int) bool { return strings.HasPrefix(name, paths[i]+"/") })
				}
				for _, i := range victims {
					switch how {
					case "rot":
						disk.rot(r, paths[i]+"/large", 1)
						disk.rot(r, paths[i]+"/volumes", 1)
					case "replaced":
						disk.lose(paths[i])
					}
				}
				if how == "unreadable" {
					disk.broken = func(_, name string) error {
						if under(name) {
							return syscall.EIO
						}
						return nil
					}
				}
				e := open(t, opts)
				for ref, want := range blobs {
					if got, err := objecttest.Get(t.Context(), e, ref); err != nil || string(got) != string(want) {
						t.Fatalf("%s: %d of %d bytes, %v", ref, len(got), len(want), err)
					}
				}
				ref, err := objecttest.Put(t.Context(), e, content(99, 300_000), -1, 1000) // goes on
				if err != nil {
					t.Fatal(err)
				}
				blobs[ref] = content(99, 300_000)
				if ref, err = objecttest.Put(t.Context(), e, content(98, 3000), -1, 1000); err != nil {
					t.Fatal(err)
				}
				blobs[ref] = content(98, 3000)
				if how == "unreadable" {
					if err := e.Close(); err != nil {
						t.Fatal(err)
					}
					return
				}
				repaired := 0
				for ref := range blobs {
					n, err := e.Verify(t.Context(), ref)
					if err != nil {
						t.Fatal(err)
					}
					repaired += n
				}
				if repaired == 0 {
					t.Error("nothing was repaired")
				}
				if err := e.Close(); err != nil {
					t.Fatal(err)
				}
				// Now others may be lost.
				left := 0
				for i := range paths {
					if left < parity && !slices.Contains(victims, i) {
						disk.lose(paths[i])
						left++
					}
				}
				e = open(t, opts)
				for ref, want := range blobs {
					if got, err := objecttest.Get(t.Context(), e, ref); err != nil || string(got) != string(want) {
						t.Fatalf("after the repair, without others: %s: %d of %d bytes, %v", ref, len(got), len(want), err)
					}
				}
				if err := e.Close(); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

// TestFolders refuses folders that are not those that the store was made with, and takes them in any order.
func TestFolders(t *testing.T) {
	disk := newSimDisk()
	opts, blobs := stored(t, disk, []string{"/a", "/b", "/c", "/d"}, 30)
	_, _ = stored(t, disk, []string{"/x", "/y", "/z", "/w"}, 1)
	for _, c := range []struct {
		dirs []string
		kind fail.Kind
	}{
		{[]string{"/a", "/b", "/c"}, fail.Precondition}, {[]string{"/a"}, fail.Precondition}, {nil, fail.Invalid},
		{[]string{"/a", "/b", "/c", "/x"}, fail.Precondition}, {[]string{"/a", "/b", "/new", "/new2"}, fail.DataLoss},
		{[]string{"/d", "/c", "/b", "/a"}, ""},
	} {
		opts.Dirs = c.dirs
		e, err := file.Open(opts)
		if fail.KindOf(err) != c.kind {
			t.Errorf("folders %v: %v, want %s", c.dirs, err, c.kind)
		}
		if err != nil {
			continue
		}
		for ref, want := range blobs {
			if got, err := objecttest.Get(t.Context(), e, ref); err != nil || string(got) != string(want) {
				t.Errorf("folders %v: %s: %v", c.dirs, ref, err)
			}
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestFailingDisk breaks one kind of operation after another: no commit is acknowledged that did not last, and when the
// disk works again, all is there that was acknowledged.
func TestFailingDisk(t *testing.T) {
	for _, op := range []string{"write", "sync", "sync dir", "create", "rename", "read", "open"} {
		for _, cause := range []error{syscall.EIO, syscall.ENOSPC, syscall.EMFILE} {
			t.Run(op+" "+cause.Error(), func(t *testing.T) {
				disk := newSimDisk()
				opts := small([]string{"/a"})
				opts.Disk, opts.Reserve = disk, 64<<10
				m := newModel()
				r := rand.New(rand.NewPCG(1, 1))
				e := open(t, opts)
				if err := m.work(t.Context(), e, r, 100, 500_000); err != nil {
					t.Fatal(err)
				}
				disk.mu.Lock()
				disk.broken = func(o, name string) error {
					if o == op && r.IntN(3) == 0 {
						return cause
					}
					return nil
				}
				disk.mu.Unlock()
				for range 100 {
					err := m.work(t.Context(), e, r, 1, 500_000)
					wrong := err != nil && !errors.Is(err, cause) && !fail.Is(err, fail.NoSpace)
					lost := cause == syscall.EIO && (op == "read" || op == "open") && fail.Is(err, fail.DataLoss) // what cannot be read is lost, as far as one can tell
					if wrong && !lost {
						t.Error(err)
					}
				}
				disk.mu.Lock()
				disk.broken = nil
				disk.mu.Unlock()
				disk = disk.cut(r, r.Float64())
				_ = e.Close()
				opts.Disk = disk
				e = open(t, opts)
				m.check(t, e)
				if err := m.work(t.Context(), e, r, 50, 500_000); err != nil {
					t.Error("and then:", err)
				}
				if err := e.Close(); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}
