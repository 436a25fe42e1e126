// Package servers_test drives servers, disks, images and key pairs of a whole cloud on simulated engines with Huawei
// Cloud's Go SDK v3 and its Terraform provider, both unmodified.
package servers_test

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"crypto/tls"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/config"

	"github.com/awancloud/awan/internal/adminenv"
	"github.com/awancloud/awan/internal/cloud"
	disks "github.com/awancloud/awan/internal/engine/disk/sim"
	makers "github.com/awancloud/awan/internal/engine/image/sim"
	machines "github.com/awancloud/awan/internal/engine/machine/sim"
	"github.com/awancloud/awan/internal/engine/workload/sim"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/build"
	"github.com/awancloud/awan/internal/service/fabric"
)

// noImages builds no apps: this cloud has none.
type noImages struct{}

func (noImages) Build(_ context.Context, r build.Request, _ build.Progress) (build.Output, error) {
	return build.Output{Stack: cmp.Or(r.Stack, "static")}, nil
}
func (noImages) Resolve(_ context.Context, _ id.ID, image string) (string, error) {
	return image + "@sha256:" + strings.Repeat("0", 64), nil
}

// wires is a fabric in which every port can be plugged in, and nothing flows.
type wires struct{ fabric.Absent }

func (wires) EnsurePort(_ context.Context, port id.ID, _ fabric.Port) (fabric.SeenPort, error) {
	return fabric.SeenPort{Device: "tap" + string(port[24:]), MTU: 1500}, nil
}

func (wires) ObservePort(context.Context, id.ID) (fabric.SeenPort, error) {
	return fabric.SeenPort{Up: true}, nil
}

// tenant is a cloud with somebody who uses it.
type tenant struct {
	*cloud.Cloud
	t       *testing.T
	admin   map[string]string
	project string
}

func open(t *testing.T) *tenant {
	t.Helper()
	dir := t.TempDir()
	c, err := cloud.Open(t.Context(), cloud.Options{Data: dir, Listen: "127.0.0.1:0", Domain: cloud.DefaultDomain, Region: cloud.DefaultRegion,
		Account: cloud.DefaultAccount, Version: "test", Log: slog.New(slog.DiscardHandler), Engines: func(context.Context, *cloud.Cloud) (cloud.Engines, error) {
			e := sim.New(sim.Options{})
			return cloud.Engines{Workload: e, Builder: noImages{}, Fabric: wires{}, Machine: machines.New(machines.Options{}), Disk: disks.New(disks.Options{}),
				Images: makers.Maker{Names: []string{"debian", "debian-small"}}, Close: e.Close}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	n := &tenant{Cloud: c, t: t}
	if n.admin, err = adminenv.Read(filepath.Join(dir, adminenv.File)); err != nil {
		t.Fatal(err)
	}
	p, err := c.Ident.ByPassword(t.Context(), n.admin[adminenv.Domain], n.admin[adminenv.User], n.admin[adminenv.Password], "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Door.Do(t.Context(), &call.Call{Kind: c.Ident.Kinds.Project.D, Verb: call.Get, Target: n.admin[adminenv.Project], Principal: p})
	if err != nil {
		t.Fatal(err)
	}
	n.project = string(r.Row.M().ID)
	return n
}

// ca writes the cloud's authority to a file, for programs.
func (n *tenant) ca() string {
	n.t.Helper()
	file := filepath.Join(n.t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, n.CA.Certificate(), 0o600); err != nil {
		n.t.Fatal(err)
	}
	return file
}

// client builds one of the SDK's clients, which signs as the administrator.
func client[T any](n *tenant, builder *core.HcHttpClientBuilder, make func(*core.HcHttpClient) T) T {
	n.t.Helper()
	for _, v := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
		if os.Getenv(v) != "" {
			n.t.Setenv(v, "")
		}
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: n.CA.Pool()}}
	n.t.Cleanup(tr.CloseIdleConnections)
	cred, err := basic.NewCredentialsBuilder().WithAk(n.admin[adminenv.AccessKey]).WithSk(n.admin[adminenv.SecretKey]).WithProjectId(n.project).SafeBuild()
	if err != nil {
		n.t.Fatal(err)
	}
	h, err := builder.WithEndpoint(n.URL()).WithHttpConfig(config.DefaultHttpConfig().WithHttpTransport(tr).WithRetries(0)).WithCredential(cred).SafeBuild()
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
		if time.Since(begun) > 30*time.Second {
			t.Fatalf("it did not come: %s", what)
		}
	}
}

// makeRow creates a row in the project, in the cloud's own name.
func (n *tenant) makeRow(k *kind.Def, name, spec string) kind.AnyRow {
	n.t.Helper()
	r, err := n.Door.Do(n.t.Context(), &call.Call{Kind: k, Verb: call.Create, Project: n.project, Domain: n.admin[adminenv.Domain], Name: &name, Spec: []byte(spec), Principal: ident.System()})
	if err != nil {
		n.t.Fatal(err)
	}
	if r.Job != nil {
		if j, err := n.Door.WaitJob(n.t.Context(), r.Job.ID); err != nil || j.Error != nil {
			n.t.Fatal(err, j.Error)
		}
	}
	return r.Row
}

// list gives the rows of a kind in a scope.
func (n *tenant) list(k *kind.Def, scope string) (rows []kind.AnyRow) {
	n.t.Helper()
	err := n.Store.View(n.t.Context(), func(tx store.Tx) (err error) {
		rows, _, err = k.List(tx, scope, kind.Filter{})
		return err
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return rows
}
