package file

import (
	"errors"
	"io/fs"
	"path/filepath"
	"sync"
	"time"
)

// newVolume begins an empty log on every shard that works.
func (e *Engine) newVolume() (*volume, error) {
	v := &volume{id: e.newID(), end: headerSize, synced: headerSize, counted: true, logs: make([]*handle, len(e.folders))}
	errs := make([]error, len(e.folders))
	var wg sync.WaitGroup
	for i, f := range e.folders {
		begin := func() {
			name := e.logName(i, v.id, 0)
			h, err := e.handles.get(name, true)
			if err != nil {
				errs[i] = err
				return
			}
			b := make([]byte, headerSize)
			header{kind: kindVolume, shard: i, shape: e.shape, volume: v.id, written: time.Now().Unix()}.encode(b)
			if err = h.WriteAt([][]byte{b}, 0); err == nil {
				err = h.Sync()
			}
			if err == nil {
				err = e.disk.SyncDir(filepath.Join(f.dir, volumesDir))
			}
			if err != nil {
				e.handles.put(h)
				errs[i] = err
				return
			}
			v.logs[i] = h
		}
		if len(e.folders) == 1 {
			begin()
		} else {
			wg.Go(begin)
		}
	}
	wg.Wait()
	if err := e.judge("new volume", errs, func(i int) bool { return v.logs[i] != nil }, func(int) {}); err != nil {
		e.putLogs(v.logs)
		e.removeVolume(v.id, 0)
		return nil, err
	}
	e.mu.Lock()
	e.volumes[v.id] = v
	e.mu.Unlock()
	return v, nil
}

// writeIndex writes the index files of a volume's generation; v.mu keeps others from reading them.
func (e *Engine) writeIndex(v *volume, head indexHeader, entries []entry) error {
	kept := make([]entry, 0, len(entries))
	for _, en := range entries {
		if en.state != absent {
			kept = append(kept, en)
		}
	}
	head.count = uint32(len(kept))
	content := encodeIndex(head, kept)
	errs := make([]error, len(e.folders))
	for i, f := range e.folders {
		name := e.indexName(i, v.id, v.gen)
		if errs[i] = e.place(filepath.Join(f.dir, volumesDir), name, content); errs[i] == nil {
			e.handles.forget(name)
		}
	}
	if err := e.judge("index", errs, func(int) bool { return true }, func(int) {}); err != nil {
		return err
	}
	v.head, v.sealed = head, head.sealed
	return nil
}

// seal moves a retired volume's index from memory to a file. Reads go on meanwhile.
func (e *Engine) seal(v *volume) error {
	v.mu.RLock()
	if v.sealed || v.gone || !v.retired {
		v.mu.RUnlock()
		return nil
	}
	entries := append([]entry(nil), v.entries...)
	end := v.end
	v.mu.RUnlock()

	draft := &volume{id: v.id, gen: v.gen} // nobody reads index files before v is sealed
	head := indexHeader{volume: v.id, next: uint32(len(entries)), end: end, sealed: true}
	if err := e.writeIndex(draft, head, entries); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.head, v.sealed = draft.head, true
	now := v.entries
	v.entries = nil
	for seq, was := range entries {
		if now[seq].state == was.state {
			continue
		}
		_, at, err := e.find(v, uint32(seq))
		if err == nil {
			err = e.markIndex(v, now[seq], at)
		}
		if err != nil { // stay in memory, and try again
			v.sealed, v.entries = false, now
			return err
		}
	}
	e.letGo(v)
	return nil
}

// letGo closes the logs of a volume that is not appended to any more, without the zeros behind its end; v.mu is held.
func (e *Engine) letGo(v *volume) {
	for _, h := range v.logs {
		if h != nil {
			_ = h.Truncate(v.end) // else the next start does it, or nobody: they do no harm
		}
	}
	e.putLogs(v.logs)
	v.logs = nil
}

// checkpoint leaves an index of a growing volume behind, so that the next start need not read its log.
func (e *Engine) checkpoint(v *volume) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.sealed || v.gone {
		return nil
	}
	for _, h := range v.logs {
		if h != nil {
			if err := h.Sync(); err != nil { // deletes were not synced
				return err
			}
		}
	}
	head := indexHeader{volume: v.id, next: uint32(len(v.entries)), end: v.end, sealed: v.retired}
	if err := e.writeIndex(v, head, v.entries); err != nil {
		return err
	}
	e.letGo(v)
	return nil
}

// tidy empties the folders for what is not complete. Where several shards of a large blob were to be shown, and a crash
// came between them, the rest is shown now.
func (e *Engine) tidy() {
	for i, f := range e.folders {
		dir := filepath.Join(f.dir, unready)
		names, err := e.disk.List(dir)
		if err != nil {
			continue // said by survey
		}
		for _, name := range names {
			draft := filepath.Join(dir, name)
			if e.shape.parity > 0 && e.finish(i, draft) {
				continue
			}
			if err := e.disk.Remove(draft); err != nil && !errors.Is(err, fs.ErrNotExist) {
				e.opts.Log.Warn("a file of the objects could not be removed", "file", draft, "cause", err)
			}
		}
	}
}
