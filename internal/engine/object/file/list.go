package file

import (
	"context"
	"iter"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/object"
)

// List yields the volumes' blobs, then the large ones.
func (e *Engine) List(ctx context.Context) iter.Seq2[object.Info, error] {
	return func(yield func(object.Info, error) bool) {
		for _, part := range e.parts() {
			infos, err := e.listPart(ctx, part)
			if err != nil {
				yield(object.Info{}, err)
				return
			}
			for _, i := range infos {
				if err := ctx.Err(); err != nil {
					yield(object.Info{}, fail.From(err))
					return
				}
				if !yield(i, nil) {
					return
				}
			}
		}
	}
}

// part is what List reads at once: a volume or a shelf.
type part struct {
	volume *volume
	shelf  int
}

func (e *Engine) parts() []part {
	var all []part
	for _, v := range e.allVolumes() {
		all = append(all, part{volume: v})
	}
	for i := range shelfCount {
		all = append(all, part{shelf: i})
	}
	return all
}

func (e *Engine) listPart(ctx context.Context, p part) ([]object.Info, error) {
	if err := e.gate.Enter(ctx); err != nil {
		return nil, err
	}
	defer e.gate.Leave()
	var infos []object.Info
	if v := p.volume; v != nil {
		v.mu.Lock()
		defer v.mu.Unlock()
		entries, err := e.allEntries(v)
		for _, en := range entries {
			if en.state == live || en.state == lost {
				infos = append(infos, object.Info{Ref: packedRef{v.id, en.seq}.ref(), Size: int64(en.size), Written: time.Unix(int64(en.written), 0)})
			}
		}
		return infos, err
	}
	if _, _, err := e.shelved(p.shelf); err != nil { // finishes what a crash left of deletes
		return nil, err
	}
	found, err := e.onShelf(p.shelf)
	for l := range found {
		infos = append(infos, object.Info{Ref: l.ref(), Size: l.size, Written: time.UnixMilli(int64(l.id >> 16))})
	}
	return infos, err
}
