package main

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// punch takes what was written of large objects off the disk behind their writers until the section ends, so that
// uploads need not be as small as this machine's disk. Nobody can read those objects; the process that takes them does
// not know.
func (b *bench) punch(dir string) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	b.Cleanup(func() { cancel(); done.Wait() })
	done.Go(func() {
		for ctx.Err() == nil {
			for _, under := range []string{"unready", "large"} {
				_ = filepath.WalkDir(filepath.Join(dir, under), func(name string, d fs.DirEntry, err error) error {
					if err == nil && d.Type().IsRegular() {
						hollow(name)
					}
					return nil // files come and go
				})
			}
			time.Sleep(200 * time.Millisecond)
		}
	})
}

// hollow frees all of a file but its beginning and the last 8 MiB.
func hollow(name string) {
	const begin, end = 64 << 10, 8 << 20
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }()
	about, err := f.Stat()
	if err != nil || about.Size() < begin+end {
		return
	}
	_ = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, begin, about.Size()-begin-end)
}
