package file

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/disk"
)

// join makes one of two layers of a disk where nothing else stands on the lower one any more. What the upper one holds is
// written into the lower one, which nobody sees as long as the upper one lies over it; then the upper one goes. A machine
// that has the disk open prevents it, until the next time. The disk is held.
func (e *Engine) join(ctx context.Context, d id.ID, keys disk.Keys) {
	if keys == nil {
		return
	}
	for {
		upper, lower := e.joinable(d)
		if upper == "" {
			return
		}
		if err := e.joinInto(ctx, upper, lower, keys); err != nil {
			if !fail.Is(err, fail.Conflict) {
				e.o.Log.Warn("layers of a disk stay apart", "disk", d, "err", err)
			}
			return
		}
	}
}

// joinable finds two such layers of a disk that no machine writes.
func (e *Engine) joinable(d id.ID) (upper, lower string) {
	e.mu.Lock()
	f, ok := e.disks[d]
	e.mu.Unlock()
	if !ok || f.Next != "" {
		return "", ""
	}
	if open, err := e.written(f.Top); err != nil || open {
		return "", ""
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for upper = f.Top; ; upper = lower {
		l, ok := e.layers[upper]
		if !ok || l.Below == "" {
			return "", ""
		}
		lower = l.Below
		if b := e.layers[lower]; l.Owner == d && b.Owner == d && e.users(lower) == 1 {
			return upper, lower
		}
	}
}

// users counts what names a layer; e.mu is held.
func (e *Engine) users(layer string) (n int) {
	for _, l := range e.layers {
		if l.Below == layer {
			n++
		}
	}
	for _, d := range e.disks {
		if d.Top == layer || d.Next == layer {
			n++
		}
	}
	for _, s := range e.snapshots {
		if s.Layer == layer {
			n++
		}
	}
	for _, i := range e.images {
		if i.Layer == layer {
			n++
		}
	}
	if e.building[layer] {
		n++
	}
	return n
}

func (e *Engine) joinInto(ctx context.Context, upper, lower string, keys disk.Keys) error {
	c := e.call()
	defer c.close()
	o, err := c.chain(upper, keys)
	if err != nil {
		return err
	}
	if err := c.run(ctx, "two layers cannot be joined", "commit", "-q", "-d", words(o)); err != nil {
		return err
	}
	if err := syncFile(e.file(lower)); err != nil {
		return full(err, "two layers cannot be joined")
	}
	if err := e.rename(upper, lower); err != nil {
		return err
	}
	return e.collect()
}

// rename lets everything that names the upper layer name the lower one, which holds the same now. A crash may leave some
// of them naming the upper one, which does no harm.
func (e *Engine) rename(upper, lower string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for name, l := range e.layers {
		if l.Below == upper {
			l.Below = lower
			if e.building[name] { // a pin
				e.layers[name] = l
			} else if err := store(e, layersDir, e.layers, name, l); err != nil {
				return err
			}
		}
	}
	for i, s := range e.snapshots {
		if s.Layer == upper {
			s.Layer = lower
			if err := store(e, snapshotsDir, e.snapshots, i, s); err != nil {
				return err
			}
		}
	}
	for i, d := range e.disks { // last: from then on the lower one may be written
		if d.Top == upper {
			d.Top = lower
			if err := store(e, disksDir, e.disks, i, d); err != nil {
				return err
			}
		}
	}
	return nil
}
