package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/awancloud/awan/internal/engine/workload/containerd/shim"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/workload"
)

func TestUserOfTheImage(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	_ = os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("root:x:0:0::/:/bin/sh\nweb:x:33:44::/:/bin/sh\n"), 0o644)
	_ = os.WriteFile(filepath.Join(root, "etc/group"), []byte("staff:x:50:web\n"), 0o644)
	for name, want := range map[string][2]uint32{"": {0, 0}, "web": {33, 44}, "33": {33, 44}, "1000": {1000, 0}, "web:staff": {33, 50}, "7:8": {7, 8}} {
		u, err := user(root, name)
		if err != nil || u.UID != want[0] || u.GID != want[1] {
			t.Errorf("%q is %d:%d, %v", name, u.UID, u.GID, err)
		}
	}
	for _, name := range []string{"nobody", "web:nogroup"} {
		if _, err := user(root, name); err == nil {
			t.Errorf("%q is accepted", name)
		}
	}
	// A link out of the image leads nowhere.
	_ = os.Remove(filepath.Join(root, "etc/passwd"))
	_ = os.Symlink("/etc/passwd", filepath.Join(root, "etc/passwd"))
	if _, err := user(root, "root"); err == nil {
		t.Error("the host's users count")
	}
}

func TestEnvironmentOrder(t *testing.T) {
	img := &image{config: ocispec.ImageConfig{Env: []string{"A=image", "B=image", "C=image"}, Entrypoint: []string{"/bin/e"}, Cmd: []string{"c"}}}
	w := workload.Want{Env: map[string]string{"B": "want", "C": "want"}, Secrets: map[string]string{"C": "secret"}}
	got := strings.Join(environment(w, img, "h", nil), " ")
	for _, want := range []string{"A=image", "B=want", "C=secret", "HOSTNAME=h", "PATH="} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	if got := strings.Join(arguments(w, img), " "); got != "/bin/e c" {
		t.Errorf("arguments are %s", got)
	}
}

func TestReasons(t *testing.T) {
	at := time.Date(2026, 1, 2, 12, 3, 7, 0, time.UTC)
	rec := &record{Want: workload.Want{MemoryMiB: 256}}
	for _, c := range []struct {
		x    workload.Exit
		want string
	}{
		{workload.Exit{Code: 137, OOMKilled: true}, "killed: memory limit 256 MiB reached at 12:03:07"},
		{workload.Exit{Code: 139}, "killed by SIGSEGV at 12:03:07"},
		{workload.Exit{Code: 0}, "finished at 12:03:07"},
		{workload.Exit{Code: 255}, "ended with exit code 255 at 12:03:07"},
	} {
		c.x.At = at
		if got := reason(c.x, rec); got != c.want {
			t.Errorf("%d: %q, want %q", c.x.Code, got, c.want)
		}
	}
}

func TestEnderTellsTheEndAfterTheLastBytes(t *testing.T) {
	ended := false
	r := &ender{r: &lastWithEOF{}, end: func() { ended = true }}
	b := make([]byte, 8)
	n, err := r.Read(b)
	if n != 4 || err != nil || ended {
		t.Fatalf("%d, %v, ended %v", n, err, ended)
	}
	if n, err = r.Read(b); n != 0 || !errors.Is(err, io.EOF) || !ended {
		t.Fatalf("%d, %v, ended %v", n, err, ended)
	}
}

// lastWithEOF gives its bytes and the end at once, as readers may.
type lastWithEOF struct{}

func (*lastWithEOF) Read(p []byte) (int, error) { return copy(p, "last"), io.EOF }

func TestCopyKeepsHoles(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	f, err := os.Create(from)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Truncate(64 << 20)
	_, _ = f.WriteAt([]byte("middle"), 32<<20)
	f.Close()
	if err := copyFile(from, to, 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(to)
	if err != nil || len(b) != 64<<20 || string(b[32<<20:32<<20+6]) != "middle" {
		t.Fatal(len(b), err)
	}
}

// Whatever is left out of a rotated log, the answer is that of reading all of it.
func TestLogsOverSeveralFiles(t *testing.T) {
	dir := t.TempDir()
	e := &Engine{paths: paths{dir: dir}, instances: map[id.ID]*instance{}}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	defer e.cancel()
	i := id.New()
	e.instances[i] = &instance{id: i, rec: &record{}}
	logs := e.paths.logs(i)
	if err := os.MkdirAll(logs, 0o700); err != nil {
		t.Fatal(err)
	}
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	n := 0
	for seq := 3; seq <= 6; seq++ {
		var b strings.Builder
		for range 10 {
			fmt.Fprintf(&b, "%s stdout line %d\n", begin.Add(time.Duration(n)*time.Second).Format(time.RFC3339Nano), n)
			n++
		}
		path := shim.LogFile(logs, seq)
		if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		_ = os.Chtimes(path, time.Time{}, begin.Add(time.Duration(n-1)*time.Second))
	}
	for _, c := range []struct {
		q           workload.LogQuery
		first, last string
		n           int
	}{
		{workload.LogQuery{}, "line 0", "line 39", 40},
		{workload.LogQuery{Tail: 5}, "line 35", "line 39", 5},
		{workload.LogQuery{Tail: 25}, "line 15", "line 39", 25},
		{workload.LogQuery{Tail: 100}, "line 0", "line 39", 40},
		{workload.LogQuery{Tail: 2, Match: "line 1"}, "line 18", "line 19", 2},
		{workload.LogQuery{Since: begin.Add(29 * time.Second)}, "line 29", "line 39", 11},
		{workload.LogQuery{Since: begin.Add(15 * time.Second), Tail: 30}, "line 15", "line 39", 25},
	} {
		var got []string
		for l, err := range e.Logs(t.Context(), i, c.q) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, l.Text)
		}
		if len(got) != c.n || got[0] != c.first || got[len(got)-1] != c.last {
			t.Errorf("%+v gives %d lines: %q", c.q, len(got), got)
		}
	}
}
