// Package git runs Debian's git program over repositories: those of others, to fetch sources from, and the cloud's own,
// which people push to. The program reads what strangers send, so each run of it is confined: a runc container with a
// user of its own, a read-only view of nothing but /usr, limits on memory, processes, file sizes and time, and no
// network but one outlet of ours (outlet.go).
//
// The program, not a library in this process: what parses a hostile pack must not be able to take the cloud's memory or
// files with it, and git's own code is what repositories everywhere are made with.
//
// It may import the kernel and the build port it implements.
package git

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/service/build"
)

// Options wire the engine. All but User, Idle and Logger are needed.
type Options struct {
	Dir  string // the cloud's own repositories, PROJECT/NAME.git.sealed
	Work string // working files
	Run  string // the containers' state: a folder under /run
	Key  string // the cloud's instance key: cgroups are below /awan-KEY
	// Dial connects to hosts outside; which may be reached is its decision.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Sealer seals repositories that nobody used for Idle (a minute). Without it they lie in the clear.
	Sealer *secret.Sealer
	Idle   time.Duration
	User   int // the host's user id that git runs as; 0 is 1,879,113,728, beyond those of build steps
	Logger *slog.Logger
}

// Bounds of one run of git.
const (
	maxFetch  = 512 << 20 // bytes that a fetch may bring
	maxSource = 2 << 30   // bytes of one file that git may write
)

// Engine implements build.Git.
type Engine struct {
	o   Options
	log *slog.Logger

	mu     sync.Mutex
	repos  map[string]*repository // by PROJECT/NAME
	closed bool
}

// New prepares the folders. What is missing on the machine is said when it is needed.
func New(o Options) (*Engine, error) {
	if o.User == 0 {
		o.User = 0x70010000
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Idle == 0 {
		o.Idle = idleTime
	}
	e := &Engine{o: o, log: o.Logger, repos: map[string]*repository{}}
	if err := os.RemoveAll(o.Work); err != nil { // of runs that a crash cut short
		return nil, fail.Wrap(err, fail.Unavailable, "the working folder of git cannot be emptied")
	}
	for _, d := range []string{o.Dir, o.Work} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fail.Wrap(err, fail.NoSpace, "the folder for git repositories cannot be made")
		}
	}
	e.sweep()
	e.tidy()
	return e, nil
}

// Close seals what is open and takes away what is left on the machine.
func (e *Engine) Close() error {
	e.sweep()
	return e.restAll()
}

func (e *Engine) check(programs ...string) error {
	for _, p := range append([]string{"runc", "git"}, programs...) {
		if _, err := exec.LookPath(p); err != nil {
			pkg := map[string]string{"ssh": "openssh-client"}[p]
			if pkg == "" {
				pkg = p
			}
			return fail.New(fail.Unsupported, "git repositories need the program %s, which is not installed", p).Then("the operator can install the Debian package %s", pkg)
		}
	}
	return nil
}

// workdir makes a folder that git may write to.
func (e *Engine) workdir() (dir string, done func(), err error) {
	dir = filepath.Join(e.o.Work, string(id.New()))
	err = os.Mkdir(dir, 0o700)
	if err == nil {
		err = os.Chown(dir, e.o.User, e.o.User)
	}
	if err != nil {
		return "", nil, fail.Wrap(err, fail.NoSpace, "there is no room for git to work in")
	}
	return dir, func() {
		if err := os.RemoveAll(dir); err != nil {
			e.log.Warn("git's working files are left", "dir", dir, "err", err)
		}
	}, nil
}

// give puts a file for git into its working folder.
func (e *Engine) give(dir, name, text string, mode os.FileMode) error {
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		return fail.Wrap(err, fail.NoSpace, "there is no room for git to work in")
	}
	if err := os.Chmod(file, mode); err != nil {
		return err
	}
	return os.Chown(file, e.o.User, e.o.User)
}

// take opens a file that git wrote: a plain one, whatever git made of it.
func take(dir, name string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if i, err := f.Stat(); err != nil || !i.Mode().IsRegular() {
		_ = f.Close()
		return nil, fail.New(fail.Invalid, "git left no file %s", name)
	}
	return f, nil
}

// moveTo copies a file that git wrote to where it is wanted.
func moveTo(dir, name, to string) error {
	in, err := take(dir, name)
	if err != nil {
		return fail.Wrap(err, fail.Internal, "git gave no source")
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fail.Wrap(err, fail.NoSpace, "the source cannot be stored")
	}
	_, err = io.Copy(out, in)
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fail.Wrap(err, fail.NoSpace, "the source cannot be stored")
	}
	return nil
}

// environment is what every run of git is told: nobody's configuration, no question, no other transport.
func environment(config map[string]string, more ...string) []string {
	env := append([]string{"PATH=/usr/bin:/bin", "HOME=/job", "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0",
		"GIT_ALLOW_PROTOCOL=https:ssh", "GIT_ATTR_NOSYSTEM=1"}, more...)
	n := 0
	for k, v := range config {
		env = append(env, "GIT_CONFIG_KEY_"+strconv.Itoa(n)+"="+k, "GIT_CONFIG_VALUE_"+strconv.Itoa(n)+"="+v)
		n++
	}
	return append(env, "GIT_CONFIG_COUNT="+strconv.Itoa(n))
}

var _ build.Git = (*Engine)(nil)
