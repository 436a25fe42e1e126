// Package servers_test drives servers, disks, images and key pairs, wired as the cloud wires them on simulated engines, with
// Huawei Cloud's Go SDK v3 and its Terraform provider, both unmodified.
package servers_test

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/config"

	"github.com/awancloud/awan/internal/cloud/iaas"
	"github.com/awancloud/awan/internal/dialect/auth"
	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/dialect/huawei/ecs"
	"github.com/awancloud/awan/internal/dialect/huawei/evs"
	"github.com/awancloud/awan/internal/dialect/huawei/iam"
	"github.com/awancloud/awan/internal/dialect/huawei/ims"
	"github.com/awancloud/awan/internal/dialect/huawei/kps"
	"github.com/awancloud/awan/internal/dialect/huawei/vpc"
	"github.com/awancloud/awan/internal/dialect/openstack/keystone"
	"github.com/awancloud/awan/internal/dialect/wire"
	disks "github.com/awancloud/awan/internal/engine/disk/sim"
	makers "github.com/awancloud/awan/internal/engine/image/sim"
	machines "github.com/awancloud/awan/internal/engine/machine/sim"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/kernel/store/mem"
	"github.com/awancloud/awan/internal/service/fabric"
)

// wires plugs in everything and carries nothing.
type wires struct{ fabric.Absent }

func (wires) EnsurePort(_ context.Context, port id.ID, _ fabric.Port) (fabric.SeenPort, error) {
	return fabric.SeenPort{Device: "tap" + string(port[24:]), MTU: 1500, Up: true}, nil
}

func (wires) Listen(context.Context, id.ID, netip.AddrPort) (net.Listener, error) {
	return net.Listen("tcp", "127.0.0.1:0")
}

func (wires) ListenPacket(context.Context, id.ID, netip.AddrPort) (net.PacketConn, error) {
	return net.ListenPacket("udp", "127.0.0.1:0")
}

// tenant is a cloud with somebody who uses it.
type tenant struct {
	*kerneltest.Kernel
	*iaas.IaaS
	t       *testing.T
	ca      *secret.CA
	caFile  string
	url     string
	project string
	limits  map[ledger.Dim]int64
	http    *http.Client
}

func open(t *testing.T) *tenant {
	t.Helper()
	n := &tenant{t: t, limits: map[ledger.Dim]int64{}}
	limits := func(d ledger.Dim) (int64, bool) {
		l, ok := n.limits[d]
		return l, ok
	}
	on := mem.New()
	sealer, err := secret.OpenSealer(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	n.IaaS, err = iaas.New(iaas.Deps{Store: on, Fabric: wires{}, Machine: machines.New(machines.Options{}), Disk: disks.New(disks.Options{}),
		Maker: makers.Maker{Names: []string{"debian", "debian-small"}}, Door: func() *call.Door { return n.Kernel.Door }, Sealer: sealer, Limits: limits,
		Region: "awan-1", HostName: "here", Dir: t.TempDir(), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	n.Kernel = kerneltest.StartNow(t, on, limits, n.IaaS.Kinds()...)
	n.IaaS.Ident = n.Kernel.Ident
	if err := n.IaaS.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.IaaS.Close)
	n.project = string(n.Admin.ProjectID)
	n.listen()
	return n
}

// listen puts the APIs behind a listener, in the order in which the cloud has them.
func (n *tenant) listen() {
	n.t.Helper()
	dir := n.t.TempDir()
	var err error
	if n.ca, err = secret.OpenCA(filepath.Join(dir, "ca"), time.Now); err != nil {
		n.t.Fatal(err)
	}
	n.caFile = filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(n.caFile, n.ca.Certificate(), 0o600); err != nil {
		n.t.Fatal(err)
	}
	door := n.Kernel.Door
	a := &auth.Authenticator{Ident: n.Kernel.Ident, Now: time.Now, OriginalPath: front.OriginalPath}
	o := wire.Options{Door: door, Auth: a, Region: "awan-1"}
	services := append(iam.New(keystone.Options{Options: o}).Services(),
		ecs.New(ecs.Options{Door: door, Auth: a, Region: "awan-1", Compute: n.Servers, Network: n.Networks, KeyPair: n.Keypairs.D,
			Console: func(_ *http.Request, _, server string) string { return n.url + "/screens/" + server }}).Service(),
		evs.New(evs.Options{Door: door, Auth: a, Region: "awan-1", Zone: n.Zone(), Volumes: n.Volumes, Looks: ecs.Looks()}).Service(),
		ims.New(ims.Options{Door: door, Auth: a, Region: "awan-1", Images: n.Images, Compute: n.Servers, Looks: ecs.Looks()}).Service(),
		kps.New(kps.Options{Door: door, Auth: a, Region: "awan-1", KeyPair: n.Keypairs.D}).Service(),
		vpc.New(vpc.Options{Options: o, Network: n.Networks}).Service(), keystone.New(keystone.Options{Options: o}).Service())
	f, err := front.New(front.Options{Listen: "127.0.0.1:0", CA: n.ca, Names: front.Names{Domain: "awan.test", Region: "awan-1"}, Logger: slog.New(slog.DiscardHandler), Services: services})
	if err != nil {
		n.t.Fatal(err)
	}
	if err := f.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := f.Shutdown(ctx); err != nil {
			n.t.Error(err)
		}
	})
	n.url = "https://" + f.Addr().String()
}

// client builds one of the SDK's clients, which signs as the administrator.
func client[T any](n *tenant, builder *core.HcHttpClientBuilder, make func(*core.HcHttpClient) T) T {
	n.t.Helper()
	return clientAs(n, n.Admin.AccessKey, n.Admin.SecretKey, builder, make)
}

func clientAs[T any](n *tenant, access, secretKey string, builder *core.HcHttpClientBuilder, make func(*core.HcHttpClient) T) T {
	n.t.Helper()
	for _, v := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
		if os.Getenv(v) != "" {
			n.t.Setenv(v, "")
		}
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: n.ca.Pool()}}
	n.t.Cleanup(tr.CloseIdleConnections)
	cred, err := basic.NewCredentialsBuilder().WithAk(access).WithSk(secretKey).WithProjectId(n.project).SafeBuild()
	if err != nil {
		n.t.Fatal(err)
	}
	h, err := builder.WithEndpoint(n.url).WithHttpConfig(config.DefaultHttpConfig().WithHttpTransport(tr).WithRetries(0)).WithCredential(cred).SafeBuild()
	if err != nil {
		n.t.Fatal(err)
	}
	return make(h)
}

// must stops the test at the first call that fails.
func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func ptr[T any](v T) *T { return &v }

// until waits for a condition.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for begun := time.Now(); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Since(begun) > time.Minute {
			t.Fatalf("it did not come: %s", what)
		}
	}
}

// makeRow creates a row in the project.
func (n *tenant) makeRow(k *kind.Def, name, spec string) kind.AnyRow {
	n.t.Helper()
	r, err := n.Kernel.Door.Do(n.t.Context(), &call.Call{Kind: k, Verb: call.Create, Name: &name, Spec: []byte(spec), Principal: n.Root})
	if err != nil {
		n.t.Fatal(err)
	}
	if r.Job != nil {
		if j, err := n.Kernel.Door.WaitJob(n.t.Context(), r.Job.ID); err != nil || j.Error != nil {
			n.t.Fatal(err, j)
		}
	}
	return r.Row
}

// list gives the rows of a kind in a scope.
func (n *tenant) list(k *kind.Def, scope string) (rows []kind.AnyRow) {
	n.t.Helper()
	err := n.Kernel.Store.View(n.t.Context(), func(tx store.Tx) (err error) {
		rows, _, err = k.List(tx, scope, kind.Filter{})
		return err
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return rows
}
