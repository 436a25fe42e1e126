package cloud

import (
	"context"
	"errors"
	"os"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/awancloud/awan/internal/engine/workload/containerd"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/build"
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
	return Engines{Workload: run, Builder: &builder{c}, Close: run.Close}, nil
}

// builder makes images from sources and finds them by name.
type builder struct{ c *Cloud }

// Build turns the archive into an image.
func (b *builder) Build(ctx context.Context, r build.Request, p build.Progress) (build.Output, error) {
	return build.Output{}, fail.New(fail.Unsupported, "not wired yet")
}

// Resolve finds an image that the project may run, in its own repositories or in library/, and gives its digest form.
func (b *builder) Resolve(ctx context.Context, project id.ID, image string) (string, error) {
	repo, _, _ := strings.Cut(image, "/")
	if repo != "library" && repo != string(project) {
		image = string(project) + "/" + image
	}
	ref, err := v1.ParseReference(RegistryHost + "/" + image)
	if err != nil {
		return "", fail.Field("spec.source.image", "%q is not an image reference", image).Then("write name:tag, library/name:tag or name@sha256:…")
	}
	d, err := remote.Head(ref, remote.WithTransport(b.c.Registry.Transport(string(project))), remote.WithContext(ctx))
	if err != nil {
		return "", fail.New(fail.NotFound, "there is no image %s in the registry", image).Because(errors.Unwrap(err)).Then("push it first")
	}
	return ref.Context().RepositoryStr() + "@" + d.Digest.String(), nil
}
