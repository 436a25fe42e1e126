package build

import (
	"bytes"
	"context"
	"io/fs"
	"net/http"
	"path"
	"runtime"
	"strings"

	"github.com/distribution/reference"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"gopkg.in/yaml.v3"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// Alias says that a base stands in for a well-known image: one entry of catalog/aliases.yaml.
type Alias struct {
	Image string
	Tags  []string // patterns: "*" is any text
	Base  string
}

// Resolver implements Images: base images by name, a project's own images, and for the rest the catalogue's aliases or,
// when the operator configured one, an upstream registry.
type Resolver struct {
	Bases    Bases
	Registry Registry
	Aliases  []Alias
	Upstream string            // "mirror.example.org", or "" for none
	Outside  http.RoundTripper // carries requests to Upstream; nil is the default transport
}

// ReadAliases reads the catalogue's aliases.
func ReadAliases(catalog fs.FS) ([]Alias, error) {
	text, err := fs.ReadFile(catalog, "aliases.yaml")
	if err != nil {
		return nil, fail.Wrap(err, fail.Internal, "reading the catalogue's aliases")
	}
	var out []Alias
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&out); err != nil {
		return nil, fail.New(fail.Invalid, "the catalogue's aliases cannot be read").Because(err)
	}
	return out, nil
}

// Resolve implements Images.
func (r *Resolver) Resolve(ctx context.Context, project, image string, log func(string)) (string, error) {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return "", fail.New(fail.Invalid, "%q is not an image's name", image)
	}
	named = reference.TagNameOnly(named)
	domain, repository := reference.Domain(named), reference.Path(named)
	familiar := reference.FamiliarString(named)
	if domain == r.Registry.Host() {
		return r.own(ctx, project, repository, strings.TrimPrefix(named.String(), named.Name()), log)
	}
	if r.Upstream != "" {
		return r.pull(ctx, named, log)
	}
	tag := "latest"
	if t, ok := named.(reference.Tagged); ok {
		tag = t.Tag()
	}
	known := false
	for _, a := range r.Aliases {
		if a.Image != reference.FamiliarName(named) {
			continue
		}
		known = true
		for _, p := range a.Tags {
			if fits, _ := path.Match(p, tag); fits {
				log("no outside registry is configured: the cloud's own base image " + a.Base + " stands in for " + familiar)
				return r.Bases.Ensure(ctx, a.Base, log)
			}
		}
	}
	reason := "this cloud has no image"
	if known {
		reason = "this cloud has no such version of the image"
	}
	return "", fail.New(fail.NotFound, "%s %s, and no outside registry is configured", reason, familiar).
		Then("build on one of the bases (%s), push the image to this cloud's registry and name it %s/PROJECT/NAME, or ask the operator to configure an upstream registry",
			strings.Join(r.baseNames(ctx), ", "), r.Registry.Host())
}

// own is an image that is in the cloud's registry, or a base that can be made.
func (r *Resolver) own(ctx context.Context, project, repository, version string, log func(string)) (string, error) {
	owner, rest, _ := strings.Cut(repository, "/")
	switch {
	case owner == Shared && version == ":latest":
		return r.Bases.Ensure(ctx, rest, log)
	case owner == Shared || owner == project:
		return repository + version, nil
	}
	return "", fail.New(fail.NotFound, "there is no image %s for this project", repository)
}

// pull copies an image from the upstream registry into the shared part of ours.
func (r *Resolver) pull(ctx context.Context, named reference.Named, log func(string)) (string, error) {
	source := strings.TrimSuffix(r.Upstream, "/") + "/" + strings.TrimPrefix(named.String(), reference.Domain(named)+"/")
	from, err := name.ParseReference(source)
	if err != nil {
		return "", fail.New(fail.Invalid, "the upstream registry %s cannot be used", r.Upstream).Because(err)
	}
	outside := r.Outside
	if outside == nil {
		outside = http.DefaultTransport
	}
	log("pulling " + source)
	image, err := remote.Image(from, remote.WithContext(ctx), remote.WithTransport(outside), remote.WithAuthFromKeychain(authn.DefaultKeychain),
		remote.WithPlatform(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}))
	if err != nil {
		return "", fail.New(fail.NotFound, "the upstream registry did not give %s", source).
			Then("check the image's name; the operator can check that the registry has it and answers").Because(err)
	}
	digest, err := image.Digest()
	if err != nil {
		return "", fail.Wrap(err, fail.Unavailable, "reading %s", source)
	}
	repository := Shared + "/upstream/" + reference.Path(named)
	to, err := name.ParseReference(r.Registry.Host() + "/" + repository + "@" + digest.String())
	if err != nil {
		return "", fail.Wrap(err, fail.Internal, "naming %s", source)
	}
	inside := []remote.Option{remote.WithContext(ctx), remote.WithTransport(r.Registry.Transport(""))}
	if _, err := remote.Head(to, inside...); err != nil {
		if err := remote.Write(to, image, inside...); err != nil {
			return "", fail.Wrap(err, fail.Unavailable, "copying %s", source)
		}
	}
	return repository + "@" + digest.String(), nil
}

func (r *Resolver) baseNames(ctx context.Context) []string {
	var names []string
	for b, err := range r.Bases.List(ctx) {
		if err == nil {
			names = append(names, r.Registry.Host()+"/"+Shared+"/"+b.Name)
		}
	}
	return names
}
