package file_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/engine/disk/file"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/disk"
	"github.com/awancloud/awan/internal/service/machine"
)

var keys = disk.Keys{}

const gib = 1 << 30

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func is(t testing.TB, err error, kind fail.Kind) {
	t.Helper()
	if !fail.Is(err, kind) {
		t.Fatalf("got %v, want %s", err, kind)
	}
}

func make1(t testing.TB, e *file.Engine, bytes int64, from disk.Source) id.ID {
	t.Helper()
	d := id.New()
	keys[d] = []byte("0123456789abcdef0123456789abcdef")
	_, err := e.Ensure(t.Context(), d, disk.Want{Bytes: bytes, From: from, Keys: keys})
	ok(t, err)
	return d
}

func write(t testing.TB, e *file.Engine, d id.ID, what string) {
	t.Helper()
	drive, err := e.Attach(t.Context(), d, keys)
	ok(t, err)
	_, err = qemuIO(t, drive, what)
	ok(t, err)
}

// holding opens the top layer as a machine does, until the test lets go.
func holding(t *testing.T, d machine.Drive) (let func()) {
	t.Helper()
	f, err := os.OpenFile(d.Path, os.O_RDWR, 0)
	ok(t, err)
	l := unix.Flock_t{Type: unix.F_RDLCK, Start: 100, Len: 2} // QEMU's locks of who reads and writes
	ok(t, unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &l))
	return func() { ok(t, f.Close()) }
}

// TestHeld is a disk that a machine has open: nothing is done to its files behind the machine's back.
func TestHeld(t *testing.T) {
	e, ctx := open(t, t.TempDir()), t.Context()
	d := make1(t, e, gib, disk.Source{})
	snap := id.New()
	_, err := e.Snapshot(ctx, snap, d, keys, nil)
	ok(t, err)
	drive, err := e.Attach(ctx, d, keys)
	ok(t, err)
	let := holding(t, drive)
	is(t, e.Destroy(ctx, d), fail.Conflict)
	is(t, e.Revert(ctx, d, snap, keys), fail.Conflict)
	_, err = e.Snapshot(ctx, id.New(), d, keys, nil)
	is(t, err, fail.Conflict)
	_, err = e.Ensure(ctx, d, disk.Want{Bytes: 2 * gib, Keys: keys})
	is(t, err, fail.Conflict)
	told := false
	seen, err := e.Ensure(ctx, d, disk.Want{Bytes: 2 * gib, Keys: keys, Live: func() error { told = true; return nil }})
	if err != nil || seen.Bytes != 2*gib || !told {
		t.Fatalf("the machine was not asked to grow it: %+v %v", seen, err)
	}
	ok(t, e.DestroySnapshot(ctx, snap, keys))
	if seen, err := e.Observe(ctx, d); err != nil || seen.Layers != 2 {
		t.Fatalf("layers of a disk in use were joined: %+v %v", seen, err)
	}

	// A snapshot is cut short after the machine went over to the new layer: that is the disk, also after a restart.
	var next machine.Drive
	_, err = e.Snapshot(ctx, id.New(), d, keys, func(top machine.Drive) error {
		next = top
		return fail.New(fail.Unavailable, "the answer was lost")
	})
	is(t, err, fail.Unavailable)
	if now, err := e.Attach(ctx, d, keys); err != nil || now.Path != drive.Path {
		t.Fatalf("the machine writes to %s, the disk is said to be %s (%v)", drive.Path, now.Path, err)
	}
	snap = id.New()
	_, err = e.Snapshot(ctx, snap, d, keys, func(top machine.Drive) error {
		next = top
		let()
		let = holding(t, top)
		return fail.New(fail.Unavailable, "the answer was lost")
	})
	is(t, err, fail.Unavailable)
	if now, err := e.Attach(ctx, d, keys); err != nil || now.Path != next.Path {
		t.Fatalf("the machine writes to %s, the disk is said to be %s (%v)", next.Path, now.Path, err)
	}
	let()
	ok(t, e.Destroy(ctx, d))
}

// TestJoin is a disk whose snapshots are deleted: it stands on its own again, and the space comes back.
func TestJoin(t *testing.T) {
	e, ctx := open(t, t.TempDir()), t.Context()
	d := make1(t, e, gib, disk.Source{})
	var snaps []id.ID
	for n, what := range []string{"write -P 1 0 8M", "write -P 2 4M 8M", "write -P 3 8M 8M"} {
		write(t, e, d, what)
		snaps = append(snaps, id.New())
		if n == 1 {
			_, err := e.Ensure(ctx, d, disk.Want{Bytes: 2 * gib, Keys: keys})
			ok(t, err)
		}
		_, err := e.Snapshot(ctx, snaps[n], d, keys, nil)
		ok(t, err)
	}
	clone := make1(t, e, 2*gib, disk.Source{Snapshot: snaps[2]})
	for _, s := range []id.ID{snaps[1], snaps[0], snaps[2]} {
		ok(t, e.DestroySnapshot(ctx, s, keys))
	}
	seen, err := e.Observe(ctx, d)
	if err != nil || seen.Layers != 2 { // the clone stands on the lower one
		t.Fatalf("it has %d layers (%v)", seen.Layers, err)
	}
	const all = "read -P 1 0 4M;read -P 2 4M 4M;read -P 3 8M 8M;read -P 0 16M 1M;read -P 0 1500M 1M"
	for _, x := range []id.ID{d, clone} {
		drive, err := e.Attach(ctx, x, keys)
		ok(t, err)
		out, err := qemuIO(t, drive, strings.Split(all, ";")...)
		if err != nil || strings.Contains(out, "verification") {
			t.Fatalf("its content changed: %v\n%s", err, out)
		}
	}
	ok(t, e.Destroy(ctx, clone))
	ok(t, e.DestroySnapshot(ctx, snaps[0], keys))
	last := id.New()
	_, err = e.Snapshot(ctx, last, d, keys, nil)
	ok(t, err)
	ok(t, e.DestroySnapshot(ctx, last, keys))
	if seen, err = e.Observe(ctx, d); err != nil || seen.Layers != 1 || seen.Allocated > 32<<20 {
		t.Fatalf("it still has %d layers of %d bytes (%v)", seen.Layers, seen.Allocated, err)
	}
}

// TestFormats brings images in in every format that people have, and out in those that we write.
func TestFormats(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("reading images safely needs root")
	}
	e, ctx, dir := open(t, t.TempDir()), t.Context(), t.TempDir()
	raw := filepath.Join(dir, "raw")
	content := bytes.Repeat([]byte("0123456789abcdef"), 4<<20/16)
	ok(t, os.WriteFile(raw, content, 0o600))
	for format, args := range map[string][]string{"qcow2": {"-O", "qcow2", "-c"}, "vmdk": {"-O", "vmdk", "-o", "subformat=streamOptimized"},
		"vhd": {"-O", "vpc", "-o", "force_size=on"}, "vhdx": {"-O", "vhdx"}, "vdi": {"-O", "vdi"}} {
		t.Run(format, func(t *testing.T) {
			in := filepath.Join(dir, format)
			if out, err := exec.Command("qemu-img", append(append([]string{"convert"}, args...), raw, in)...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			f, err := os.Open(in)
			ok(t, err)
			defer f.Close()
			image := id.New()
			keys[image] = []byte("0123456789abcdef0123456789abcdef")
			seen, err := e.Import(ctx, image, f, disk.Import{Key: keys[image]})
			if err != nil || seen.Format != format || seen.Bytes != int64(len(content)) {
				t.Fatalf("%+v %v", seen, err)
			}
			var out bytes.Buffer
			ok(t, e.Export(ctx, image, "raw", keys, func(int64) {}, &out))
			if !bytes.Equal(out.Bytes(), content) {
				t.Fatal("its content changed")
			}
			if format == "qcow2" {
				broken := mustRead(t, in)
				copy(broken[40:48], "\xff\xff\xff\xff\xff\xff\xff\xff") // where its first table is
				_, err = e.Import(ctx, id.New(), bytes.NewReader(broken), disk.Import{})
				is(t, err, fail.Invalid)
				for _, to := range []string{"qcow2", "vmdk", "vhd"} {
					var out bytes.Buffer
					var size int64
					ok(t, e.Export(ctx, image, to, keys, func(n int64) { size = n }, &out))
					f, err := disk.Detect(bytes.NewReader(out.Bytes()), int64(out.Len()), to)
					if err != nil || f.Bytes != int64(len(content)) || size != int64(out.Len()) {
						t.Fatalf("written as %s: %+v %v", to, f, err)
					}
				}
			}
		})
	}
	is(t, e.Export(ctx, id.New(), "floppy", keys, func(int64) {}, os.Stdout), fail.Invalid)
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	ok(t, err)
	return b
}

// TestFull fills the disk under the engine: calls say so, and lose nothing.
func TestFull(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=12m"); err != nil {
		t.Skip("mounting needs root: " + err.Error())
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	e, ctx := open(t, dir), t.Context()
	d := make1(t, e, gib, disk.Source{})
	write(t, e, d, "write -P 7 0 4M")
	full := append(bytes.Repeat([]byte("x"), 9<<20), 'y')
	_, err := e.Import(ctx, id.New(), bytes.NewReader(full), disk.Import{})
	is(t, err, fail.NoSpace)
	if e := fail.From(err); e.Next == "" {
		t.Fatalf("it does not say what to do: %v", err)
	}
	snap := id.New()
	_, err = e.Snapshot(ctx, snap, d, keys, nil)
	ok(t, err) // what the import took is free again
	ok(t, os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 5<<20), 0o600))
	var last error
	for last == nil {
		_, last = e.Snapshot(ctx, id.New(), d, keys, nil)
	}
	is(t, last, fail.NoSpace)
	ok(t, e.Close())
	e = open(t, dir)
	drive, err := e.Attach(ctx, d, keys)
	ok(t, err)
	if out, err := qemuIO(t, drive, "read -P 7 0 4M"); err != nil || strings.Contains(out, "verification") {
		t.Fatalf("its content is lost: %v %s", err, out)
	}
	ok(t, os.Remove(filepath.Join(dir, "filler")))
	_, err = e.Snapshot(ctx, id.New(), d, keys, nil)
	ok(t, err)
}

// BenchmarkSnapshot is a snapshot of a disk of 10 GiB, encrypted.
func BenchmarkSnapshot(b *testing.B) {
	e := open(b, b.TempDir())
	d := make1(b, e, 10*gib, disk.Source{})
	var longest time.Duration
	for b.Loop() {
		began, snap := time.Now(), id.New()
		_, err := e.Snapshot(b.Context(), snap, d, keys, nil)
		ok(b, err)
		longest = max(longest, time.Since(began))
		b.StopTimer()
		ok(b, e.DestroySnapshot(b.Context(), snap, nil))
		b.StartTimer()
	}
	b.ReportMetric(float64(longest.Milliseconds()), "ms-longest")
}

// BenchmarkClone is a disk of 10 GiB made from a snapshot, encrypted.
func BenchmarkClone(b *testing.B) {
	e := open(b, b.TempDir())
	d, snap := make1(b, e, 10*gib, disk.Source{}), id.New()
	_, err := e.Snapshot(b.Context(), snap, d, keys, nil)
	ok(b, err)
	for b.Loop() {
		make1(b, e, 10*gib, disk.Source{Snapshot: snap})
	}
}
