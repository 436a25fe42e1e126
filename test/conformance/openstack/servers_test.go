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
	return serversOn(t, machines.Options{})
}

// serversOn is servers with machines that are as the options say.
func serversOn(t *testing.T, o machines.Options) (*cloudtest.Cloud, *cloud.Cloud) {
	t.Helper()
	dir := t.TempDir()
	c, err := cloud.Open(t.Context(), cloud.Options{PasswordOnAPIs: true, Data: dir, Listen: "127.0.0.1:0", Domain: cloud.DefaultDomain, Region: cloud.DefaultRegion,
		Account: cloud.DefaultAccount, Version: "test", Log: slog.New(slog.DiscardHandler), Engines: func(context.Context, *cloud.Cloud) (cloud.Engines, error) {
			e := sim.New(sim.Options{})
			return cloud.Engines{Workload: e, Builder: noApps{}, Fabric: wires{}, Machine: machines.New(o), Disk: disks.New(disks.Options{}),
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

// settled waits until a thing has a status.
func (c *cli) settled(kind, name, status string) {
	c.t.Helper()
	until(c.t, name+" is "+status, func() bool {
		now := c.show(kind + " show " + name)
		if now["status"] == "ERROR" || now["status"] == "error" {
			c.t.Fatalf("%s %s failed: %v", kind, name, now["fault"])
		}
		return now["status"] == status
	})
}

// TestServers: a server's life by the openstack command: its flavour, its key, what it boots, what it gets and loses.
func TestServers(t *testing.T) {
	c, _ := servers(t)
	cl := start(t, c, c.Admin.User, c.Admin.Password)
	image := ""
	for _, row := range cl.list("image list") {
		if row["Name"] == "Debian 12" {
			image = row["ID"].(string)
		}
	}
	cl.want(image != "", "no Debian 12")
	f := cl.show("flavor create --ram 1024 --disk 5 --vcpus 1 --id 42 tests.one")
	cl.want(f["id"] == "42" && f["ram"] == 1024.0 && f["vcpus"] == 1.0, "flavor create: %v", f)
	cl.want(strings.Contains(cl.ok("keypair create Laptop.1"), "PRIVATE KEY"), "no private key")

	s := cl.show("server create --flavor 42 --image " + image + " --key-name Laptop.1 --property role=web --wait web")
	cl.want(s["status"] == "ACTIVE" && s["key_name"] == "Laptop.1" && strings.HasPrefix(s["flavor"].(string), "tests.one"), "server create: %v", s)
	cl.want(has(cl.list("server list"), "Name", "web"), "server list")
	cl.want(strings.Contains(cl.ok("console log show web"), "login:"), "console log")
	cl.ok("volume create --size 1 data")
	cl.settled("volume", "data", "available")
	cl.ok("server add volume web data")
	cl.settled("volume", "data", "in-use")
	cl.ok("server set --name shop --property tier=front web")
	cl.settled("server", "shop", "ACTIVE")
	cl.ok("server lock shop")
	cl.want(strings.Contains(cl.fails("server delete shop"), "locked"), "a locked server is deleted")
	cl.ok("server unlock shop")
	cl.ok("server remove volume shop data")
	cl.settled("volume", "data", "available")
	cl.ok("server stop shop")
	cl.settled("server", "shop", "SHUTOFF")
	cl.want(has(cl.list("server event list shop"), "Action", "attach_volume"), "what was done to it is not known")
	cl.ok("server delete --wait shop")
	cl.want(len(cl.list("server list")) == 0, "a deleted server is listed")
	cl.ok("volume delete data")
	cl.fails("server show shop")
}

// TestDisks: snapshots, types, growth and transfers of volumes.
func TestDisks(t *testing.T) {
	c, _ := servers(t)
	cl := start(t, c, c.Admin.User, c.Admin.Password)

	v := cl.show("volume create --size 2 --type SSD --property use=test data")
	cl.want(v["type"] == "SSD" && v["size"] == 2.0, "volume create: %v", v)
	cl.settled("volume", "data", "available")
	cl.ok("volume snapshot create --volume data before")
	cl.settled("volume snapshot", "before", "available")
	cl.want(strings.Contains(cl.fails("volume delete data"), "snapshots"), "a volume with snapshots is deleted")
	cl.ok("volume set --size 3 --name more data")
	cl.settled("volume", "more", "available")
	cl.want(cl.show("volume show more")["size"] == 3.0, "the volume did not grow")
	cl.ok("volume snapshot delete before")
	until(t, "the snapshot is gone", func() bool { return len(cl.list("volume snapshot list")) == 0 })
	offer := cl.show("volume transfer request create more")
	cl.want(offer["auth_key"] != "" && cl.show("volume show more")["status"] == "awaiting-transfer", "volume transfer request create: %v", offer)
	cl.ok("volume transfer request delete " + offer["id"].(string))
	cl.ok("volume delete more")
	cl.want(len(cl.list("volume list")) == 0, "a deleted volume is listed")
}
