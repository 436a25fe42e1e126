package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/spf13/cobra"

	"github.com/awancloud/awan/internal/cli/client"
	"github.com/awancloud/awan/internal/kernel/fail"
)

func (s *session) devCmd() *cobra.Command {
	d := &dev{s: s}
	var keep bool
	k := s.component()
	ch := new(change)
	cmd := &cobra.Command{Use: "dev [DIR]", Short: "run a folder, and bring every change of it into the running app",
		Long: "Deploy a folder, follow its log, and watch it: changed files are copied into the running instance, which is started anew\n" +
			"where its stack needs that; a change that needs a build (a Go program, dependencies, a Dockerfile) is built and rolled\n" +
			"out. At the end (Ctrl-C) an app that was there before is brought back to the release it had; one that was not is deleted.",
		Example: examples("awan dev", "awan dev ./shop --name shop-dev --env DEBUG=1", "awan dev . --keep"), Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		}}
	f := cmd.Flags()
	f.StringVar(&ch.name, "name", "", "the app's `NAME`; the folder's when empty")
	f.BoolVar(&keep, "keep", false, "leave the app as it is at the end")
	if k != nil {
		ch.fields = s.fieldFlags(cmd, k.Spec, deployFlag)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := needs(k, "component"); err != nil {
			return err
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		ch.wait, ch.output = true, "table"
		d.deploy = &deploy{s: s, c: c, k: k, ch: ch, dir: ".", began: time.Now()}
		if len(args) == 1 {
			d.deploy.dir = args[0]
		}
		if ch.name == "" {
			ch.name = nameOf(d.deploy.dir)
		}
		return d.run(cmd.Context(), keep)
	}
	return cmd
}

// dev is one run of awan dev.
type dev struct {
	s      *session
	deploy *deploy
	was    int64 // release before; 0: the app was not there
	synced bool  // files were copied into an instance
}

func (d *dev) path() string { return d.deploy.path(d.deploy.ch.name) }

func (d *dev) run(ctx context.Context, keep bool) (err error) {
	row, err := d.row(ctx)
	switch {
	case err == nil:
		d.was = row.Status.Release
	case !fail.Is(err, fail.NotFound):
		return err
	}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fail.Wrap(err, fail.Unavailable, "changes of files cannot be watched here")
	}
	defer w.Close()
	if err := d.watch(w, d.deploy.dir); err != nil {
		return err
	}
	if !keep {
		defer func() {
			if rerr := d.restore(context.WithoutCancel(ctx)); rerr != nil {
				err = errors.Join(err, rerr)
			}
		}()
	}
	if err := d.deploy.run(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	fmt.Fprintln(d.s.Stderr, "watching "+d.deploy.dir+"; Ctrl-C ends it")
	logs, stop := context.WithCancel(ctx)
	var following sync.WaitGroup
	defer following.Wait()
	defer stop()
	following.Go(func() { d.logs(logs) })
	return d.loop(ctx, w)
}

type devRow struct {
	Spec struct {
		Command []string `json:"command"`
	} `json:"spec"`
	Status struct {
		Release int64  `json:"release"`
		Stack   string `json:"stack"`
	} `json:"status"`
}

func (d *dev) row(ctx context.Context) (*devRow, error) {
	var a struct {
		Resource devRow `json:"resource"`
	}
	err := d.deploy.c.Do(ctx, client.Request{Method: "GET", Path: d.path()}, &a)
	return &a.Resource, err
}

// unwatched are folders whose changes nobody means: they are not part of a source either.
var unwatched = []string{".git", "node_modules", ".venv", "__pycache__", ".terraform", ".idea"}

func (d *dev) watch(w *fsnotify.Watcher, dir string) error {
	return filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fail.Wrap(err, fail.NotFound, "%s cannot be read", p)
		case !e.IsDir():
			return nil
		case p != dir && slices.Contains(unwatched, e.Name()):
			return filepath.SkipDir
		}
		return w.Add(p)
	})
}

// settleTime is how long nothing must change before changes are taken: editors write in several steps.
const settleTime = 150 * time.Millisecond

func (d *dev) loop(ctx context.Context, w *fsnotify.Watcher) error {
	changed := map[string]bool{} // true: it was not there before
	var quiet <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-w.Errors:
			return fail.Wrap(err, fail.Unavailable, "changes of files cannot be watched any more")
		case ev := <-w.Events:
			rel, err := filepath.Rel(d.deploy.dir, ev.Name)
			if err != nil || ev.Op == fsnotify.Chmod || passing(rel) {
				continue
			}
			if st, err := os.Stat(ev.Name); err == nil && st.IsDir() {
				if ev.Has(fsnotify.Create) {
					if err := d.watch(w, ev.Name); err != nil {
						return err
					}
				}
			}
			if _, known := changed[rel]; !known {
				changed[rel] = ev.Has(fsnotify.Create)
			}
			quiet = time.After(settleTime)
		case <-quiet:
			files := lasting(d.deploy.dir, changed)
			changed = map[string]bool{}
			if len(files) == 0 {
				continue
			}
			if err := d.take(ctx, files); err != nil && ctx.Err() == nil {
				d.s.report(err) // the next change may put it right
			}
		}
	}
}

// lasting are the files of which something is left of the change: what came and went meanwhile, as sed -i makes, is none.
func lasting(dir string, changed map[string]bool) (files []string) {
	for f, born := range changed {
		if _, err := os.Lstat(filepath.Join(dir, f)); err == nil || !born {
			files = append(files, f)
		}
	}
	slices.Sort(files)
	return files
}

// passing tells files that editors make for a moment.
func passing(rel string) bool {
	base := filepath.Base(rel)
	if strings.HasSuffix(base, "~") || strings.HasPrefix(base, ".#") || strings.HasSuffix(base, ".swp") || base == "4913" {
		return true
	}
	for _, part := range strings.Split(filepath.ToSlash(rel), "/") {
		if slices.Contains(unwatched, part) {
			return true
		}
	}
	return false
}

// take brings changes into the app: by copying where that is enough, else by a build.
func (d *dev) take(ctx context.Context, files []string) error {
	begin := time.Now()
	row, err := d.row(ctx)
	if err != nil {
		return err
	}
	folder, restart, ok := synced(row.Status.Stack, d.deploy.dir, files)
	if !ok {
		fmt.Fprintf(d.s.Stderr, "changed: %s; building\n", clean(strings.Join(files, ", ")))
		d.synced = false
		next := *d.deploy
		next.ch = &change{name: d.deploy.ch.name, wait: true, output: "table"}
		next.began = begin
		return next.run(ctx)
	}
	var ids struct {
		Items []struct {
			ID string `json:"id"`
		} `json:"items"`
	}
	err = d.deploy.c.Lines(ctx, client.Request{Method: "POST", Path: d.path() + "/actions/instances"}, func(line []byte) error { return json.Unmarshal(line, &ids) })
	if err != nil {
		return err
	}
	for _, in := range ids.Items {
		if err := d.s.copyIn(ctx, d.deploy.c, d.deploy.ch.name, d.deploy.dir, folder, in.ID, files, restart); err != nil {
			return err
		}
	}
	d.synced = true
	fmt.Fprintf(d.s.Stderr, "copied: %s  %s\n", clean(strings.Join(files, ", ")), span(time.Since(begin)))
	return nil
}

// synced says whether changed files can simply be copied into an instance of a stack, where to, and whether the program must
// be started anew. It knows the recipes of catalog/stacks; what it does not know is built.
func synced(stack, dir string, files []string) (folder string, restart, ok bool) {
	var build []string
	if recipe, version, _ := strings.Cut(stack, "-"); version != "" && version[0] >= '0' && version[0] <= '9' {
		stack = recipe // one version of it: node-22
	}
	switch stack {
	case "static":
		folder = "/usr/share/nginx/html"
	case "python":
		folder, restart = "/home/app", true
		build = []string{"requirements.txt", "pyproject.toml", "Procfile"}
	case "node":
		folder, restart = "/home/app", true
		build = []string{"package.json", "package-lock.json", "npm-shrinkwrap.json", ".npmrc"}
		if b, err := os.ReadFile(filepath.Join(dir, "package.json")); err == nil && strings.Contains(string(b), `"build"`) {
			return "", false, false
		}
	default:
		return "", false, false
	}
	for _, f := range files {
		base := path.Base(filepath.ToSlash(f))
		if _, err := os.Lstat(filepath.Join(dir, f)); err != nil || base == "Dockerfile" || base == ".dockerignore" || slices.Contains(build, base) {
			return "", false, false // deleted files are not copied: a build leaves them out
		}
		if stack == "static" {
			if _, err := os.Stat(filepath.Join(dir, "index.html")); err != nil {
				return "", false, false // the site is in a folder of its own
			}
		}
	}
	return folder, restart, true
}

// logs prints what the app prints; it begins again when a roll-out has replaced the instances.
func (d *dev) logs(ctx context.Context) {
	since := time.Now()
	for ctx.Err() == nil {
		in := map[string]any{"follow": true, "since": (time.Since(since) + time.Second).Round(time.Second).String()}
		round, cancel := context.WithCancel(ctx)
		go func() { // follow the release: its instances are the ones to listen to
			defer cancel()
			first, err := d.row(round)
			for err == nil && round.Err() == nil {
				select {
				case <-round.Done():
					return
				case <-time.After(time.Second):
				}
				now, nerr := d.row(round)
				if nerr == nil && now.Status.Release != first.Status.Release {
					return
				}
			}
		}()
		_ = d.deploy.c.Lines(round, client.Request{Method: "POST", Path: d.path() + "/actions/logs", In: in}, func(line []byte) error {
			var l logLine
			if json.Unmarshal(line, &l) == nil && l.Text != nil && (l.At == "" || after(l.At, &since)) {
				fmt.Fprintln(d.s.Stdout, d.s.logText(*l.Text))
			}
			return nil
		})
		cancel()
		select {
		case <-ctx.Done():
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// after takes a line's time on, and tells whether the line is new.
func after(at string, since *time.Time) bool {
	t, err := time.Parse(time.RFC3339Nano, at)
	if err != nil || !t.After(*since) {
		return err != nil
	}
	*since = t
	return true
}

// restore leaves the app as it was found.
func (d *dev) restore(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	row, err := d.row(ctx)
	if fail.Is(err, fail.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	q := client.Request{Method: "POST", Path: d.path() + "/actions/"}
	switch {
	case d.was == 0:
		fmt.Fprintln(d.s.Stderr, "deleting "+d.deploy.ch.name+", which was not there before")
		q = client.Request{Method: "DELETE", Path: d.path(), Query: url.Values{"purge": {"true"}}}
	case row.Status.Release != d.was:
		fmt.Fprintf(d.s.Stderr, "going back to release %d\n", d.was)
		q.Path, q.In = q.Path+"rollback", map[string]any{"release": d.was}
	case d.synced:
		fmt.Fprintln(d.s.Stderr, "replacing the instances that have copied files")
		q.Path += "restart"
	default:
		return nil
	}
	p := &plan{s: d.s, c: d.deploy.c}
	var a answer
	if err := p.send(ctx, &desired{kind: d.deploy.k, name: d.deploy.ch.name}, q, &a); err != nil {
		return err
	}
	if j := a.job(); j != nil && !j.done() {
		_, err = d.s.follow(ctx, d.deploy.c, j.ID, nil, false)
	}
	return err
}
