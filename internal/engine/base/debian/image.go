package debian

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"sort"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/build"
)

// layer is a compressed layer in a file.
type layer struct {
	path         string
	digest, diff v1.Hash
	size         int64
}

func (l *layer) Digest() (v1.Hash, error)             { return l.digest, nil }
func (l *layer) DiffID() (v1.Hash, error)             { return l.diff, nil }
func (l *layer) Size() (int64, error)                 { return l.size, nil }
func (l *layer) MediaType() (types.MediaType, error)  { return types.OCILayerZStd, nil }
func (l *layer) Compressed() (io.ReadCloser, error)   { return os.Open(l.path) }
func (l *layer) Uncompressed() (io.ReadCloser, error) { return nil, errors.New("kept compressed") }

// pack writes what root has beyond lower ("" is nothing) as a layer in work. zstd packs a base in a second or two where
// gzip takes ten.
func pack(ctx context.Context, lower, root, work string) (*layer, error) {
	f, err := os.CreateTemp(work, "layer-")
	if err != nil {
		return nil, fail.Wrap(err, fail.NoSpace, "packing a base image")
	}
	defer f.Close()
	packed, plain := sha256.New(), sha256.New()
	z, err := zstd.NewWriter(io.MultiWriter(f, packed), zstd.WithEncoderConcurrency(2))
	if err != nil {
		return nil, fail.Wrap(err, fail.Internal, "packing a base image")
	}
	err = archive.WriteDiff(ctx, io.MultiWriter(z, plain), lower, root)
	if err := errors.Join(err, z.Close()); err != nil {
		return nil, fail.Wrap(err, fail.NoSpace, "packing a base image")
	}
	info, err := f.Stat()
	if err != nil {
		return nil, fail.Wrap(err, fail.Internal, "packing a base image")
	}
	sum := func(b []byte) v1.Hash { return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(b)} }
	return &layer{path: f.Name(), digest: sum(packed.Sum(nil)), diff: sum(plain.Sum(nil)), size: info.Size()}, nil
}

func (b *Bases) repository(base string) string {
	return b.o.Registry.Host() + "/" + build.Shared + "/" + base
}

func (b *Bases) inside(ctx context.Context) []remote.Option {
	return []remote.Option{remote.WithContext(ctx), remote.WithTransport(b.o.Registry.Transport("")), remote.WithAuth(authn.Anonymous)}
}

// push puts layers on the base below, with the recipe's settings, into the registry under the base's name.
func (b *Bases) push(ctx context.Context, r recipe, below build.Base, layers []v1.Layer) (build.Base, error) {
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if below.Ref != "" {
		ref, err := name.NewDigest(b.o.Registry.Host() + "/" + below.Ref)
		if err != nil {
			return build.Base{}, fail.Wrap(err, fail.Internal, "the base image below %s", r.Name)
		}
		if image, err = remote.Image(ref, b.inside(ctx)...); err != nil {
			return build.Base{}, fail.Wrap(err, fail.Internal, "reading the base image below %s", r.Name)
		}
	}
	var err error
	for _, l := range layers {
		image, err = mutate.Append(image, mutate.Addendum{Layer: l, History: v1.History{
			CreatedBy: "awan base " + r.Name, Created: v1.Time{Time: time.Now().UTC()}}})
		if err != nil {
			return build.Base{}, fail.Wrap(err, fail.Internal, "putting the base image %s together", r.Name)
		}
	}
	config, err := image.ConfigFile()
	if err != nil {
		return build.Base{}, fail.Wrap(err, fail.Internal, "putting the base image %s together", r.Name)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Created = v1.Time{Time: time.Now().UTC()}
	config.Config = settings(r)
	if image, err = mutate.ConfigFile(image, config); err != nil {
		return build.Base{}, fail.Wrap(err, fail.Internal, "putting the base image %s together", r.Name)
	}
	return b.store(ctx, r.Name, image)
}

// store writes an image into the registry and tells what a base is known by.
func (b *Bases) store(ctx context.Context, base string, image v1.Image) (build.Base, error) {
	digest, err := image.Digest()
	if err != nil {
		return build.Base{}, fail.Wrap(err, fail.Internal, "putting the base image %s together", base)
	}
	tag, err := name.ParseReference(b.repository(base) + ":latest")
	if err != nil {
		return build.Base{}, fail.Wrap(err, fail.Internal, "naming the base image %s", base)
	}
	if err := remote.Write(tag, image, b.inside(ctx)...); err != nil {
		return build.Base{}, fail.Wrap(err, fail.NoSpace, "storing the base image %s", base)
	}
	size := int64(0)
	if m, err := image.Manifest(); err == nil {
		for _, l := range m.Layers {
			size += l.Size
		}
	}
	return build.Base{Name: base, Ref: build.Shared + "/" + base + "@" + digest.String(), Digest: digest.String(), Size: size}, nil
}

func settings(r recipe) v1.Config {
	c := v1.Config{User: r.User, WorkingDir: r.Workdir, Cmd: r.Command, ExposedPorts: map[string]struct{}{}}
	for k, v := range r.Env {
		c.Env = append(c.Env, k+"="+v)
	}
	sort.Strings(c.Env)
	for _, p := range r.Ports {
		c.ExposedPorts[fmt.Sprintf("%d/tcp", p)] = struct{}{}
	}
	return c
}

// present tells whether the registry still has the image.
func (b *Bases) present(ctx context.Context, ref string) bool {
	d, err := name.NewDigest(b.o.Registry.Host() + "/" + ref)
	if err != nil {
		return false
	}
	_, err = remote.Head(d, b.inside(ctx)...)
	return err == nil
}

// pull takes a base from the registry that the operator named.
func (b *Bases) pull(ctx context.Context, base string, log func(string)) (build.Base, error) {
	source := strings.TrimSuffix(b.o.Upstream, "/") + "/" + base + ":latest"
	log("pulling the base image " + source)
	ref, err := name.ParseReference(source)
	if err != nil {
		return build.Base{}, fail.New(fail.Invalid, "the upstream registry %s cannot be used", b.o.Upstream).Because(err)
	}
	transport := b.o.UpstreamTransport
	if transport == nil {
		transport = http.DefaultTransport
	}
	image, err := remote.Image(ref, remote.WithContext(ctx), remote.WithTransport(transport), remote.WithAuthFromKeychain(authn.DefaultKeychain),
		remote.WithPlatform(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}))
	if err != nil {
		return build.Base{}, fail.Wrap(err, fail.Unavailable, "the upstream registry did not give %s", source).
			Then("check the registry's name and that it has this image, or configure none: bases are then made here")
	}
	made, err := b.store(ctx, base, image)
	made.Sources = []string{source + "@" + made.Digest}
	return made, err
}
