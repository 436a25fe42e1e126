// Package balancers_test drives load balancers and zones, wired as the cloud wires them on a simulated network, with Huawei
// Cloud's Go SDK v3 and its Terraform provider, both unmodified.
package balancers_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/config"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"

	"github.com/awancloud/awan/internal/cloud/iaas"
	"github.com/awancloud/awan/internal/dialect/auth"
	"github.com/awancloud/awan/internal/dialect/front"
	huaweidns "github.com/awancloud/awan/internal/dialect/huawei/dns"
	"github.com/awancloud/awan/internal/dialect/huawei/elb"
	"github.com/awancloud/awan/internal/dialect/huawei/iam"
	"github.com/awancloud/awan/internal/dialect/huawei/vpc"
	"github.com/awancloud/awan/internal/dialect/openstack/keystone"
	"github.com/awancloud/awan/internal/dialect/wire"
	disks "github.com/awancloud/awan/internal/engine/disk/sim"
	fabrics "github.com/awancloud/awan/internal/engine/fabric/sim"
	makers "github.com/awancloud/awan/internal/engine/image/sim"
	machines "github.com/awancloud/awan/internal/engine/machine/sim"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store/mem"
	"github.com/awancloud/awan/internal/service/balancer"
	"github.com/awancloud/awan/internal/service/dns"
)

// tenant is a cloud with somebody who uses it.
type tenant struct {
	*kerneltest.Kernel
	*iaas.IaaS
	t        *testing.T
	balancer *balancer.Service
	dns      *dns.Service
	ca       *secret.CA
	caFile   string
	url      string
	project  string
}

func open(t *testing.T) *tenant {
	t.Helper()
	n := &tenant{t: t}
	on, log := mem.New(), slog.New(slog.DiscardHandler)
	limits := func(ledger.Dim) (int64, bool) { return 1 << 20, true }
	sealer, err := secret.OpenSealer(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	fabric := fabrics.New(fabrics.Options{})
	n.IaaS, err = iaas.New(iaas.Deps{Store: on, Fabric: fabric, Machine: machines.New(machines.Options{}), Disk: disks.New(disks.Options{}), Maker: makers.Maker{Names: []string{"debian"}},
		Door: func() *call.Door { return n.Kernel.Door }, Sealer: sealer, Limits: limits, Region: "awan-1", HostName: "here", Dir: t.TempDir(), Now: time.Now, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	n.balancer = balancer.New(balancer.Deps{Store: on, Networks: iaas.Balancers(n.Networks), Fabric: fabric, Now: time.Now, Log: log})
	n.dns = dns.New(dns.Deps{Store: on, Networks: iaas.Zones(n.Networks), NameServers: []string{"ns1.awan.test"}, Reserved: func(string) bool { return false }, Now: time.Now, Log: log})
	n.Kernel = kerneltest.StartNow(t, on, limits, append(append(n.IaaS.Kinds(), n.balancer.Kinds()...), n.dns.Kinds()...)...)
	n.IaaS.Ident, n.balancer.Host, n.dns.Host = n.Kernel.Ident, n.Kernel.Door, n.Kernel.Door
	for _, start := range []func(context.Context) error{n.IaaS.Start, n.balancer.Start, n.dns.Start} {
		if err := start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { n.dns.Close(); n.balancer.Close(); n.IaaS.Close() })
	n.project = string(n.Admin.ProjectID)
	n.listen()
	return n
}

// listen puts the APIs behind a listener.
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
	o := wire.Options{Door: n.Kernel.Door, Auth: &auth.Authenticator{Ident: n.Kernel.Ident, Now: time.Now, OriginalPath: front.OriginalPath}, Region: "awan-1"}
	services := append(iam.New(keystone.Options{Options: o}).Services(), vpc.New(vpc.Options{Options: o, Network: n.Networks}).Service(), elb.New(elb.Options{Options: o, Balancer: n.balancer}).Service(),
		huaweidns.New(huaweidns.Options{Options: o, DNS: n.dns}).Service(), keystone.New(keystone.Options{Options: o}).Service())
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
	for _, v := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
		if os.Getenv(v) != "" {
			n.t.Setenv(v, "")
		}
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: n.ca.Pool()}}
	n.t.Cleanup(tr.CloseIdleConnections)
	cred, err := basic.NewCredentialsBuilder().WithAk(n.Admin.AccessKey).WithSk(n.Admin.SecretKey).WithProjectId(n.project).SafeBuild()
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

// makeRow creates a row in the project.
func (n *tenant) makeRow(k *kind.Def, name, spec string) kind.AnyRow {
	n.t.Helper()
	r, err := n.Kernel.Door.Do(n.t.Context(), &call.Call{Kind: k, Verb: call.Create, Name: &name, Spec: []byte(spec), Principal: n.Root})
	if err != nil {
		n.t.Fatal(err)
	}
	return r.Row
}

// left counts what is there of each of the two services and of what they make.
func (n *tenant) left() map[string]int {
	n.t.Helper()
	out := map[string]int{}
	for _, k := range append(append(n.balancer.Kinds(), n.dns.Kinds()...), n.Networks.Port.D, n.Networks.PublicIP.D) {
		r, err := n.Kernel.Door.Do(n.t.Context(), &call.Call{Kind: k, Verb: call.List, Principal: n.Root})
		if err != nil {
			n.t.Fatal(err)
		}
		if len(r.Rows) > 0 {
			out[k.FullName()] = len(r.Rows)
		}
	}
	return out
}

// pair is a certificate of that name with its key, as PEM.
func pair(t *testing.T, name string) (certificate, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}

// refused wants an error whose code begins so.
func refused(t *testing.T, err error, code string) {
	t.Helper()
	if e := (*sdkerr.ServiceResponseError)(nil); !errors.As(err, &e) || !strings.HasPrefix(e.ErrorCode, code) {
		t.Errorf("got %v, want %s…", err, code)
	}
}
