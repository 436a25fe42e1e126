package cloud

import (
	"context"
	"errors"
	"os"

	"github.com/awancloud/awan/catalog"
	"github.com/awancloud/awan/internal/engine/base/debian"
	"github.com/awancloud/awan/internal/engine/build/buildkit"
	"github.com/awancloud/awan/internal/engine/workload/containerd"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/build"
	"github.com/awancloud/awan/internal/service/registry"
)

// Local makes the engines of one machine: containers by containerd within this process, builds by BuildKit.
func Local(ctx context.Context, c *Cloud) (Engines, error) {
	if os.Geteuid() != 0 {
		return Engines{}, fail.New(fail.Unsupported, "running containers needs root").Then("start it with sudo: sudo awan up --data %s", c.Data)
	}
	subnet, err := containerd.PickSubnet(c.path("engine"))
	if err != nil {
		return Engines{}, err
	}
	run, err := containerd.Open(ctx, containerd.Options{Dir: c.path("engine"), Key: c.Key, Subnet: subnet, Registry: c.Registry.Transport(""),
		RegistryHost: RegistryHost, Logger: c.Log})
	if err != nil {
		return Engines{}, err
	}
	maker, close, err := c.maker(run)
	if err != nil {
		return Engines{}, errors.Join(err, run.Close())
	}
	sources, closeSources, err := c.sources(maker)
	if err != nil {
		return Engines{}, errors.Join(err, close(), run.Close())
	}
	e := Engines{Workload: run, Builder: &builder{maker, c.Registry}, Sources: sources, Gateway: run.Gateway(), Inside: run.Inside()}
	closeMachines := func() error { return nil }
	e.Close = func() error { return errors.Join(closeMachines(), closeSources(), close(), run.Close()) }
	if c.Simulate {
		return e, c.simulate(&e)
	}
	closer, err := c.machines(ctx, &e)
	if err != nil {
		return Engines{}, errors.Join(err, e.Close())
	}
	closeMachines = closer
	return e, nil
}

// maker wires builds: base images from the machine's packages, recipes from the catalogue, BuildKit.
func (c *Cloud) maker(run *containerd.Engine) (*build.Maker, func() error, error) {
	stacks, err := build.ReadStacks(catalog.Files())
	if err != nil {
		return nil, nil, err
	}
	aliases, err := build.ReadAliases(catalog.Files())
	if err != nil {
		return nil, nil, err
	}
	bases, err := debian.New(debian.Options{Dir: c.path("bases"), Registry: c.Registry, Catalog: catalog.Files(),
		Upstream: c.UpstreamBases, Logger: c.Log})
	if err != nil {
		return nil, nil, err
	}
	engine, err := buildkit.New(buildkit.Options{Dir: c.path("build"), Key: c.Key, Registry: c.Registry,
		Images: &build.Resolver{Bases: bases, Registry: c.Registry, Aliases: aliases, Upstream: c.Upstream}, Net: guests{run}, Env: build.MachineEnv, Logger: c.Log})
	if err != nil {
		return nil, nil, err
	}
	return &build.Maker{Engine: engine, Stacks: stacks, Registry: c.Registry, Dir: c.path("build", "sources")}, engine.Close, nil
}

// guests gives build steps a network of their own.
type guests struct{ *containerd.Engine }

// Attach makes a step's network.
func (g guests) Attach(ctx context.Context, _ string) (string, func(), error) { return g.Guest(ctx) }

// builder makes images from sources and finds them by name.
type builder struct {
	*build.Maker
	registry *registry.Registry
}

// Resolve finds an image that the project may run, in its own repositories or in library/, and gives its digest form.
func (b *builder) Resolve(ctx context.Context, project id.ID, image string) (string, error) {
	return b.registry.Locate(ctx, project, image)
}
