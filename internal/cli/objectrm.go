package cli

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/spf13/cobra"

	"github.com/awancloud/awan/internal/kernel/fail"
)

func (s *session) rmCmd() *cobra.Command {
	var recursive, versions, bypass, yes bool
	var version string
	cmd := &cobra.Command{Use: "rm BUCKET/KEY...", Short: "delete objects",
		Long: "Delete objects. In a bucket that keeps versions they are hidden and can be brought back with awan undelete; with\n" +
			"--versions, or --version-id, versions go for good. What is locked or held stays.",
		Example: examples("awan rm photos/a.jpg", "awan rm -r photos/2025/", "awan rm --version-id 1886f7… photos/a.jpg", "awan rm -r --versions --yes photos/2025/"), Args: cobra.MinimumNArgs(1)}
	cmd.Flags().BoolVarP(&recursive, "recursive", "r", false, "everything whose name begins so")
	cmd.Flags().BoolVar(&versions, "versions", false, "all versions, for good")
	cmd.Flags().StringVar(&version, "version-id", "", "this `VERSION`, for good")
	cmd.Flags().BoolVar(&bypass, "bypass-governance", false, "also what a governance lock protects, if you may")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		o, err := s.objects(ctx)
		if err != nil {
			return err
		}
		for _, a := range args {
			p, err := bucketSpot(a)
			switch {
			case err != nil:
				return err
			case p.key == "" && !recursive:
				return usagef("%s is a bucket: awan bucket empty %s, or awan bucket delete %s", a, p.bucket, p.bucket)
			case strings.HasSuffix(p.key, "/") && !recursive && version == "":
				return usagef("%s is a folder: add -r to delete what is in it", a)
			case version != "" && (recursive || versions):
				return usagef("--version-id is of one object")
			}
			if recursive || versions {
				if !yes {
					if err := s.confirm(fmt.Sprintf("delete everything that begins with %s%s? Type yes: ", p, map[bool]string{true: ", with all versions, for good"}[versions]), "yes"); err != nil {
						return err
					}
				}
				n, err := o.sweep(ctx, p, versions, bypass, !recursive)
				if err != nil {
					return err
				}
				fmt.Fprintf(s.Stderr, "%d deleted\n", n)
				continue
			}
			if version == "" { // deleting what is not there succeeds, which hides slips of the hand
				if _, err := o.StatObject(ctx, p.bucket, p.key, minio.StatObjectOptions{}); err != nil {
					return o.missing(ctx, err, p)
				}
			}
			if err := o.RemoveObject(ctx, p.bucket, p.key, minio.RemoveObjectOptions{VersionID: version, GovernanceBypass: bypass}); err != nil {
				return o.c.ObjectError(ctx, err)
			}
			fmt.Fprintf(s.Stderr, "deleted %s\n", p)
		}
		return nil
	}
	return cmd
}

// confirm asks until the word was typed; anything else ends the command.
func (s *session) confirm(prompt, word string) error {
	got, err := s.ask(prompt, false)
	if err != nil {
		return usagef("this needs a confirmation: add --yes")
	}
	if strings.TrimSpace(got) != word {
		return fail.New(fail.Canceled, "nothing was deleted")
	}
	return nil
}

// sweep deletes what begins with a prefix; exact: only the object that has this name.
func (o *objects) sweep(ctx context.Context, p spot, versions, bypass, exact bool) (int, error) {
	var broken error
	found := func(yield func(minio.ObjectInfo) bool) {
		list, stop := context.WithCancel(ctx)
		defer stop()
		for i := range o.ListObjectsIter(list, p.bucket, minio.ListObjectsOptions{Prefix: p.key, Recursive: true, WithVersions: versions}) {
			if i.Err != nil {
				broken = i.Err
				return
			}
			if exact && i.Key != p.key {
				continue
			}
			if !yield(i) {
				return
			}
		}
	}
	n, err := o.remove(ctx, p.bucket, found, bypass)
	if broken != nil {
		return n, o.c.ObjectError(ctx, broken)
	}
	return n, err
}

// remove deletes many, a thousand at a time, and says what stayed.
func (o *objects) remove(ctx context.Context, bucket string, which iter.Seq[minio.ObjectInfo], bypass bool) (int, error) {
	results, err := o.RemoveObjectsWithIter(ctx, bucket, which, minio.RemoveObjectsOptions{GovernanceBypass: bypass})
	if err != nil {
		return 0, o.c.ObjectError(ctx, err)
	}
	n, kept := 0, 0
	var first error
	for r := range results {
		if r.Err != nil {
			if kept++; first == nil {
				first = r.Err
			}
			if kept <= 10 {
				fmt.Fprintf(o.s.Stderr, "stays: %s: %v\n", clean(r.ObjectName), r.Err)
			}
			continue
		}
		n++
	}
	if first != nil {
		return n, fail.New(fail.Precondition, "%d could not be deleted, %d were", kept, n).Then("see above why; locked versions go when their time has come")
	}
	return n, ctx.Err()
}

func (s *session) undeleteCmd() *cobra.Command {
	var recursive bool
	cmd := &cobra.Command{Use: "undelete BUCKET/KEY...", Short: "bring deleted objects back",
		Long:    "Bring back objects that were deleted in a bucket that keeps versions: the delete marker in front of each is removed.",
		Example: examples("awan undelete photos/a.jpg", "awan undelete -r photos/2025/"), Args: cobra.MinimumNArgs(1)}
	cmd.Flags().BoolVarP(&recursive, "recursive", "r", false, "everything whose name begins so")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		o, err := s.objects(ctx)
		if err != nil {
			return err
		}
		for _, a := range args {
			p, err := bucketSpot(a)
			if err != nil {
				return err
			}
			if p.key == "" && !recursive {
				return usagef("%q names no object: write BUCKET/KEY, or add -r", a)
			}
			n := 0
			err = o.each(ctx, p, true, true, func(e entry) error {
				if !e.Marker || !e.Latest || !recursive && e.Key != p.key {
					return nil
				}
				n++
				if err := o.RemoveObject(ctx, p.bucket, e.Key, minio.RemoveObjectOptions{VersionID: e.Version}); err != nil {
					return o.c.ObjectError(ctx, err)
				}
				fmt.Fprintf(s.Stderr, "awan://%s/%s is back\n", p.bucket, clean(e.Key))
				return nil
			})
			if err != nil {
				return err
			}
			if n == 0 {
				if v, err := o.GetBucketVersioning(ctx, p.bucket); err == nil && v.Status == "" { // a guess at why; without it the plain answer
					return fail.New(fail.NotFound, "the bucket %s keeps no versions: what is deleted in it is gone", p.bucket).
						Then("for the time to come: awan bucket update %s --versioning enabled", p.bucket)
				}
				return fail.New(fail.NotFound, "nothing that was deleted is called %s", p).Then("see awan ls --versions %s", strings.TrimPrefix(p.String(), "awan://"))
			}
		}
		return nil
	}
	return cmd
}

// bucketEmptyCmd is awan bucket empty.
func (s *session) bucketEmptyCmd() *cobra.Command {
	var yes, bypass bool
	cmd := &cobra.Command{Use: "empty NAME", Short: "delete everything in a bucket",
		Long: "Delete all objects of a bucket, all their versions, and all uploads that were not finished, for good. What is locked\n" +
			"or held stays. The bucket stays, too: awan bucket delete NAME deletes it then.",
		Example: examples("awan bucket empty my-bucket", "awan bucket empty my-bucket --yes && awan bucket delete my-bucket"), Args: cobra.ExactArgs(1)}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&bypass, "bypass-governance", false, "also what a governance lock protects, if you may")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		o, err := s.objects(ctx)
		if err != nil {
			return err
		}
		p, err := bucketSpot(args[0])
		if err != nil {
			return err
		}
		if ok, err := o.BucketExists(ctx, p.bucket); err != nil {
			return o.c.ObjectError(ctx, err)
		} else if !ok {
			return fail.New(fail.NotFound, "there is no bucket %q", p.bucket).Then("see awan ls")
		}
		if !yes {
			if err := s.confirm(fmt.Sprintf("delete everything in bucket %s, for good? Type its name: ", p.bucket), p.bucket); err != nil {
				return err
			}
		}
		n, err := o.sweep(ctx, spot{bucket: p.bucket}, true, bypass, false)
		if err != nil {
			return err
		}
		ups := 0
		for {
			r, err := o.ListMultipartUploads(ctx, p.bucket, "", "", "", "", 1000)
			if err != nil {
				return o.c.ObjectError(ctx, err)
			}
			for _, u := range r.Uploads {
				if err := o.AbortMultipartUpload(ctx, p.bucket, u.Key, u.UploadID); err != nil && minio.ToErrorResponse(err).StatusCode != 404 {
					return o.c.ObjectError(ctx, err)
				}
				ups++
			}
			if len(r.Uploads) == 0 {
				break
			}
		}
		fmt.Fprintf(s.Stderr, "%d objects, versions and delete markers, and %d unfinished uploads were deleted\n", n, ups)
		return nil
	}
	return cmd
}
