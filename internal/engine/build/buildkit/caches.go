package buildkit

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/moby/buildkit/client"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// mountOwner finds the project that a cache mount belongs to in what BuildKit says of it.
var mountOwner = regexp.MustCompile(`with id "([0-9a-zA-Z_-]+)/`)

// Projects lists the projects that have cache mounts. Layers belong to nobody: those unused longest go first when all
// caches together are too large.
func (e *Engine) Projects(ctx context.Context) ([]string, error) {
	if _, err := os.Stat(filepath.Join(e.o.Dir, "cache-metadata.db")); err != nil {
		return nil, nil // nothing was ever built
	}
	d, err := e.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer e.release()
	infos, err := d.worker.DiskUsage(ctx, client.DiskUsageInfo{})
	if err != nil {
		return nil, fail.Wrap(err, fail.Internal, "measuring build caches")
	}
	var out []string
	for _, i := range infos {
		if m := mountOwner.FindStringSubmatch(i.Description); m != nil && !slices.Contains(out, m[1]) {
			out = append(out, m[1])
		}
	}
	return out, nil
}

// Forget frees the cache mounts of a project.
func (e *Engine) Forget(ctx context.Context, project string) error {
	if !regexp.MustCompile(`^[0-9a-zA-Z_-]+$`).MatchString(project) {
		return fail.Field("project", "%q is no project", project)
	}
	d, err := e.acquire(ctx)
	if err != nil {
		return err
	}
	defer e.release()
	return d.free(ctx, client.PruneInfo{All: true, Filter: []string{`description~="with id \"` + project + `/"`}})
}
