package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"strconv"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/config"
	"github.com/awancloud/awan/internal/service/workload"
)

// Phases of an instance.
const (
	phasePlanned  = "planned"  // to be started
	phaseStarting = "starting" // runs, no probe has succeeded yet
	phaseReady    = "ready"
	phaseUnready  = "unready" // was ready; probes fail
	phaseExited   = "exited"
)

// build makes the image that the source asks for, unless it is there already.
func (s *Service) build(ctx context.Context, row *componentRow) error {
	st, src := &row.Status, row.Spec.Source
	if st.Gray != nil { // the images of both releases are there
		return nil
	}
	key := src.key()
	again := st.Next != nil && st.Next.Again
	if st.Next != nil && st.Next.Image != "" { // a roll back: the image is that of the release
		return nil
	}
	if b := st.Built; b != nil && b.From == key && !again {
		st.Next = &Rollout{Image: b.Image, Stack: b.Stack, Commit: st.Commit}
		return nil
	}
	if src.Image != "" {
		image, err := s.resolve(ctx, row)
		if err != nil {
			return fail.Wrap(err, fail.NotFound, "image %s", src.Image)
		}
		st.Next = &Rollout{Image: image, Stack: "image"}
		if again {
			st.Next.Note = "redeploy"
		}
		if outside(src.Image) {
			st.Built = &Built{From: key, Image: image, Stack: "image"}
		}
		return nil
	}
	return s.make(ctx, row, key, again)
}

// configHash names what makes two instances different: everything but how many there are, and what they are called
// and described by.
func configHash(spec ComponentSpec, image, nonce string, env map[string]string, pins config.Pins) string {
	spec = released(spec)
	spec.Source, spec.Metrics = Source{}, Metrics{}
	b, err := json.Marshal(struct {
		Spec  ComponentSpec
		Image string
		Nonce string
		Env   map[string]string
		Pins  config.Pins `json:",omitempty"`
	}{spec, image, nonce, env, pins})
	if err != nil {
		panic(err) // plain data
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:12])
}

// plan decides what should run and writes down the ids of new instances before any of them exists, so that a crash
// leaves nothing that the store does not know.
func (s *Service) plan(ctx context.Context, row *componentRow) error {
	st := &row.Status
	if st.Gray != nil { // both releases are there; how many instances of each may have changed
		s.sizeGray(row)
		s.planInstances(row)
		return nil
	}
	c, err := s.configured(ctx, row)
	if err != nil {
		return err
	}
	st.Next.Pins, st.Config = c.pins, c.fingerprint()
	st.Next.Hash = configHash(row.Spec, st.Next.Image, st.Nonce, c.variables, c.pins)
	if st.Next.Hash == st.Running {
		st.Next = nil
	} else {
		j, _ := job.Current(ctx)
		st.Next.Release, st.Next.Number = id.New(), st.Numbers+1
		if st.Next.Note == "" {
			st.Next.Note = j.Flow
		}
		st.Numbers++
		s.beginGray(row)
	}
	s.planInstances(row)
	return nil
}

// part is a number of instances of one configuration.
type part struct {
	hash    string
	release int
	want    int
}

// parts is what should run at the end of the present operation.
func (s *Service) parts(row *componentRow) []part {
	st := &row.Status
	hash, number := s.target(row)
	out := []part{{hash, number, wanted(row)}}
	if g := st.Gray; g != nil && (g.Phase == grayStarting || g.Phase == grayOpen) {
		out = []part{{st.Running, st.Release, wanted(row)}, {st.Next.Hash, st.Next.Number, g.Instances}}
	}
	return out
}

// planInstances adds planned instances until the wanted number of each part is there. Surplus and old ones are removed
// while rolling.
func (s *Service) planInstances(row *componentRow) {
	for _, p := range s.parts(row) {
		s.planOf(row, p)
	}
}

func (s *Service) planOf(row *componentRow, p part) {
	have := 0
	for _, in := range row.Status.Instances {
		if in.Hash == p.hash {
			have++
		}
	}
	for ; have < p.want; have++ {
		row.Status.Instances = append(row.Status.Instances, Instance{ID: id.New(), Hash: p.hash, Release: p.release, Phase: phasePlanned})
	}
}

// target is the configuration that should run in the end.
func (s *Service) target(row *componentRow) (hash string, number int) {
	if n := row.Status.Next; n != nil && !row.Status.returning() {
		return n.Hash, n.Number
	}
	return row.Status.Running, row.Status.Release
}

func wanted(row *componentRow) int {
	if row.Spec.Stopped {
		return 0
	}
	return row.Spec.Replicas
}

// dropRelease marks a release that did not get live. A gray release that was open stays so.
func (s *Service) dropRelease(ctx context.Context, row *componentRow) error {
	if g := row.Status.Gray; g != nil && g.Phase != grayStarting {
		g.Phase, g.Next = grayOpen, nil
		s.expose(row)
		return nil
	}
	next := row.Status.Next
	row.Status.Next, row.Status.Gray = nil, nil
	if next == nil || next.Release == "" {
		return nil
	}
	_, err := s.Store.Update(ctx, func(tx store.Tx) error {
		r, err := s.Release.Get(tx, next.Release)
		if err != nil || r == nil {
			return err
		}
		r.Status.State = "failed"
		return s.Release.Put(tx, r)
	})
	return err
}

func (s *Service) prefetch(ctx context.Context, row *componentRow) error {
	if row.Status.Next == nil || row.Status.Gray != nil && row.Status.Gray.Phase != grayStarting {
		return nil
	}
	return s.Engine.Prefetch(ctx, row.Status.Next.Image)
}

// settle makes what runs now the component's present.
func (s *Service) settle(ctx context.Context, row *componentRow) error {
	st := &row.Status
	n, g := st.Next, st.Gray
	switch {
	case n == nil:
	case g != nil && (g.Phase == grayStarting || g.Phase == grayOpen):
		g.Phase = grayOpen
	case st.returning():
		st.Next, st.Gray = nil, nil
	default:
		if err := s.after(ctx, row); err != nil {
			return err
		}
		st.Running, st.Release, st.ReleaseID, st.Image, st.Stack, st.Commit = n.Hash, n.Number, n.Release, n.Image, n.Stack, n.Commit
		st.Pins, st.Next, st.Gray = n.Pins, nil, nil
	}
	s.expose(row)
	s.refreshURL(row)
	return nil
}

func (s *Service) environment(ctx context.Context, row *componentRow) (env *environmentRow, err error) {
	err = s.Store.View(ctx, func(tx store.Tx) error {
		env, err = s.Environment.Find(tx, string(row.Project), row.Spec.Environment)
		return err
	})
	return env, err
}

// want describes an instance to the engine.
func (s *Service) want(ctx context.Context, row *componentRow, in Instance) (workload.Want, error) {
	version, image, err := s.version(ctx, row, &in)
	if err != nil {
		return workload.Want{}, err
	}
	pins := row.Status.Pins
	if n := row.Status.Next; n != nil && n.Hash == in.Hash {
		pins = n.Pins
	}
	spec := *version
	w := workload.Want{Image: image, Command: spec.Command, MilliCPU: spec.CPU, MemoryMiB: spec.Memory, StorageMiB: spec.Storage, Pids: spec.Pids,
		Hostname: row.Name, Env: map[string]string{}, Secrets: map[string]string{},
		Labels:  map[string]string{"component": string(row.ID), "name": row.Name, "release": strconv.Itoa(in.Release)},
		Network: workload.Network{Tenant: string(row.Project)}}
	env, err := s.environment(ctx, row)
	if err != nil {
		return w, err
	}
	if env != nil && env.Spec.Egress == "internet" {
		w.Network.Egress = workload.EgressInternet
	}
	if s.Gateway.IsValid() {
		w.Trust = s.Trust
	}
	if err := s.configure(ctx, row, in, &spec, env, pins, &w); err != nil {
		return w, err
	}
	maps.Copy(w.Env, spec.Env)
	for k := range spec.Env { // the component's own wins over what is mounted
		delete(w.Secrets, k)
	}
	w.Env["PORT"] = strconv.Itoa(spec.Port)
	for k, sealed := range spec.Secrets {
		if w.Secrets[k], err = s.Host.Unseal(&row.Meta, "spec", "secrets."+k, sealed); err != nil {
			return w, err
		}
	}
	return w, nil
}

// version gives the spec and the image that an instance runs: those of the row, or of the release it belongs to where
// that is another.
func (s *Service) version(ctx context.Context, row *componentRow, in *Instance) (*ComponentSpec, string, error) {
	st := &row.Status
	image := st.Image
	if st.Next != nil && st.Next.Hash == in.Hash {
		image = st.Next.Image
	}
	if hash, _ := s.target(row); hash == in.Hash {
		return &row.Spec, image, nil
	}
	r, err := s.releaseOf(ctx, row, in.Release)
	if err != nil {
		return nil, "", err
	}
	if r == nil { // it was never stored
		return &row.Spec, image, nil
	}
	spec := new(ComponentSpec)
	if err := json.Unmarshal([]byte(r.Spec.Config), spec); err != nil {
		return nil, "", fail.Wrap(err, fail.Internal, "release %d cannot be read", in.Release)
	}
	return spec, r.Spec.Image, nil
}

// releaseOf finds a component's release by its number; nil when there is none.
func (s *Service) releaseOf(ctx context.Context, row *componentRow, number int) (found *releaseRow, err error) {
	err = s.Store.View(ctx, func(tx store.Tx) error {
		all, err := s.Release.List(tx, string(row.Project), kind.Filter{Index: "component", Value: string(row.ID)})
		for _, r := range all {
			if r.Spec.Number == number {
				found = r
			}
		}
		return err
	})
	return found, err
}
