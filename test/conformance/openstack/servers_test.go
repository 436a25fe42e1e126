package openstack_test

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/adminenv"
	"github.com/awancloud/awan/internal/cloud"
	disks "github.com/awancloud/awan/internal/engine/disk/sim"
	machines "github.com/awancloud/awan/internal/engine/machine/sim"
	"github.com/awancloud/awan/internal/engine/workload/sim"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
	"github.com/awancloud/awan/internal/service/build"
	"github.com/awancloud/awan/internal/service/fabric"
	"github.com/awancloud/awan/test/conformance/cloudtest"
)

// noApps builds nothing: this cloud has servers only.
type noApps struct{}

func (noApps) Build(context.Context, build.Request, build.Progress) (build.Output, error) {
	return build.Output{}, fail.New(fail.Unsupported, "nothing is built here")
}

func (noApps) Resolve(_ context.Context, _ id.ID, image string) (string, error) {
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

// blanks makes the catalogue's images: disks with a few bytes on them.
type blanks struct{}

func (blanks) Make(context.Context, string, func(string)) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(strings.Repeat("awan", 1024))), nil
}
func (blanks) Recipes() []string { return []string{"debian", "debian-small"} }

// servers starts a whole cloud on simulated engines. In the form of a conformance cloud it has what the clients ask for.
func servers(t *testing.T) (*cloudtest.Cloud, *cloud.Cloud) {
	t.Helper()
	dir := t.TempDir()
	c, err := cloud.Open(t.Context(), cloud.Options{Data: dir, Listen: "127.0.0.1:0", Domain: cloud.DefaultDomain, Region: cloud.DefaultRegion,
		Account: cloud.DefaultAccount, Version: "test", Log: slog.New(slog.DiscardHandler), Engines: func(context.Context, *cloud.Cloud) (cloud.Engines, error) {
			e := sim.New(sim.Options{})
			return cloud.Engines{Workload: e, Builder: noApps{}, Fabric: wires{}, Machine: machines.New(machines.Options{}), Disk: disks.New(disks.Options{}),
				Images: blanks{}, Close: e.Close}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	admin, err := adminenv.Read(filepath.Join(dir, adminenv.File))
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Ident.ByPassword(t.Context(), admin[adminenv.Domain], admin[adminenv.User], admin[adminenv.Password], "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	out := &cloudtest.Cloud{Kernel: &kerneltest.Kernel{Store: c.Store, Ident: c.Ident, Door: c.Door, Root: p, Admin: &ident.Admin{Domain: admin[adminenv.Domain],
		User: admin[adminenv.User], Password: admin[adminenv.Password], Project: admin[adminenv.Project], DomainID: p.Domain, UserID: p.User}},
		CA: c.CA, CAFile: filepath.Join(dir, "own-ca.pem"), URL: c.URL()}
	if err := os.WriteFile(out.CAFile, c.CA.Certificate(), 0o600); err != nil {
		t.Fatal(err)
	}
	return out, c
}

// until waits for a condition.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for begun := time.Now(); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Since(begun) > 30*time.Second {
			t.Fatalf("it did not come: %s", what)
		}
	}
}

// settled waits until a server has a status.
func (c *cli) settled(server, status string) {
	c.t.Helper()
	var now map[string]any
	until(c.t, server+" is "+status, func() bool {
		now = c.show("server show " + server)
		c.want(now["status"] != "ERROR", "server %s failed: %v", server, now["fault"])
		return now["status"] == status || c.t.Failed()
	})
}

func TestServers(t *testing.T) {
	c, _ := servers(t)
	cl := start(t, c, c.Admin.User, c.Admin.Password)

	t.Run("flavors", func(t *testing.T) {
		cl.t = t
		cl.want(has(cl.list("flavor list"), "Name", "m1.tiny"), "no m1.tiny")
		f := cl.show("flavor create --ram 1024 --disk 5 --vcpus 1 --id 42 tests.one")
		cl.want(f["id"] == "42" && f["ram"] == 1024.0 && f["vcpus"] == 1.0, "flavor create: %v", f)
		cl.ok("flavor set --property hw:cpu_policy=shared tests.one")
		cl.want(strings.Contains(cl.ok("flavor show tests.one"), "hw:cpu_policy"), "flavor set --property")
		cl.ok("flavor unset --property hw:cpu_policy tests.one")
	})

	t.Run("key pairs", func(t *testing.T) {
		cl.t = t
		cl.want(strings.Contains(cl.ok("keypair create laptop"), "PRIVATE KEY"), "no private key")
		cl.want(has(cl.list("keypair list"), "Name", "laptop"), "keypair list")
		k := cl.show("keypair show laptop")
		cl.want(k["name"] == "laptop" && len(k["fingerprint"].(string)) == 47, "keypair show: %v", k)
	})

	t.Run("life", func(t *testing.T) {
		cl.t = t
		s := cl.show("server create --flavor 42 --image IMG --key-name laptop --property role=web --wait web")
		_ = s
	})
}
