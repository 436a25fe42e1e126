package containerd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/client"
	cimages "github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/image-spec/identity"
	"golang.org/x/sys/unix"
)

// Images that no instance uses are kept for a while, so that going back to an earlier release needs no pull, and dropped
// at once when the disk gets full. The registry has them all.
const (
	collectEvery = time.Hour
	keepUnused   = 7 * 24 * time.Hour
	lowSpace     = 10 // percent of the disk that is free
	usedLabel    = "awan.used"
)

// collectImages drops unused images now and then.
func (e *Engine) collectImages() {
	defer e.work.Done()
	tick := time.NewTicker(collectEvery)
	defer tick.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return
		case <-tick.C:
			keep := keepUnused
			if free(e.paths.dir) < lowSpace {
				keep = 0
			}
			if _, err := e.CollectImages(e.ctx, keep); err != nil {
				e.log.Warn("drop unused images", "err", err)
			}
		}
	}
}

// free is the share of the file system at dir that is free, in percent.
func free(dir string) int {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil || st.Blocks == 0 {
		return 100
	}
	return int(st.Bavail * 100 / st.Blocks)
}

// CollectImages drops the images that no instance uses and that were not asked for within keep. It tells how many.
func (e *Engine) CollectImages(ctx context.Context, keep time.Duration) (int, error) {
	used := map[string]bool{}
	e.mu.Lock()
	for _, in := range e.instances {
		if rec, _, _, known := in.snapshot(); known {
			used[rec.Want.Image] = true
		}
	}
	e.mu.Unlock()
	return e.img.collect(inNamespace(ctx), used, time.Now().Add(-keep))
}

func (im *images) collect(ctx context.Context, used map[string]bool, before time.Time) (int, error) {
	// No pull and no start may find an image that is going. Never wait in Lock: it would hold up every start behind a
	// long pull.
	for !im.gate.TryLock() {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	defer im.gate.Unlock()
	all, err := im.cl.ImageService().List(ctx)
	if err != nil {
		return 0, err
	}
	dropped := 0
	chains := map[string]bool{}
	var errs []error
	for _, meta := range all {
		ref := strings.TrimPrefix(meta.Name, im.host+"/")
		at, err := time.Parse(time.RFC3339, meta.Labels[usedLabel])
		if err != nil {
			at = meta.UpdatedAt
		}
		if used[ref] || at.After(before) {
			if ids, err := client.NewImage(im.cl, meta).RootFS(ctx); err == nil {
				chains[identity.ChainID(ids).String()] = true
			}
			continue
		}
		im.mu.Lock()
		delete(im.known, ref)
		im.mu.Unlock()
		if err := im.cl.ImageService().Delete(ctx, meta.Name); err != nil && !errdefs.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("image %s: %w", ref, err))
			continue
		}
		dropped++
	}
	if dropped == 0 {
		return 0, errors.Join(errs...)
	}
	var views []string
	err = im.snaps.Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		if chain, ok := strings.CutPrefix(info.Name, "view-"); ok && !chains[chain] {
			views = append(views, info.Name)
		}
		return nil
	})
	errs = append(errs, err)
	for _, v := range views {
		if err := im.snaps.Remove(ctx, v); err != nil && !errdefs.IsNotFound(err) {
			errs = append(errs, err)
		}
	}
	_, err = im.db.GarbageCollect(ctx)
	return dropped, errors.Join(append(errs, err)...)
}

// touch notes that an image was asked for.
func (im *images) touch(ctx context.Context, meta cimages.Image) {
	meta.Labels = map[string]string{usedLabel: time.Now().UTC().Format(time.RFC3339)}
	if _, err := im.cl.ImageService().Update(ctx, meta, "labels."+usedLabel); err != nil {
		im.log.Warn("note the use of an image", "image", meta.Name, "err", err)
	}
}
