package pebble

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// fuse is what stops the store for good when the disk fails under it.
//
// After a failed sync nobody knows what is on the disk, and the library, which expects its process to exit then, would
// write on. So the fuse sits between the library and the disk: once blown, no write passes it, no Update is
// acknowledged, and what was acknowledged before is what the next start finds. It is also the library's logger, because
// that is how the library reports fatal errors.
type fuse struct {
	log    *slog.Logger
	blown  atomic.Bool
	failed chan struct{} // closed when blown

	mu        sync.Mutex
	err       error
	troubled  time.Time // of the last failed background work
	retryWait time.Duration
}

func newFuse(log *slog.Logger) *fuse {
	return &fuse{log: log, failed: make(chan struct{}), retryWait: time.Second}
}

// blow stops all writing because of cause. Only the first one counts.
func (f *fuse) blow(cause error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return
	}
	if errors.Is(cause, syscall.ENOSPC) || errors.Is(cause, syscall.EDQUOT) {
		f.err = fail.New(fail.NoSpace, "the disk of the state store became full while writing").
			Then("free some room, then restart awan").Because(cause)
	} else {
		f.err = fail.New(fail.Unavailable, "the disk of the state store failed").
			Then("look at the operator's log, check the disk, then restart awan").Because(cause)
	}
	f.blown.Store(true)
	close(f.failed)
	f.log.Error("state store: stopped writing", "cause", cause)
}

// failure is nil as long as the disk serves.
func (f *fuse) failure() error {
	if !f.blown.Load() {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// background hears of a failed flush or compaction. Lack of room passes; anything else will not.
func (f *fuse) background(err error) {
	f.mu.Lock()
	f.troubled = time.Now()
	f.mu.Unlock()
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, errBlown) {
		f.log.Warn("state store: background work failed, it will be tried again", "cause", err)
		return
	}
	f.blow(fmt.Errorf("background work: %w", err))
}

func (f *fuse) corrupt(what string) { f.blow(errors.New("damaged data: " + what)) }

// errBlown is what the library gets for its writes once the fuse is blown.
var errBlown = errors.New("the state store no longer writes: its disk failed")

// MaybeError is errorfs.Injector's: it lets an operation pass or not.
func (f *fuse) MaybeError(op errorfs.Op) error {
	if op.Kind == errorfs.OpCreate && strings.HasSuffix(op.Path, ".sst") {
		f.pause()
	}
	if f.blown.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && !(op.Kind == errorfs.OpFileSync && isFolder.MatchString(op.Path)) {
		return errBlown
	}
	return nil
}

// isFolder matches a generation's folder: syncing it writes nothing new, and the library dies when that fails.
var isFolder = regexp.MustCompile(`(^|/)g[0-9]{6}$`)

// disk is the file system behind the fuse. The library dies, in a way that cannot be caught, when it cannot make a log
// file (a full disk, no more file descriptors): here it gets one that is dead, whose failing writes it reports in order.
type disk struct {
	*errorfs.FS
	fuse *fuse
}

// Create is vfs.FS's.
func (d disk) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.Create(name, category)
	return d.orDead(f, err, name)
}

// ReuseForWrite is vfs.FS's.
func (d disk) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.ReuseForWrite(old, name, category)
	return d.orDead(f, err, name)
}

func (d disk) orDead(f vfs.File, err error, name string) (vfs.File, error) {
	if err == nil || !strings.HasSuffix(name, ".log") {
		return f, err
	}
	d.fuse.blow(fmt.Errorf("making a log file: %w", err))
	if f, err = vfs.NewMem().Create("dead", vfs.WriteCategoryUnspecified); err != nil {
		return nil, err
	}
	return errorfs.WrapFile(f, d.fuse), nil
}

// pause slows the library down after trouble: it retries a failed flush at once and for ever.
func (f *fuse) pause() {
	f.mu.Lock()
	wait := f.retryWait - time.Since(f.troubled)
	f.mu.Unlock()
	if wait > 0 {
		time.Sleep(wait)
	}
}

// String is errorfs.Injector's.
func (f *fuse) String() string { return "state store fuse" }

// Infof is the library's chatter.
func (f *fuse) Infof(format string, args ...any) {
	f.log.Debug("state store: " + fmt.Sprintf(format, args...))
}

// Errorf is what the library wants seen.
func (f *fuse) Errorf(format string, args ...any) {
	f.log.Error("state store: " + fmt.Sprintf(format, args...))
}

// Fatalf is where the library expects the process to exit. The cloud should first tell its users: see Store.Failed.
func (f *fuse) Fatalf(format string, args ...any) {
	cause := fmt.Errorf(format, args...)
	for _, a := range args {
		if err, ok := a.(error); ok {
			cause = fmt.Errorf("%s (%w)", cause, err)
		}
	}
	f.blow(cause)
}
