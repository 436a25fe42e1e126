package pebble

import (
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options of Open. The zero value is for production.
type Options struct {
	Logger        *slog.Logger // what the library says; nil: nothing. Its chatter is at Debug, trouble at Warn and Error
	CacheBytes    int64        // block cache; 0: 8 MiB
	MemTableBytes uint64       // writes kept in memory until they are flushed; 0: 8 MiB. Grows only as needed
	HistoryBytes  int          // changes kept for watchers; 0: 4 MiB
	ReserveBytes  uint64       // Updates are refused when the disk has less room than this; 0: 64 MiB
	FS            vfs.FS       // nil: the machine's. Tests cut its power
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 8 << 20
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = 8 << 20
	}
	if o.HistoryBytes == 0 {
		o.HistoryBytes = 4 << 20
	}
	if o.ReserveBytes == 0 {
		o.ReserveBytes = 64 << 20
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	return o
}

// database gives the library's options for one database of this store.
func (s *Store) database(wal bool) *pebble.Options {
	o := &pebble.Options{
		FS:           s.fs,
		Cache:        s.cache,
		MemTableSize: s.opts.MemTableBytes,
		Logger:       s.fuse,
		DisableWAL:   !wal,
		// Pinned, so that a newer library does not make a store that the last release of awan cannot open.
		FormatMajorVersion: pebble.FormatTableFormatV6,
		// One compaction at a time: the store is small and shares the machine with what its users came for.
		CompactionConcurrencyRange: func() (lower, upper int) { return 1, 1 },
		// Most of what is written, log-ins and audit entries, is never changed and seldom read: merging it twice as late
		// halves the work, and the keys that every request reads are kept beside (hot).
		L0CompactionThreshold: 8,
		L0StopWritesThreshold: 24,
		EventListener: &pebble.EventListener{
			BackgroundError: s.fuse.background,
			WriteStallBegin: func(pebble.WriteStallBeginInfo) { s.fuse.stall(true) },
			WriteStallEnd:   func() { s.fuse.stall(false) },
			DataCorruption:  func(info pebble.DataCorruptionInfo) { s.fuse.corrupt(info.String()) },
		},
	}
	for i := range o.Levels {
		// Names and idempotency keys are looked up mostly to find them absent: a filter answers that from memory.
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return o
}
