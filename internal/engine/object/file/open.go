package file

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/store/gate"
)

// Open opens the store in opts.Dirs, or makes it. What a crash left is put in order before it returns.
func Open(opts Options) (*Engine, error) {
	opts = opts.withDefaults()
	e := &Engine{gate: gate.Gate{What: "the object engine"}, opts: opts, disk: opts.Disk, volumes: map[uint64]*volume{}, poked: make(chan struct{}, 1), stopped: make(chan struct{})}
	e.handles = newHandles(opts.Disk, opts.Handles)
	if err := e.start(); err != nil {
		e.handles.close()
		for _, f := range e.folders {
			if f != nil {
				f.unlock()
			}
		}
		return nil, fail.Wrap(refuse(err), fail.Unavailable, "opening the objects in %s", strings.Join(opts.Dirs, ", "))
	}
	ctx, cancel := context.WithCancel(context.Background())
	e.stop = cancel
	go e.janitor(ctx)
	e.poke()
	return e, nil
}

func (e *Engine) start() error {
	if err := e.prepare(); err != nil {
		return err
	}
	e.tidy()
	found, err := e.survey()
	if err != nil {
		return err
	}
	var growing []*volume
	for id, gens := range found {
		v, err := e.load(id, gens)
		if err != nil {
			return err
		}
		e.lastID = max(e.lastID, id)
		if v == nil {
			continue // it was being removed
		}
		e.volumes[id] = v
		if !v.sealed {
			growing = append(growing, v)
		}
	}
	// The fullest volumes with room grow on, so that few are left half full.
	slices.SortFunc(growing, func(a, b *volume) int { return cmp.Compare(b.end, a.end) })
	for range e.opts.Lanes {
		e.lanes = append(e.lanes, &lane{e: e})
	}
	lane := 0
	for _, v := range growing {
		if lane < len(e.lanes) && v.gen == 0 && v.end < e.opts.VolumeBytes && len(v.entries) < e.opts.VolumeBlobs && !slices.Contains(v.logs, nil) {
			v.lane, e.lanes[lane].vol = e.lanes[lane], v
			lane++
		} else {
			v.retired = true
		}
	}
	e.reserve()
	return nil
}

// files is on which shards a generation of a volume has its log and its index.
type files struct{ logs, indexes []int }

// survey lists the volumes.
func (e *Engine) survey() (map[uint64]map[uint32]*files, error) {
	found := map[uint64]map[uint32]*files{}
	for i, f := range e.folders {
		dir := filepath.Join(f.dir, volumesDir)
		names, err := e.disk.List(dir)
		if err != nil {
			if e.unreadable++; e.unreadable > e.shape.parity {
				return nil, err
			}
			e.opts.Log.Error("a folder of the objects cannot be read", "folder", f.dir, "cause", err)
			continue
		}
		for _, name := range names {
			id, gen, ext, ok := parseVolumeName(name)
			if !ok {
				if strings.HasSuffix(name, ".new") {
					_ = e.disk.Remove(filepath.Join(dir, name))
				}
				continue
			}
			if found[id] == nil {
				found[id] = map[uint32]*files{}
			}
			if found[id][gen] == nil {
				found[id][gen] = &files{}
			}
			if g := found[id][gen]; ext == "log" {
				g.logs = append(g.logs, i)
			} else {
				g.indexes = append(g.indexes, i)
			}
		}
	}
	return found, nil
}

func parseVolumeName(name string) (id uint64, gen uint32, ext string, ok bool) {
	base, ext, _ := strings.Cut(name, ".")
	a, b, _ := strings.Cut(base, "-")
	id, err1 := strconv.ParseUint(a, 16, 64)
	g, err2 := strconv.ParseUint(b, 10, 32)
	return id, uint32(g), ext, len(a) == 16 && err1 == nil && err2 == nil && (ext == "log" || ext == "idx")
}

// load takes a volume's newest complete generation, and removes the others.
func (e *Engine) load(id uint64, gens map[uint32]*files) (*volume, error) {
	numbers := make([]uint32, 0, len(gens))
	for g := range gens {
		numbers = append(numbers, g)
	}
	slices.Sort(numbers)
	use := numbers[0] // only compaction makes others, and removes this one when the next is complete
	for _, g := range numbers[1:] {
		if len(gens[g].logs) >= e.shape.data && len(gens[g].indexes) >= e.shape.data {
			use = g
		}
	}
	for _, g := range numbers {
		if g != use {
			e.removeVolume(id, g)
		}
	}
	v := &volume{id: id, gen: use}
	if err := e.readIndex(v); err != nil {
		return nil, err
	}
	if v.head.dropped {
		return nil, e.removeDropped(v)
	}
	if v.sealed {
		e.copyIndex(v)
		return v, nil
	}
	return v, e.recover(v)
}

// removeVolume removes the files of a generation; who reads them goes on.
func (e *Engine) removeVolume(id uint64, gen uint32) {
	for i := range e.folders {
		for _, name := range []string{e.indexName(i, id, gen), e.logName(i, id, gen)} { // an index without its log is nothing
			if err := e.disk.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				e.opts.Log.Warn("a file of the objects could not be removed", "file", name, "cause", err)
			}
			e.handles.forget(name)
		}
	}
}

// readIndex takes what the index files say: all, of a sealed volume; of another, what was there at the last Close.
func (e *Engine) readIndex(v *volume) error {
	var failed error
	for i := range e.folders {
		h, err := e.handles.get(e.indexName(i, v.id, v.gen), false)
		if err != nil {
			if !isDamage(err) {
				failed = err
			}
			continue
		}
		var b [headerSize]byte
		err = readFull(h, b[:], 0)
		head, ok := decodeIndexHeader(b[:])
		if err == nil && ok && head.volume == v.id {
			if v.head, v.end = head, head.end; head.sealed || head.dropped {
				v.sealed, v.retired = true, true
				e.handles.put(h)
				return nil
			}
			v.entries = make([]entry, head.next)
			all := make([]byte, int(head.count)*entrySize)
			err = readFull(h, all, headerSize)
			for ; err == nil && len(all) > 0; all = all[entrySize:] {
				if en, ok := decodeEntry(all, v.id); ok && en.seq < head.next {
					v.entries[en.seq] = en
				} else {
					err = errIndex
				}
			}
			if err == nil {
				e.handles.put(h)
				return nil
			}
		}
		e.handles.put(h)
		if err != nil && !isDamage(err) {
			failed = err
		}
		v.head, v.end, v.entries = indexHeader{}, 0, nil // the log says it all
	}
	return refuse(failed) // what was deleted, of a sealed volume only the index knows
}

// copyIndex gives a sealed volume's index to shards that have none: their disks were replaced.
func (e *Engine) copyIndex(v *volume) {
	if len(e.folders) == 1 {
		return
	}
	var content []byte
	var missing []int
	for i := range e.folders {
		h, err := e.handles.get(e.indexName(i, v.id, v.gen), false)
		if err != nil {
			missing = append(missing, i)
			continue
		}
		if content == nil {
			b := make([]byte, headerSize+int(v.head.count)*entrySize)
			if _, err := h.ReadAt(b, 0); err == nil {
				content = b
			}
		}
		e.handles.put(h)
	}
	for _, i := range missing {
		if content == nil {
			return
		}
		if err := e.place(filepath.Join(e.folders[i].dir, volumesDir), e.indexName(i, v.id, v.gen), content); err != nil {
			e.opts.Log.Warn("an index could not be copied", "volume", v.id, "cause", err)
		}
	}
}
