// Package cloudtest starts what clients that we did not write are tried on: a kernel in memory, the listener with its
// own CA, and the dialects. Only tests import it.
package cloudtest

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/console"
	"github.com/awancloud/awan/internal/dialect/auth"
	fedpages "github.com/awancloud/awan/internal/dialect/federation"
	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/dialect/huawei/iam"
	"github.com/awancloud/awan/internal/dialect/huawei/swr"
	"github.com/awancloud/awan/internal/dialect/huawei/vpc"
	"github.com/awancloud/awan/internal/dialect/native"
	"github.com/awancloud/awan/internal/dialect/oidc"
	"github.com/awancloud/awan/internal/dialect/openstack/keystone"
	"github.com/awancloud/awan/internal/dialect/openstack/neutron"
	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/dialect/s3"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/engine/object/mem"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/app"
	"github.com/awancloud/awan/internal/service/bucket"
	"github.com/awancloud/awan/internal/service/delivery"
	"github.com/awancloud/awan/internal/service/endpoint"
	"github.com/awancloud/awan/internal/service/federation"
	"github.com/awancloud/awan/internal/service/network"
	"github.com/awancloud/awan/internal/service/outward"
	"github.com/awancloud/awan/internal/service/registry"
)

// Cloud is a cloud without engines.
type Cloud struct {
	*kerneltest.Kernel
	Federation *federation.Service
	Registry   *registry.Registry
	Images     *registry.Kinds
	Buckets    *bucket.Service
	Network    *network.Service // its rows; nothing carries packets
	CA         *secret.CA
	CAFile     string
	Addr       string // HOST:PORT
	URL        string // https://HOST:PORT
}

// Start starts a cloud on a free port, with kinds beside identity's; it ends with the test.
func Start(t testing.TB, kinds ...*kind.Def) *Cloud {
	t.Helper()
	return StartWith(t, func(b *bucket.Service) bucket.API { return b }, kinds...)
}

// StartWith is Start with something between the protocols of object storage and its service.
func StartWith(t testing.TB, between func(*bucket.Service) bucket.API, kinds ...*kind.Def) *Cloud {
	t.Helper()
	fed, ends := federation.New(federation.Deps{}), endpoint.New()
	c := &Cloud{Federation: fed}
	c.Images = registry.NewKinds(registry.KindDeps{User: func(tx store.Tx, domain id.ID, user string) (id.ID, error) {
		row, err := c.Ident.Kinds.User.Find(tx, string(domain), user)
		if row == nil || err != nil {
			return "", err
		}
		return row.ID, nil
	}})
	c.Buckets = bucket.New(bucket.Deps{})
	c.Network = network.New(network.Deps{Options: network.Options{Region: "awan-1"}, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	carry := delivery.New(delivery.Deps{Images: c.Images, Apps: app.New(app.Deps{}), Door: func() *call.Door { return c.Door }, Log: slog.New(slog.DiscardHandler)})
	c.Kernel = kerneltest.Start(t, nil, slices.Concat(c.Images.All(), carry.Kinds(), fed.Kinds(), ends.All(), c.Buckets.Kinds(), c.Network.Kinds(), kinds)...)
	c.Network.Store = c.Store
	c.Ident.Kinds.Furnish(c.Network)
	if _, err := c.Store.Update(t.Context(), func(tx store.Tx) error {
		p, err := c.Ident.Kinds.Project.Get(tx, c.Admin.ProjectID)
		if err != nil {
			return err
		}
		return c.Network.Furnish(t.Context(), tx, &p.Meta)
	}); err != nil {
		t.Fatal(err)
	}
	c.openBuckets(t)
	fed.Store, fed.Ident, fed.Now, fed.Unseal = c.Store, c.Ident, c.Clock.Now, c.Door.Unseal
	dir := t.TempDir()
	var err error
	c.Registry, err = registry.New(registry.Options{Dir: filepath.Join(dir, "registry"), Host: "registry.test", Store: c.Store,
		Authorize: func(*http.Request, string, []string) (ident.Principal, error) {
			return ident.Principal{}, fail.New(fail.Unauthenticated, "images are moved from inside here")
		},
		Project: func(tx store.Tx, project id.ID) (id.ID, error) {
			row, err := c.Ident.Kinds.Project.Get(tx, project)
			if row == nil || err != nil {
				return "", err
			}
			return row.Domain, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Registry.Close() })
	c.Images.Serve(c.Registry)
	carry.Store, carry.Registry, carry.Now = c.Store, c.Registry, c.Clock.Now
	if c.CA, err = secret.OpenCA(filepath.Join(dir, "ca"), time.Now); err != nil {
		t.Fatal(err)
	}
	c.CAFile = filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(c.CAFile, c.CA.Certificate(), 0o600); err != nil {
		t.Fatal(err)
	}
	a := &auth.Authenticator{Ident: c.Ident, Now: c.Clock.Now, OriginalPath: front.OriginalPath}
	o := wire.Options{Door: c.Door, Auth: a, Region: "awan-1"}
	identity := keystone.Options{Options: o, Federation: fed, Endpoints: ends, Services: []token.CatalogEntry{neutron.CatalogEntry()}}
	networks := neutron.New(neutron.Options{Options: o, Network: c.Network})
	services := append(iam.New(identity).Services(), keystone.New(identity).Service(), oidc.New(fed).Service(),
		fedpages.New(fedpages.Options{Door: c.Door, Fed: fed, Welcome: console.SetSession}).Service(),
		swr.New(swr.Options{Options: o, Kinds: c.Images, Delivery: carry, Host: func(r *http.Request) string { return r.Host }}).Service(c.Registry),
		vpc.New(vpc.Options{Options: o, Network: c.Network, More: networks.Native()}).Service(), networks.Service())
	objects := s3.New(s3.Options{Buckets: between(c.Buckets), Ident: c.Ident, Auth: a, Region: "awan-1", Now: c.Clock.Now,
		DomainName: func(ctx context.Context, domain string) (name string) {
			_ = c.Store.View(ctx, func(tx store.Tx) (err error) {
				name, err = c.Buckets.DomainName(tx, id.ID(domain))
				return err
			})
			return name
		}})
	services = append(services, objects.Service())
	pages := console.New(console.Options{Door: c.Door, Now: c.Clock.Now, Version: "test", Federation: fed, Account: c.Admin.Domain})
	f, err := front.New(front.Options{Listen: "127.0.0.1:0", CA: c.CA, Names: front.Names{Domain: "awan.test", Region: "awan-1"},
		Logger: slog.New(slog.DiscardHandler), Services: services, Apps: objects.Custom,
		Native:  &front.Service{Name: "native", Handler: native.New(c.Door, a, "test")},
		Console: &front.Service{Name: "console", Handler: pages}})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := f.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	c.Addr = f.Addr().String()
	c.URL = "https://" + c.Addr
	return c
}

// openBuckets opens object storage over memory.
func (c *Cloud) openBuckets(t testing.TB) {
	sealer, err := secret.OpenSealer(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c.Buckets.Deps = bucket.Deps{Store: c.Store, Blobs: mem.New(), Sealer: sealer, Now: c.Clock.Now, Log: slog.New(slog.DiscardHandler),
		Outward: outward.New(func(to netip.AddrPort) bool { return to.Addr() == netip.AddrFrom4([4]byte{127, 0, 0, 1}) }, nil),
		DomainName: func(tx store.Tx, domain id.ID) (string, error) {
			d, err := c.Ident.Kinds.Domain.Get(tx, domain)
			if d == nil || err != nil {
				return "", err
			}
			return d.Name, nil
		}}
	c.Door.Own = c.Buckets.Own
	c.Buckets.Serve(c.Door)
	if err := c.Buckets.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Buckets.Close)
}

// Client trusts the cloud's CA.
func (c *Cloud) Client(t testing.TB) *http.Client {
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.CA.Pool()}, ForceAttemptHTTP2: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: time.Minute}
}
