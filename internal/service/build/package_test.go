package build

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"debug/elf"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/awancloud/awan/catalog"
	"github.com/awancloud/awan/internal/kernel/fail"
)

func zipped(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, text := range files {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = f.Write([]byte(text))
	}
	_ = w.Close()
	return b.Bytes()
}

func tarred(files map[string]string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, text := range files {
		_ = w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))})
		_, _ = w.Write([]byte(text))
	}
	_ = w.Close()
	return b.Bytes()
}

func packed(t *testing.T, b []byte, how string) []byte {
	t.Helper()
	var out bytes.Buffer
	switch how {
	case "gz":
		z := gzip.NewWriter(&out)
		_, _ = z.Write(b)
		_ = z.Close()
	case "zst":
		z, _ := zstd.NewWriter(&out)
		_, _ = z.Write(b)
		_ = z.Close()
	case "xz":
		c := exec.Command("xz", "-c")
		c.Stdin, c.Stdout = bytes.NewReader(b), &out
		if err := c.Run(); err != nil {
			t.Skip("xz is not installed")
		}
	}
	return out.Bytes()
}

// program is this test's own program, for a machine and of a type of ELF file.
func program(t *testing.T, machine elf.Machine, kind elf.Type) []byte {
	t.Helper()
	b, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	binary.LittleEndian.PutUint16(b[16:], uint16(kind))
	binary.LittleEndian.PutUint16(b[18:], uint16(machine))
	return b
}

// TestPackagesAreKnownByTheirContent: whatever a file is called, what it is decides; what cannot run is refused with the
// reason.
func TestPackagesAreKnownByTheirContent(t *testing.T) {
	site := map[string]string{"index.html": "<h1>hi</h1>"}
	manifest := "Manifest-Version: 1.0\r\nMain-Class: a.Main\r\n"
	bomb := map[string]string{"index.html": strings.Repeat("0", 64<<20)}
	here, other := elf.EM_X86_64, elf.EM_AARCH64
	if runtime.GOARCH == "arm64" {
		here, other = other, here
	}
	self := program(t, here, elf.ET_EXEC)
	for _, c := range []struct {
		name string
		file []byte
		kind string
		says string // of the error
	}{
		{"zip", zipped(t, site), "", ""},
		{"tar", tarred(site), "", ""},
		{"tar.gz", packed(t, tarred(site), "gz"), "", ""},
		{"tar.zst", packed(t, tarred(site), "zst"), "", ""},
		{"tar.xz", packed(t, tarred(site), "xz"), "", ""},
		{"jar", zipped(t, map[string]string{"META-INF/MANIFEST.MF": manifest, "a/Main.class": "x"}), "jar", ""},
		{"war", zipped(t, map[string]string{"WEB-INF/web.xml": "<web-app/>"}), "war", ""},
		{"executable war", zipped(t, map[string]string{"META-INF/MANIFEST.MF": manifest, "WEB-INF/web.xml": ""}), "jar", ""},
		{"library", zipped(t, map[string]string{"META-INF/MANIFEST.MF": "Manifest-Version: 1.0\n", "a/B.class": "x"}), "", "no Main-Class"},
		{"program", self, "elf", ""},
		{"object file", program(t, here, elf.ET_REL), "", "no program but a library"},
		{"another machine's", program(t, other, elf.ET_EXEC), "", "build it for linux/" + runtime.GOARCH},
		{"half a program", self[:1000], "", "damaged"},
		{"Windows", []byte("MZ\x90\x00 and so on"), "", "for Windows"},
		{"macOS", []byte("\xcf\xfa\xed\xfe and so on"), "", "for macOS"},
		{"script", []byte("#!/bin/sh\necho hi\n"), "", "a script"},
		{"text", []byte("hello, world"), "", "no tar"},
		{"zip bomb", zipped(t, bomb), "", "times its size"},
		{"zst bomb", packed(t, tarred(bomb), "zst"), "", "times its size"},
		{"xz bomb", packed(t, tarred(bomb), "xz"), "", "times its size"},
		{"a way out", zipped(t, map[string]string{"../x": ""}), "", "leads outside"},
		{"half an xz", packed(t, tarred(site), "xz")[:40], "", "damaged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(t.TempDir(), "upload")
			_ = os.WriteFile(file, c.file, 0o600)
			kind, err := unpackAny(file, dir)
			switch {
			case c.says != "":
				if err == nil || !strings.Contains(fail.From(err).Public(), c.says) {
					t.Errorf("%v", err)
				}
			case err != nil || kind != c.kind:
				t.Errorf("%q %v", kind, err)
			case kind == "":
				if b, _ := os.ReadFile(dir + "/index.html"); string(b) != site["index.html"] {
					t.Errorf("%q", b)
				}
			default:
				if i, err := os.Stat(dir + "/app"); err != nil || i.Size() != int64(len(c.file)) {
					t.Errorf("%v", err)
				}
			}
		})
	}
}

// TestVersions: the newest version that a source allows, told when it ends, refused when it has ended.
func TestVersions(t *testing.T) {
	stacks, err := ReadStacks(catalog.Files())
	if err != nil {
		t.Fatal(err)
	}
	day := func(s string) time.Time { d, _ := time.Parse(time.DateOnly, s); return d }
	base := func(name string) Runtime { return Runtime{Base: "library/" + name, Name: name, Stack: "node"} }
	a, b, hidden, custom := base("node-24"), base("node-22"), base("node-26"), base("ours")
	a.Version, a.Release, a.End = "24", "24.21.0", day("2028-04-30")
	b.Version, b.Release, b.End = "22", "22.23.3", day("2027-04-30")
	hidden.Version, hidden.Hidden = "26", true
	custom.Version, custom.Base, custom.Hidden = "24", "p1/node:1", true
	all := []Runtime{b, hidden, a, custom, {Name: "python-3-11", Stack: "python", Version: "3.11", Base: "library/python"},
		{Name: "java-17", Stack: "java", Version: "17", Base: "library/java"}, {Name: "php-8-2", Stack: "php", Version: "8.2", Base: "library/php"}}
	node := func(engines string) map[string]string {
		return map[string]string{"server.js": "", "package.json": `{"engines":{"node":"` + engines + `"}}`}
	}
	with := func(f map[string]string, name, text string) map[string]string { f[name] = text; return f }
	for _, c := range []struct {
		name, stack, now string
		files            map[string]string
		want             string // of the plan, its explanation or the error
	}{
		{"nothing said", "", "2026-11-25", node(""), "node-24|using node 24"},
		{"a constraint", "", "2026-06-01", node(">=18 <23"), "node-22|as package.json (engines.node) asks for >=18 <23"},
		{"a caret", "", "2026-06-01", node("^22.3"), "node-22"},
		{".nvmrc goes first", "", "2026-06-01", with(node(">=24"), ".nvmrc", "v22.1.0\n"), "node-22|.nvmrc"},
		{"lts means the newest", "", "2026-06-01", with(node(""), ".nvmrc", "lts/*\n"), "node-24"},
		{"soon over", "", "2026-11-25", node("22.x"), "warning: its end of life is 2027-04-30"},
		{"over", "", "2027-05-01", node("22.x"), "!reached its end of life on 2027-04-30"},
		{"one that lives goes first", "", "2027-05-01", node(">=20"), "node-24"},
		{"no such version", "", "2026-11-25", node("^18"), "!asks for version ^18 of node; there is 24, 22"},
		{"not a version", "", "2026-11-25", node("soon"), "!cannot be understood"},
		{"by name", "node-22", "2026-06-01", node(""), "node-22"},
		{"unpublished, by name", "node-26", "2026-06-01", node(""), "node-26"},
		{"a project's own", "ours", "2026-06-01", node(""), "FROM registry.test/p1/node:1"},
		{"unknown", "node-99", "2026-06-01", node(""), "!there is no stack"},
		{"the wrong stack", "python", "2026-06-01", node(""), "!found no requirements.txt"},
		{"Python", "", "2026-06-01", map[string]string{"app.py": "", ".python-version": "3.11.4"}, "python-3-11"},
		{"a newer Python", "", "2026-06-01", map[string]string{"app.py": "", "runtime.txt": "python-3.12.1"}, "!asks for version ~3.12"},
		{"pyproject", "", "2026-06-01", map[string]string{"app.py": "", "pyproject.toml": "[project]\nrequires-python = \">=3.9,<4\"\n"}, "python-3-11"},
		{"Java", "", "2026-06-01", map[string]string{"Main.java": "public class Main { public static void main(String[] a) {} }"}, "--main-class Main"},
		{"Java in a package", "", "2026-06-01", map[string]string{"src/a/B.java": "package a;\npublic class B { public static void main(String... a) {} }", "src/C.java": ""}, "--main-class a.B"},
		{"Maven for 21", "", "2026-06-01", map[string]string{"pom.xml": "<project><properties><java.version>21</java.version></properties></project>"}, "!pom.xml asks for version >=21"},
		{"Maven for 8", "", "2026-06-01", map[string]string{"pom.xml": "<project><properties><maven.compiler.source>1.8</maven.compiler.source></properties></project>"}, "exec mvn -B -ntp"},
		{"Maven by a mirror", "", "2026-06-01", map[string]string{"pom.xml": "<project/>"}, `<mirrorOf>external:*</mirrorOf><url>$MAVEN_MIRROR_URL</url>`},
		{"PHP", "", "2026-06-01", map[string]string{"public/index.php": "", "composer.json": `{"require":{"php":"^8.1"}}`}, "AWAN_WEB=/srv/app/public"},
		{"an older PHP", "", "2026-06-01", map[string]string{"index.php": "", "composer.json": `{"require":{"php":"^7.4 || ~8.0.0"}}`}, "!of php; there is 8.2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			plan, err := stacks.detect(sourceOf(c.files), Choice{Registry: "registry.test", Stack: c.stack, Runtimes: all, Now: day(c.now)})
			text := plan.Runtime + "|" + plan.Explain + "\n" + plan.Dockerfile
			want, refused := strings.CutPrefix(c.want, "!")
			if refused != (err != nil) {
				t.Fatalf("%v", err)
			}
			if err != nil {
				text = fail.From(err).Public()
			}
			for _, w := range strings.Split(want, "|") {
				if !strings.Contains(text, w) {
					t.Errorf("no %q in\n%s", w, text)
				}
			}
		})
	}
}
