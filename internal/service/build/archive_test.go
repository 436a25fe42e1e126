package build

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/awancloud/awan/internal/kernel/fail"
)

type entry struct {
	name string
	kind byte
	body string // or a link's target
}

func tarOf(entries ...entry) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Mode: 0o4755}
		if e.kind == tar.TypeReg {
			h.Size = int64(len(e.body))
		} else {
			h.Linkname = e.body
		}
		_ = w.WriteHeader(h)
		if e.kind == tar.TypeReg {
			_, _ = w.Write([]byte(e.body))
		}
	}
	w.Close()
	return b.Bytes()
}

func gz(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b)
	w.Close()
	return out.Bytes()
}

func zipOf(entries ...entry) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		h.SetMode(0o644)
		if e.kind == tar.TypeSymlink {
			h.SetMode(fs.ModeSymlink | 0o777)
		}
		if e.kind == tar.TypeChar {
			h.SetMode(fs.ModeDevice | 0o666)
		}
		f, _ := w.CreateHeader(h)
		_, _ = f.Write([]byte(e.body))
	}
	w.Close()
	return b.Bytes()
}

func TestUnpack(t *testing.T) {
	good := []entry{{"a/b.txt", tar.TypeReg, "b"}, {"c", tar.TypeSymlink, "a/b.txt"}}
	for name, archive := range map[string][]byte{"tar": tarOf(good...), "tar.gz": gz(tarOf(good...)), "zip": zipOf(good...)} {
		dir := t.TempDir()
		u, err := Unpack(bytes.NewReader(archive), dir, UnpackLimits{})
		if err != nil || u.Files != 2 || u.Bytes != 1 {
			t.Errorf("%s: %+v %v", name, u, err)
		}
		if text, err := os.ReadFile(filepath.Join(dir, "c")); err != nil || string(text) != "b" {
			t.Errorf("%s: %q %v", name, text, err)
		}
		if i, err := os.Stat(filepath.Join(dir, "a/b.txt")); err != nil || i.Mode()&(fs.ModeSetuid|0o022) != 0 {
			t.Errorf("%s: mode %v %v", name, i.Mode(), err)
		}
	}
}

// TestUnpackEvil: each of these is refused, and nothing appears outside the folder.
func TestUnpackEvil(t *testing.T) {
	zeros := strings.Repeat("\x00", 32<<20)
	for _, c := range []struct {
		name    string
		archive []byte
		limits  UnpackLimits
		kind    fail.Kind
	}{
		{"up", tarOf(entry{"../evil", tar.TypeReg, "x"}), UnpackLimits{}, fail.Invalid},
		{"up inside", tarOf(entry{"a/../../evil", tar.TypeReg, "x"}), UnpackLimits{}, fail.Invalid},
		{"absolute", tarOf(entry{"/tmp/evil", tar.TypeReg, "x"}), UnpackLimits{}, fail.Invalid},
		{"backslash", zipOf(entry{`..\evil`, tar.TypeReg, "x"}), UnpackLimits{}, fail.Invalid},
		{"zip slip", zipOf(entry{"../evil", tar.TypeReg, "x"}), UnpackLimits{}, fail.Invalid},
		{"link out", tarOf(entry{"l", tar.TypeSymlink, "../evil"}), UnpackLimits{}, fail.Invalid},
		{"link absolute", tarOf(entry{"l", tar.TypeSymlink, "/etc/passwd"}), UnpackLimits{}, fail.Invalid},
		{"link out of a zip", zipOf(entry{"l", tar.TypeSymlink, "../../etc"}), UnpackLimits{}, fail.Invalid},
		{"links that lead out together", tarOf(entry{"a/x", tar.TypeReg, ""}, entry{"d/e/f", tar.TypeSymlink, "../../a"},
			entry{"out", tar.TypeSymlink, "d/e/f/../.."}), UnpackLimits{}, fail.Invalid},
		{"through a link", tarOf(entry{"d/e/f", tar.TypeSymlink, "../../a"}, entry{"out", tar.TypeSymlink, "d/e/f/../.."},
			entry{"a/x", tar.TypeReg, ""}, entry{"out/evil", tar.TypeReg, "x"}), UnpackLimits{}, fail.Invalid},
		{"hard link out", tarOf(entry{"h", tar.TypeLink, "/etc/passwd"}), UnpackLimits{}, fail.Invalid},
		{"hard link to a link", tarOf(entry{"l", tar.TypeSymlink, "x"}, entry{"h", tar.TypeLink, "l"}), UnpackLimits{}, fail.Invalid},
		{"device", tarOf(entry{"d", tar.TypeChar, ""}), UnpackLimits{}, fail.Invalid},
		{"device in a zip", zipOf(entry{"d", tar.TypeChar, ""}), UnpackLimits{}, fail.Invalid},
		{"fifo", tarOf(entry{"f", tar.TypeFifo, ""}), UnpackLimits{}, fail.Invalid},
		{"twice", tarOf(entry{"a", tar.TypeReg, "1"}, entry{"a", tar.TypeReg, "2"}), UnpackLimits{}, fail.Invalid},
		{"bomb", gz(tarOf(entry{"z", tar.TypeReg, zeros})), UnpackLimits{}, fail.TooLarge},
		{"zip bomb", zipOf(entry{"z", tar.TypeReg, zeros}), UnpackLimits{}, fail.TooLarge},
		{"too large", tarOf(entry{"z", tar.TypeReg, "12345"}), UnpackLimits{Bytes: 4}, fail.TooLarge},
		{"too many", tarOf(entry{"a", tar.TypeReg, ""}, entry{"b", tar.TypeReg, ""}), UnpackLimits{Files: 1}, fail.TooLarge},
		{"archive too large", tarOf(entry{"a", tar.TypeReg, zeros[:9000]}), UnpackLimits{Archive: 100}, fail.TooLarge},
		{"cut short", gz(tarOf(entry{"a", tar.TypeReg, zeros[:9000]}))[:40], UnpackLimits{}, fail.Invalid},
		{"nothing", nil, UnpackLimits{}, fail.Invalid},
		{"something else", []byte("hello"), UnpackLimits{}, fail.Invalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			outer := t.TempDir()
			dir := filepath.Join(outer, "in", "side")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			_, err := Unpack(bytes.NewReader(c.archive), dir, c.limits)
			if !fail.Is(err, c.kind) {
				t.Errorf("%v, want %s", err, c.kind)
			}
			if found := outside(outer, dir); len(found) > 0 {
				t.Errorf("outside: %v", found)
			}
		})
	}
}

// outside lists files that are in outer and not in dir.
func outside(outer, dir string) []string {
	var found []string
	_ = filepath.WalkDir(outer, func(p string, d fs.DirEntry, err error) error {
		if p == dir {
			return fs.SkipDir
		}
		if !d.IsDir() {
			found = append(found, p)
		}
		return nil
	})
	return found
}

// FuzzUnpack: whatever the bytes, nothing is written outside and no link leads out.
func FuzzUnpack(f *testing.F) {
	f.Add(tarOf(entry{"../evil", tar.TypeReg, "x"}, entry{"l", tar.TypeSymlink, ".."}))
	f.Add(gz(tarOf(entry{"a/b", tar.TypeReg, "x"}, entry{"l", tar.TypeSymlink, "a/../a"}, entry{"l/c", tar.TypeReg, "y"})))
	f.Add(zipOf(entry{"a", tar.TypeReg, "x"}, entry{"l", tar.TypeSymlink, "a"}))
	f.Add(tarOf(entry{"d/e/f", tar.TypeSymlink, "../../a"}, entry{"out", tar.TypeSymlink, "d/e/f/../.."}, entry{"out/evil", tar.TypeReg, "x"}))
	f.Fuzz(func(t *testing.T, archive []byte) {
		outer := t.TempDir()
		dir := filepath.Join(outer, "in", "side")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		_, err := Unpack(bytes.NewReader(archive), dir, UnpackLimits{Bytes: 1 << 20, Files: 100, Archive: 1 << 20})
		if found := outside(outer, dir); len(found) > 0 {
			t.Fatalf("outside: %v", found)
		}
		if err != nil {
			return
		}
		_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
			if real, err := filepath.EvalSymlinks(p); err == nil && !strings.HasPrefix(real+"/", dir+"/") {
				t.Fatalf("%s leads to %s", p, real)
			}
			if d.Type()&^(fs.ModeDir|fs.ModeSymlink) != 0 {
				t.Fatalf("%s is a %s", p, d.Type())
			}
			return nil
		})
	})
}

func TestPack(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"main.go": "package main", "run.sh": "#!", ".git/config": "", "web/node_modules/x/y.js": "", "secret.pem": "",
		"docs/a.md": "", "docs/keep.md": "", ".dockerignore": "*.pem\ndocs\n!docs/keep.md\nDockerfile\n", "Dockerfile": "FROM x", ".env": "PASSWORD=1"} {
		full := filepath.Join(dir, name)
		_ = os.MkdirAll(filepath.Dir(full), 0o755)
		if err := os.WriteFile(full, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_ = os.Chmod(filepath.Join(dir, "run.sh"), 0o700)
	_ = os.Symlink("main.go", filepath.Join(dir, "link"))
	var first, second bytes.Buffer
	p, err := Pack(dir, &first)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Pack(dir, &second); err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Errorf("not the same twice: %v", err)
	}
	if p.Archive != int64(first.Len()) {
		t.Errorf("%+v, %d bytes", p, first.Len())
	}
	out := t.TempDir()
	if _, err := Unpack(&first, out, UnpackLimits{}); err != nil {
		t.Fatal(err)
	}
	var names []string
	_ = fs.WalkDir(os.DirFS(out), ".", func(p string, d fs.DirEntry, err error) error {
		if !d.IsDir() {
			names = append(names, p)
		}
		return err
	})
	if want := []string{".dockerignore", "Dockerfile", "docs/keep.md", "link", "main.go", "run.sh"}; !slices.Equal(names, want) {
		t.Errorf("%v, want %v", names, want)
	}
	if i, err := os.Stat(filepath.Join(out, "run.sh")); err != nil || i.Mode()&0o100 == 0 {
		t.Errorf("%v %v", i, err)
	}
	_ = os.Symlink("/etc/passwd", filepath.Join(dir, "out"))
	if _, err := Pack(dir, io.Discard); !fail.Is(err, fail.Invalid) {
		t.Errorf("a link that leads out: %v", err)
	}
}
