package scan

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"io"
	"net/textproto"
	"os"
	"path"
	"strings"
)

// file looks into one file, if it tells of packages. r is at its beginning.
func (w *walker) file(p string, h *tar.Header, r *bufio.Reader) error {
	base := path.Base(p)
	switch {
	case p == "etc/os-release" || p == "usr/lib/os-release":
		return w.text(h, r, func(b []byte) { w.osRelease(b) })
	case p == "var/lib/dpkg/status" || strings.HasPrefix(p, "var/lib/dpkg/status.d/") && !strings.HasSuffix(p, ".md5sums"):
		return w.text(h, r, func(b []byte) { w.dpkg = append(w.dpkg, dpkgStatus(p, b)...) })
	case p == "lib/apk/db/installed" || p == "usr/lib/apk/db/installed":
		return w.text(h, r, func(b []byte) { w.apk = append(w.apk, apkInstalled(p, b)...) })
	case base == "rpmdb.sqlite" || p == "var/lib/rpm/Packages" || base == "Packages.db":
		w.out.Unread = append(w.out.Unread, "rpm packages ("+p+")")
	case base == "package.json" && strings.Contains("/"+p, "/node_modules/"):
		return w.text(h, r, func(b []byte) { w.npm(p, b) })
	case base == "package-lock.json" && !strings.Contains("/"+p, "/node_modules/"):
		return w.text(h, r, func(b []byte) { w.npmLock(p, b) })
	case strings.HasSuffix(p, ".dist-info/METADATA") || strings.HasSuffix(p, ".egg-info/PKG-INFO") || strings.HasSuffix(p, ".egg-info"):
		return w.text(h, r, func(b []byte) { w.python(p, b) })
	case strings.HasSuffix(base, ".jar") || strings.HasSuffix(base, ".war") || strings.HasSuffix(base, ".ear"):
		return w.temp(p, h, r, func(f *os.File, n int64) { w.java(p, f, n, 0) })
	case h.Mode&0o111 != 0 && h.Size > 64<<10:
		if magic, _ := r.Peek(4); string(magic) == "\x7fELF" {
			return w.temp(p, h, r, func(f *os.File, _ int64) { w.goProgram(p, f) })
		}
	}
	return nil
}

// text reads a small file whole.
func (w *walker) text(h *tar.Header, r io.Reader, use func([]byte)) error {
	if h.Size > maxText {
		w.out.Unread = append(w.out.Unread, h.Name+" (too large)")
		return nil
	}
	b, err := io.ReadAll(r)
	if err == nil {
		use(b)
	}
	return err
}

// temp copies a file to disk, for readers that go to and fro.
func (w *walker) temp(p string, h *tar.Header, r io.Reader, use func(f *os.File, n int64)) error {
	if h.Size > maxBinary {
		w.out.Unread = append(w.out.Unread, p+" (too large)")
		return nil
	}
	f, err := os.CreateTemp(w.dir, "scan-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	defer func() { _ = f.Close() }()
	n, err := io.Copy(f, r)
	if err == nil {
		use(f, n)
	}
	return err
}

func (w *walker) osRelease(b []byte) {
	if w.osRel == nil {
		w.osRel = map[string]string{}
	}
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok && w.osRel[k] == "" {
			w.osRel[k] = strings.Trim(v, `"'`)
		}
	}
}

// paragraphs reads Debian's control format: fields by paragraph, continuation lines left out.
func paragraphs(b []byte, use func(map[string]string)) {
	fields := map[string]string{}
	end := func() {
		if len(fields) > 0 {
			use(fields)
		}
		fields = map[string]string{}
	}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			end()
		} else if k, v, ok := strings.Cut(line, ":"); ok && line[0] != ' ' && line[0] != '\t' {
			fields[k] = strings.TrimSpace(v)
		}
	}
	end()
}

func dpkgStatus(p string, b []byte) (out []Package) {
	paragraphs(b, func(f map[string]string) {
		if f["Package"] == "" || f["Version"] == "" || f["Status"] != "" && !strings.HasSuffix(f["Status"], " installed") {
			return
		}
		pk := Package{Name: f["Package"], Version: f["Version"], Source: f["Package"], SourceVersion: f["Version"], Where: p}
		if src := f["Source"]; src != "" {
			name, version, own := strings.Cut(src, " (")
			pk.Source = name
			if own {
				pk.SourceVersion = strings.TrimSuffix(version, ")")
			}
		}
		out = append(out, pk)
	})
	return out
}

func apkInstalled(p string, b []byte) (out []Package) {
	paragraphs(b, func(f map[string]string) {
		if f["P"] == "" || f["V"] == "" {
			return
		}
		pk := Package{Name: f["P"], Version: f["V"], Source: f["o"], SourceVersion: f["V"], Where: p}
		if pk.Source == "" {
			pk.Source = pk.Name
		}
		out = append(out, pk)
	})
	return out
}

func (w *walker) add(eco, name, version, where string) {
	if name != "" && version != "" {
		w.out.Packages = append(w.out.Packages, Package{Eco: eco, Name: name, Version: version, Where: where})
	}
}

// npm reads a package that stands in a node_modules folder itself, not a file deeper within one.
func (w *walker) npm(p string, b []byte) {
	dir := path.Dir(p)
	parent := path.Dir(dir)
	if strings.HasPrefix(path.Base(parent), "@") {
		parent = path.Dir(parent)
	}
	if path.Base(parent) != "node_modules" {
		return
	}
	var doc struct{ Name, Version string }
	if json.Unmarshal(b, &doc) == nil {
		w.add("npm", doc.Name, doc.Version, p)
	}
}

// npmLock reads a lock file (versions 1 to 3): what it names may be in a bundle without its own folder.
func (w *walker) npmLock(p string, b []byte) {
	type dep struct {
		Version      string         `json:"version"`
		Dev          bool           `json:"dev"`
		Dependencies map[string]dep `json:"dependencies"`
	}
	var doc struct {
		Packages     map[string]dep `json:"packages"`
		Dependencies map[string]dep `json:"dependencies"`
	}
	if json.Unmarshal(b, &doc) != nil {
		w.out.Unread = append(w.out.Unread, p)
		return
	}
	for name, d := range doc.Packages {
		if i := strings.LastIndex(name, "node_modules/"); i >= 0 && !d.Dev {
			w.add("npm", name[i+len("node_modules/"):], d.Version, p)
		}
	}
	if len(doc.Packages) > 0 {
		return
	}
	var walk func(map[string]dep)
	walk = func(all map[string]dep) {
		for name, d := range all {
			if !d.Dev {
				w.add("npm", name, d.Version, p)
			}
			walk(d.Dependencies)
		}
	}
	walk(doc.Dependencies)
}

func (w *walker) python(p string, b []byte) {
	h, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(append(b, "\n\n"...)))).ReadMIMEHeader()
	if len(h) == 0 && err != nil {
		w.out.Unread = append(w.out.Unread, p)
		return
	}
	w.add("PyPI", pypiName(h.Get("Name")), h.Get("Version"), p)
}

// pypiName is the normal form of PEP 503.
func pypiName(name string) string {
	var b strings.Builder
	dash := false
	for _, c := range strings.ToLower(name) {
		if c == '-' || c == '_' || c == '.' {
			dash = true
			continue
		}
		if dash && b.Len() > 0 {
			b.WriteByte('-')
		}
		dash = false
		b.WriteRune(c)
	}
	return b.String()
}

// java reads a jar, and the jars in it.
func (w *walker) java(p string, f io.ReaderAt, n int64, depth int) {
	z, err := zip.NewReader(f, n)
	if err != nil {
		w.out.Unread = append(w.out.Unread, p)
		return
	}
	for _, e := range z.File {
		inner := strings.HasSuffix(e.Name, ".jar")
		if !strings.HasSuffix(e.Name, "/pom.properties") && !inner {
			continue
		}
		if e.UncompressedSize64 > maxText || inner && depth >= 3 {
			w.out.Unread = append(w.out.Unread, p+"!"+e.Name)
			continue
		}
		r, err := e.Open()
		if err != nil {
			continue
		}
		b, err := io.ReadAll(io.LimitReader(r, maxText))
		_ = r.Close()
		if err != nil {
			continue
		}
		if inner {
			w.java(p+"!"+e.Name, bytes.NewReader(b), int64(len(b)), depth+1)
			continue
		}
		v := map[string]string{}
		for line := range strings.Lines(string(b)) {
			if k, val, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
				v[strings.TrimSpace(k)] = strings.TrimSpace(val)
			}
		}
		if v["groupId"] != "" {
			w.add("Maven", v["groupId"]+":"+v["artifactId"], v["version"], p+"!"+e.Name)
		}
	}
}

// goProgram reads what the Go linker wrote into a program.
func (w *walker) goProgram(p string, f io.ReaderAt) {
	info, err := buildinfo.Read(f)
	if err != nil {
		return // another language's program
	}
	if v, ok := strings.CutPrefix(info.GoVersion, "go"); ok {
		v, _, _ = strings.Cut(v, " ")
		w.add("Go", "stdlib", v, p)
	}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		w.add("Go", m.Path, strings.TrimPrefix(m.Version, "v"), p)
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		w.add("Go", info.Main.Path, strings.TrimPrefix(v, "v"), p)
	}
}
