package cloud

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/awancloud/awan/internal/cli"
	"github.com/awancloud/awan/internal/engine/workload/containerd"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// Version is set at build time.
var Version = "dev"

// Main runs the program: the command line, or, under the name of a shim, the parent of one container.
func Main(args []string) int {
	if containerd.IsShim(args) {
		containerd.ShimMain()
		return 0
	}
	return cli.Run(context.Background(), cli.Options{Kinds: Describe(), Version: Version, Up: up, Down: down, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}, args[1:])
}

// up runs a cloud in the foreground until ctx ends.
func up(ctx context.Context, o cli.UpOptions) error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cmp.Or(o.LogLevel, "warn"))); err != nil {
		return fail.Field("log-level", "%q is not one of debug, info, warn, error", o.LogLevel)
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	mail, allow, err := notifying(o)
	if err != nil {
		return err
	}
	objects, err := objectPlace(o, os.Getenv)
	if err != nil {
		return err
	}
	public, err := publicPools(o.PublicIPs)
	if err != nil {
		return err
	}
	prices, err := rates(o.Rates)
	if err != nil {
		return err
	}
	promised, err := overcommit(o)
	if err != nil {
		return err
	}
	c, err := Open(ctx, Options{Objects: objects, Data: o.Data, Listen: cmp.Or(o.Listen, DefaultListen), Domain: cmp.Or(o.Domain, DefaultDomain),
		Region: cmp.Or(o.Region, DefaultRegion), Account: DefaultAccount, Version: Version, Log: log,
		Upstream: o.Upstream, UpstreamBases: o.Bases, TCPPorts: o.TCPPorts, DNSListen: o.DNS, ACMEDirectory: o.ACMEDirectory, ACMEEmail: o.ACMEEmail,
		PasswordOnAPIs: o.PasswordOnAPIs, Simulate: o.Simulate, Rates: prices, PublicIPs: public, Overcommit: promised, Mail: mail, WebhookAllow: allow, AllowSources: o.AllowSources, Registries: o.Registries})
	if err != nil {
		return err
	}
	fmt.Printf("ready\n  console  %s/\n  API      %s/awan/v1\n", c.URL(), c.URL())
	if c.NameServer.IsValid() {
		fmt.Printf("  DNS      %s\n", c.NameServer)
	}
	select {
	case <-ctx.Done():
		return c.Close()
	case <-c.Failed:
		_ = c.Close() // what failed is the disk: the error to show is that
		return fail.New(fail.Unavailable, "the disk under %s failed, so nothing more can be stored", o.Data).
			Then("see the log for the reason, mend the disk, and start again; what was acknowledged is there, and apps go on running")
	}
}
