package log

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/secret"
)

var (
	project, component = id.New(), id.New()
	start              = time.Now().Truncate(time.Second).UTC()
)

var keyDir = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "logkeys")
	if err != nil {
		panic(err)
	}
	return dir
})

func TestMain(m *testing.M) {
	code := m.Run()
	_ = os.RemoveAll(keyDir())
	os.Exit(code)
}

// keys are the same for every store of the tests, as they are for a cloud's.
func keys(t *testing.T) *secret.Sealer {
	t.Helper()
	s, err := secret.OpenSealer(keyDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func open(t *testing.T, dir string, o Options) *Store {
	t.Helper()
	o.Dir, o.Now, o.Log, o.Sealer = dir, time.Now, slog.New(slog.DiscardHandler), keys(t)
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func line(in id.ID, n int) Line {
	return Line{At: start.Add(time.Duration(n) * time.Millisecond), Instance: in, Release: 1, Stream: "stdout", Text: fmt.Sprintf("line %d says %s", n, strings.Repeat("x", n%50))}
}

func fill(t *testing.T, s *Store, in id.ID, from, to int) {
	t.Helper()
	for n := from; n < to; n += 10 {
		var some []Line
		for i := n; i < min(n+10, to); i++ {
			some = append(some, line(in, i))
		}
		if err := s.Append(project, component, some); err != nil {
			t.Fatal(err)
		}
	}
}

// all reads every page.
func all(t *testing.T, s *Store, q Query) (out []Line) {
	t.Helper()
	for {
		page, next, err := s.Search(t.Context(), project, component, q)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, page...)
		if next == "" {
			return out
		}
		if len(page) != q.Limit {
			t.Fatalf("a page of %d lines, and more to come", len(page))
		}
		q.After = next
	}
}

func inOrder(t *testing.T, got []Line, in id.ID, n int) {
	t.Helper()
	if len(got) != n {
		t.Fatalf("%d lines, want %d", len(got), n)
	}
	for i, l := range got {
		if l != line(in, i) {
			t.Fatalf("line %d is %+v", i, l)
		}
	}
}

func TestLinesAreKeptInOrderOverSegmentsAndStarts(t *testing.T) {
	dir, in := t.TempDir(), id.New()
	s := open(t, dir, Options{Segment: 4096})
	fill(t, s, in, 0, 1000)
	inOrder(t, all(t, s, Query{Limit: 77}), in, 1000)
	if packed, _ := filepath.Glob(filepath.Join(dir, "*", "*", "*"+packed)); len(packed) < 5 {
		t.Errorf("%d segments are compressed", len(packed))
	}
	// A crash: nothing was closed, and half a line is at the end.
	newest, _ := filepath.Glob(filepath.Join(dir, "*", "*", "*[0-9]"+plain))
	f, err := os.OpenFile(newest[0], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(f, "\x00\x00\x01\x00half a frame")
	_ = f.Close()
	again := open(t, dir, Options{Segment: 4096})
	fill(t, again, in, 900, 1200) // whoever reads again from earlier on does no harm
	inOrder(t, all(t, again, Query{Limit: 1000}), in, 1200)
}

func TestACrashWhileCompressing(t *testing.T) {
	dir, in := t.TempDir(), id.New()
	s := open(t, dir, Options{Segment: 4096})
	fill(t, s, in, 0, 200)
	of := filepath.Join(dir, string(project), string(component))
	if err := os.WriteFile(filepath.Join(of, "000000000002"+packed+".part"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	inOrder(t, all(t, open(t, dir, Options{}), Query{Limit: 50}), in, 200)
}

// TestNothingLiesInTheClear: neither what is written nor what an earlier version left, and that is found all the same.
func TestNothingLiesInTheClear(t *testing.T) {
	dir, in := t.TempDir(), id.New()
	of := filepath.Join(dir, string(project), string(component))
	if err := os.MkdirAll(of, 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(name string, from, to int, packed bool) {
		var text bytes.Buffer
		for n := from; n < to; n++ {
			l := line(in, n)
			fmt.Fprintf(&text, "%d %s %d %s %s\n", l.At.UnixNano(), l.Instance, l.Release, l.Stream, l.Text)
		}
		if packed {
			z, _ := zstd.NewWriter(nil)
			text = *bytes.NewBuffer(z.EncodeAll(text.Bytes(), nil))
		}
		if err := os.WriteFile(filepath.Join(of, name), text.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("000000000001.log.zst", 0, 100, true)
	write("000000000002.log", 100, 150, false)
	s := open(t, dir, Options{Segment: 4096})
	fill(t, s, in, 150, 400)
	inOrder(t, all(t, s, Query{Limit: 70}), in, 400)
	files, _ := filepath.Glob(filepath.Join(of, "*"))
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(f, plain) || bytes.Contains(b, []byte(" says ")) || bytes.Contains(b, []byte("\x28\xb5\x2f\xfd")) {
			t.Errorf("%s is not sealed", f)
		}
	}
}

func TestSearch(t *testing.T) {
	s, in, other := open(t, t.TempDir(), Options{Segment: 4096}), id.New(), id.New()
	fill(t, s, in, 0, 500)
	fill(t, s, other, 0, 100)
	for name, c := range map[string]struct {
		q    Query
		want int
	}{
		"since":    {Query{Since: start.Add(400 * time.Millisecond)}, 100},
		"until":    {Query{Until: start.Add(9 * time.Millisecond)}, 20},
		"between":  {Query{Since: start.Add(450 * time.Millisecond), Until: start.Add(459 * time.Millisecond)}, 10},
		"instance": {Query{Match: func(l Line) bool { return l.Instance == other }}, 100},
		"text":     {Query{Match: func(l Line) bool { return strings.Contains(l.Text, "line 49 ") }}, 2},
	} {
		c.q.Limit = 33
		if got := all(t, s, c.q); len(got) != c.want {
			t.Errorf("%s: %d lines, want %d", name, len(got), c.want)
		}
	}
	if _, _, err := s.Search(t.Context(), project, component, Query{Limit: 1, After: "x"}); err == nil {
		t.Error("a bad marker is taken")
	}
	if got, _, err := s.Search(t.Context(), project, id.New(), Query{Limit: 1}); err != nil || len(got) > 0 {
		t.Errorf("a component that printed nothing: %v %v", got, err)
	}
}

func TestOldAndManyLinesGo(t *testing.T) {
	dir, in := t.TempDir(), id.New()
	s := open(t, dir, Options{Segment: 4096, PerApp: 8192})
	fill(t, s, in, 0, 5000)
	var size int64
	files, _ := filepath.Glob(filepath.Join(dir, "*", "*", "*"))
	for _, f := range files {
		if st, err := os.Stat(f); err == nil {
			size += st.Size()
		}
	}
	got := all(t, s, Query{Limit: 1000})
	if size > 8192+4096 || len(got) == 0 || got[len(got)-1] != line(in, 4999) {
		t.Errorf("%d bytes, %d lines", size, len(got))
	}
	for _, f := range files {
		_ = os.Chtimes(f, start.Add(-30*24*time.Hour), start.Add(-30*24*time.Hour))
	}
	if err := s.Sweep(func(id.ID) bool { return true }); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*", "*", "*")); len(left) != 1 {
		t.Errorf("after the retention there are %v", left)
	}
	if err := s.Sweep(func(id.ID) bool { return false }); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*", "*")); len(left) > 0 {
		t.Errorf("of a component that is gone there is %v", left)
	}
}

func TestLevels(t *testing.T) {
	for text, want := range map[string]string{`{"level":"error","msg":"x"}`: "error", `{"msg":"no error here","level": "INFO"}`: "info", `level=warn msg=x`: "warning", `time=1 level="debug"`: "debug",
		`2026-01-01 ERROR x`: "error", `[WARN] disk`: "warning", `an error in a sentence`: "", `an error, but WARN`: "warning", `FATAL: no database`: "error", `GET / 200`: ""} {
		if got := LevelOf(text); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// source is instances that print when told.
type source struct {
	mu    sync.Mutex
	lines []Line
	in    Instance
	gone  bool
}

func (s *source) Instances(context.Context) ([]Instance, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return nil, nil
	}
	return []Instance{s.in}, nil
}

func (s *source) Components(context.Context) (map[id.ID]bool, error) {
	return map[id.ID]bool{component: true}, nil
}

func (s *source) Lines(ctx context.Context, _ Instance, since time.Time, follow bool) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		for n := 0; ctx.Err() == nil; {
			s.mu.Lock()
			some := s.lines[n:]
			s.mu.Unlock()
			for _, l := range some {
				n++
				if !l.At.Before(since) && !yield(l, nil) {
					return
				}
			}
			if !follow {
				return
			}
			time.Sleep(time.Millisecond) // as engines do: the writer is another process
		}
	}
}

func (s *source) print(from, to int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := from; n < to; n++ {
		s.lines = append(s.lines, line(s.in.ID, n))
	}
}

// TestWhatWasPrintedOutlivesTheInstance: lines printed before, between and after restarts of the collector, and the last
// ones before the instance is removed.
func TestWhatWasPrintedOutlivesTheInstance(t *testing.T) {
	dir := t.TempDir()
	from := &source{in: Instance{ID: id.New(), Component: component, Project: project, Release: 1}}
	from.print(0, 300)
	s := open(t, dir, Options{Segment: 4096})
	c := s.Collect(t.Context(), from)
	for end := time.Now().Add(20 * time.Second); len(all(t, s, Query{Limit: 1000})) < 300; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the lines do not come")
		}
	}
	c.Close()
	from.print(300, 400)
	_ = s.Close()
	s = open(t, dir, Options{Segment: 4096})
	c = s.Collect(t.Context(), from)
	defer c.Close()
	from.print(400, 500)
	c.Finish(t.Context(), from.in.ID)
	inOrder(t, all(t, s, Query{Limit: 100}), from.in.ID, 500)
}
