package buildkit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	gateway "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/errdefs"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/build"
)

// explain turns BuildKit's error into one that names the line and the step, and the limit if one was reached.
func (r *run) explain(ctx context.Context, err error) error {
	vertex := ""
	var v *errdefs.VertexError
	if errors.As(err, &v) {
		vertex = v.Digest
	}
	step := r.progress.failure(vertex)
	at := where(err)
	if step != "" {
		at = "step " + short(step) + at
	} else {
		at = strings.TrimPrefix(strings.TrimPrefix(at, " ("), "") // a line alone
		at = strings.TrimSuffix(at, ")")
	}
	// A limit or a cancellation that we know of explains the rest.
	if cause := context.Cause(ctx); cause != nil {
		e := fail.From(cause)
		if at != "" && e.Kind != fail.Canceled {
			return &fail.Error{Kind: e.Kind, Message: e.Message + " (in " + at + ")", Next: e.Next, Cause: err}
		}
		return &fail.Error{Kind: e.Kind, Message: e.Message, Next: e.Next, Cause: err}
	}
	var known *fail.Error
	if errors.As(err, &known) {
		if at == "" {
			return known
		}
		return &fail.Error{Kind: fail.Invalid, Message: at + ": " + known.Message, Next: known.Next, Cause: err}
	}
	var exit *gateway.ExitError
	if errors.As(err, &exit) {
		if r.starved.Load() {
			return fail.New(fail.Invalid, "%s was ended: the build's memory limit of %d MiB was reached", at, r.want.Limits.MemoryMiB).
				Then("use less memory in this step, or raise the build's memory limit").Because(err)
		}
		extra := ""
		if r.cgroup.full(r.want.Limits.Pids) {
			extra = fmt.Sprintf(" (the limit of %d processes was reached)", r.want.Limits.Pids)
		}
		if r.progress.reachedNobody(vertex) {
			return fail.New(fail.Invalid, "%s failed with exit code %d%s: it could not reach an address that it downloads from", at, exit.ExitCode, extra).
				Then("see the last lines of the build's log for the address; builds reach public addresses only, and the operator can name mirrors (docs/building.md, Where builds download from)").Because(err)
		}
		return fail.New(fail.Invalid, "%s failed with exit code %d%s", at, exit.ExitCode, extra).
			Then("see the last lines of the build's log").Because(err)
	}
	var bad *badDockerfile
	if at == "" && errors.As(err, &bad) {
		return fail.New(fail.Invalid, "the Dockerfile cannot be used: %s", plain(err)).Because(err)
	}
	if at == "" {
		return fail.Wrap(err, fail.Internal, "the build failed inside the cloud")
	}
	return fail.New(fail.Invalid, "%s: %s", at, plain(err)).Because(err)
}

// where names the Dockerfile's line, in brackets.
func where(err error) string {
	for _, s := range errdefs.Sources(err) {
		if len(s.Ranges) > 0 {
			return fmt.Sprintf(" (Dockerfile, line %d)", s.Ranges[0].Start.Line)
		}
	}
	return ""
}

// short is a step's name on one line.
func short(step string) string {
	step = strings.Join(strings.Fields(step), " ")
	if r := []rune(step); len(r) > 160 {
		return string(r[:157]) + "..."
	}
	return step
}

// plain is the innermost reason that BuildKit's frontend gives: about the Dockerfile's text or a file that is missing.
func plain(err error) string {
	s := err.Error()
	for _, prefix := range []string{"failed to solve: ", "dockerfile parse error ", "failed to compute cache key: "} {
		s = strings.TrimPrefix(s, prefix)
	}
	if i := strings.LastIndex(s, "failed to calculate checksum of ref "); i >= 0 {
		if j := strings.Index(s[i:], ": "); j >= 0 {
			s = s[i+j+2:]
		}
	}
	return s
}

// inspect reads the pushed image back: what the platform needs to know to run it.
func inspect(ctx context.Context, registry build.Registry, want build.Want, digest string) (build.Result, error) {
	result := build.Result{Image: want.Image + "@" + digest}
	ref, err := name.NewDigest(registry.Host() + "/" + result.Image)
	if err != nil {
		return build.Result{}, fail.Wrap(err, fail.Internal, "reading the built image")
	}
	image, err := remote.Image(ref, remote.WithContext(ctx), remote.WithTransport(registry.Transport(want.Project)))
	if err != nil {
		return build.Result{}, fail.Wrap(err, fail.Internal, "reading the built image")
	}
	manifest, err := image.Manifest()
	if err != nil {
		return build.Result{}, fail.Wrap(err, fail.Internal, "reading the built image")
	}
	for _, l := range manifest.Layers {
		result.Size += l.Size
	}
	raw, err := image.RawConfigFile()
	if err != nil {
		return build.Result{}, fail.Wrap(err, fail.Internal, "reading the built image")
	}
	var config v1.ConfigFile
	if err := json.Unmarshal(raw, &config); err != nil {
		return build.Result{}, fail.Wrap(err, fail.Internal, "reading the built image")
	}
	result.Config = build.ConfigOf(config.Config.User, append(config.Config.Entrypoint, config.Config.Cmd...), config.Config.Env, config.Config.ExposedPorts)
	return result, nil
}
