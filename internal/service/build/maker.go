package build

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// Maker turns uploaded sources into images: unpack, detect, build.
type Maker struct {
	Engine   Engine
	Stacks   Stacks
	Registry Registry
	Dir      string // working files; emptied when a build ends
}

// Build makes one image. Everything the user should know goes to p.
func (m *Maker) Build(ctx context.Context, r Request, p Progress) (Output, error) {
	dir := filepath.Join(m.Dir, string(r.ID))
	if err := os.RemoveAll(dir); err != nil { // of a build that was cut off
		return Output{}, fail.Wrap(err, fail.Unavailable, "the working folder cannot be emptied")
	}
	defer func() { _ = os.RemoveAll(dir) }() // the next build of this id empties it anyway
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return Output{}, fail.Wrap(err, fail.NoSpace, "the working folder cannot be made")
	}
	kind, err := unpackAny(r.Archive, dir)
	if err != nil {
		return Output{}, err
	}
	runtimes := r.Runtimes
	if runtimes == nil {
		runtimes = m.Stacks.Runtimes()
	}
	choice := Choice{Registry: m.Registry.Host(), Dockerfile: r.Dockerfile, Stack: r.Stack, Package: kind, Runtimes: runtimes, Now: time.Now()}
	plan, err := m.Stacks.detect(os.DirFS(dir), choice)
	if err != nil && kind == "" && r.Dockerfile == "" {
		// Archives of a release often hold one folder with everything in it.
		if inner := onlyFolder(dir); inner != "" {
			if other, oerr := m.Stacks.detect(os.DirFS(inner), choice); oerr == nil {
				plan, err, dir = other, nil, inner
			}
		}
	}
	if err != nil {
		return Output{}, err
	}
	for l := range strings.Lines(plan.Explain) {
		p.Log(strings.TrimSpace(l))
	}
	for _, m := range emptySubmodules(os.DirFS(dir)) {
		p.Log("warning: the submodule " + m + " is empty: a push does not bring submodules along; deploy the repository with --git, or upload a folder in which they are checked out")
	}
	if n := lfsPointers(os.DirFS(dir)); n > 0 {
		p.Log(fmt.Sprintf("warning: %d files are pointers of Git LFS: a push does not bring what they point to along; deploy the repository with --git, or upload a folder in which they are checked out", n))
	}
	res, err := m.Engine.Build(ctx, r.ID, Want{Project: r.Project, Context: dir, Dockerfile: plan.Dockerfile, Image: r.Project + "/" + r.Name, Network: true}, p)
	stack := plan.Stack
	if plan.Runtime != "" {
		stack = plan.Runtime
	}
	return Output{Result: res, Stack: stack, Why: plan.Explain}, err
}

// onlyFolder gives the one folder that is all there is in dir.
func onlyFolder(dir string) string {
	all, err := os.ReadDir(dir)
	if err != nil || len(all) != 1 || !all[0].IsDir() {
		return ""
	}
	return filepath.Join(dir, all[0].Name())
}

// Named keeps only the stack of this name.
func (s Stacks) Named(name string) Stacks {
	for _, st := range s {
		if st.Name == name {
			return Stacks{st}
		}
	}
	return nil
}
