package sim

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/workload"
)

// running gives an instance that runs, with its op lock held.
func (e *Engine) running(i id.ID) (*instance, error) {
	in := e.get(i, false)
	if in == nil {
		return nil, fail.New(fail.Gone, "instance %s does not exist", i)
	}
	e.mu.Lock()
	runs := in.seen.Phase == workload.PhaseRunning
	e.mu.Unlock()
	if !runs {
		in.op.Unlock()
		return nil, fail.New(fail.Precondition, "the instance does not run").Then("start it first")
	}
	return in, nil
}

// Replace implements workload.Engine. A signal shows as a line of the log.
func (e *Engine) Replace(ctx context.Context, i id.ID, files []workload.File, signal string) error {
	c := Call{Method: "Replace", Instance: i, Want: workload.Want{Files: files}}
	if err := e.before(ctx, c); err != nil {
		return err
	}
	if err := workload.CheckFiles(files); err != nil {
		return err
	}
	if signal != "" && !slices.Contains(workload.Signals, signal) {
		return fail.Field("signal", "%q is not a signal", signal)
	}
	in, err := e.running(i)
	if err != nil {
		return err
	}
	defer in.op.Unlock()
	e.mu.Lock()
	next := slices.Clone(in.want.Files)
	for _, f := range files {
		n := slices.IndexFunc(next, func(h workload.File) bool { return h.Path == f.Path })
		if n < 0 {
			err = fail.Field("files", "the instance has no file %s", f.Path).Then("a new file needs a new instance")
			break
		}
		if next[n].Live {
			next[n].Content = f.Content
		}
	}
	if err == nil {
		in.want.Files = next
	}
	e.mu.Unlock()
	if err != nil {
		return err
	}
	if signal != "" {
		e.print(in, "stdout", "signal "+signal)
	}
	return e.after(ctx, c, nil)
}

// CopyIn implements workload.Engine.
func (e *Engine) CopyIn(ctx context.Context, i id.ID, folder string, archive io.Reader) error {
	c := Call{Method: "CopyIn", Instance: i}
	if err := e.before(ctx, c); err != nil {
		return err
	}
	if !strings.HasPrefix(folder, "/") {
		return fail.Field("path", "%q is not an absolute path", folder)
	}
	in, err := e.running(i)
	if err != nil {
		return err
	}
	defer in.op.Unlock()
	for t := tar.NewReader(archive); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return e.after(ctx, c, nil)
		}
		if err != nil {
			return fail.Wrap(err, fail.Invalid, "the tar cannot be read")
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		b, err := io.ReadAll(io.LimitReader(t, 64<<20))
		if err != nil {
			return fail.Wrap(err, fail.Invalid, "the tar cannot be read")
		}
		e.mu.Lock()
		if in.user == nil {
			in.user = map[string][]byte{}
		}
		in.user[path.Join(folder, path.Clean("/"+h.Name))] = b
		e.mu.Unlock()
	}
}

// CopyOut implements workload.Engine.
func (e *Engine) CopyOut(ctx context.Context, i id.ID, what string, to io.Writer) error {
	c := Call{Method: "CopyOut", Instance: i}
	if err := e.before(ctx, c); err != nil {
		return err
	}
	if !strings.HasPrefix(what, "/") {
		return fail.Field("path", "%q is not an absolute path", what)
	}
	in, err := e.running(i)
	if err != nil {
		return err
	}
	defer in.op.Unlock()
	what = path.Clean(what)
	e.mu.Lock()
	all := map[string][]byte{}
	for _, f := range in.want.Files {
		all[f.Path] = f.Content
	}
	for p, b := range in.user {
		all[p] = b
	}
	e.mu.Unlock()
	w, found := tar.NewWriter(to), false
	for p, b := range all {
		if p != what && !strings.HasPrefix(p, strings.TrimSuffix(what, "/")+"/") {
			continue
		}
		found = true
		name := path.Join(path.Base(what), strings.TrimPrefix(p, what))
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(b)), Typeflag: tar.TypeReg}); err != nil {
			return err
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	if !found {
		return fail.New(fail.NotFound, "the instance has no %s", what)
	}
	return errors.Join(w.Close(), e.after(ctx, c, nil))
}
