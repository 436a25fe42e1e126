package cloud

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

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
	return run(args)
}

// Up runs a cloud in the foreground until it is told to stop.
func Up(ctx context.Context, o Options) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	c, err := Open(ctx, o)
	if err != nil {
		return err
	}
	fmt.Printf("ready\n  console  %s/\n  API      %s/awan/v1\n", c.URL(), c.URL())
	<-ctx.Done()
	stop() // a second signal ends it at once
	return c.Close()
}

func run(args []string) int {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
	err := Up(context.Background(), Options{Data: args[2], Listen: DefaultListen, Domain: DefaultDomain, Region: DefaultRegion, Account: DefaultAccount, Version: Version, Log: log})
	if err != nil {
		fmt.Fprintln(os.Stderr, "error: "+fail.From(err).Error())
		return 1
	}
	return 0
}
