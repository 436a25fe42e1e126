package qemu

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
)

// The serial log. QEMU appends to a file in a small tmpfs, which bounds it while nobody looks (then the newest is lost). We
// move what is there to two files on disk that take turns, and give its room back by a hole: QEMU's end is never touched.
const (
	turn         = 512 << 10 // bytes of one file on disk
	collectEvery = 2 * time.Second
	collectAfter = 64 << 10 // bytes; below that it stays where it is
)

func (e *Engine) logPath(i id.ID) string { return filepath.Join(e.live(i), "log") }
func (e *Engine) kept(i id.ID, n string) string {
	return filepath.Join(e.home(i), "serial.log"+n)
}

// collectLog moves the log on while the machine runs.
func (e *Engine) collectLog(w *watch) {
	t := time.NewTicker(collectEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			if err := e.moveLog(w.g, collectAfter); err != nil {
				e.log.Warn("collect a machine's serial log", "machine", w.g.id, "err", err)
			}
		case <-w.q.Done():
			return
		}
	}
}

// keepLog moves all of it, when the machine has ended.
func (e *Engine) keepLog(i id.ID) error {
	e.mu.Lock()
	g := e.machines[i]
	e.mu.Unlock()
	if g == nil {
		return nil
	}
	return e.moveLog(g, 1)
}

// moveLog moves the log to disk when it has at least this many bytes.
func (e *Engine) moveLog(g *guest, least int64) error {
	g.logs.Lock()
	defer g.logs.Unlock()
	f, err := os.OpenFile(e.logPath(g.id), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	from, to, err := extent(f)
	if err != nil || to-from < least {
		return err
	}
	if err := e.append(g.id, io.NewSectionReader(f, from, to-from)); err != nil {
		return err
	}
	// Pages are given back whole; of the last one the bytes become zeros, which are no text and are skipped.
	return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, to)
}

// extent tells where the bytes are that were not moved yet.
func extent(f *os.File) (from, to int64, err error) {
	st, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	from, err = unix.Seek(int(f.Fd()), 0, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return st.Size(), st.Size(), nil
	}
	return from, st.Size(), err
}

// append adds to the files on disk.
func (e *Engine) append(i id.ID, r io.Reader) error {
	if st, err := os.Stat(e.kept(i, "")); err == nil && st.Size() > turn {
		if err := os.Rename(e.kept(i, ""), e.kept(i, ".1")); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(e.kept(i, ""), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, skipZeros{r})
	return errors.Join(err, f.Close())
}

// skipZeros leaves out the bytes of holes.
type skipZeros struct{ r io.Reader }

func (s skipZeros) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	kept := p[:0]
	for _, c := range p[:n] {
		if c != 0 {
			kept = append(kept, c)
		}
	}
	return len(kept), err
}

// Log implements machine.Engine.
func (e *Engine) Log(_ context.Context, i id.ID, most int64) ([]byte, error) {
	e.mu.Lock()
	g := e.machines[i]
	e.mu.Unlock()
	if g == nil {
		return nil, gone(i)
	}
	if _, _, known := g.view(); !known {
		return nil, gone(i)
	}
	g.logs.Lock()
	defer g.logs.Unlock()
	var out []byte
	for _, p := range []string{e.kept(i, ".1"), e.kept(i, ""), e.logPath(i)} {
		f, err := os.Open(p)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fail.Wrap(err, fail.Unavailable, "the serial log cannot be read")
		}
		from, to, err := extent(f)
		if err == nil {
			var b []byte
			b, err = io.ReadAll(skipZeros{io.NewSectionReader(f, from, to-from)})
			out = append(out, b...)
		}
		f.Close()
		if err != nil {
			return nil, fail.Wrap(err, fail.Unavailable, "the serial log cannot be read")
		}
	}
	if most > 0 && int64(len(out)) > most {
		out = out[int64(len(out))-most:]
	}
	return out, nil
}
