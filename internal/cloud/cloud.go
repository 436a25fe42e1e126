package cloud

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/awancloud/awan/catalog"
	"github.com/awancloud/awan/internal/adminenv"
	"github.com/awancloud/awan/internal/cloud/iaas"
	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/kernel/store/pebble"
	"github.com/awancloud/awan/internal/service/access"
	"github.com/awancloud/awan/internal/service/alarm"
	"github.com/awancloud/awan/internal/service/app"
	"github.com/awancloud/awan/internal/service/asbuilt"
	"github.com/awancloud/awan/internal/service/balancer"
	"github.com/awancloud/awan/internal/service/bucket"
	"github.com/awancloud/awan/internal/service/build"
	"github.com/awancloud/awan/internal/service/compute"
	"github.com/awancloud/awan/internal/service/config"
	"github.com/awancloud/awan/internal/service/delivery"
	"github.com/awancloud/awan/internal/service/disk"
	"github.com/awancloud/awan/internal/service/dns"
	"github.com/awancloud/awan/internal/service/endpoint"
	"github.com/awancloud/awan/internal/service/fabric"
	"github.com/awancloud/awan/internal/service/federation"
	"github.com/awancloud/awan/internal/service/image"
	"github.com/awancloud/awan/internal/service/machine"
	"github.com/awancloud/awan/internal/service/metric"
	"github.com/awancloud/awan/internal/service/network"
	"github.com/awancloud/awan/internal/service/object"
	"github.com/awancloud/awan/internal/service/registry"
	"github.com/awancloud/awan/internal/service/scaling"
	"github.com/awancloud/awan/internal/service/scan"
	"github.com/awancloud/awan/internal/service/workload"
)

// Options say how to start a cloud.
type Options struct {
	Data    string // everything is kept under this folder
	Listen  string // HOST:PORT
	Domain  string // DNS domain of the cloud; DefaultDomain needs no DNS
	Region  string
	Account string // name of the first domain
	// Upstream is the host of a registry that images are pulled from when this cloud lacks them, UpstreamBases the host
	// and path that base images are pulled from instead of being made. Empty: nothing is pulled from anywhere.
	Upstream, UpstreamBases string
	// AllowSources are hosts and networks that git repositories and images may come from beside public addresses;
	// Registries those of others that images may be named from. Empty: none.
	AllowSources, Registries []string
	// ACMEDirectory is the URL of the authority that tenants' names get certificates from, ACMEEmail whom it writes to.
	// Empty: nobody is asked for certificates.
	ACMEDirectory, ACMEEmail string
	// DNSListen is the HOST:PORT of the name server for public zones; "": beside Listen; "off": there is none.
	DNSListen string
	TCPPorts  string // FIRST-LAST that tenants' TCP ports are taken from; "" = DefaultTCPPorts
	Version   string
	Log       *slog.Logger
	// Mail is the server that alarms' e-mail goes by; without one there is none.
	Mail alarm.Mail
	// WebhookAllow are addresses beside public ones that notifications may be posted to.
	WebhookAllow []netip.Prefix
	// PublicIPs are the ranges that public addresses are taken from; none: a range like network.DefaultPublic that no
	// other cloud of the machine has.
	PublicIPs []network.Pool
	// PasswordOnAPIs lets new accounts begin without asking for a second factor on the APIs.
	PasswordOnAPIs bool
	// Rates are the operator's prices; the zero value has none.
	Rates ledger.Rates
	// Simulate makes servers, networks and disks in memory only.
	Simulate bool
	// Overcommit is how much more servers are promised than there is; zero: compute.DefaultOvercommit.
	Overcommit compute.Overcommit
	Blobs      object.Blobs // where the bytes of objects lie; nil: where Objects says
	Objects    ObjectPlace
	// Engines makes the engines; nil: Local.
	Engines func(ctx context.Context, c *Cloud) (Engines, error)
}

// Engines are what makes things real.
type Engines struct {
	Workload workload.Engine
	Builder  app.Builder
	Sources  Sources
	Fabric   fabric.Engine  // nil: no packets are carried
	Machine  machine.Engine // nil: no servers run
	Disk     disk.Engine    // nil: this cloud keeps no volumes and images
	Images   image.Maker    // nil: it makes no images
	// Gateway is the address at which instances reach the cloud, Inside where such connections arrive; nil: they do not.
	Gateway netip.Addr
	Inside  net.Listener
	Close   func() error
}

// Defaults of Options.
const (
	DefaultDomain  = "awan.localhost"
	DefaultRegion  = "awan-1"
	DefaultAccount = "awan"
	DefaultListen  = "127.0.0.1:8443"

	DefaultTCPPorts = "20000-20999"
)

// Cloud is a running cloud.
type Cloud struct {
	Options
	Key        string // tells this cloud's bridges, cgroups and tables from those of others on the machine
	CA         *secret.CA
	Store      store.Store
	Ident      *ident.Service
	Door       *call.Door
	App        *app.Service
	Config     *config.Service
	Access     *access.Service
	Registry   *registry.Registry
	Images     *registry.Kinds // the registry's resources
	Delivery   *delivery.Service
	Scan       *scan.Service
	Federation *federation.Service
	Endpoints  *endpoint.Kinds
	Front      *front.Front
	Engines    Engines
	Failed     <-chan struct{} // closed when the disk under the store failed: only a restart helps
	close      []func() error
	Metrics    *metric.Service
	Alarms     *alarm.Service
	Scaling    *scaling.Service
	Buckets    *bucket.Service
	Balancer   *balancer.Service
	DNS        *dns.Service
	NameServer netip.AddrPort // where public zones are answered; invalid: nowhere
	IaaS       *iaas.IaaS
	AsBuilt    *asbuilt.Service
	sealer     *secret.Sealer
	calls      *calls
}

// Open starts a cloud and returns when it serves. Close stops it; what runs in it goes on running.
func Open(ctx context.Context, o Options) (c *Cloud, err error) {
	c = &Cloud{Options: o}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	quietLibraries(o.Log)
	if err := c.prepare(); err != nil {
		return c, err
	}
	limits, err := defaultQuotas()
	if err != nil {
		return c, err
	}
	stacks, err := build.ReadStacks(catalog.Files())
	if err != nil {
		return c, err
	}
	for _, step := range []func(context.Context) error{c.openStore, c.openBuckets, c.openRegistry, c.openEngines} {
		if err := step(ctx); err != nil {
			return c, err
		}
	}
	c.openConfig()
	c.App = app.New(app.Deps{Store: c.Store, Engine: c.Engines.Workload, Builder: c.Engines.Builder, Host: host{c}, Config: c.Config, Dir: c.path("apps"), Sealer: c.sealer, Guard: c.guard,
		Uploads: func(project id.ID) app.Depot { return c.Buckets.Depot("sources").For(project) }, Objects: c.Buckets,
		Gateway: c.Engines.Gateway, Trust: c.CA.Certificate(),
		URL: c.appURL, Listen: c.listenApp, Now: time.Now, Log: c.Log,
		Git: c.Engines.Sources.Git, Pull: c.Engines.Sources.Pull, Download: c.Engines.Sources.Download, Caches: c.Engines.Sources.Caches, Runtimes: stacks.Runtimes(), Projects: c.projects})
	c.Images = registry.NewKinds(registry.KindDeps{Registry: c.Registry, User: c.userOf, Needed: c.App.Images})
	c.makeDelivery()
	c.Scan = scan.New(scan.Deps{Store: c.Store, Registry: c.Registry, Kinds: c.Images, Dir: c.path("scan"), Wake: host{c}.Wake, Now: time.Now, Log: c.Log})
	if err := c.openMetrics(); err != nil {
		return c, err
	}
	if err := c.openLogs(); err != nil {
		return c, err
	}
	if err := c.makeAccess(); err != nil {
		return c, err
	}
	if err := c.makeIaaS(limits); err != nil {
		return c, err
	}
	c.observeServers()
	c.makeAsBuilt()
	c.makeDNS()
	c.makeBalancer()
	c.Endpoints = endpoint.New()
	c.Federation = federation.New(federation.Deps{Store: c.Store, Ident: c.Ident, Now: time.Now, Unseal: host{c}.Unseal})
	signer, auditKey, err := c.auditSigner(ctx)
	if err != nil {
		return c, err
	}
	critical, err := catalogJSON[[]string]("critical.json")
	if err != nil {
		return c, err
	}
	if c.Ident.Kinds.Services, err = catalogJSON[map[string]string]("services.json"); err != nil {
		return c, err
	}
	c.Door = call.NewDoor(call.Options{Critical: critical, Store: c.Store, Ident: c.Ident, Kinds: c.kinds(), Region: c.Region, Limits: limits, Rates: c.Rates, AuditSigner: signer, AuditKey: auditKey,
		Now: time.Now, Log: c.Log, Observe: c.calls.observe, Own: c.Buckets.Own})
	c.Buckets.Serve(c.Door)
	if err := c.openFront(); err != nil {
		return c, err
	}
	admin, err := c.Ident.Bootstrap(ctx, c.Account, c.Region)
	if err != nil {
		return c, err
	}
	if err := c.writeAdmin(admin); err != nil {
		return c, err
	}
	c.startFederation()
	if err := c.Registry.Start(ctx); err != nil {
		return c, err
	}
	if err := c.Scan.Start(ctx); err != nil {
		return c, err
	}
	if err := c.App.Start(ctx); err != nil {
		return c, err
	}
	c.closing(func() error { c.App.Close(); return nil })
	if c.Engines.Inside != nil {
		if err := c.Front.AddInside(c.Engines.Inside); err != nil {
			return c, err
		}
	}
	if err := c.Access.Start(ctx); err != nil {
		return c, err
	}
	c.closing(func() error { c.Access.Close(); return nil })
	if err := c.Buckets.Start(ctx); err != nil {
		return c, err
	}
	c.closing(func() error { c.Buckets.Close(); return nil })
	if err := c.IaaS.Start(ctx); err != nil {
		return c, err
	}
	c.closing(func() error { c.IaaS.Close(); return nil })
	c.AsBuilt.Start(ctx)
	c.closing(func() error { c.AsBuilt.Close(); return nil })
	if err := c.startDNS(ctx); err != nil {
		return c, err
	}
	if err := c.startBalancer(ctx); err != nil {
		return c, err
	}
	c.collectLogs(ctx)
	if err := c.Door.Start(ctx); err != nil {
		return c, err
	}
	c.closing(func() error { c.Door.Close(); return nil })
	c.startMetrics(ctx)
	// Starting leaves garbage behind that an idle cloud would keep until its next collection, minutes later.
	tidy := time.AfterFunc(3*time.Second, debug.FreeOSMemory)
	c.closing(func() error { tidy.Stop(); return nil })
	return c, nil
}

// Close stops serving, lets running steps go and closes what was opened, in reverse.
func (c *Cloud) Close() error {
	var errs []error
	for i := len(c.close) - 1; i >= 0; i-- {
		errs = append(errs, c.close[i]())
	}
	c.close = nil
	return errors.Join(errs...)
}

func (c *Cloud) closing(f func() error) { c.close = append(c.close, f) }

func (c *Cloud) path(parts ...string) string {
	return filepath.Join(append([]string{c.Data}, parts...)...)
}

// prepare makes the data folder and reads what must be there before anything else.
func (c *Cloud) prepare() (err error) {
	if c.Data, err = filepath.Abs(c.Data); err != nil {
		return err
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return fail.Wrap(err, fail.Unavailable, "the data folder %s cannot be made", c.Data).Then("choose another with --data DIR")
	}
	if err := c.checkSimulated(); err != nil {
		return err
	}
	if c.Key, err = instanceKey(c.path("instance")); err != nil {
		return err
	}
	if c.CA, err = secret.OpenCA(c.path("ca"), time.Now); err != nil {
		return err
	}
	return os.WriteFile(c.path("ca.pem"), c.CA.Certificate(), 0o644)
}

// storeCache holds the rows of about 20,000 servers: lists that count read all of them, and from files each time takes twice as
// long. A cloud of few rows never fills it.
const storeCache = 32 << 20

func (c *Cloud) openStore(context.Context) error {
	s, err := pebble.Open(c.path("store"), pebble.Options{Logger: c.Log, CacheBytes: storeCache})
	if err != nil {
		return err
	}
	c.Store, c.Failed = s, s.Failed()
	c.closing(s.Close)
	if err := c.writePid(); err != nil { // the store's lock is ours: so is this file
		return err
	}
	if c.sealer, err = secret.OpenSealer(c.path("keys")); err != nil {
		return err
	}
	c.Ident = ident.New(s, secret.NewPasswords(secret.DefaultCost()), c.sealer, time.Now)
	c.Ident.PasswordOnAPIs = c.PasswordOnAPIs
	return nil
}

func (c *Cloud) openEngines(ctx context.Context) (err error) {
	open := c.Options.Engines
	if open == nil {
		open = Local
	}
	if c.Engines, err = open(ctx, c); err != nil {
		return err
	}
	if c.Engines.Close != nil {
		c.closing(c.Engines.Close)
	}
	if c.Engines.Fabric == nil {
		c.Engines.Fabric = fabric.Absent{}
	}
	if c.Engines.Machine == nil {
		c.Engines.Machine = machine.Absent{}
	}
	if c.Engines.Disk == nil {
		c.Engines.Disk = disk.Absent{}
	}
	return nil
}

// host gives the app service the door, which is made after it.
type host struct{ *Cloud }

// Unseal reads a secret of a stored row.
func (h host) Unseal(m *kind.Meta, part, path, sealed string) (string, error) {
	return h.unseal(m, part, path, sealed)
}

func (c *Cloud) unseal(m *kind.Meta, part, path, sealed string) (string, error) {
	return c.Door.Unseal(m, part, path, sealed)
}

// Wake makes a kind's loop run now; before the door is there nothing waits.
func (h host) Wake(kind string) {
	if h.Door != nil {
		h.Door.Wake(kind)
	}
}

// Do sends a call of the system's own through the door.
func (h host) Do(ctx context.Context, c *call.Call) (call.Reply, error) { return h.Door.Do(ctx, c) }

// openConfig makes the config service, which asks the app service, made after it, who uses what.
func (c *Cloud) openConfig() {
	c.Config = config.New(config.Deps{Store: c.Store, Now: time.Now, Unseal: host{c}.Unseal,
		UsedBy:  func(tx store.Tx, project id.ID, what string) (string, error) { return c.App.UsedBy(tx, project, what) },
		Changed: func() { c.App.ConfigChanged() }})
}

// Act calls an action of a component in the cloud's own name.
func (h host) Act(ctx context.Context, m *kind.Meta, verb string, in any) error {
	return h.Door.Act(ctx, m, verb, in)
}

// appURL is where a component is reached: at its own loopback address where the cloud's domain needs no DNS, by name
// where the operator gave a domain.
func (c *Cloud) appURL(addr netip.Addr, name, project string) (url, hostName string) {
	port := strconv.Itoa(int(c.Front.Addr().Port()))
	hostName = name + "-" + project[len(project)-8:] + ".apps." + c.Domain
	if c.Domain != DefaultDomain {
		return "https://" + net.JoinHostPort(hostName, port) + "/", hostName
	}
	return "https://" + net.JoinHostPort(addr.String(), port) + "/", hostName
}

func (c *Cloud) listenApp(addr netip.Addr) error { return c.Front.AddAddress(addr) }

// URL is where the console and the APIs are reached.
func (c *Cloud) URL() string {
	a := c.Front.Addr()
	hostName := a.Addr().String()
	switch {
	case c.Domain != DefaultDomain:
		hostName = c.Domain
	case a.Addr().IsUnspecified():
		hostName = "127.0.0.1"
	}
	return "https://" + net.JoinHostPort(hostName, strconv.Itoa(int(a.Port())))
}

// writeAdmin writes the first administrator's credential, and keeps the address in it right at later starts.
func (c *Cloud) writeAdmin(a *ident.Admin) error {
	if err := os.WriteFile(c.path("listen"), []byte(c.Front.Addr().String()+"\n"), 0o644); err != nil {
		return err
	}
	file := c.path(adminenv.File)
	var vars map[string]string
	if a != nil {
		vars = map[string]string{adminenv.User: a.User, adminenv.Password: a.Password, adminenv.Domain: a.Domain, adminenv.Project: a.Project,
			adminenv.AccessKey: a.AccessKey, adminenv.SecretKey: a.SecretKey}
	} else {
		old, err := adminenv.Read(file)
		if fail.Is(err, fail.NotFound) {
			return nil // the operator took it away, as one should
		}
		if err != nil {
			return err
		}
		vars = old
	}
	if vars[adminenv.URL] == c.URL() {
		return nil
	}
	vars[adminenv.URL], vars[adminenv.CA] = c.URL(), c.path("ca.pem")
	return adminenv.Write(file, vars)
}
