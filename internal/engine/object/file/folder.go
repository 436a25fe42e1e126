package file

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/klauspost/reedsolomon"

	"github.com/awancloud/awan/internal/kernel/fail"
)

const (
	volumesDir = "volumes"
	largeDir   = "large"
	unready    = "unready" // files that are not complete; emptied at start
	formatName = "format.json"
	lockName   = "lock"
	formatNow  = 1
	maxFolders = 32
)

// folder is one of Options.Dirs, once it is known which shard lies there.
type folder struct {
	dir  string
	lock io.Closer
}

func (f *folder) unlock() {
	if f.lock != nil {
		_ = f.lock.Close()
	}
}

// format is written into each folder when the store is made: it says which shard lies there, whatever the order of Dirs.
type format struct {
	Format  int    `json:"format"`
	Store   string `json:"store"`
	Shard   int    `json:"shard"`
	Folders int    `json:"folders"`
	Data    int    `json:"data"`
	Parity  int    `json:"parity"`
	Begun   bool   `json:"begun"` // every folder has its format: from now on one that lacks it was lost
	Sum     uint32 `json:"sum"`   // CRC32C of the line without it
}

func (f format) sum() uint32 {
	f.Sum = 0
	b, _ := json.Marshal(f) // numbers, booleans and a string: cannot fail
	return crc32.Checksum(b, castagnoli)
}

// shapeFor chooses how many of n folders may be lost: none of one, and one more for each four begun.
func shapeFor(n int) shape {
	if n == 1 {
		return shape{1, 0}
	}
	parity := (n + 3) / 4
	return shape{n - parity, parity}
}

// prepare locks the folders and puts them in the order of their shards.
func (e *Engine) prepare() error {
	n := len(e.opts.Dirs)
	if n == 0 || n > maxFolders {
		return fail.Field("dirs", "%d folders; it takes 1 to %d", n, maxFolders)
	}
	e.shape = shapeFor(n)
	if e.shape.parity > 0 {
		code, err := reedsolomon.New(e.shape.data, e.shape.parity)
		if err != nil {
			return fail.Wrap(err, fail.Internal, "preparing parity")
		}
		e.code = code
	}
	e.folders = make([]*folder, n)
	var fresh []*folder
	store, begun := "", false
	for _, dir := range e.opts.Dirs {
		f := &folder{dir: dir}
		var known *format
		err := e.disk.Mkdir(dir)
		if err == nil {
			f.lock, err = e.disk.Lock(filepath.Join(dir, lockName))
		}
		if err == nil {
			known, err = e.readFormat(dir)
		}
		switch {
		case fail.Is(err, fail.Precondition):
			f.unlock()
			return err
		case err != nil:
			e.opts.Log.Error("a folder of the objects cannot be used", "folder", dir, "cause", err)
			fresh = append(fresh, f)
		case known == nil:
			fresh = append(fresh, f)
		case known.Format != formatNow || known.Folders != n || known.Shard < 0 || known.Shard >= n || known.Data != e.shape.data || known.Parity != e.shape.parity:
			f.unlock()
			return fail.New(fail.Precondition, "the objects in %s are of format %d, spread over %d folders (%d data, %d parity); it was given %d",
				dir, known.Format, known.Folders, known.Data, known.Parity, n).Then("give it the folders that it was made with")
		case e.folders[known.Shard] != nil:
			f.unlock()
			return fail.New(fail.Precondition, "%s and %s both say to be shard %d", e.folders[known.Shard].dir, dir, known.Shard)
		case store != "" && store != known.Store:
			f.unlock()
			return fail.New(fail.Precondition, "%s belongs to another object store", dir).Then("give it the folders that it was made with")
		default:
			store, begun = known.Store, begun || known.Begun
			e.folders[known.Shard] = f
		}
	}
	if store == "" {
		store = fmt.Sprintf("%016x", e.newID())
	} else if begun && len(fresh) > e.shape.parity {
		return e.tooFew(fresh)
	}
	return e.adopt(fresh, store, begun)
}

func (e *Engine) tooFew(fresh []*folder) error {
	names := make([]string, len(fresh))
	for i, f := range fresh {
		names[i] = f.dir
	}
	return fail.New(fail.DataLoss, "%d of %d folders of the objects hold nothing or cannot be read (%s); %d may be lost at most",
		len(fresh), len(e.folders), strings.Join(names, ", "), e.shape.parity).Then("bring the lost disks back, or restore from elsewhere")
}

// adopt gives each new folder the place of a missing one. Folders that do not work stay, so that paths can be made of them.
func (e *Engine) adopt(fresh []*folder, store string, begun bool) error {
	var failed error
	broken := 0
	for _, f := range fresh {
		shard := 0
		for e.folders[shard] != nil {
			shard++
		}
		e.folders[shard] = f
		if err := e.furnish(f, e.format(store, shard, begun)); err != nil {
			failed = err
			broken++
			e.opts.Log.Error("a folder of the objects cannot be written", "folder", f.dir, "cause", err)
		}
	}
	if broken > e.shape.parity || broken > 0 && !begun {
		return refuse(failed)
	}
	for i, f := range e.folders {
		if begun {
			break
		}
		if err := e.writeFormat(f, e.format(store, i, true)); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) format(store string, shard int, begun bool) format {
	is := format{Format: formatNow, Store: store, Shard: shard, Folders: len(e.folders), Data: e.shape.data, Parity: e.shape.parity, Begun: begun}
	is.Sum = is.sum()
	return is
}

func (e *Engine) readFormat(dir string) (*format, error) {
	f, err := e.disk.Open(filepath.Join(dir, formatName), false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, min(size, 4096))
	if _, err := f.ReadAt(b, 0); err != nil && err != io.EOF {
		return nil, err
	}
	var known format
	if err := json.Unmarshal(b, &known); err != nil || known.sum() != known.Sum {
		if len(e.opts.Dirs) == 1 {
			is := e.format("", 0, true)
			return &is, nil // there is nothing else that it could say
		}
		return nil, fail.New(fail.DataLoss, "%s in %s is damaged", formatName, dir).Because(err)
	}
	return &known, nil
}

// furnish makes what a folder needs; its format comes last.
func (e *Engine) furnish(f *folder, is format) error {
	dirs := []string{volumesDir, unready, largeDir}
	for i := range shelfCount {
		dirs = append(dirs, filepath.Join(largeDir, shelfName(i)))
	}
	for _, d := range dirs {
		if err := e.disk.Mkdir(filepath.Join(f.dir, d)); err != nil {
			return err
		}
	}
	if err := e.disk.SyncDir(filepath.Join(f.dir, largeDir)); err != nil {
		return err
	}
	return e.writeFormat(f, is)
}

func (e *Engine) writeFormat(f *folder, is format) error {
	b, err := json.Marshal(is)
	if err != nil {
		return err
	}
	return e.place(f.dir, filepath.Join(f.dir, formatName), append(b, '\n'))
}

// place writes a whole file of dir: afterwards it is there as a whole, or what was there before.
func (e *Engine) place(dir, name string, content []byte) error {
	draft := name + ".new"
	if err := e.disk.Remove(draft); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := e.disk.Open(draft, true)
	if err != nil {
		return err
	}
	err = f.WriteAt([][]byte{content}, 0)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = e.disk.Rename(draft, name)
	}
	if err != nil {
		_ = e.disk.Remove(draft)
		return err
	}
	return e.disk.SyncDir(dir)
}
