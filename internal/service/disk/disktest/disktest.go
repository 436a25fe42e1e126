// Package disktest is the contract of disk engines: every engine runs it. Only tests import it.
package disktest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/disk"
	"github.com/awancloud/awan/internal/service/machine"
)

// Subject is an engine with what stands for machines that use its disks.
type Subject struct {
	Engine disk.Engine
	// Reopen closes the engine and opens what it keeps again, as after a restart; nil: it keeps nothing.
	Reopen func() disk.Engine
	Write  func(d machine.Drive, off int64, b []byte) error
	Read   func(d machine.Drive, off int64, n int) ([]byte, error)
}

const (
	mib = 1 << 20
	gib = 1 << 30
)

type suite struct {
	Subject
	*testing.T
}

// Run runs the contract on fresh engines.
func Run(t *testing.T, open func(t *testing.T) Subject) {
	for name, f := range map[string]func(*suite){"a disk": aDisk, "snapshots": snapshots, "a live snapshot": liveSnapshot, "a cut snapshot": cutSnapshot,
		"layers stay": layersStay, "images": images, "hostile images": hostile, "keys": keysMatter, "at once": atOnce} {
		t.Run(name, func(t *testing.T) { f(&suite{open(t), t}) })
	}
}

func key(s string) []byte { k := sha256.Sum256([]byte(s)); return k[:] }

func (s *suite) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *suite) is(err error, kind fail.Kind) {
	s.Helper()
	if !fail.Is(err, kind) {
		s.Fatalf("got %v, want %s", err, kind)
	}
}

func (s *suite) make(keys disk.Keys, bytes int64, from disk.Source) id.ID {
	s.Helper()
	d := id.New()
	if keys != nil {
		keys[d] = key(string(d))
	}
	seen, err := s.Engine.Ensure(s.Context(), d, disk.Want{Bytes: bytes, From: from, Keys: keys})
	s.ok(err)
	if seen.Bytes != bytes {
		s.Fatalf("it has %d bytes, not %d", seen.Bytes, bytes)
	}
	return d
}

func (s *suite) drive(d id.ID, keys disk.Keys) machine.Drive {
	s.Helper()
	drive, err := s.Engine.Attach(s.Context(), d, keys)
	s.ok(err)
	return drive
}

func (s *suite) write(d id.ID, keys disk.Keys, off int64, text string) {
	s.Helper()
	s.ok(s.Write(s.drive(d, keys), off, []byte(text)))
}

func (s *suite) holds(d id.ID, keys disk.Keys, off int64, text string) {
	s.Helper()
	got, err := s.Read(s.drive(d, keys), off, len(text))
	s.ok(err)
	if string(got) != text {
		s.Fatalf("at %d there is %q, not %q", off, got, text)
	}
}

func collect(t *suite, of iter.Seq2[id.ID, error]) (out []id.ID) {
	t.Helper()
	for i, err := range of {
		t.ok(err)
		out = append(out, i)
	}
	return out
}

func aDisk(s *suite) {
	ctx, keys := s.Context(), disk.Keys{}
	_, err := s.Engine.Observe(ctx, id.New())
	s.is(err, fail.Gone)
	s.ok(s.Engine.Destroy(ctx, id.New()))
	_, err = s.Engine.Ensure(ctx, id.New(), disk.Want{Bytes: gib, From: disk.Source{Snapshot: id.New()}, Keys: keys})
	s.is(err, fail.Gone)

	d := s.make(keys, 10*gib, disk.Source{})
	s.holds(d, keys, 5*gib, "\x00\x00\x00")
	s.write(d, keys, 5*gib, "hello")
	if seen, err := s.Engine.Ensure(ctx, d, disk.Want{Bytes: gib, Keys: keys}); err != nil || seen.Bytes != 10*gib {
		s.Fatalf("it shrank, or changed, when it was ensured again: %+v %v", seen, err)
	}
	if seen, err := s.Engine.Ensure(ctx, d, disk.Want{Bytes: 12 * gib, Keys: keys}); err != nil || seen.Bytes != 12*gib || seen.Allocated > 64*mib || seen.Created.IsZero() {
		s.Fatalf("it did not grow, or takes all its space: %+v %v", seen, err)
	}
	s.holds(d, keys, 5*gib, "hello")
	s.write(d, keys, 11*gib, "in the new part")
	c, err := s.Engine.Capacity(ctx)
	if err != nil || c.Promised != 12*gib || c.Bytes < c.Free || c.Free <= 0 {
		s.Fatalf("capacity: %+v %v", c, err)
	}
	if s.Reopen != nil {
		s.Engine = s.Reopen()
		s.holds(d, keys, 5*gib, "hello")
	}
	if all := collect(s, s.Engine.List(ctx)); !slices.Equal(all, []id.ID{d}) {
		s.Fatalf("the disks are %v", all)
	}
	s.ok(s.Engine.Destroy(ctx, d))
	s.ok(s.Engine.Destroy(ctx, d))
	_, err = s.Engine.Attach(ctx, d, keys)
	s.is(err, fail.Gone)
	gone, stop := context.WithCancel(ctx)
	stop()
	_, err = s.Engine.Ensure(gone, id.New(), disk.Want{Bytes: gib})
	s.is(err, fail.Canceled)
	s.ok(s.Engine.Close())
	_, err = s.Engine.Ensure(ctx, id.New(), disk.Want{Bytes: gib})
	s.is(err, fail.Unavailable)
}

func (s *suite) snapshot(d id.ID, keys disk.Keys) id.ID {
	s.Helper()
	snap := id.New()
	_, err := s.Engine.Snapshot(s.Context(), snap, d, keys, nil)
	s.ok(err)
	return snap
}

func snapshots(s *suite) {
	ctx, keys := s.Context(), disk.Keys{}
	d := s.make(keys, 2*gib, disk.Source{})
	s.write(d, keys, 0, "one")
	first := s.snapshot(d, keys)
	s.write(d, keys, 0, "two")
	s.write(d, keys, gib, "more")
	if seen, err := s.Engine.Snapshot(ctx, first, d, keys, nil); err != nil || seen.Bytes != 2*gib {
		s.Fatalf("once more: %+v %v", seen, err) // it is the one that there is
	}
	second := s.snapshot(d, keys)
	clone := s.make(keys, 3*gib, disk.Source{Snapshot: first})
	s.holds(clone, keys, 0, "one")
	s.write(clone, keys, 0, "CLONE")
	s.holds(d, keys, 0, "two")
	flat := id.New()
	keys[flat] = key("flat")
	_, err := s.Engine.Ensure(ctx, flat, disk.Want{Bytes: 2 * gib, From: disk.Source{Snapshot: second}, Keys: keys, Flat: true})
	s.ok(err)
	if drive := s.drive(flat, disk.Keys{flat: keys[flat]}); len(drive.Backing) != 0 {
		s.Fatalf("a copy stands on %v", drive.Backing)
	}
	s.holds(flat, keys, gib, "more")

	_, err = s.Engine.Ensure(ctx, d, disk.Want{Bytes: 4 * gib, Keys: keys})
	s.ok(err)
	s.ok(s.Engine.Revert(ctx, d, first, keys))
	s.ok(s.Engine.Revert(ctx, d, first, keys))
	s.holds(d, keys, 0, "one")
	s.holds(d, keys, gib, "\x00\x00\x00\x00")
	if seen, err := s.Engine.Observe(ctx, d); err != nil || seen.Bytes != 2*gib {
		s.Fatalf("a reverted disk has the snapshot's size: %+v %v", seen, err)
	}
	s.ok(s.Engine.Revert(ctx, d, second, keys))
	s.holds(d, keys, gib, "more")
	s.is(s.Engine.Revert(ctx, d, id.New(), keys), fail.Gone)
	if all := collect(s, s.Engine.Snapshots(ctx)); !slices.Equal(all, []id.ID{first, second}) {
		s.Fatalf("the snapshots are %v", all)
	}
	for _, snap := range []id.ID{first, second, second} {
		s.ok(s.Engine.DestroySnapshot(ctx, snap, keys))
	}
	_, err = s.Engine.ObserveSnapshot(ctx, first)
	s.is(err, fail.Gone)
	if s.Reopen != nil {
		s.Engine = s.Reopen()
	}
	s.holds(d, keys, 0, "two")
	s.holds(d, keys, gib, "more")
	s.holds(clone, keys, 0, "CLONE")
}

func liveSnapshot(s *suite) {
	ctx, keys := s.Context(), disk.Keys{}
	d := s.make(keys, gib, disk.Source{})
	s.write(d, keys, 0, "before")
	was := s.drive(d, keys)
	var now machine.Drive
	snap := id.New()
	_, err := s.Engine.Snapshot(ctx, snap, d, keys, func(top machine.Drive) error {
		if len(top.Backing) == 0 || top.Backing[0] != was.Path {
			return errors.New("the new layer does not stand on what the machine writes")
		}
		now = top
		return s.Write(top, 0, []byte("after!"))
	})
	s.ok(err)
	if again := s.drive(d, keys); again.Path != now.Path {
		s.Fatalf("the disk's top is %s, the machine writes to %s", again.Path, now.Path)
	}
	s.holds(d, keys, 0, "after!")
	s.holds(s.make(keys, gib, disk.Source{Snapshot: snap}), keys, 0, "before")
}

// cutSnapshot is a snapshot that fails while the machine changes layers: the disk stays whole, and it works the next time.
func cutSnapshot(s *suite) {
	ctx, keys := s.Context(), disk.Keys{}
	d := s.make(keys, gib, disk.Source{})
	s.write(d, keys, 0, "text")
	snap := id.New()
	_, err := s.Engine.Snapshot(ctx, snap, d, keys, func(machine.Drive) error { return fail.New(fail.Unavailable, "the machine is away") })
	s.is(err, fail.Unavailable)
	if s.Reopen != nil {
		s.Engine = s.Reopen()
	}
	_, err = s.Engine.ObserveSnapshot(ctx, snap)
	s.is(err, fail.Gone)
	s.holds(d, keys, 0, "text")
	_, err = s.Engine.Snapshot(ctx, snap, d, keys, nil)
	s.ok(err)
	s.write(d, keys, 0, "TEXT")
	s.holds(s.make(keys, gib, disk.Source{Snapshot: snap}), keys, 0, "text")

	other := id.New() // given up after it failed
	_, err = s.Engine.Snapshot(ctx, other, d, keys, func(machine.Drive) error { return fail.New(fail.Unavailable, "the machine is away") })
	s.is(err, fail.Unavailable)
	s.ok(s.Engine.DestroySnapshot(ctx, other, keys))
	s.holds(d, keys, 0, "TEXT")
	s.write(d, keys, 0, "tExt")
	s.holds(d, keys, 0, "tExt")
}

func layersStay(s *suite) {
	ctx, keys := s.Context(), disk.Keys{}
	image := id.New()
	_, err := s.Engine.Import(ctx, image, bytes.NewReader(content(mib)), disk.Import{})
	s.ok(err)
	d := s.make(keys, gib, disk.Source{Image: image})
	s.write(d, keys, 2*mib, "mine")
	snap := s.snapshot(d, keys)
	child := s.make(keys, gib, disk.Source{Snapshot: snap})
	s.ok(s.Engine.DestroyImage(ctx, image))
	s.ok(s.Engine.DestroySnapshot(ctx, snap, keys))
	s.ok(s.Engine.Destroy(ctx, d))
	if s.Reopen != nil {
		s.Engine = s.Reopen()
	}
	s.holds(child, keys, 2*mib, "mine")
	s.holds(child, keys, 0, string(content(mib)[:16]))
	if all := collect(s, s.Engine.List(ctx)); !slices.Equal(all, []id.ID{child}) {
		s.Fatalf("the disks are %v", all)
	}
}

// content is a file of n bytes, of which the first half says something.
func content(n int) []byte {
	b := make([]byte, n)
	for i := range n / 2 {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

func images(s *suite) {
	ctx, image := s.Context(), id.New()
	in := content(3 * mib)
	sum := sha256.Sum256(in)
	_, err := s.Engine.Import(ctx, image, bytes.NewReader(in), disk.Import{SHA256: strings.Repeat("0", 64)})
	s.is(err, fail.Invalid)
	_, err = s.Engine.Import(ctx, image, bytes.NewReader(in), disk.Import{MaxBytes: mib})
	s.is(err, fail.TooLarge)
	_, err = s.Engine.Import(ctx, image, io.MultiReader(bytes.NewReader(in), iotest.ErrReader(io.ErrUnexpectedEOF)), disk.Import{})
	s.is(err, fail.Canceled)
	_, err = s.Engine.Import(ctx, image, bytes.NewReader(in), disk.Import{Format: disk.QCOW2})
	s.is(err, fail.Invalid)
	_, err = s.Engine.Import(ctx, image, strings.NewReader(""), disk.Import{})
	s.is(err, fail.Invalid)
	_, err = s.Engine.ObserveImage(ctx, image)
	s.is(err, fail.Gone)

	keys := disk.Keys{image: key("image")}
	seen, err := s.Engine.Import(ctx, image, iotest.HalfReader(bytes.NewReader(in)), disk.Import{SHA256: hex.EncodeToString(sum[:]), Key: keys[image]})
	s.ok(err)
	if seen.Format != disk.Raw || seen.Size != int64(len(in)) || seen.Bytes != int64(len(in)) || len(seen.MD5) != 32 || len(seen.SHA512) != 128 {
		s.Fatalf("it is %+v", seen)
	}
	s.exported(image, keys, in)
	_, err = s.Engine.Ensure(ctx, id.New(), disk.Want{Bytes: mib, From: disk.Source{Image: image}, Keys: keys})
	s.is(err, fail.Invalid) // too small for it
	d := s.make(keys, gib, disk.Source{Image: image})
	s.holds(d, keys, 0, string(in[:64]))
	s.write(d, keys, 0, "changed")
	snap := s.snapshot(d, keys)
	taken := id.New()
	keys[taken] = key("taken")
	if seen, err = s.Engine.Capture(ctx, taken, disk.Source{Snapshot: snap}, keys); err != nil || seen.Bytes != gib || seen.Size <= 0 {
		s.Fatalf("captured: %+v %v", seen, err)
	}
	if again, err := s.Engine.Capture(ctx, taken, disk.Source{Snapshot: snap}, keys); err != nil || again != seen {
		s.Fatalf("captured again: %+v %v", again, err)
	}
	own := disk.Keys{taken: keys[taken]}
	s.holds(s.make(own, gib, disk.Source{Image: taken}), own, 0, "changed")
	if all := collect(s, s.Engine.Images(ctx)); !slices.Equal(all, []id.ID{image, taken}) {
		s.Fatalf("the images are %v", all)
	}
	if s.Reopen != nil {
		s.Engine = s.Reopen()
	}
	s.exported(image, keys, in)
	s.ok(s.Engine.DestroyImage(ctx, image))
	s.ok(s.Engine.DestroyImage(ctx, image))
	s.is(s.Engine.Export(ctx, image, disk.Raw, keys, func(int64) {}, io.Discard), fail.Gone)
}

func (s *suite) exported(image id.ID, keys disk.Keys, want []byte) {
	s.Helper()
	var out bytes.Buffer
	var size int64
	s.ok(s.Engine.Export(s.Context(), image, disk.Raw, keys, func(n int64) { size = n }, &out))
	if !bytes.Equal(out.Bytes(), want) || size != int64(len(want)) {
		s.Fatalf("what came out differs: %d bytes, said %d, of %d", out.Len(), size, len(want))
	}
}

// Header makes the header of a qcow2 file.
func Header(version uint32, bytes uint64, change func(h []byte)) []byte {
	h := make([]byte, 64<<10)
	copy(h, "QFI\xfb")
	binary.BigEndian.PutUint32(h[4:], version)
	binary.BigEndian.PutUint32(h[20:], 16)
	binary.BigEndian.PutUint64(h[24:], bytes)
	if change != nil {
		change(h)
	}
	return h
}

// hostile images name other files, or are not what they say.
func hostile(s *suite) {
	be, le := binary.BigEndian, binary.LittleEndian
	vmdk := func(change func(h []byte)) []byte {
		h := make([]byte, 4096)
		copy(h, "KDMV")
		le.PutUint64(h[12:], 2048)
		le.PutUint64(h[28:], 1)
		le.PutUint64(h[36:], 2)
		if change != nil {
			change(h)
		}
		return h
	}
	vhd := make([]byte, 1024)
	copy(vhd, "conectix")
	be.PutUint64(vhd[48:], mib)
	be.PutUint32(vhd[60:], 4)
	for name, in := range map[string][]byte{
		"a qcow2 with a backing file":      Header(3, mib, func(h []byte) { be.PutUint64(h[8:], 512); be.PutUint32(h[16:], 11); copy(h[512:], "/etc/shadow") }),
		"a qcow2 with a data file":         Header(3, mib, func(h []byte) { be.PutUint64(h[72:], 4) }),
		"an encrypted qcow2":               Header(3, mib, func(h []byte) { be.PutUint32(h[32:], 2) }),
		"a qcow2 of two exbibytes":         Header(3, 2<<60, nil),
		"a qcow of version 1":              Header(1, mib, nil),
		"a VMDK that describes others":     []byte("# Disk DescriptorFile\nversion=1\nRW 100 FLAT \"/etc/shadow\" 0\n"),
		"a VMDK whose descriptor does":     vmdk(func(h []byte) { le.PutUint64(h[12:], 0); copy(h[512:], "RW 100 FLAT \"/etc/shadow\" 0\n") }),
		"a VMDK with a parent":             vmdk(func(h []byte) { copy(h[512:], "# Disk DescriptorFile\nparentFileNameHint=\"/etc/shadow\"\n") }),
		"a VHD with a parent":              vhd,
		"a compressed file":                append([]byte("\x1f\x8b\x08"), make([]byte, 1024)...),
		"a qcow2 that breaks off at once":  []byte("QFI\xfb\x00\x00\x00\x03"),
		"a VMDK that breaks off very soon": []byte("KDMV1234"),
	} {
		s.T.Run(name, func(t *testing.T) {
			image := id.New()
			_, err := s.Engine.Import(t.Context(), image, bytes.NewReader(in), disk.Import{})
			if e := fail.From(err); e == nil || e.Kind != fail.Invalid || e.Next == "" {
				t.Fatalf("it was taken, or not refused with a reason: %v", err)
			}
			if _, err := s.Engine.ObserveImage(t.Context(), image); !fail.Is(err, fail.Gone) {
				t.Fatalf("something is left of it: %v", err)
			}
		})
	}
}

func keysMatter(s *suite) {
	ctx, keys := s.Context(), disk.Keys{}
	d := s.make(keys, gib, disk.Source{})
	s.write(d, keys, 0, "secret")
	drive := s.drive(d, keys)
	if len(drive.Keys) != 1 || !bytes.Equal(drive.Keys[drive.Path], keys[d]) {
		s.Fatalf("the drive has %d keys", len(drive.Keys))
	}
	if _, err := s.Engine.Attach(ctx, d, disk.Keys{}); err == nil {
		s.Fatal("it opens without its key")
	}
	if got, err := s.Read(drive, 0, 6); err != nil || string(got) != "secret" {
		s.Fatalf("read %q %v", got, err)
	}
	plain := s.make(nil, gib, disk.Source{}) // as its maker wanted
	s.write(plain, nil, 0, "open")
	if drive := s.drive(plain, nil); len(drive.Keys) != 0 {
		s.Fatalf("it has keys: %v", drive.Keys)
	}
}

func atOnce(s *suite) {
	ctx := s.Context()
	base := id.New()
	_, err := s.Engine.Import(ctx, base, bytes.NewReader(content(mib)), disk.Import{})
	s.ok(err)
	var work sync.WaitGroup
	errs := make(chan error, 12)
	same := id.New()
	for n := range 12 {
		work.Go(func() {
			d := id.New()
			if n%3 == 0 {
				d = same
			}
			_, err := s.Engine.Ensure(ctx, d, disk.Want{Bytes: gib, From: disk.Source{Image: base}})
			if err == nil && d != same {
				err = s.Engine.Destroy(ctx, d)
			}
			errs <- err
		})
	}
	work.Wait()
	for range 12 {
		s.ok(<-errs)
	}
	if all := collect(s, s.Engine.List(ctx)); !slices.Equal(all, []id.ID{same}) {
		s.Fatalf("the disks are %v", all)
	}
	s.holds(same, nil, 0, string(content(mib)[:8]))
}
