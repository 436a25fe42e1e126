package file_test

import (
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/engine/object/file"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/object"
	"github.com/awancloud/awan/internal/service/object/objecttest"
)

// passing is a disk's trouble with logs that passes by itself: of each good+bad tries to do op, bad in a row fail.
type passing struct {
	name      string
	op        string
	err       error
	good, bad int64
	met       atomic.Int64
	over      atomic.Bool
}

func passings() []*passing {
	return []*passing{
		{name: "too many open files, at reading", op: "read", err: syscall.EMFILE, bad: 1},
		{name: "too many open files, at opening", op: "open", err: syscall.EMFILE, bad: 1},
		{name: "no memory", op: "read", err: syscall.ENOMEM, good: 5, bad: 1},
		{name: "a disk that reads at the fourth try", op: "read", err: syscall.EIO, good: 1, bad: 3},
	}
}

func (p *passing) broken(op, name string) error {
	if p.over.Load() || op != p.op || !strings.HasSuffix(name, ".log") {
		return nil
	}
	if n := p.met.Add(1) - 1; n%(p.good+p.bad) < p.good {
		return nil
	}
	return p.err
}

// tells is whether p is told to who asks; what passes at the next try is not.
func (p *passing) tells() bool { return p.err != syscall.EIO }

func allThere(t *testing.T, e *file.Engine, blobs map[object.Ref][]byte) {
	t.Helper()
	for ref, want := range blobs {
		if got, err := objecttest.Get(t.Context(), e, ref); err != nil || string(got) != string(want) {
			t.Fatalf("%s: %d of %d bytes, %v", ref, len(got), len(want), err)
		}
	}
}

func (d *simDisk) set(broken func(op, name string) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.broken = broken
}

// compacted is how many volumes have a later generation than their first.
func (d *simDisk) compacted() (n int) {
	names, _ := d.List("/a/volumes")
	for _, name := range names {
		if strings.HasSuffix(name, ".idx") && !strings.HasSuffix(name, "-0.idx") {
			n++
		}
	}
	return n
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come", what)
		}
	}
}

// TestPassingInCompaction: compaction meets reading errors that pass. It leaves the volume as it is, or copies it
// whole; what it cannot read it never takes for nothing.
func TestPassingInCompaction(t *testing.T) {
	for _, p := range passings() {
		t.Run(p.name, func(t *testing.T) {
			disk := newSimDisk()
			opts, blobs := stored(t, disk, []string{"/a"}, 160)
			opts.CompactAt = 0.2
			e := open(t, opts)
			thin := func(rest int) { // deletes that make volumes worth a compaction
				i := 0
				for ref := range blobs {
					if i++; ref[0] == 's' && i%4 == rest {
						if err := e.Delete(t.Context(), ref); err != nil {
							t.Fatal(err)
						}
						delete(blobs, ref)
					}
				}
			}
			disk.set(p.broken)
			thin(0)
			thin(1)
			until(t, "a compaction's reading", func() bool { return p.met.Load() > 0 })
			if !p.tells() {
				until(t, "a compaction", func() bool { return disk.compacted() > 0 })
			}
			p.over.Store(true)
			allThere(t, e, blobs)
			thin(2) // each delete asks for a compaction
			until(t, "a compaction", func() bool { return disk.compacted() > 0 })
			allThere(t, e, blobs)
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			e = open(t, opts)
			allThere(t, e, blobs)
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestPassingInNewIndex: a damaged index is made anew from the log, which cannot be read for a while. The blobs are
// unavailable, and there again afterwards: none is forgotten.
func TestPassingInNewIndex(t *testing.T) {
	for _, p := range passings() {
		t.Run(p.name, func(t *testing.T) {
			disk := newSimDisk()
			opts, blobs := stored(t, disk, []string{"/a"}, 120)
			for name, node := range disk.names {
				if strings.HasSuffix(name, ".idx") {
					for at := 64; at+32 <= len(node.now); at += 32 {
						node.now[at] ^= 1
					}
				}
			}
			e := open(t, opts)
			disk.set(p.broken)
			refused := 0
			for ref, want := range blobs {
				switch got, err := objecttest.Get(t.Context(), e, ref); {
				case err == nil && string(got) == string(want):
				case p.tells() && fail.Is(err, fail.Unavailable):
					refused++
				default:
					t.Fatalf("%s: %d of %d bytes, %v", ref, len(got), len(want), err)
				}
			}
			if p.tells() != (refused > 0) || p.met.Load() == 0 {
				t.Errorf("%d of %d reads were refused, %d met it", refused, len(blobs), p.met.Load())
			}
			p.over.Store(true)
			allThere(t, e, blobs)
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestPassingAtStart: the log of a volume that was growing when the power went cannot be read for a while. The store does
// not open rather than cut the log; then it opens with everything in it.
func TestPassingAtStart(t *testing.T) {
	for _, p := range passings() {
		t.Run(p.name, func(t *testing.T) {
			disk := newSimDisk()
			opts := small([]string{"/a"})
			opts.Disk, opts.Reserve = disk, 64<<10
			e := open(t, opts)
			blobs := map[object.Ref][]byte{}
			for i := range 30 {
				c := content(uint64(i), 100+i*53)
				ref, err := objecttest.Put(t.Context(), e, c, int64(len(c)), object.Block)
				if err != nil {
					t.Fatal(err)
				}
				blobs[ref] = c
			}
			disk.set(func(op, _ string) error { // no Close's tidying: the power goes
				if op != "read" && op != "open" && op != "list" {
					return errDark
				}
				return nil
			})
			_ = e.Close()
			disk.set(p.broken)
			e, err := file.Open(opts)
			if p.tells() {
				if !fail.Is(err, fail.Unavailable) {
					t.Fatalf("it opens with %v", err)
				}
				p.over.Store(true)
				e = open(t, opts)
			} else if err != nil {
				t.Fatal(err)
			}
			if p.met.Load() == 0 {
				t.Error("nothing met it")
			}
			p.over.Store(true)
			allThere(t, e, blobs)
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
