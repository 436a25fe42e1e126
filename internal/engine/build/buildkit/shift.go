package buildkit

import (
	"context"
	"errors"
	"os"
	"reflect"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/moby/buildkit/executor"
	"golang.org/x/sys/unix"
)

// shift is a mountable seen through the shifted view.
type shift struct {
	executor.Mountable
	steps *steps
	watch *watch
	root  bool
}

func (m *shift) Mount(ctx context.Context, readonly bool) (executor.MountableRef, error) {
	ref, err := m.Mountable.Mount(ctx, readonly)
	if err != nil {
		return nil, err
	}
	return &shiftRef{unshared(ref), m}, nil
}

// unshared gives the mounts themselves where BuildKit has wrapped them in one that it mounts first, for steps that
// write to the same cache: it would mount them unshifted. The wrapper's type is not exported, its field is.
func unshared(ref executor.MountableRef) executor.MountableRef {
	v := reflect.ValueOf(ref)
	if v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.Struct && v.Elem().Type().Name() == "sharableMountable" {
		if inner, ok := v.Elem().FieldByName("Mountable").Interface().(executor.MountableRef); ok {
			return inner
		}
	}
	return ref
}

type shiftRef struct {
	executor.MountableRef
	of *shift
}

func (r *shiftRef) Mount() ([]mount.Mount, func() error, error) {
	mounts, release, err := r.MountableRef.Mount()
	if err != nil {
		return nil, nil, err
	}
	s := r.of.steps
	from, to := s.snapshots+"/", s.shifted+"/"
	out := make([]mount.Mount, len(mounts))
	for i, m := range mounts {
		// What is watched is where the mount writes: the upper half of an overlay, or a bound folder itself.
		upper, writable := "", ""
		if m.Type != "overlay" && strings.HasPrefix(m.Source, from) && !m.ReadOnly() {
			writable = m.Source
		}
		options := make([]string, len(m.Options))
		for j, o := range m.Options {
			if folder, ok := strings.CutPrefix(o, "upperdir="); ok {
				upper, writable = folder, folder
			}
			options[j] = strings.ReplaceAll(o, from, to)
		}
		if writable != "" {
			r.of.watch.add(writable, r.of.root)
		}
		if rest, ok := strings.CutPrefix(m.Source, from); ok {
			m.Source = to + rest
		}
		m.Options = options
		if upper != "" && !r.of.root {
			bound, drop, err := s.share(upper, m)
			if err != nil {
				return nil, nil, errors.Join(err, call(release))
			}
			before := release
			m, release = bound, func() error { return errors.Join(drop(), call(before)) }
		}
		out[i] = m
	}
	return out, release, nil
}

func call(release func() error) error {
	if release == nil {
		return nil
	}
	return release()
}

// sharedMount is an overlay that several steps write to at a time. It is mounted once: the kernel does not allow the
// same upper folder in two overlays.
type sharedMount struct {
	at    string
	users int
}

// share mounts m, unless it is mounted already, and gives a bind mount of it. drop gives it back.
func (s *steps) share(upper string, m mount.Mount) (_ mount.Mount, drop func() error, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.shared[upper]
	if x == nil {
		at, err := os.MkdirTemp(s.scratch, "shared-")
		if err != nil {
			return mount.Mount{}, nil, err
		}
		if err := mount.All([]mount.Mount{m}, at); err != nil {
			return mount.Mount{}, nil, errors.Join(err, os.Remove(at))
		}
		x = &sharedMount{at: at}
		s.shared[upper] = x
	}
	x.users++
	return mount.Mount{Type: "bind", Source: x.at, Options: []string{"rw", "rbind"}}, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if x.users--; x.users > 0 {
			return nil
		}
		delete(s.shared, upper)
		return errors.Join(unix.Unmount(x.at, unix.MNT_DETACH), os.Remove(x.at))
	}, nil
}
