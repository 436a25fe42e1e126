package cloud

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/name"
	oci "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/awancloud/awan/internal/dialect/git"
	gitengine "github.com/awancloud/awan/internal/engine/build/git"
	"github.com/awancloud/awan/internal/engine/build/outward"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/app"
	"github.com/awancloud/awan/internal/service/build"
)

// Sources are where apps come from beside uploads. Nil parts are not offered.
type Sources struct {
	Git    build.Git
	Pull   func(ctx context.Context, project id.ID, image string, access *build.Access) (string, error)
	Caches app.Caches

	Download app.Download
}

// sources wires git, other registries and the builder's caches.
func (c *Cloud) sources(maker *build.Maker) (Sources, func() error, error) {
	dialer, err := outward.New(c.AllowSources)
	if err != nil {
		return Sources{}, nil, err
	}
	engine, err := gitengine.New(gitengine.Options{Dir: c.path("git"), Work: c.path("build", "git"), Run: filepath.Join("/run", "awan-"+c.Key, "git"), Key: c.Key, Sealer: c.sealer,
		Dial: dialer.DialContext, Logger: c.Log})
	if err != nil {
		return Sources{}, nil, err
	}
	caches, _ := maker.Engine.(app.Caches)
	p := &puller{dialer: dialer, registry: c.Registry, allowed: c.Registries}
	return Sources{Git: engine, Pull: p.pull, Download: p.download, Caches: caches}, engine.Close, nil
}

func (c *Cloud) gitHandler() http.Handler {
	return &git.Handler{Door: c.Door, Ident: c.Ident, App: c.App, Account: c.Account}
}

// projects lists every project.
func (c *Cloud) projects(tx store.Tx) ([]id.ID, error) {
	rows, err := c.Ident.Kinds.Project.List(tx, "", kind.Filter{})
	out := make([]id.ID, len(rows))
	for i, r := range rows {
		out[i] = r.ID
	}
	return out, err
}

// puller copies images of other registries, of those that the operator allows.
type puller struct {
	dialer   *outward.Dialer
	registry build.Registry
	allowed  []string
}

func (p *puller) pull(ctx context.Context, project id.ID, image string, access *build.Access) (string, error) {
	from, err := v1.ParseReference(image, v1.WithDefaultRegistry(""))
	if err != nil {
		return "", fail.Field("spec.source.image", "%q is not an image reference", image).Then("write HOST/NAME:TAG or HOST/NAME@sha256:…")
	}
	host := from.Context().RegistryStr()
	if !slices.Contains(p.allowed, host) {
		return "", fail.Field("spec.source.image", "images of %s are not allowed here", host).
			Then("push the image to this cloud's registry; the operator can allow the other one: awan up --allow-registries %s", host)
	}
	outside, err := p.transport(access)
	if err != nil {
		return "", err
	}
	options := []remote.Option{remote.WithContext(ctx), remote.WithTransport(outside), remote.WithPlatform(oci.Platform{OS: "linux", Architecture: runtime.GOARCH})}
	if access != nil && access.Password != "" {
		options = append(options, remote.WithAuth(&authn.Basic{Username: access.Username, Password: access.Password}))
	}
	found, err := remote.Image(from, options...)
	if err != nil {
		return "", refusedBy(err, image, host)
	}
	digest, err := found.Digest()
	if err != nil {
		return "", fail.New(fail.Invalid, "%s gave an image that cannot be read", host).Because(err)
	}
	repository := string(project) + "/" + strings.NewReplacer(":", "-").Replace(host) + "/" + from.Context().RepositoryStr()
	to, err := v1.ParseReference(p.registry.Host() + "/" + repository + "@" + digest.String())
	if err != nil {
		return "", fail.Wrap(err, fail.Internal, "naming %s", image)
	}
	inside := []remote.Option{remote.WithContext(ctx), remote.WithTransport(p.registry.Transport(""))}
	if _, err := remote.Head(to, inside...); err != nil {
		if err := remote.Write(to, found, inside...); err != nil {
			return "", refusedBy(err, image, host)
		}
	}
	return repository + "@" + digest.String(), nil
}

// transport reaches the other registry, by https alone.
func (p *puller) transport(access *build.Access) (http.RoundTripper, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy, t.DialContext, t.ResponseHeaderTimeout = nil, p.dialer.DialContext, time.Minute
	if access != nil && access.CA != "" {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(bytes.TrimSpace([]byte(access.CA))) {
			return nil, fail.Field("spec.source.credential", "the credential's certificate authority cannot be read")
		}
		t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return httpsOnly{t}, nil
}

type httpsOnly struct{ *http.Transport }

func (h httpsOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		return nil, fail.New(fail.Denied, "%s is not reached by https", r.URL.Host)
	}
	return h.Transport.RoundTrip(r)
}

func refusedBy(err error, image, host string) error {
	var known *fail.Error
	var answer *transport.Error
	switch {
	case errors.As(err, &known):
		return known // who asked says about which image
	case errors.As(err, &answer) && (answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden):
		return fail.Field("spec.source.credential", "%s does not let us have %s", host, image).Because(err).Then("name a credential that may: awan credential create NAME --host %s --username USER --password @FILE", host)
	case errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound:
		return fail.Field("spec.source.image", "%s has no %s", host, image).Because(err)
	}
	return fail.New(fail.Invalid, "%s cannot be had from %s", image, host).Because(err).Then("check the name; try again later")
}
