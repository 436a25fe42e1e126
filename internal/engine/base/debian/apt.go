package debian

import (
	"bufio"
	"bytes"
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
func (b *Bases) bootstrap(ctx context.Context, r recipe, dir string, log func(string)) error {
	if _, err := exec.LookPath("mmdebstrap"); err != nil {
		return fail.New(fail.Unsupported, "base images are made with mmdebstrap, which is not installed").
			Then("install the Debian package mmdebstrap, or configure an upstream registry for base images").Because(err)
	}
	b.apt.Lock() // the files of the sources are shared
	suite, files, err := b.writeSources()
	b.apt.Unlock()
	if err != nil {
		return err
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
	args = append(append(args, suite, dir), files...)
	// in a mount namespace of its own: what it mounts of this machine is gone with it, however it ends
	args = append([]string{"--mount", "--propagation", "private", "--fork", "--kill-child", "mmdebstrap"}, args...)
	if err := command(ctx, log, "unshare", args...); err != nil {
		return fail.Wrap(err, fail.Unavailable, "Debian %s could not be installed into the base image %s", suite, r.Name).
			Then("check that this machine's own 'apt-get update' works")
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err == nil {
			err = copyKeys(string(text), dir)
		}
		if err != nil {
			return fail.Wrap(err, fail.Internal, "copying the package sources' keys")
		}
	}
	return trust(ctx, dir, log)
}

// lists is where package lists are kept, for this machine's apt and for that in bases alike.
func (b *Bases) lists() string { return filepath.Join(b.o.Dir, "apt", "lists") }

// options are what every call of apt here is told.
func options(ctx context.Context) []string {
	o := []string{"-q", "-y", "-o", "Acquire::Languages=none", "-o", "APT::Install-Recommends=false", "-o", "Dpkg::Use-Pty=0",
		"-o", "APT::Sandbox::User=root", "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache="}
	for _, a := range aptOptions(ctx) {
		o = append(o, "-o", strings.TrimSuffix(strings.Replace(strings.ReplaceAll(a, `"`, ""), " ", "=", 1), ";"))
	}
	return o
}

// update reads the package lists, unless that was done within the hour, and returns how to call this machine's apt on
// them. b.apt is held.
func (b *Bases) update(ctx context.Context, log func(string)) ([]string, error) {
	_, files, err := b.writeSources()
	if err != nil {
		return nil, err
	}
	for _, d := range []string{b.lists(), filepath.Join(b.o.Dir, "apt", "archives")} {
		if err := os.MkdirAll(filepath.Join(d, "partial"), 0o755); err != nil {
			return nil, fail.Wrap(err, fail.NoSpace, "installing packages")
		}
	}
	call := append(options(ctx), "-o", "Dir::Etc::SourceList=/dev/null", "-o", "Dir::Etc::SourceParts="+filepath.Dir(files[0]),
		"-o", "Dir::State::Lists="+b.lists(), "-o", "Dir::Cache::Archives="+filepath.Join(b.o.Dir, "apt", "archives"))
	stamp := filepath.Join(b.lists(), "updated")
	if i, err := os.Stat(stamp); err == nil && time.Since(i.ModTime()) < time.Hour {
		return call, nil
	}
	log("reading the package lists")
	if err := command(ctx, log, "apt-get", append(slices.Clone(call), "update")...); err != nil {
		return nil, fail.Wrap(err, fail.Unavailable, "the package lists could not be read").
			Then("check that this machine's own 'apt-get update' works")
	}
	if err := os.WriteFile(stamp, nil, 0o644); err != nil {
		return nil, fail.Wrap(err, fail.NoSpace, "installing packages")
	}
	return call, nil
}

// unpack downloads packages and unpacks them into dir without installing them: no dependency, no script.
func (b *Bases) unpack(ctx context.Context, names []string, dir, work string, log func(string)) (versions []string, err error) {
	b.apt.Lock()
	defer b.apt.Unlock()
	call, err := b.update(ctx, log)
	if err != nil {
		return nil, err
	}
	debs := filepath.Join(work, "debs")
	if err := os.Mkdir(debs, 0o755); err != nil {
		return nil, fail.Wrap(err, fail.NoSpace, "downloading packages")
	}
	log("downloading " + strings.Join(names, " "))
	script := `cd "$1" && shift && exec apt-get "$@"`
	if err := command(ctx, log, "sh", append(append([]string{"-c", script, "sh", debs}, append(call, "download")...), names...)...); err != nil {
		return nil, fail.Wrap(err, fail.Unavailable, "the packages %s could not be downloaded", strings.Join(names, " ")).
			Then("check that this machine's package sources have them")
	}
	files, _ := filepath.Glob(filepath.Join(debs, "*.deb"))
	for _, f := range files {
		if err := command(ctx, log, "dpkg-deb", "--extract", f, dir); err != nil {
			return nil, fail.Wrap(err, fail.NoSpace, "unpacking packages")
		}
		name := strings.Split(strings.TrimSuffix(filepath.Base(f), ".deb"), "_")
		if len(name) >= 2 {
			versions = append(versions, name[0]+" "+strings.ReplaceAll(name[1], "%3a", ":"))
		}
	}
	return versions, nil
}

// install adds packages to a root that has apt.
func (b *Bases) install(ctx context.Context, names []string, root string, log func(string)) error {
	b.apt.Lock()
	defer b.apt.Unlock()
	if _, err := b.update(ctx, log); err != nil {
		return err
	}
	// Nothing may start while packages are set up.
	guard := filepath.Join(root, "usr/sbin/policy-rc.d")
	if err := os.WriteFile(guard, []byte("#!/bin/sh\nexit 101\n"), 0o755); err != nil {
		return fail.Wrap(err, fail.NoSpace, "installing packages")
	}
	defer os.Remove(guard)
	// Packages with alternatives link their manual pages, which are left out, and fail where there is no folder for them.
	if err := os.MkdirAll(filepath.Join(root, "usr/share/man/man1"), 0o755); err != nil {
		return fail.Wrap(err, fail.NoSpace, "installing packages")
	}
	resolver := filepath.Join(root, "etc/resolv.conf")
	if _, err := os.Stat(resolver); err != nil {
		if err := os.WriteFile(resolver, nil, 0o644); err != nil {
			return fail.Wrap(err, fail.NoSpace, "installing packages")
		}
		defer os.Remove(resolver)
	}
	binds := [][2]string{{b.lists(), "/var/lib/apt/lists"}, {filepath.Join(b.o.Dir, "apt", "archives"), "/var/cache/apt/archives"},
		{filepath.Join(b.o.Dir, "apt", "sources"), "/etc/apt/sources.list.d"}, {"/etc/resolv.conf", "/etc/resolv.conf"}}
	log("installing " + strings.Join(names, " "))
	args := append(append([]string{"apt-get"}, options(ctx)...), append([]string{"install", "--no-install-recommends"}, names...)...)
	if err := within(ctx, root, binds, log, args...); err != nil {
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

// bundle writes the certificates of the unpacked ca-certificates package and of this machine into one file in to: what
// the package does when it is installed.
func bundle(from, to string) error {
	var all []byte
	paths, _ := filepath.Glob(filepath.Join(from, "usr/share/ca-certificates/mozilla/*.crt"))
	if len(paths) == 0 {
		return fail.New(fail.Internal, "the package ca-certificates holds no certificate")
	}
	local, _ := filepath.Glob(filepath.Join(localTrust, "*.crt"))
	for _, p := range append(paths, local...) {
		text, err := os.ReadFile(p)
		if err != nil {
			return fail.Wrap(err, fail.Internal, "collecting certificates")
		}
		all = append(append(all, bytes.TrimSpace(text)...), '\n')
	}
	file := filepath.Join(to, "etc/ssl/certs/ca-certificates.crt")
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, all, 0o644)); err != nil {
		return fail.Wrap(err, fail.NoSpace, "collecting certificates")
	}
	return nil
}

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
// too), without what other vendors add: in apt's two formats. etc is /etc/apt.
func sources(etc, suite string) (lines, stanzas string) {
	paths, _ := filepath.Glob(filepath.Join(etc, "sources.list.d", "*"))
	var list, parts strings.Builder
	for _, p := range append([]string{filepath.Join(etc, "sources.list")}, paths...) {
		text, err := os.ReadFile(p)
		if err != nil {
			continue
		}
		switch filepath.Ext(p) {
		case ".list":
			for line := range strings.Lines(string(text)) {
				if ofRelease(oneLine(line), suite) {
					list.WriteString(strings.TrimSpace(line) + "\n")
				}
			}
		case ".sources":
			for _, stanza := range strings.Split(string(text), "\n\n") {
				if ofRelease(stanzaWords(stanza), suite) {
					parts.WriteString(strings.TrimSpace(stanza) + "\n\n")
				}
			}
		}
	}
	return list.String(), parts.String()
}

// writeSources puts those sources into files under the bases' folder and names them, with the release's name.
func (b *Bases) writeSources() (suite string, files []string, err error) {
	if suite, err = codename(); err != nil {
		return "", nil, err
	}
	lines, stanzas := sources("/etc/apt", suite)
	dir := filepath.Join(b.o.Dir, "apt", "sources")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", nil, fail.Wrap(err, fail.NoSpace, "writing the package sources")
	}
	for name, text := range map[string]string{"release.list": lines, "release.sources": stanzas} {
		p := filepath.Join(dir, name)
		if text == "" {
			_ = os.Remove(p)
			continue
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			return "", nil, fail.Wrap(err, fail.NoSpace, "writing the package sources")
		}
		files = append(files, p)
	}
	if len(files) == 0 {
		return "", nil, fail.New(fail.Unsupported, "this machine has no package source for Debian %s", suite).
			Then("add one under /etc/apt, or configure an upstream registry for base images")
	}
	return suite, files, nil
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
