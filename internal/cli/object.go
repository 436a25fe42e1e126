package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/s3utils"
	"github.com/spf13/cobra"

	"github.com/awancloud/awan/internal/cli/client"
	"github.com/awancloud/awan/internal/dialect/s3/link"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// spot is one end of a copy: an object or a prefix of a bucket, a path of this machine, or - for the standard streams.
type spot struct {
	bucket, key string
	path        string
	std         bool
}

var schemes = []string{"awan://", "s3://", "obs://"}

// spotOf reads an end of a copy.
func spotOf(arg string) (spot, error) {
	if arg == "-" {
		return spot{std: true}, nil
	}
	for _, scheme := range schemes {
		if rest, ok := strings.CutPrefix(arg, scheme); ok {
			return bucketSpot(rest)
		}
	}
	return spot{path: arg}, nil
}

// bucketSpot reads BUCKET/KEY, with or without awan:// before it.
func bucketSpot(arg string) (spot, error) {
	for _, scheme := range schemes {
		arg = strings.TrimPrefix(arg, scheme)
	}
	name, key, _ := strings.Cut(arg, "/")
	if name == "" {
		return spot{}, usagef("%q names no bucket: write awan://BUCKET/KEY", arg)
	}
	if err := s3utils.CheckValidBucketNameStrict(name); err != nil { // the client would say the same, of a transfer that broke off
		return spot{}, fail.New(fail.NotFound, "%q can be no bucket: %s", name, err).Then("see awan bucket list")
	}
	return spot{bucket: name, key: key}, nil
}

func (p spot) remote() bool { return p.bucket != "" }

func (p spot) String() string {
	switch {
	case p.std:
		return "-"
	case p.remote():
		return "awan://" + p.bucket + "/" + p.key
	}
	return p.path
}

// at is what lies in a folder under a relative name with slashes.
func (p spot) at(rel string) spot {
	if p.remote() {
		key := p.key
		if key != "" && !strings.HasSuffix(key, "/") {
			key += "/"
		}
		return spot{bucket: p.bucket, key: key + rel}
	}
	return spot{path: filepath.Join(p.path, filepath.FromSlash(rel))}
}

// objects is the cloud's object storage, as this run uses it.
type objects struct {
	*minio.Core
	s      *session
	c      *client.Client
	region string
}

func (s *session) objects(ctx context.Context) (*objects, error) {
	c, err := s.client()
	if err != nil {
		return nil, err
	}
	var v struct {
		Region string `json:"region"`
	}
	if err := c.Do(ctx, client.Request{Method: "GET", Path: "/version", Public: true}, &v); err != nil {
		return nil, err
	}
	core, err := c.Objects(v.Region)
	return &objects{core, s, c, v.Region}, err
}

// entry is an object, a version, a folder or a bucket, as lists show it.
type entry struct {
	Key      string    `json:"key"`
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified,omitzero"`
	ETag     string    `json:"etag,omitempty"`
	Class    string    `json:"class,omitempty"`
	Version  string    `json:"version,omitempty"`
	Latest   bool      `json:"latest,omitempty"`
	Marker   bool      `json:"delete_marker,omitempty"`
	Folder   bool      `json:"folder,omitempty"`
}

// each lists what begins with a prefix, a page at a time.
func (o *objects) each(ctx context.Context, p spot, recursive, versions bool, f func(entry) error) error {
	list, stop := context.WithCancel(ctx)
	defer stop()
	for i := range o.ListObjectsIter(list, p.bucket, minio.ListObjectsOptions{Prefix: p.key, Recursive: recursive, WithVersions: versions}) {
		if i.Err != nil {
			return o.c.ObjectError(ctx, i.Err)
		}
		e := entry{Key: i.Key, Size: i.Size, Modified: i.LastModified, ETag: strings.Trim(i.ETag, `"`), Class: strings.ToLower(i.StorageClass), Version: i.VersionID,
			Latest: i.IsLatest, Marker: i.IsDeleteMarker, Folder: i.LastModified.IsZero()}
		if err := f(e); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// bytesText prints bytes as people read them.
func bytesText(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n), 0
	for v >= 1024 && unit < 5 {
		v, unit = v/1024, unit+1
	}
	return fmt.Sprintf("%.1f %s", v, []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}[unit])
}

func (s *session) lsCmd() *cobra.Command {
	var recursive, versions bool
	var form string
	cmd := &cobra.Command{Use: "ls [BUCKET[/PREFIX]]", Short: "list buckets, or the objects in one",
		Long: "List the buckets of the project, or what lies in a bucket: the objects and folders under a prefix, which is a folder\n" +
			"when it ends with /. Names may also be written awan://BUCKET/PREFIX.",
		Example: examples("awan ls", "awan ls photos/2026/", "awan ls -r photos", "awan ls --versions photos/notes.txt   # what was overwritten or deleted, too", "awan ls -r photos -o json"),
		Args:    cobra.MaximumNArgs(1)}
	cmd.Flags().BoolVarP(&recursive, "recursive", "r", false, "what lies in folders, too")
	cmd.Flags().BoolVar(&versions, "versions", false, "every version, and delete markers")
	outputFlag(cmd, &form)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o, err := s.objects(cmd.Context())
		if err != nil {
			return err
		}
		if len(args) == 0 {
			return s.lsBuckets(cmd.Context(), o, form)
		}
		p, err := bucketSpot(args[0])
		if err != nil {
			return err
		}
		return s.lsObjects(cmd.Context(), o, p, form, recursive, versions)
	}
	return cmd
}

func (s *session) lsBuckets(ctx context.Context, o *objects, form string) error {
	all, err := o.ListBuckets(ctx)
	if err != nil {
		return o.c.ObjectError(ctx, err)
	}
	list := make([]entry, 0, len(all))
	for _, b := range all {
		list = append(list, entry{Key: b.Name, Modified: b.CreationDate})
	}
	if form != "table" {
		return s.documentOf(form, map[string]any{"buckets": list})
	}
	if len(list) == 0 {
		fmt.Fprintln(s.Stderr, "there are no buckets; make one: awan bucket create NAME")
	}
	for _, b := range list {
		if _, err := fmt.Fprintf(s.Stdout, "%s  %s\n", b.Modified.Local().Format(time.DateTime), clean(b.Key)); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) lsObjects(ctx context.Context, o *objects, p spot, form string, recursive, versions bool) error {
	list := []entry{}
	seen := false
	err := o.each(ctx, p, recursive, versions, func(e entry) error {
		seen = true
		if form != "table" {
			list = append(list, e)
			return nil
		}
		when, size := e.Modified.Local().Format(time.DateTime), bytesText(e.Size)
		switch {
		case e.Folder:
			when, size = "", "folder"
		case e.Marker:
			size = "deleted"
		}
		line := fmt.Sprintf("%-19s  %10s  %s", when, size, clean(e.Key))
		if versions && !e.Folder {
			line = fmt.Sprintf("%-19s  %10s  %-24s  %s", when, size, e.Version, clean(e.Key))
			if e.Latest {
				line += "  (newest)"
			}
		}
		_, err := fmt.Fprintln(s.Stdout, line)
		return err
	})
	switch {
	case err != nil:
		return err
	case form != "table":
		return s.documentOf(form, map[string]any{"objects": list})
	case !seen && p.key == "":
		fmt.Fprintf(s.Stderr, "bucket %s is empty; copy something into it: awan cp FILE awan://%s/\n", p.bucket, p.bucket)
	case !seen:
		return fail.New(fail.NotFound, "nothing in bucket %s begins with %q", p.bucket, p.key).Then("see what is there: awan ls %s", p.bucket)
	}
	return nil
}

func (s *session) documentOf(form string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fail.Wrap(err, fail.Internal, "the answer cannot be written")
	}
	return s.document(form, b)
}

func (s *session) catCmd() *cobra.Command {
	var version string
	cmd := &cobra.Command{Use: "cat BUCKET/KEY...", Short: "print objects", Long: "Print the content of objects, one after the other.",
		Example: examples("awan cat photos/notes.txt", "awan cat logs/2026/01/31.gz | gunzip"), Args: cobra.MinimumNArgs(1)}
	cmd.Flags().StringVar(&version, "version-id", "", "this `VERSION`, as awan ls --versions lists them")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o, err := s.objects(cmd.Context())
		if err != nil {
			return err
		}
		for _, a := range args {
			p, err := objectSpot(a)
			if err != nil {
				return err
			}
			if err := o.print(cmd.Context(), p, version); err != nil {
				return err
			}
		}
		return nil
	}
	return cmd
}

// objectSpot reads BUCKET/KEY that must name an object.
func objectSpot(arg string) (spot, error) {
	p, err := bucketSpot(arg)
	if err == nil && p.key == "" {
		err = usagef("%q names no object: write BUCKET/KEY", arg)
	}
	return p, err
}

func (s *session) shareCmd() *cobra.Command {
	life, version, form := time.Hour, "", ""
	cmd := &cobra.Command{Use: "share BUCKET/KEY", Short: "make a link to an object that works for a while",
		Long: "Make a link with which everybody who has it may read one object, without a log-in, until it ends: after 1 hour, or\n" +
			"what --for says, at most 24h. It acts for you: it ends early when you may no longer read the object.",
		Example: examples("awan share photos/beach.jpg", "awan share photos/beach.jpg --for 15m", "curl -O \"$(awan share backups/db.dump)\""), Args: cobra.ExactArgs(1)}
	cmd.Flags().DurationVar(&life, "for", time.Hour, "how long it works: 1m to 24h")
	cmd.Flags().StringVar(&version, "version-id", "", "this `VERSION` of it")
	outputFlag(cmd, &form)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		p, err := objectSpot(args[0])
		if err != nil {
			return err
		}
		if err := link.Check(life); err != nil {
			return err
		}
		ctx := cmd.Context()
		o, err := s.objects(ctx)
		if err != nil {
			return err
		}
		if _, err := o.StatObject(ctx, p.bucket, p.key, minio.StatObjectOptions{VersionID: version}); err != nil { // said now, not to who follows the link
			return o.missing(ctx, err, p)
		}
		to := link.Object{Bucket: p.bucket, Key: p.key, Version: version}
		k := link.Key{}
		if k.Access, k.Secret, k.Token, err = o.c.TemporaryKey(ctx, max(life, 15*time.Minute), link.Narrow(to)); err != nil {
			return err
		}
		ends := time.Now().Add(life).Truncate(time.Second)
		text, err := link.Make(o.c.Target().URL, o.region, k, to, life)
		if err != nil {
			return err
		}
		if form != "table" {
			return s.documentOf(form, map[string]any{"url": text, "expires": ends.UTC()})
		}
		fmt.Fprintf(s.Stderr, "whoever has this link can read %s until %s\n", p, ends.Local().Format(time.DateTime))
		_, err = fmt.Fprintln(s.Stdout, text)
		return err
	}
	return cmd
}

// missing words the error of a HEAD, which brings no words of its own.
func (o *objects) missing(ctx context.Context, err error, p spot) error {
	r := minio.ToErrorResponse(err)
	switch r.StatusCode {
	case 404:
		return fail.New(fail.NotFound, "there is no %s", p).Then("see what is there: awan ls %s", p.bucket)
	case 403:
		return fail.New(fail.Denied, "you may not read %s", p).Then("ask the bucket's owner for the right to")
	}
	return o.c.ObjectError(ctx, err)
}
