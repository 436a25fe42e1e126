// Package file keeps blobs on this machine's disks.
//
// Small blobs are packed into logs ("volumes") whose appends share their fdatasync; large ones have files of their own. Every
// object.Block carries a CRC32C. With several folders each block is spread over all of them with Reed–Solomon parity.
// The formats, and what a crash leaves, are in docs/object-engines.md.
//
// It may import kernel/fail and service/object.
package file

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/reedsolomon"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/store/gate"
	"github.com/awancloud/awan/internal/service/object"
)

// Options say where blobs lie, and how the engine behaves. Zero values are sensible.
type Options struct {
	Dirs        []string // folders, each on a disk of its own; the first start decides their number for good
	Packed      int      // blobs up to so many bytes are packed into logs; 0: DefaultPacked
	Lanes       int      // logs that grow at the same time; 0: one per core, two at least
	VolumeBytes int64    // a log is full at this length; 0: 128 MiB
	VolumeBlobs int      // or with so many blobs; 0: 65,536
	Reserve     int64    // held back on each disk, for compaction when it is full; 0: 128 MiB
	CompactAt   float64  // the dead share at which a volume is compacted; 0: one half
	CompactRate int64    // bytes per second that compaction copies at most; 0: 64 MiB
	Handles     int      // files kept open beside those in use; 0: 128
	Disk        Disk     // tests' disk; nil: the machine's file system
	Log         *slog.Logger
}

// DefaultPacked is the size up to which blobs are packed by default.
const DefaultPacked = 4 * object.Block

// maxPacked keeps a record within one group of sums.
const maxPacked = 16 * object.Block

func (o Options) withDefaults() Options {
	def := func(v *int64, d int64) {
		if *v <= 0 {
			*v = d
		}
	}
	defInt := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	defInt(&o.Packed, DefaultPacked)
	o.Packed = min(o.Packed, maxPacked)
	defInt(&o.Lanes, max(2, runtime.GOMAXPROCS(0)))
	def(&o.VolumeBytes, 128<<20)
	defInt(&o.VolumeBlobs, 1<<16)
	def(&o.Reserve, 128<<20)
	def(&o.CompactRate, 64<<20)
	defInt(&o.Handles, 128)
	if o.CompactAt <= 0 {
		o.CompactAt = 0.5
	}
	if o.Disk == nil {
		o.Disk = osDisk{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Engine is object.Blobs on disks.
type Engine struct {
	opts    Options
	disk    Disk
	shape   shape
	code    reedsolomon.Encoder // nil without parity
	folders []*folder           // by shard
	handles *handles
	lanes   []*lane
	shelves [shelfCount]shelf

	gate gate.Gate // holds each operation that Close must wait for

	mu      sync.RWMutex
	volumes map[uint64]*volume

	unreadable int // folders, at start

	idMu   sync.Mutex
	lastID uint64

	full    atomic.Bool // a disk was found full: ask for its room before writing
	poked   chan struct{}
	stop    context.CancelFunc
	stopped chan struct{}
}

var _ object.Blobs = (*Engine)(nil)

// newID makes an id that no blob or volume of this engine ever had: milliseconds and a little chance.
func (e *Engine) newID() uint64 {
	e.idMu.Lock()
	defer e.idMu.Unlock()
	e.lastID = max(e.lastID+1, uint64(time.Now().UnixMilli())<<16|uint64(rand.Uint32()&0xffff))
	return e.lastID
}

func (e *Engine) volume(id uint64) *volume {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.volumes[id]
}

func (e *Engine) allVolumes() []*volume {
	e.mu.RLock()
	defer e.mu.RUnlock()
	all := make([]*volume, 0, len(e.volumes))
	for _, v := range e.volumes {
		all = append(all, v)
	}
	return all
}

// poke wakes the janitor.
func (e *Engine) poke() {
	select {
	case e.poked <- struct{}{}:
	default:
	}
}

func errNotFound() error { return fail.New(fail.NotFound, "no such blob") }

// Delete marks a blob deleted, or removes its file.
func (e *Engine) Delete(ctx context.Context, ref object.Ref) error {
	if err := e.gate.Enter(ctx); err != nil {
		return err
	}
	defer e.gate.Leave()
	if p, ok := parsePacked(ref); ok {
		if v := e.volume(p.volume); v != nil {
			return e.deletePacked(v, p.seq)
		}
		return nil
	}
	if l, ok := parseLarge(ref); ok {
		return e.deleteLarge(l)
	}
	return nil
}

// Space counts what the volumes and the files of large blobs hold.
func (e *Engine) Space(ctx context.Context) (object.Space, error) {
	if err := e.gate.Enter(ctx); err != nil {
		return object.Space{}, err
	}
	defer e.gate.Leave()
	var s object.Space
	for _, v := range e.allVolumes() {
		if err := e.count(v); err != nil {
			return s, err
		}
		v.mu.RLock()
		s.Blobs, s.Live, s.Dead = s.Blobs+v.blobs, s.Live+v.live, s.Dead+v.dead
		v.mu.RUnlock()
	}
	for i := range e.shelves {
		blobs, live, err := e.shelved(i)
		if err != nil {
			return s, err
		}
		s.Blobs, s.Live = s.Blobs+blobs, s.Live+live
	}
	for _, f := range e.folders {
		total, free, err := e.disk.Space(f.dir)
		if err != nil {
			continue // a lost disk has no room
		}
		s.Total += total
		s.Free += free
	}
	return s, nil
}

// Close waits for what is being written, and leaves indexes behind with which the next start is quick.
func (e *Engine) Close() error {
	if !e.gate.Close() {
		return nil
	}
	e.stop()
	<-e.stopped
	var errs []error
	for _, v := range e.allVolumes() {
		err := e.checkpoint(v)
		if fail.Is(refuse(err), fail.NoSpace) {
			e.opts.Log.Warn("an index of the objects found no space; the next start reads the log", "volume", v.id)
			continue
		}
		errs = append(errs, err)
	}
	e.handles.close()
	for _, f := range e.folders {
		f.unlock()
	}
	if err := errors.Join(errs...); err != nil {
		return fail.Wrap(refuse(err), fail.Unavailable, "closing the object engine")
	}
	return nil
}
