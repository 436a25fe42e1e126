package buildkit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/frontend"
	"github.com/moby/buildkit/frontend/dockerfile/builder"
	"github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/frontend/gateway/forwarder"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/worker"
	digest "github.com/opencontainers/go-digest"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/build"
)

// frontendName is the one frontend there is; keyRun is the option that carries a build's id to it.
const (
	frontendName = "dockerfile.v0"
	keyRun       = "awan-build"
)

// dockerfile is BuildKit's Dockerfile frontend, run in this process with a client between it and the solver that
// decides which images and sources a build may use.
type dockerfile struct {
	workers worker.Infos
	runs    *runs
	host    string
}

func (f *dockerfile) Solve(ctx context.Context, bridge frontend.FrontendLLBBridge, exec executor.Executor, opts map[string]string,
	inputs map[string]*pb.Definition, sid string, sm *session.Manager) (*frontend.Result, error) {
	r := f.runs.get(opts[keyRun])
	if r == nil {
		return nil, errors.New("a build that nobody asked for")
	}
	return forwarder.NewGatewayForwarder(f.workers, func(ctx context.Context, c client.Client) (*client.Result, error) {
		g := &guard{Client: c, run: r, host: f.host}
		res, err := builder.Build(ctx, g)
		if err != nil && !g.solving.Load() {
			err = &badDockerfile{err} // nothing was built yet: it is the Dockerfile that is wrong
		}
		return res, err
	}).Solve(ctx, bridge, exec, opts, inputs, sid, sm)
}

// badDockerfile is an error in the Dockerfile itself.
type badDockerfile struct{ error }

func (e *badDockerfile) Unwrap() error { return e.error }

// guard is the client the frontend sees.
type guard struct {
	client.Client
	run     *run
	host    string
	solving atomic.Bool // the Dockerfile was read and the first step asked for
}

// ResolveImageConfig is asked for every image that a Dockerfile names and that is not one of its own stages: here the
// name becomes an image of the cloud's registry.
func (g *guard) ResolveImageConfig(ctx context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	resolved, err := g.run.images.Resolve(ctx, g.run.want.Project, ref, g.run.progress.log)
	if err != nil {
		return "", "", nil, err
	}
	if !g.readable(resolved) {
		return "", "", nil, fail.New(fail.NotFound, "there is no image %s for this project", ref)
	}
	full, dgst, config, err := g.Client.ResolveImageConfig(ctx, g.host+"/"+resolved, opt)
	if err != nil {
		return "", "", nil, fail.New(fail.NotFound, "there is no image %s", ref).Because(err)
	}
	return full, dgst, config, nil
}

// ResolveSourceMetadata would be another way to the same; the frontend has no need of it.
func (g *guard) ResolveSourceMetadata(context.Context, *pb.SourceOp, sourceresolver.Opt) (*sourceresolver.MetaResponse, error) {
	return nil, fail.New(fail.Unsupported, "only images can be looked up in a build")
}

// readable tells whether the project may use a repository.
func (g *guard) readable(repository string) bool {
	owner, _, _ := strings.Cut(repository, "/")
	return owner == g.run.want.Project || owner == build.Shared
}

// Solve looks at every source of what the frontend wants done before it is done: the build's own files and the images
// resolved above, nothing else. (The solver fetches sources from the host's own network.)
func (g *guard) Solve(ctx context.Context, q client.SolveRequest) (*client.Result, error) {
	if q.Frontend != "" {
		return nil, fail.New(fail.Unsupported, "other build frontends cannot be used")
	}
	if q.Definition != nil {
		for _, b := range q.Definition.Def {
			var op pb.Op
			if err := op.UnmarshalVT(b); err != nil {
				return nil, fmt.Errorf("reading a build step: %w", err)
			}
			if s := op.GetSource(); s != nil {
				if err := g.allowed(s.Identifier); err != nil {
					return nil, err
				}
				if !strings.HasPrefix(s.Identifier, "local://") {
					g.solving.Store(true)
				}
			}
			if x := op.GetExec(); x != nil && (x.Network == pb.NetMode_HOST || x.Security != pb.SecurityMode_SANDBOX) {
				return nil, fail.New(fail.Unsupported, "a RUN step asks for the host's network or for more rights").
					Then("remove --network=host and --security from the Dockerfile")
			}
		}
	}
	return g.Client.Solve(ctx, q)
}

func (g *guard) allowed(source string) error {
	scheme, rest, _ := strings.Cut(source, "://")
	switch scheme {
	case "local":
		return nil
	case "docker-image":
		if repository, ok := strings.CutPrefix(rest, g.host+"/"); ok && g.readable(repository) {
			return nil
		}
		return fail.New(fail.NotFound, "there is no image %s for this project", rest)
	case "http", "https", "git":
		return fail.New(fail.Unsupported, "ADD from an address (%s) is not possible", source).
			Then("add the file to the source, or fetch it in a RUN step")
	}
	return fail.New(fail.Unsupported, "a build cannot use %s", source)
}
