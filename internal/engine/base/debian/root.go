package debian

import (
	"context"
	"log/slog"
)

// Root makes a Debian with packages in the folder dir, which it makes, and lists what is installed. work is a folder for files
// of its own. Images of machines begin with it.
func Root(ctx context.Context, work, dir string, wanted []string, log func(string)) (installed []string, err error) {
	b := &Bases{o: Options{Dir: work}, log: slog.New(slog.DiscardHandler)}
	if err := b.bootstrap(ctx, recipe{Name: "machine", Variant: "minbase", Packages: wanted}, dir, log); err != nil {
		return nil, err
	}
	return packages(ctx, dir)
}

// Unpack downloads packages and unpacks them into dir without installing them.
func Unpack(ctx context.Context, work, dir string, names []string, log func(string)) (versions []string, err error) {
	b := &Bases{o: Options{Dir: work}, log: slog.New(slog.DiscardHandler)}
	return b.unpack(ctx, names, dir, work, log)
}

// Within runs a command in a root as its own mount and process world. binds are mounted over root's paths.
func Within(ctx context.Context, root string, binds [][2]string, log func(string), argv ...string) error {
	return within(ctx, root, binds, log, argv...)
}
