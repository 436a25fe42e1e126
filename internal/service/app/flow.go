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
	"github.com/awancloud/awan/internal/kernel/store"
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

// configHash names what makes two instances different: everything but how many there are.
func configHash(spec ComponentSpec, image, nonce string, env map[string]string) string {
	spec.Replicas, spec.Stopped, spec.Source, spec.Strategy = 0, false, Source{}, ""
	b, err := json.Marshal(struct {
		Spec  ComponentSpec
		Image string
		Nonce string
		Env   map[string]string
	}{spec, image, nonce, env})
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
	env, err := s.variables(ctx, row)
	if err != nil {
		return err
	}
	st.Next.Hash = configHash(row.Spec, st.Next.Image, st.Nonce, env)
	if st.Next.Hash == st.Running {
		st.Next = nil
	} else {
		j, _ := job.Current(ctx)
		st.Next.Release, st.Next.Number = id.New(), st.Numbers+1
		if st.Next.Note == "" {
			st.Next.Note = j.Flow
		}
		st.Numbers++
	}
	s.planInstances(row)
	return nil
}

// planInstances adds planned instances until the wanted number of the wanted kind is there. Surplus and old ones are
// removed while rolling.
func (s *Service) planInstances(row *componentRow) {
	hash, number := s.target(row)
	have := 0
	for _, in := range row.Status.Instances {
		if in.Hash == hash {
			have++
		}
	}
	for ; have < wanted(row); have++ {
		row.Status.Instances = append(row.Status.Instances, Instance{ID: id.New(), Hash: hash, Release: number, Phase: phasePlanned})
	}
}

// target is the configuration that should run in the end.
func (s *Service) target(row *componentRow) (hash string, number int) {
	if n := row.Status.Next; n != nil {
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

// dropRelease marks a release that did not get live.
func (s *Service) dropRelease(ctx context.Context, row *componentRow) error {
	next := row.Status.Next
	row.Status.Next = nil
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
	if row.Status.Next == nil {
		return nil
	}
	return s.Engine.Prefetch(ctx, row.Status.Next.Image)
}

// settle makes what runs now the component's present.
func (s *Service) settle(_ context.Context, row *componentRow) error {
	st := &row.Status
	if n := st.Next; n != nil {
		st.Running, st.Release, st.ReleaseID, st.Image, st.Stack, st.Commit = n.Hash, n.Number, n.Release, n.Image, n.Stack, n.Commit
		st.Next = nil
	}
	s.refreshURL(row)
	return nil
}

// variables are those of the environment.
func (s *Service) variables(ctx context.Context, row *componentRow) (map[string]string, error) {
	env, err := s.environment(ctx, row)
	if err != nil || env == nil {
		return nil, err
	}
	return env.Spec.Variables, nil
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
	spec := row.Spec
	image := row.Status.Image
	if n := row.Status.Next; n != nil && n.Hash == in.Hash {
		image = n.Image
	}
	w := workload.Want{Image: image, Command: spec.Command, MilliCPU: spec.CPU, MemoryMiB: spec.Memory, StorageMiB: spec.Storage, Pids: spec.Pids,
		Hostname: row.Name, Env: map[string]string{}, Secrets: map[string]string{},
		Labels:  map[string]string{"component": string(row.ID), "name": row.Name, "release": strconv.Itoa(in.Release)},
		Network: workload.Network{Tenant: string(row.Project)}}
	env, err := s.environment(ctx, row)
	if err != nil {
		return w, err
	}
	if env != nil {
		maps.Copy(w.Env, env.Spec.Variables)
		if env.Spec.Egress == "internet" {
			w.Network.Egress = workload.EgressInternet
		}
	}
	maps.Copy(w.Env, spec.Env)
	w.Env["PORT"] = strconv.Itoa(spec.Port)
	for k, sealed := range spec.Secrets {
		if w.Secrets[k], err = s.Host.Unseal(&row.Meta, "spec", "secrets."+k, sealed); err != nil {
			return w, err
		}
	}
	return w, nil
}
