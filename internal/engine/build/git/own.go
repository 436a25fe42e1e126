package git

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/build"
)

// hookScript is the pre-receive hook. It tells us the updates and then does what it is told, a word and an argument a
// line: git's own quarantine keeps the pushed objects apart until it ends well.
const hookScript = `#!/bin/sh
{ cat; echo; } >&3
while read -r word rest; do
  case "$word" in
  say) printf '%s\n' "$rest" >&2 ;;
  source) if git log -1 --format='%H%n%s' "$rest" >/job/commit && git archive --format=tar -o /job/source.tar "$rest"; then echo ok >&3; else echo no >&3; fi ;;
  yes) exit 0 ;;
  *) exit 1 ;;
  esac
done <&4
exit 1
`

func (e *Engine) folder(project id.ID, name string) string {
	return filepath.Join(e.o.Dir, string(project), name+".git")
}

// open makes the repository if it is not there, and sets what a clone checks out. wrote says whether it did either.
func (e *Engine) open(own build.Own, create bool) (dir string, wrote bool, err error) {
	dir = e.folder(own.Project, own.Name)
	if _, err := os.Stat(dir); err != nil {
		if !create {
			return "", false, fail.New(fail.NotFound, "nothing was pushed to %s yet", own.Name).Then("git push first")
		}
		fresh := dir + ".new"
		err := errors.Join(os.RemoveAll(fresh), os.MkdirAll(filepath.Join(fresh, "objects", "pack"), 0o700), os.MkdirAll(filepath.Join(fresh, "refs", "heads"), 0o700),
			os.WriteFile(filepath.Join(fresh, "config"), []byte("[core]\n\trepositoryformatversion = 0\n\tbare = true\n"), 0o600),
			os.WriteFile(filepath.Join(fresh, "HEAD"), []byte("ref: refs/heads/"+own.Branch+"\n"), 0o600))
		if err == nil {
			err = filepath.WalkDir(fresh, func(p string, _ fs.DirEntry, err error) error {
				return errors.Join(err, os.Lchown(p, e.o.User, e.o.User))
			})
		}
		if err == nil {
			err = os.Rename(fresh, dir)
		}
		if err != nil {
			return "", false, fail.Wrap(err, fail.NoSpace, "the repository cannot be made")
		}
		return dir, true, nil
	}
	root, err := os.OpenRoot(dir) // what is in it belongs to git: nothing may lead us out
	if err != nil {
		return "", false, fail.Wrap(err, fail.Unavailable, "the repository cannot be read")
	}
	defer func() { _ = root.Close() }()
	want := "ref: refs/heads/" + own.Branch + "\n"
	if now, err := root.ReadFile("HEAD"); err == nil && string(now) != want {
		if err := root.WriteFile("HEAD", []byte(want), 0o600); err != nil {
			return "", false, fail.Wrap(err, fail.NoSpace, "the repository cannot be written")
		}
		wrote = true
	}
	return dir, wrote, nil
}

// settings hold for every run over a repository of ours.
func settings() map[string]string {
	return map[string]string{"safe.directory": "*", "gc.autoDetach": "false", "uploadpack.allowFilter": "true", "transfer.fsckObjects": "true",
		"fsck.zeroPaddedFilemode": "ignore", "fsck.missingSpaceBeforeDate": "ignore"}
}

// Advertise implements build.Git.
func (e *Engine) Advertise(ctx context.Context, own build.Own, service, protocol string, out io.Writer) error {
	if err := e.check(); err != nil {
		return err
	}
	dir, done, err := e.use(own, service == "git-receive-pack", false)
	if err != nil {
		return err
	}
	defer done()
	return e.serve(ctx, dir, settings(), protocol, nil, out, strings.TrimPrefix(service, "git-"), "--http-backend-info-refs", "/repo")
}

// Upload implements build.Git.
func (e *Engine) Upload(ctx context.Context, own build.Own, protocol string, in io.Reader, out io.Writer) error {
	if err := e.check(); err != nil {
		return err
	}
	dir, done, err := e.use(own, false, false)
	if err != nil {
		return err
	}
	defer done()
	return e.serve(ctx, dir, settings(), protocol, in, out, "upload-pack", "--stateless-rpc", "/repo")
}

var protocolPattern = regexp.MustCompile(`^version=[0-9]$`)

func (e *Engine) serve(ctx context.Context, dir string, config map[string]string, protocol string, in io.Reader, out io.Writer, args ...string) error {
	var more []string
	if protocolPattern.MatchString(protocol) {
		more = append(more, "GIT_PROTOCOL="+protocol)
	}
	err := e.run(ctx, task{args: append([]string{"git"}, args...), env: environment(config, more...), cwd: "/repo", dirs: map[string]string{"/repo": dir},
		in: in, out: out, time: 15 * time.Minute})
	var x *exited
	if errors.As(err, &x) {
		return fail.New(fail.Invalid, "git says: %s", last(x.text)).Because(x)
	}
	return err
}

// Receive implements build.Git.
func (e *Engine) Receive(ctx context.Context, own build.Own, in io.Reader, out io.Writer, decide func(context.Context, build.Push) error) error {
	if err := e.check(); err != nil {
		return err
	}
	dir, leave, err := e.use(own, true, true)
	if err != nil {
		return err
	}
	defer leave()
	work, done, err := e.workdir()
	if err != nil {
		return err
	}
	defer done()
	if err := os.Mkdir(filepath.Join(work, "hooks"), 0o755); err != nil {
		return fail.Wrap(err, fail.NoSpace, "the push cannot be taken")
	}
	if err := e.give(work, "hooks/pre-receive", hookScript, 0o555); err != nil {
		return err
	}
	config := settings()
	config["core.hooksPath"] = "/job/hooks"
	config["receive.denyDeleteCurrent"] = "ignore" // decide has the word
	if own.Most > 0 {
		left := own.Most - e.used(own.Project)
		if left <= 0 {
			return fail.New(fail.Quota, "the repositories of this project take all of their %d MiB", own.Most>>20).Then("delete what is not needed, or ask the operator for more")
		}
		config["receive.maxInputSize"] = strconv.FormatInt(left, 10)
	}
	told, say, ends, err := pipes()
	if err != nil {
		return fail.Wrap(err, fail.Unavailable, "the push cannot be taken")
	}
	p := &push{work: work, say: say, told: bufio.NewReader(told)}
	var hook sync.WaitGroup
	hook.Go(func() { p.serve(ctx, decide) })
	err = e.run(ctx, task{args: []string{"git", "receive-pack", "--stateless-rpc", "/repo"}, env: environment(config), cwd: "/repo",
		dirs: map[string]string{"/repo": dir, "/job": work}, in: in, out: out, files: ends, time: 40 * time.Minute})
	for _, f := range ends {
		_ = f.Close()
	}
	hook.Wait()
	_ = told.Close()
	_ = say.Close()
	var x *exited
	if errors.As(err, &x) {
		if strings.Contains(x.text, "maximum allowed size") {
			return fail.New(fail.Quota, "the push is larger than what is left of the project's %d MiB for repositories", own.Most>>20).Then("push less, or ask the operator for more").Because(x)
		}
		return fail.New(fail.Invalid, "git says: %s", last(x.text)).Because(x)
	}
	return err
}

// pipes make the two lines to the hook; ends are those that go to it.
func pipes() (told, say *os.File, ends []*os.File, err error) {
	told, theirs, err := os.Pipe()
	if err != nil {
		return nil, nil, nil, err
	}
	ours, say, err := os.Pipe()
	if err != nil {
		return nil, nil, nil, errors.Join(err, told.Close(), theirs.Close())
	}
	return told, say, []*os.File{theirs, ours}, nil
}

// push implements build.Push: the talk with the hook.
type push struct {
	work    string
	told    *bufio.Reader
	updates []build.Update
	mu      sync.Mutex
	say     *os.File
}

func (p *push) serve(ctx context.Context, decide func(context.Context, build.Push) error) {
	for {
		line, err := p.told.ReadString('\n')
		if err != nil {
			return // git refused the push before it came to the hook
		}
		f := strings.Fields(line)
		if len(f) == 0 {
			break
		}
		if len(f) == 3 {
			p.updates = append(p.updates, build.Update{Old: f[0], New: f[1], Ref: f[2]})
		}
	}
	word := "yes"
	if err := decide(ctx, p); err != nil {
		e := fail.From(err)
		p.Say("refused: " + e.Public())
		word = "no"
	}
	p.tell(word)
}

func (p *push) tell(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = fmt.Fprintln(p.say, text) // a hook that is gone takes the push with it
}

func (p *push) Updates() []build.Update { return p.updates }

func (p *push) Say(line string) {
	p.tell("say " + strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.TrimRight(line, "\r\n")))
}

var objectID = regexp.MustCompile(`^[0-9a-f]{40,64}$`)

func (p *push) Source(commit, file string) (build.Commit, error) {
	if !objectID.MatchString(commit) {
		return build.Commit{}, fail.New(fail.Invalid, "%q is no commit", commit)
	}
	p.tell("source " + commit)
	answer, err := p.told.ReadString('\n')
	if err != nil || strings.TrimSpace(answer) != "ok" {
		return build.Commit{}, fail.New(fail.Invalid, "git cannot read the pushed commit %s", commit[:7]).Because(err).Then("push a branch whose tip is a commit")
	}
	c, err := commitOf(p.work, "")
	if err != nil {
		return c, err
	}
	return c, moveTo(p.work, "source.tar", file)
}

// size adds up the files under dir.
func size(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if i, err := d.Info(); err == nil {
				n += i.Size()
			}
		}
		return nil
	})
	return n
}

// Remove implements build.Git.
func (e *Engine) Remove(_ context.Context, project id.ID, name string) error {
	dir := filepath.Join(e.o.Dir, string(project))
	if name == "" {
		if err := os.RemoveAll(dir); err != nil {
			return fail.Wrap(err, fail.Unavailable, "the repositories cannot be removed")
		}
		return nil
	}
	if err := e.remove(project, name); err != nil {
		return fail.Wrap(err, fail.Unavailable, "the repository cannot be removed")
	}
	_ = os.Remove(dir) // when it was the last
	return nil
}

// Projects implements build.Git.
func (e *Engine) Projects(context.Context) ([]id.ID, error) {
	folders, err := os.ReadDir(e.o.Dir)
	if err != nil {
		return nil, fail.Wrap(err, fail.Unavailable, "the repositories cannot be listed")
	}
	var out []id.ID
	for _, f := range folders {
		if p, ok := id.Parse(f.Name()); ok {
			out = append(out, p)
		}
	}
	return out, nil
}
