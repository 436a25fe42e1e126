package pebble

import (
	"context"
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

	mu       sync.Mutex
	err      error
	troubled time.Time // when background work last failed
	lacking  error     // the lack of room it failed by
	stalled  bool      // writers wait for background work
}

// retryWait is how long the library has to wait after trouble: it would try a failed flush again at once and for ever.
const retryWait = time.Second

func newFuse(log *slog.Logger) *fuse {
	return &fuse{log: log, failed: make(chan struct{})}
}

// blow stops all writing because of cause. Only the first one counts.
func (f *fuse) blow(cause error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.blowLocked(cause)
}

func (f *fuse) blowLocked(cause error) {
	if f.err != nil {
		return
	}
	if full(cause) {
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

// background hears of failed flushes and compactions. Lack of room may pass, as long as no writer waits for the work;
// what else fails stays so.
func (f *fuse) background(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.troubled = time.Now()
	if !full(err) {
		f.blowLocked(fmt.Errorf("background work: %w", err))
		return
	}
	f.lacking = err
	f.log.Warn("state store: no room for background work, it will be tried again", "cause", err)
	f.stuck()
}

// stall hears that writers have begun, or ceased, to wait for background work.
func (f *fuse) stall(begins bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stalled = begins
	f.stuck()
}

// stuck gives up when writers wait for work for which there is no room: they could do so for ever.
func (f *fuse) stuck() {
	if f.stalled && time.Since(f.troubled) < 5*retryWait && f.lacking != nil {
		f.blowLocked(fmt.Errorf("background work: %w", f.lacking))
	}
}

func full(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

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

// pause slows background work down after trouble, and stops it for good once the fuse is blown.
func (f *fuse) pause() {
	f.mu.Lock()
	wait := retryWait - time.Since(f.troubled)
	f.mu.Unlock()
	if wait > 0 {
		select {
		case <-f.failed:
		case <-time.After(wait):
		}
	}
	if f.blown.Load() {
		select {} // until the process ends
	}
}

// String is errorfs.Injector's.
func (f *fuse) String() string { return "state store fuse" }

// Infof is the library's chatter.
func (f *fuse) Infof(format string, args ...any) { f.say(slog.LevelDebug, format, args) }

// Errorf is what the library wants seen.
func (f *fuse) Errorf(format string, args ...any) { f.say(slog.LevelError, format, args) }

func (f *fuse) say(level slog.Level, format string, args []any) {
	if f.log.Enabled(context.Background(), level) { // its errors are costly to print
		f.log.Log(context.Background(), level, "state store: "+fmt.Sprintf(format, args...))
	}
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
