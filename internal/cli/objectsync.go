package cli

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/spf13/cobra"

	"github.com/awancloud/awan/internal/kernel/fail"
)

func (s *session) syncCmd() *cobra.Command {
	f := &copying{recursive: true}
	var drop, checksum bool
	cmd := &cobra.Command{Use: "sync FROM TO", Short: "make a folder or bucket like another",
		Long: "Copy what is missing or other in TO: what has another size, or is older there than in FROM. With --checksum, what\n" +
			"has another MD5 instead of what is older, where the object's MD5 is known; else the time decides. With --delete, what\n" +
			"FROM does not have is deleted in TO. One side at least is awan://BUCKET/PREFIX.",
		Example: examples("awan sync ./site awan://www/", "awan sync --delete --dry-run ./site awan://www/", "awan sync awan://backups/2026/ ./backups --exclude '*.tmp'", "awan sync awan://photos awan://photos-copy"),
		Args:    cobra.ExactArgs(2)}
	cmd.Flags().BoolVar(&drop, "delete", false, "delete in TO what FROM does not have")
	cmd.Flags().BoolVar(&checksum, "checksum", false, "compare contents by MD5, not by time")
	f.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := f.check(); err != nil {
			return err
		}
		from, err := spotOf(args[0])
		if err != nil {
			return err
		}
		to, err := spotOf(args[1])
		if err != nil {
			return err
		}
		switch {
		case from.std || to.std:
			return usagef("- cannot be compared: use awan cp")
		case !from.remote() && !to.remote():
			return usagef("one side must be a bucket: write awan://BUCKET/PREFIX")
		}
		o, err := s.objects(cmd.Context())
		if err != nil {
			return err
		}
		done, err := o.sync(cmd.Context(), f, from, to, drop, checksum)
		return s.finish(f, done, err)
	}
	return cmd
}

func (o *objects) sync(ctx context.Context, f *copying, from, to spot, drop, checksum bool) (copied, error) {
	have, err := o.tree(ctx, f, from)
	if err != nil {
		return copied{}, err
	}
	there, err := o.tree(ctx, f, to)
	if err != nil && !(fail.Is(err, fail.NotFound) && !to.remote()) { // the folder is made
		return copied{}, err
	}
	old := map[string]item{}
	for _, it := range there {
		old[it.rel] = it
	}
	var todo []item
	skipped := int64(0)
	for _, it := range have {
		it.to = to.at(it.rel)
		was, ok := old[it.rel]
		delete(old, it.rel)
		if ok {
			same, err := alike(it, was, checksum)
			if err != nil {
				return copied{}, err
			}
			if same {
				skipped++
				continue
			}
		}
		todo = append(todo, it)
	}
	done, err := o.copyAll(ctx, f, todo)
	done.Skipped = skipped
	if err != nil || !drop {
		return done, err
	}
	var gone []string
	for rel := range old {
		gone = append(gone, rel)
	}
	slices.Sort(gone)
	done.Deleted = int64(len(gone))
	for _, rel := range gone {
		it := old[rel]
		if f.dry {
			fmt.Fprintf(o.s.Stderr, "delete %s\n", clean(it.from.String()))
			continue
		}
		if !it.from.remote() {
			if err := os.Remove(it.from.path); err != nil {
				return done, fileError(err, it.from.path)
			}
		}
	}
	if f.dry || !to.remote() {
		return done, nil
	}
	var keys []minio.ObjectInfo
	for _, rel := range gone {
		keys = append(keys, minio.ObjectInfo{Key: old[rel].from.key})
	}
	_, err = o.remove(ctx, to.bucket, slices.Values(keys), false)
	return done, err
}

// alike tells whether what is there need not be copied again.
func alike(from, there item, checksum bool) (bool, error) {
	if from.size != there.size {
		return false, nil
	}
	if checksum {
		a, err := md5Of(from)
		if err != nil {
			return false, err
		}
		b, err := md5Of(there)
		if err != nil {
			return false, err
		}
		if a != "" && b != "" {
			return a == b, nil
		}
	}
	// A store's clock counts whole seconds in lists.
	return !there.modified.Before(from.modified.Truncate(time.Second)), nil
}

// md5Of gives the MD5 of a file; of an object where its ETag is one, which it is not of what was uploaded in parts.
func md5Of(it item) (string, error) {
	if it.from.remote() {
		if len(it.etag) == 32 && !strings.Contains(it.etag, "-") {
			return it.etag, nil
		}
		return "", nil
	}
	f, err := os.Open(filepath.Clean(it.from.path))
	if err != nil {
		return "", fileError(err, it.from.path)
	}
	defer f.Close()
	h := md5.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fileError(err, it.from.path)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
