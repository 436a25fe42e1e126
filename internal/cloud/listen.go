package cloud

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/awancloud/awan/internal/console"
	"github.com/awancloud/awan/internal/dialect/auth"
	fedpages "github.com/awancloud/awan/internal/dialect/federation"
	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/dialect/huawei/iam"
	"github.com/awancloud/awan/internal/dialect/huawei/servicestage"
	"github.com/awancloud/awan/internal/dialect/huawei/swr"
	"github.com/awancloud/awan/internal/dialect/native"
	"github.com/awancloud/awan/internal/dialect/oidc"
	"github.com/awancloud/awan/internal/dialect/openstack/keystone"
	"github.com/awancloud/awan/internal/dialect/prometheus"
	"github.com/awancloud/awan/internal/dialect/s3"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/service/registry"
)

// RegistryHost is the name under which images are addressed inside the cloud.
const RegistryHost = "registry.awan.internal"

// openRegistry opens the image registry.
func (c *Cloud) openRegistry(context.Context) error {
	limits, err := defaultQuotas()
	if err != nil {
		return err
	}
	r, err := registry.New(registry.Options{Dir: c.path("registry"), Depot: c.Buckets.Depot("registry"), Host: RegistryHost, Logger: c.Log, Authorize: c.authorizeImages,
		Token: http.HandlerFunc(c.imageToken), Store: c.Store, Limits: limits, Project: c.domainOf})
	if err != nil {
		return err
	}
	c.Registry = r
	c.closing(r.Close)
	return nil
}

// openFront starts the one listener with every dialect behind it.
func (c *Cloud) openFront() error {
	a := &auth.Authenticator{Ident: c.Ident, Now: time.Now, OriginalPath: front.OriginalPath, Services: servicesOf}
	api := native.New(c.Door, a, c.Version)
	api.Domain, api.CA = c.Domain, c.CA.Certificate
	objects := s3.New(s3.Options{Buckets: c.Buckets, Ident: c.Ident, Auth: a, Region: c.Region, Now: time.Now, Logger: c.Log, DomainName: c.nameOf,
		Access: c.Buckets.LogAccess})
	f, err := front.New(front.Options{Listen: c.Listen, CA: c.CA, Names: front.Names{Domain: c.Domain, Region: c.Region}, Logger: c.Log,
		Native: &front.Service{Name: "native", Handler: withRequestID(api), MaxBody: -1},
		Console: &front.Service{Name: "console", Handler: withRequestID(console.New(console.Options{Door: c.Door, Version: c.Version, URL: "https://" + c.Listen,
			Federation: c.Federation, Account: c.Account, Metrics: c.Metrics, Buckets: c.Buckets, World: c.IaaS.Networks.World, API: withRequestID(api)})), MaxBody: -1},
		Services: append(c.services(a), objects.Service()),
		Inside:   c.App.Inside(), InsideName: c.App.InsideName,
		Apps: appsThen(c.Access.Handler, objects.Custom), Certificate: c.Access.Certificate})
	if err != nil {
		return err
	}
	if err := f.Start(); err != nil {
		return err
	}
	c.Front = f
	c.closing(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		return f.Shutdown(ctx)
	})
	return nil
}

// services is THE list of dialects, in the order in which they claim a shared path.
func (c *Cloud) services(a *auth.Authenticator) []front.Service {
	o := wire.Options{Door: c.Door, Auth: a, Region: c.Region}
	identity := keystone.Options{Options: o, Federation: c.Federation, Endpoints: c.Endpoints, Services: openstackCatalog()}
	stage := servicestage.New(servicestage.Options{Door: c.Door, Auth: a, App: c.App, Config: c.Config, Access: c.Access, Region: c.Region})
	images := swr.New(swr.Options{Options: o, Kinds: c.Images, Delivery: c.Delivery, Host: c.registryName})
	return slices.Concat(iam.New(identity).Services(), stage.Services(), c.machineServices(a, o), []front.Service{keystone.New(identity).Service(), oidc.New(c.Federation).Service(),
		fedpages.New(fedpages.Options{Door: c.Door, Fed: c.Federation, Welcome: console.SetSession}).Service(), images.Service(c.Registry),
		prometheus.New(prometheus.Options{Metrics: c.Metrics, Alarms: c.Alarms, Door: c.Door, User: c.imageUser}).Service(),
		front.Service{Name: "git", Handler: withRequestID(c.gitHandler()), MaxBody: -1},
		front.Service{Name: "registry", HostOnly: true, Match: front.OCI, Handler: c.Registry, MaxBody: -1}})
}

// servicesOf are the names under which clients know the service that a request is to: its own, and the catalog's.
func servicesOf(r *http.Request) []string {
	name := front.From(r.Context()).Service
	names := []string{name}
	switch name {
	case "identity", "iam":
		return []string{"identity", "keystone", "iam"}
	case "obs":
		return []string{"obs", "s3", "object-store"}
	}
	for _, e := range openstackCatalog() {
		if e.Name == name || e.Type == name {
			names = append(names, e.Type, e.Name)
		}
	}
	return names
}

// appsThen asks for an app of a name, then for a bucket that its owner gave the name.
func appsThen(apps, buckets func(host string) http.Handler) func(host string) http.Handler {
	return func(host string) http.Handler {
		if h := apps(host); h != nil {
			return h
		}
		return buckets(host)
	}
}

// withRequestID hands the listener's request id to dialects that read it from the request.
func withRequestID(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if info := front.From(r.Context()); info.RequestID != "" {
			r.Header.Set("X-Request-Id", info.RequestID)
		}
		h.ServeHTTP(w, r)
	})
}
