// Package log keeps what apps print, also of instances that are gone, in files of each component, and searches it. It may
// import the kernel and the port to containers.
//
// A component's lines lie in numbered segments under DIR/PROJECT/COMPONENT, sealed under the project's key. Lines are appended
// to the newest; a full one is compressed. A line is "TIME INSTANCE RELEASE STREAM TEXT"; what a crash left without its end is
// cut off at the next start. Nothing is held in memory but the open files and the time of each instance's newest line.
package log

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/clock"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/secret"
)

// Defaults of Options.
const (
	DefaultRetention = 7 * 24 * time.Hour
	DefaultPerApp    = 128 << 20
	DefaultSegment   = 4 << 20
)

// Options say how much is kept.
type Options struct {
	Dir       string
	Retention time.Duration
	PerApp    int64 // bytes of one component on disk; the oldest segments go first
	Segment   int64 // bytes of a segment before it is compressed
	Sealer    *secret.Sealer
	Now       clock.Clock
	Log       *slog.Logger
}

// Line is one line that an instance printed.
type Line struct {
	At       time.Time `json:"at"`
	Instance id.ID     `json:"instance"`
	Release  int       `json:"release"`
	Stream   string    `json:"stream"`
	Text     string    `json:"text"`
}

// Store keeps lines.
type Store struct {
	Options
	mu   sync.Mutex
	open map[string]*app // by folder
}

// app is the log of one component.
type app struct {
	dir    string
	seal   seal
	mu     sync.Mutex
	number int // of the newest segment
	f      *os.File
	size   int64
	newest map[id.ID]time.Time
}

// Open opens the store in o.Dir, making it when it is absent.
func Open(o Options) (*Store, error) {
	if o.Retention == 0 {
		o.Retention = DefaultRetention
	}
	if o.PerApp == 0 {
		o.PerApp = DefaultPerApp
	}
	if o.Segment == 0 {
		o.Segment = DefaultSegment
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fail.Wrap(err, fail.Unavailable, "the folder for logs cannot be made")
	}
	s := &Store{Options: o, open: map[string]*app{}}
	return s, s.sealOlder()
}

// Close closes the files.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var first error
	for _, a := range s.open {
		a.mu.Lock()
		if a.f != nil {
			if err := a.f.Close(); err != nil && first == nil {
				first = err
			}
			a.f = nil
		}
		a.mu.Unlock()
	}
	s.open = map[string]*app{}
	return first
}

func (s *Store) app(project, component id.ID) (*app, error) {
	dir := filepath.Join(s.Dir, string(project), string(component))
	s.mu.Lock()
	a := s.open[dir]
	if a == nil {
		a = &app{dir: dir, seal: s.sealOf(dir)}
		s.open[dir] = a
	}
	s.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.f != nil {
		return a, nil
	}
	return a, a.load()
}

const (
	plain  = ".sealed"
	packed = ".zst.sealed"
)

func (a *app) path(n int, suffix string) string {
	return filepath.Join(a.dir, fmt.Sprintf("%012d%s", n, suffix))
}

// segments lists the numbers of the segments, oldest first. Where both forms of one are there, a crash came between
// compressing and removing, and the compressed one is whole.
func segments(dir string) ([]int, error) {
	files, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []int
	for _, f := range files {
		number, suffix, _ := strings.Cut(f.Name(), ".")
		n, err := strconv.Atoi(number)
		if err == nil && (suffix == plain[1:] || suffix == packed[1:]) && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out, nil
}

// load opens the newest segment for appending, cuts off what a crash left without its end, and learns up to which line
// each instance was read.
func (a *app) load() error {
	if err := os.MkdirAll(a.dir, 0o700); err != nil {
		return err
	}
	all, err := segments(a.dir)
	if err != nil {
		return err
	}
	a.newest = map[id.ID]time.Time{}
	for _, n := range all[max(0, len(all)-2):] { // an instance's newest line may be in the segment before
		_, err := a.seal.read(a.path(n, ""), 0, func(_ int, l Line) bool {
			a.newest[l.Instance] = l.At
			return true
		})
		if err != nil {
			return err
		}
	}
	a.number = 1
	if len(all) > 0 {
		a.number = all[len(all)-1]
		if _, err := os.Stat(a.path(a.number, packed)); err == nil {
			a.number++
		}
	}
	f, err := os.OpenFile(a.path(a.number, plain), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	in := a.seal.open(f)
	if _, err = io.Copy(io.Discard, in); err == nil {
		a.size = in.Whole()
		if err = f.Truncate(a.size); err == nil {
			_, err = f.Seek(a.size, io.SeekStart)
		}
	}
	if err != nil {
		_ = f.Close()
		return err
	}
	a.f = f
	return nil
}

// Newest tells the time of the newest line that is kept of an instance.
func (s *Store) Newest(project, component, instance id.ID) (time.Time, error) {
	a, err := s.app(project, component)
	if err != nil {
		return time.Time{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.newest[instance], nil
}

// Append keeps lines of one instance, in their order; those not newer than what is kept of it are left out, so that a
// reader that begins again does no harm.
func (s *Store) Append(project, component id.ID, lines []Line) error {
	a, err := s.app(project, component)
	if err != nil {
		return fail.Wrap(err, fail.Unavailable, "the log cannot be written")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.f == nil {
		return fail.New(fail.Unavailable, "the log is closed")
	}
	var b bytes.Buffer
	for _, l := range lines {
		if !l.At.After(a.newest[l.Instance]) {
			continue
		}
		a.newest[l.Instance] = l.At
		fmt.Fprintf(&b, "%d %s %d %s %s\n", l.At.UnixNano(), l.Instance, l.Release, l.Stream, strings.ReplaceAll(l.Text, "\n", " "))
	}
	sealed, err := a.seal.frame(b.Bytes())
	if err != nil {
		return err
	}
	if _, err := a.f.Write(sealed); err != nil {
		_ = a.f.Close() // the next call cuts off what was written in part
		a.f, a.newest = nil, nil
		return fail.Wrap(err, fail.NoSpace, "the log cannot be written")
	}
	a.size += int64(len(sealed))
	if a.size < s.Segment {
		return nil
	}
	return s.turn(a)
}

// turn compresses the full segment and begins the next.
func (s *Store) turn(a *app) error {
	if err := a.f.Close(); err != nil {
		return err
	}
	a.f = nil // the next call loads again, whatever happens here
	if err := a.seal.compress(a.path(a.number, plain), a.path(a.number, packed)); err != nil {
		return fail.Wrap(err, fail.NoSpace, "the log cannot be compressed")
	}
	if err := os.Remove(a.path(a.number, plain)); err != nil {
		return err
	}
	a.number, a.size = a.number+1, 0
	f, err := os.OpenFile(a.path(a.number, plain), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	a.f = f
	return s.trim(a.dir)
}

// trim removes segments that are too old, and the oldest while there is too much. The newest is never removed.
func (s *Store) trim(dir string) error {
	all, err := segments(dir)
	if err != nil {
		return err
	}
	var total int64
	for i := len(all) - 1; i >= 0; i-- {
		a := app{dir: dir}
		for _, suffix := range []string{plain, packed} {
			st, err := os.Stat(a.path(all[i], suffix))
			if err != nil {
				continue
			}
			total += st.Size()
			if i < len(all)-1 && (total > s.PerApp || s.Now().Sub(st.ModTime()) > s.Retention) {
				if err := os.Remove(a.path(all[i], suffix)); err != nil && !os.IsNotExist(err) {
					return err
				}
			}
		}
	}
	return nil
}

// Sweep removes what is older than the retention, and everything of components that are gone.
func (s *Store) Sweep(there func(component id.ID) bool) error {
	dirs, err := filepath.Glob(filepath.Join(s.Dir, "*", "*"))
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if there(id.ID(filepath.Base(dir))) {
			if err := s.trim(dir); err != nil {
				return err
			}
			continue
		}
		s.mu.Lock()
		a := s.open[dir]
		delete(s.open, dir)
		s.mu.Unlock()
		if a != nil {
			a.mu.Lock()
			if a.f != nil {
				_ = a.f.Close() // it is removed
				a.f = nil
			}
			a.mu.Unlock()
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

func parse(s string) (l Line, ok bool) {
	p := strings.SplitN(s, " ", 5)
	if len(p) != 5 {
		return l, false
	}
	at, err := strconv.ParseInt(p[0], 10, 64)
	if err != nil {
		return l, false
	}
	l = Line{At: time.Unix(0, at).UTC(), Instance: id.ID(p[1]), Stream: p[3], Text: p[4]}
	l.Release, err = strconv.Atoi(p[2])
	return l, err == nil
}

// Query selects lines.
type Query struct {
	Since, Until time.Time
	Match        func(Line) bool // nil: all
	Limit        int             // at most so many
	After        string          // the marker that the page before ended with
}

// Search gives lines in the order in which they were kept, and the marker of the next page; "" at the end.
func (s *Store) Search(ctx context.Context, project, component id.ID, q Query) (out []Line, next string, err error) {
	dir := filepath.Join(s.Dir, string(project), string(component))
	first, from := 0, 0
	if q.After != "" {
		if n, _ := fmt.Sscanf(q.After, "%d-%d", &first, &from); n != 2 || first < 0 || from < 0 {
			return nil, "", fail.Field("after", "is not a marker").Then("give the next field of the page before, as it was")
		}
	}
	all, err := segments(dir)
	if err != nil {
		return nil, "", fail.Wrap(err, fail.Unavailable, "the log cannot be read")
	}
	a, seal := app{dir: dir}, s.sealOf(dir)
	for _, n := range all {
		if n < first || s.before(a.path(n, ""), q.Since) {
			continue
		}
		skip := 0
		if n == first {
			skip = from
		}
		_, err := seal.read(a.path(n, ""), skip, func(i int, l Line) bool {
			if ctx.Err() != nil {
				return false
			}
			if l.At.Before(q.Since) || !q.Until.IsZero() && l.At.After(q.Until) || q.Match != nil && !q.Match(l) {
				return true
			}
			if len(out) == q.Limit {
				next = fmt.Sprintf("%d-%d", n, i)
				return false
			}
			out = append(out, l)
			return true
		})
		if err != nil {
			return nil, "", fail.Wrap(err, fail.Unavailable, "the log cannot be read")
		}
		if next != "" || ctx.Err() != nil {
			return out, next, ctx.Err()
		}
	}
	return out, "", nil
}

// before tells whether a segment was written to for the last time before a moment.
func (s *Store) before(path string, t time.Time) bool {
	if t.IsZero() {
		return false
	}
	for _, suffix := range []string{plain, packed} {
		if st, err := os.Stat(path + suffix); err == nil && !st.ModTime().Before(t) {
			return false
		}
	}
	return true
}
