package build

import (
	"archive/zip"
	"bytes"
	"debug/elf"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// packageFile is the name under which a package that is one file lies in the build's context.
const packageFile = "app"

// unpackAny puts an upload into dir: an archive unpacked, a package as one file. What it is is told by its content, never
// by its name; kind is "" for an archive of sources, else "elf", "jar" or "war".
func unpackAny(archive, dir string) (kind string, err error) {
	f, err := os.Open(archive)
	if err != nil {
		return "", fail.New(fail.NotFound, "the uploaded source is gone").Because(err).Then("upload it again")
	}
	defer func() { _ = f.Close() }()
	head := make([]byte, 4)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", reading(err)
	}
	if head = head[:n]; bytes.HasPrefix(head, []byte(elf.ELFMAG)) {
		kind, err = "elf", checkProgram(f)
	} else if bytes.HasPrefix(head, []byte("PK\x03\x04")) {
		kind, err = javaPackage(f)
	} else {
		err = foreign(head)
	}
	if err != nil {
		return "", err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", fail.Wrap(err, fail.Unavailable, "the source cannot be read")
	}
	if kind == "" {
		_, err = Unpack(f, dir, UnpackLimits{})
		return "", err
	}
	out, err := os.OpenFile(filepath.Join(dir, packageFile), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return "", wrong(err, packageFile)
	}
	_, err = io.Copy(out, f)
	if err := errors.Join(err, out.Close()); err != nil {
		return "", wrong(err, packageFile)
	}
	return kind, nil
}

// foreign explains files that look like programs and are none that could run here.
func foreign(head []byte) error {
	system := ""
	switch {
	case bytes.HasPrefix(head, []byte("MZ")):
		system = "Windows"
	case slices.ContainsFunc([]string{"\xcf\xfa\xed\xfe", "\xce\xfa\xed\xfe", "\xca\xfe\xba\xbe"}, func(m string) bool { return string(head) == m }):
		system = "macOS"
	case bytes.HasPrefix(head, []byte("#!")):
		return fail.New(fail.Invalid, "the upload is a script, which says nothing of what it needs").Then("deploy its folder, with a Procfile or a Dockerfile")
	}
	if system != "" {
		return fail.New(fail.Invalid, "the upload is a program for %s", system).Then("build it for linux/%s", runtime.GOARCH)
	}
	return nil
}

var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64, "riscv64": elf.EM_RISCV}

// checkProgram refuses programs that cannot run on this machine.
func checkProgram(r io.ReaderAt) error {
	f, err := elf.NewFile(r)
	if err != nil {
		return fail.New(fail.Invalid, "the program is damaged or was cut short").Then("upload it again").Because(err)
	}
	defer func() { _ = f.Close() }()
	if want := machines[runtime.GOARCH]; f.Machine != want {
		return fail.New(fail.Invalid, "the program is for %s, and this cloud runs %s", strings.TrimPrefix(f.Machine.String(), "EM_"), strings.TrimPrefix(want.String(), "EM_")).
			Then("build it for linux/%s", runtime.GOARCH)
	}
	interpreter := interpreterOf(f)
	switch {
	case f.Type == elf.ET_REL, f.Type == elf.ET_CORE, f.Type == elf.ET_DYN && interpreter == "" && !positionIndependent(f):
		return fail.New(fail.Invalid, "the upload is no program but a library or an object file").Then("upload the program that it belongs to")
	case strings.Contains(interpreter, "musl"):
		return fail.New(fail.Invalid, "the program needs the C library musl, which the base image lacks").Then("link it statically, or bring a Dockerfile")
	case interpreter != "":
		needs, _ := f.ImportedLibraries()
		known := regexp.MustCompile(`^(lib(c|m|dl|rt|pthread|resolv|util|gcc_s|stdc\+\+)|ld-linux.*)\.so\.\d+$`)
		if i := slices.IndexFunc(needs, func(l string) bool { return !known.MatchString(l) }); i >= 0 {
			return fail.New(fail.Invalid, "the program needs the library %s, which the base image lacks", needs[i]).Then("link it statically, or bring a Dockerfile that installs it")
		}
	}
	return nil
}

func interpreterOf(f *elf.File) string {
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP && p.Filesz < 4096 {
			b := make([]byte, p.Filesz)
			if _, err := p.ReadAt(b, 0); err == nil {
				return strings.TrimRight(string(b), "\x00")
			}
		}
	}
	return ""
}

// positionIndependent tells a static program that may lie anywhere from a library.
func positionIndependent(f *elf.File) bool {
	const flags1PIE = 0x08000000
	v, err := f.DynValue(elf.DT_FLAGS_1)
	return err == nil && len(v) > 0 && v[0]&flags1PIE != 0
}

// linked tells whether the program of a package needs a dynamic linker.
func linked(source fs.FS, name string) (bool, error) {
	b, err := fs.ReadFile(source, name)
	if err != nil {
		return false, fail.Wrap(err, fail.Internal, "reading the program")
	}
	f, err := elf.NewFile(bytes.NewReader(b))
	if err != nil {
		return false, fail.Wrap(err, fail.Invalid, "reading the program")
	}
	return interpreterOf(f) != "", nil
}

// javaPackage tells a jar and a war from a zip of sources.
func javaPackage(f *os.File) (string, error) {
	i, err := f.Stat()
	if err != nil {
		return "", reading(err)
	}
	z, err := zip.NewReader(f, i.Size())
	if err != nil {
		return "", reading(err)
	}
	var manifest *zip.File
	war, classes := false, false
	for _, e := range z.File {
		switch {
		case e.Name == "META-INF/MANIFEST.MF":
			manifest = e
		case strings.HasPrefix(e.Name, "WEB-INF/"):
			war = true
		case strings.HasSuffix(e.Name, ".class"), strings.HasPrefix(e.Name, "BOOT-INF/"):
			classes = true
		}
	}
	if manifest == nil && !war {
		return "", nil
	}
	main := ""
	if manifest != nil {
		r, err := manifest.Open()
		if err != nil {
			return "", reading(err)
		}
		text, err := io.ReadAll(io.LimitReader(r, 1<<20))
		_ = r.Close()
		if err != nil {
			return "", reading(err)
		}
		for l := range strings.Lines(string(text)) {
			if v, ok := strings.CutPrefix(strings.TrimRight(l, "\r\n"), "Main-Class:"); ok {
				main = strings.TrimSpace(v)
			}
		}
	}
	switch {
	case main != "":
		return "jar", nil // an executable war is run like one
	case war:
		return "war", nil
	case classes:
		return "", fail.New(fail.Invalid, "the jar has no Main-Class, so it is a library").Then("make an executable jar: set Main-Class in its manifest, and put what it needs into it")
	}
	return "", nil
}

var (
	javaPackageLine = regexp.MustCompile(`(?m)^\s*package\s+([\w.]+)\s*;`)
	javaMainMethod  = regexp.MustCompile(`public\s+static\s+void\s+main\s*\(`)
)

// javaMain finds the class of a folder of Java sources that has a main method.
func javaMain(source fs.FS) (string, error) {
	var found []string
	err := fs.WalkDir(source, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(p, ".java") || strings.Contains(p, "src/test/") {
			return err
		}
		text, err := readSome(source, p)
		if err != nil || !javaMainMethod.MatchString(text) {
			return nil
		}
		class := strings.TrimSuffix(filepath.Base(p), ".java")
		if m := javaPackageLine.FindStringSubmatch(text); m != nil {
			class = m[1] + "." + class
		}
		found = append(found, class)
		return nil
	})
	if err != nil {
		return "", fail.Wrap(err, fail.Invalid, "reading the source")
	}
	if i := slices.IndexFunc(found, func(c string) bool { return c == "Main" || strings.HasSuffix(c, ".Main") }); len(found) > 1 && i >= 0 {
		return found[i], nil
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", fail.New(fail.Invalid, "found Java sources but no class with a main method").Then("add public static void main(String[] args) to one of them")
	}
	return "", fail.New(fail.Invalid, "several classes have a main method: %s", strings.Join(found, ", ")).Then("name the one to run Main, or bring a Dockerfile")
}
