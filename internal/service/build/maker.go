package build

import (
	"context"
	"os"
	"path/filepath"

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
	f, err := os.Open(r.Archive)
	if err != nil {
		return Output{}, fail.New(fail.NotFound, "the uploaded source is gone").Because(err).Then("upload it again")
	}
	defer func() { _ = f.Close() }()
	if _, err := Unpack(f, dir, UnpackLimits{}); err != nil {
		return Output{}, err
	}
	source := os.DirFS(dir)
	stacks := m.Stacks
	if r.Stack != "" {
		if stacks = stacks.Named(r.Stack); len(stacks) == 0 {
			return Output{}, fail.Field("spec.source.stack", "there is no stack %q", r.Stack)
		}
	}
	plan, err := stacks.Detect(source, m.Registry.Host(), r.Dockerfile)
	if err != nil {
		return Output{}, err
	}
	p.Log(plan.Explain)
	res, err := m.Engine.Build(ctx, r.ID, Want{Project: r.Project, Context: dir, Dockerfile: plan.Dockerfile, Image: r.Project + "/" + r.Name, Network: true}, p)
	return Output{Result: res, Stack: plan.Stack, Why: plan.Explain}, err
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
