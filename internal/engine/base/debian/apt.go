package debian

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// bootstrap makes a minimal Debian in dir.
func bootstrap(ctx context.Context, r recipe, dir string, log func(string)) error {
	if _, err := exec.LookPath("mmdebstrap"); err != nil {
		return fail.New(fail.Unsupported, "base images are made with mmdebstrap, which is not installed").
			Then("install the Debian package mmdebstrap, or configure an upstream registry for base images").Because(err)
	}
	suite, err := codename()
	if err != nil {
		return err
	}
	text := sources(suite)
	if text == "" {
		return fail.New(fail.Unsupported, "this machine has no package source for Debian %s", suite).
			Then("add one under /etc/apt, or configure an upstream registry for base images")
	}
	list := dir + ".sources"
	if err := os.WriteFile(list, []byte(text), 0o644); err != nil {
		return fail.Wrap(err, fail.NoSpace, "making the base image %s", r.Name)
	}
	args := []string{"--mode=root", "--format=directory", "--variant=" + r.Variant}
	for _, p := range []string{"path-exclude=/usr/share/doc/*", "path-include=/usr/share/doc/*/copyright",
		"path-exclude=/usr/share/man/*", "path-exclude=/usr/share/locale/*", "path-exclude=/usr/share/info/*",
		"force-unsafe-io"} { // a base that a crash cuts short is made again: no fsync for each file
		args = append(args, "--dpkgopt="+p)
	}
	for _, o := range aptOptions(ctx) {
		args = append(args, "--aptopt="+o)
	}
	if len(r.Packages) > 0 {
		args = append(args, "--include="+strings.Join(r.Packages, ","))
	}
	args = append(args, suite, dir, list)
	if err := command(ctx, log, "mmdebstrap", args...); err != nil {
		return fail.Wrap(err, fail.Unavailable, "Debian %s could not be installed into the base image %s", suite, r.Name).
			Then("check that this machine's own 'apt-get update' works")
	}
	if err := copyKeys(text, dir); err != nil {
		return fail.Wrap(err, fail.Internal, "copying the package sources' keys")
	}
	return trust(ctx, dir, log)
}

// install adds packages to a root that has apt.
func (b *Bases) install(ctx context.Context, names []string, root string, log func(string)) error {
	lists, archives := filepath.Join(b.o.Dir, "apt", "lists"), filepath.Join(b.o.Dir, "apt", "archives")
	for _, d := range []string{lists, archives} {
		if err := os.MkdirAll(filepath.Join(d, "partial"), 0o755); err != nil {
			return fail.Wrap(err, fail.NoSpace, "installing packages")
		}
	}
	// Nothing may start while packages are set up.
	guard := filepath.Join(root, "usr/sbin/policy-rc.d")
	if err := os.WriteFile(guard, []byte("#!/bin/sh\nexit 101\n"), 0o755); err != nil {
		return fail.Wrap(err, fail.NoSpace, "installing packages")
	}
	defer os.Remove(guard)
	resolver := filepath.Join(root, "etc/resolv.conf")
	if _, err := os.Stat(resolver); err != nil {
		if err := os.WriteFile(resolver, nil, 0o644); err != nil {
			return fail.Wrap(err, fail.NoSpace, "installing packages")
		}
		defer os.Remove(resolver)
	}
	binds := [][2]string{{lists, "/var/lib/apt/lists"}, {archives, "/var/cache/apt/archives"}, {"/etc/resolv.conf", "/etc/resolv.conf"}}
	options := []string{"-q", "-y", "-o", "Acquire::Languages=none", "-o", "APT::Install-Recommends=false", "-o", "Dpkg::Use-Pty=0",
		"-o", "APT::Sandbox::User=root", "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache="}
	for _, o := range aptOptions(ctx) {
		options = append(options, "-o", strings.TrimSuffix(strings.Replace(strings.ReplaceAll(o, `"`, ""), " ", "=", 1), ";"))
	}
	apt := func(args ...string) error {
		return within(ctx, root, binds, log, append(append([]string{"apt-get"}, options...), args...)...)
	}
	stamp := filepath.Join(lists, "updated")
	if i, err := os.Stat(stamp); err != nil || time.Since(i.ModTime()) > time.Hour {
		log("reading the package lists")
		if err := apt("update"); err != nil {
			return fail.Wrap(err, fail.Unavailable, "the package lists could not be read").
				Then("check that this machine's own 'apt-get update' works")
		}
		if err := os.WriteFile(stamp, nil, 0o644); err != nil {
			return fail.Wrap(err, fail.NoSpace, "installing packages")
		}
	}
	log("installing " + strings.Join(names, " "))
	if err := apt(append([]string{"install", "--no-install-recommends"}, names...)...); err != nil {
		return fail.Wrap(err, fail.Unavailable, "the packages %s could not be installed", strings.Join(names, " ")).
			Then("check that this machine's package sources have them")
	}
	for _, p := range []string{"var/log/dpkg.log", "var/log/apt", "var/log/alternatives.log", "var/cache/debconf", "var/lib/dpkg/status-old"} {
		if err := os.RemoveAll(filepath.Join(root, p)); err != nil {
			return fail.Wrap(err, fail.Internal, "cleaning a base image")
		}
	}
	return nil
}

// packages lists what is installed in root: the bill of materials.
func packages(ctx context.Context, root string) ([]string, error) {
	out, err := exec.CommandContext(ctx, "dpkg-query", "--admindir="+filepath.Join(root, "var/lib/dpkg"), "-W",
		"-f", "${Package} ${Version}\n").Output()
	if err != nil {
		return nil, fail.Wrap(err, fail.Internal, "listing a base image's packages")
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n"), nil
}

// trust adds the certificates that this machine's owner trusts beyond Debian's, so that builds and apps reach what the
// machine reaches (a company's own authority, say).
func trust(ctx context.Context, root string, log func(string)) error {
	to := filepath.Join(root, localTrust)
	if err := os.MkdirAll(to, 0o755); err != nil {
		return fail.Wrap(err, fail.NoSpace, "adding certificates to a base image")
	}
	paths, _ := filepath.Glob(filepath.Join(localTrust, "*.crt"))
	for _, p := range paths {
		text, err := os.ReadFile(p)
		if err == nil {
			err = os.WriteFile(filepath.Join(to, filepath.Base(p)), text, 0o644)
		}
		if err != nil {
			return fail.Wrap(err, fail.Internal, "adding certificates to a base image")
		}
	}
	if err := within(ctx, root, nil, func(string) {}, "update-ca-certificates"); err != nil {
		return fail.Wrap(err, fail.Internal, "adding certificates to a base image")
	}
	if len(paths) > 0 {
		log(fmt.Sprintf("added %d certificates that this machine trusts", len(paths)))
	}
	return nil
}

const localTrust = "/usr/local/share/ca-certificates"

// localCertificates is the text of those certificates.
func localCertificates() []string {
	var out []string
	paths, _ := filepath.Glob(filepath.Join(localTrust, "*.crt"))
	for _, p := range paths {
		if text, err := os.ReadFile(p); err == nil {
			out = append(out, string(text))
		}
	}
	return out
}

// codename is the Debian release this machine runs.
func codename() (string, error) {
	text, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "", fail.Wrap(err, fail.Unsupported, "this machine does not say which system it runs")
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "VERSION_CODENAME="); ok && v != "" {
			return strings.Trim(v, `"`), nil
		}
	}
	return "", fail.New(fail.Unsupported, "this machine's system has no Debian release name").
		Then("run on Debian, or configure an upstream registry for base images")
}

// sources is the part of this machine's package sources that is the release itself (its updates and security fixes
// too), without what other vendors add.
func sources(suite string) string {
	var out strings.Builder
	paths, _ := filepath.Glob("/etc/apt/sources.list.d/*")
	for _, p := range append([]string{"/etc/apt/sources.list"}, paths...) {
		text, err := os.ReadFile(p)
		if err != nil {
			continue
		}
		switch {
		case strings.HasSuffix(p, ".list"):
			for line := range strings.Lines(string(text)) {
				if ofRelease(oneLine(line), suite) {
					out.WriteString(strings.TrimSpace(line) + "\n")
				}
			}
		case strings.HasSuffix(p, ".sources"):
			for _, stanza := range strings.Split(string(text), "\n\n") {
				if ofRelease(stanzaWords(stanza), suite) {
					out.WriteString(strings.TrimSpace(stanza) + "\n\n")
				}
			}
		}
	}
	return out.String()
}

// ofRelease tells whether a source (its suites, then "|", then its components) is the release's own.
func ofRelease(words []string, suite string) bool {
	cut := slices.Index(words, "|")
	if cut < 1 || !slices.Contains(words[cut:], "main") {
		return false
	}
	for _, s := range words[:cut] {
		if s != suite && s != suite+"-updates" && s != suite+"-security" && s != suite+"/updates" {
			return false
		}
	}
	return true
}

var bracket = regexp.MustCompile(`\[[^\]]*\]`)

// oneLine takes "deb [options] uri suite component…" apart.
func oneLine(line string) []string {
	f := strings.Fields(bracket.ReplaceAllString(line, ""))
	if len(f) < 4 || f[0] != "deb" {
		return nil
	}
	return append([]string{f[2], "|"}, f[3:]...)
}

// stanzaWords takes a deb822 stanza apart.
func stanzaWords(stanza string) []string {
	fields := map[string]string{}
	for line := range strings.Lines(stanza) {
		if k, v, ok := strings.Cut(line, ":"); ok && !strings.HasPrefix(line, "#") {
			fields[strings.ToLower(strings.TrimSpace(k))] = v
		}
	}
	if !slices.Contains(strings.Fields(fields["types"]), "deb") || strings.TrimSpace(fields["enabled"]) == "no" {
		return nil
	}
	return append(append(strings.Fields(fields["suites"]), "|"), strings.Fields(fields["components"])...)
}

var keyPath = regexp.MustCompile(`(?i)signed-by[:=]\s*(/[^\s\]]+)`)

// copyKeys puts the keys that sources name where the base image's apt will look for them.
func copyKeys(text, root string) error {
	for _, m := range keyPath.FindAllStringSubmatch(text, -1) {
		for _, p := range strings.Split(m[1], ",") {
			key, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			to := filepath.Join(root, p)
			if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, key, 0o644)); err != nil {
				return err
			}
		}
	}
	return nil
}

// aptOptions are the settings of this machine's apt that say how it reaches its sources.
func aptOptions(ctx context.Context) []string {
	out, err := exec.CommandContext(ctx, "apt-config", "dump").Output()
	if err != nil {
		return nil
	}
	var options []string
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		for _, p := range []string{"Acquire::http::Proxy ", "Acquire::https::Proxy ", "Acquire::Check-Valid-Until ", "Acquire::Check-Date "} {
			if strings.HasPrefix(line, p) && !strings.HasSuffix(line, `"";`) {
				options = append(options, line)
			}
		}
	}
	return options
}

// within runs a command in root as its own mount, process and host name world. binds are mounted over root's paths.
func within(ctx context.Context, root string, binds [][2]string, log func(string), argv ...string) error {
	script := `set -e
root=$1; shift
mount --make-rprivate /
mount -t proc proc "$root/proc"
while [ "$1" != -- ]; do mount --bind "$1" "$root$2"; shift 2; done
shift
exec chroot "$root" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"`
	args := []string{"--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "sh", "-c", script, "within", root}
	for _, bind := range binds {
		args = append(args, bind[0], bind[1])
	}
	return command(ctx, log, "unshare", append(append(args, "--"), argv...)...)
}

var newly = regexp.MustCompile(`(\d+) newly installed`)

// command runs a program, turning its output into progress lines; its last lines are the error's cause.
func command(ctx context.Context, log func(string), name string, args ...string) error {
	path, err := exec.LookPath(name)
	if err != nil {
		return err
	}
	return supervise(ctx, log, &exec.Cmd{Path: path, Args: append([]string{name}, args...),
		Env: append(os.Environ(), "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive")})
}

// supervise runs c to its end, or until ctx ends: then it and all it started is killed.
func supervise(ctx context.Context, log func(string), c *exec.Cmd) error {
	if c.SysProcAttr == nil {
		c.SysProcAttr = &syscall.SysProcAttr{}
	}
	c.SysProcAttr.Setpgid = true
	c.WaitDelay = 5 * time.Second
	reader, writer := io.Pipe()
	c.Stdout, c.Stderr = writer, writer
	var tail []string
	done := make(chan struct{})
	go func() {
		defer close(done)
		total, count := 0, 0
		lines := bufio.NewScanner(reader)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			line := strings.TrimSpace(lines.Text())
			if tail = append(tail, line); len(tail) > 20 {
				tail = tail[1:]
			}
			if m := newly.FindStringSubmatch(line); m != nil {
				total, _ = strconv.Atoi(m[1])
			}
			switch {
			case strings.HasPrefix(line, "Setting up "):
				if count++; count%10 == 0 || count == total {
					log(fmt.Sprintf("installed %d of %d packages", count, total))
				}
			case strings.HasPrefix(line, "I: "):
				log(strings.TrimPrefix(line, "I: "))
			}
		}
		_, _ = io.Copy(io.Discard, reader)
	}()
	err := c.Start()
	if err == nil {
		stop := context.AfterFunc(ctx, func() { _ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) })
		err = c.Wait()
		stop()
	}
	writer.Close()
	<-done
	if ctx.Err() != nil {
		return fail.From(ctx.Err())
	}
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", c.Args[0], err, strings.Join(tail, "\n"))
	}
	return nil
}
