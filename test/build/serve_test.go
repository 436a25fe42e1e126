package build_test

import (
	"archive/tar"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/awancloud/awan/internal/service/build"
)

// serve unpacks a built image, starts its command in it as its user, and returns what GET path answers.
func (c *cloud) serve(t *testing.T, r build.Result, path string) string {
	t.Helper()
	ref, err := name.ParseReference(c.registry.Host() + "/" + r.Image)
	if err != nil {
		t.Fatal(err)
	}
	image, err := remote.Image(ref, remote.WithTransport(c.registry.Transport("")))
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for p := root; p != "/tmp" && p != "/"; p = filepath.Dir(p) { // the image's user must be able to pass
		_ = os.Chmod(p, 0o755)
	}
	extract(t, mutate.Extract(image), root)
	// What every container has, and some programs cannot do without.
	_, _ = os.Mkdir(root+"/proc", 0o755), os.MkdirAll(root+"/dev", 0o755)
	if err := syscall.Mount("proc", root+"/proc", "proc", 0, ""); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Unmount(root+"/proc", syscall.MNT_DETACH) }()
	for name, minor := range map[string]int{"null": 3, "zero": 5, "urandom": 9} {
		_ = syscall.Mknod(root+"/dev/"+name, syscall.S_IFCHR|0o666, 1<<8|minor)
		_ = os.Chmod(root+"/dev/"+name, 0o666)
	}
	_, _ = os.Symlink("/proc/self/fd/1", root+"/dev/stdout"), os.Symlink("/proc/self/fd/2", root+"/dev/stderr")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(address)
	argv := append(config.Config.Entrypoint, config.Config.Cmd...)
	command := &exec.Cmd{Path: argv[0], Args: argv, Dir: "/" + strings.TrimPrefix(config.Config.WorkingDir, "/"), Env: append(config.Config.Env, "PORT="+port),
		SysProcAttr: &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 10001, Gid: 10001}, Setpgid: true, Pdeathsig: syscall.SIGKILL}}
	if !strings.Contains(argv[0], "/") {
		command.Path = lookup(root, argv[0], config.Config.Env)
	}
	output := &strings.Builder{}
	command.Stdout, command.Stderr = output, output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
		_ = command.Wait()
	}()
	deadline := time.Now().Add(time.Minute)
	for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
		a, err := http.Get("http://" + address + path)
		if err == nil {
			defer a.Body.Close()
			body, _ := io.ReadAll(a.Body)
			if a.StatusCode != http.StatusOK {
				t.Fatalf("%s: %s", a.Status, body)
			}
			return string(body)
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v\n%s", err, output)
		}
	}
}

// lookup finds a program on the image's PATH.
func lookup(root, program string, env []string) string {
	for _, e := range env {
		if list, ok := strings.CutPrefix(e, "PATH="); ok {
			for _, d := range filepath.SplitList(list) {
				if _, err := os.Lstat(filepath.Join(root, d, program)); err == nil {
					return filepath.Join(d, program)
				}
			}
		}
	}
	return program
}

func extract(t *testing.T, r io.ReadCloser, root string) {
	t.Helper()
	defer r.Close()
	in := tar.NewReader(r)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		p := filepath.Join(root, h.Name)
		switch h.Typeflag {
		case tar.TypeDir:
			err = os.MkdirAll(p, 0o755)
		case tar.TypeSymlink:
			err = os.Symlink(h.Linkname, p)
		case tar.TypeLink:
			err = os.Link(filepath.Join(root, h.Linkname), p)
		case tar.TypeReg:
			_ = os.MkdirAll(filepath.Dir(p), 0o755)
			var f *os.File
			if f, err = os.OpenFile(p, os.O_CREATE|os.O_WRONLY, fs.FileMode(h.Mode).Perm()); err == nil {
				_, err = io.Copy(f, in)
				err = errors.Join(err, f.Close())
			}
		default:
			continue
		}
		if err == nil && h.Typeflag != tar.TypeSymlink && h.Typeflag != tar.TypeLink {
			mode := fs.FileMode(h.Mode).Perm()
			if h.Mode&0o1000 != 0 {
				mode |= fs.ModeSticky
			}
			err = errors.Join(os.Chmod(p, mode), os.Lchown(p, h.Uid, h.Gid))
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			t.Fatal(err)
		}
	}
}

// TestExamples builds every example and asks the result for its page. Packages come over the network.
func TestExamples(t *testing.T) {
	c := open(t, newTestNet(t))
	for _, e := range []struct {
		name, path, says string
		long             bool // making what it stands on takes a minute or more
	}{
		{"guestbook", "/", "Guest book", false},
		{"static", "/", "Nothing but a file", false},
		{"python", "/", "Python 3", true},
		{"node", "/?name=<b>", "Hello, &lt;b&gt;", true},
		{"java", "/a<b>", "You asked for /a&lt;b>", true},
		{"php", "/some/where?name=<b>", "Hello, &lt;b&gt;", true},
	} {
		t.Run(e.name, func(t *testing.T) {
			if e.long && os.Getenv("AWAN_LONG") == "" {
				t.Skip("making its base image takes a minute: AWAN_LONG=1 runs it")
			}
			r := c.build(t, copyDir(t, "../../examples/"+e.name), "p1/"+e.name, true)
			if body := c.serve(t, r, e.path); !strings.Contains(body, e.says) {
				t.Errorf("no %q in %s", e.says, body)
			}
		})
	}
}

// TestPackages installs a package of each kind in RUN steps, and reaches nothing that is not public.
func TestPackages(t *testing.T) {
	if os.Getenv("AWAN_LONG") == "" {
		t.Skip("it fetches a compiler's module and Debian's lists, which takes a minute or more: AWAN_LONG=1 runs it")
	}
	c := open(t, newTestNet(t))
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	dir := t.TempDir()
	for file, text := range map[string]string{
		"go.mod":  "module x\n\ngo 1.22\n\nrequire rsc.io/quote v1.5.2\n",
		"main.go": "package main\n\nimport (\n\t\"fmt\"\n\n\t\"rsc.io/quote\"\n)\n\nfunc main() { fmt.Println(quote.Go()) }\n",
		"Dockerfile": `FROM golang:1.22 AS go
WORKDIR /src
COPY go.mod main.go ./
RUN --mount=type=cache,target=/go/pkg/mod go mod tidy && go run .
FROM debian:12-slim
COPY --from=go /src/go.sum /
RUN apt-get update -q && apt-get install -y -q --no-install-recommends hello && hello
RUN ip=$(sed -n 's/^nameserver //p' /etc/resolv.conf | head -1); for a in 127.0.0.1 10.213.1.1 10.213.2.1 10.213.3.1; do if timeout 2 bash -c "echo > /dev/tcp/$a/` + port + `" 2>/dev/null; then echo reached $a; exit 9; fi; done
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.build(t, dir, "p1/packages", true)
}
