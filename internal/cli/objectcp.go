package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/spf13/cobra"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// item is one file or object to be copied.
type item struct {
	rel      string // its name under what was named, with slashes
	from, to spot
	size     int64
	modified time.Time
	etag     string
}

// copying is what cp, mv and sync were told.
type copying struct {
	recursive, move, dry bool
	exclude              []string
	jobs                 int
	version, form        string
}

func (f *copying) flags(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.exclude, "exclude", nil, "leave out names that fit this `PATTERN`: *.tmp, cache/*")
	cmd.Flags().IntVar(&f.jobs, "jobs", 4, "how many files travel at a `TIME`")
	cmd.Flags().BoolVar(&f.dry, "dry-run", false, "say what would be done, and do nothing")
	outputFlag(cmd, &f.form)
}

// copied is what was done.
type copied struct {
	Copied  int64 `json:"copied"`
	Bytes   int64 `json:"bytes"`
	Skipped int64 `json:"skipped,omitempty"`
	Deleted int64 `json:"deleted,omitempty"`
}

// copyObjects is awan cp and awan mv where one side is a bucket.
func (s *session) copyObjects(ctx context.Context, f *copying, args []string) error {
	from, err := spotOf(args[0])
	if err != nil {
		return err
	}
	to, err := spotOf(args[1])
	if err != nil {
		return err
	}
	if !from.remote() && !to.remote() {
		return usagef("one side must be a bucket: write awan://BUCKET/KEY (or APP:/PATH for an app's instance)")
	}
	o, err := s.objects(ctx)
	if err != nil {
		return err
	}
	if from.std || to.std {
		return s.copyStream(ctx, o, f, from, to)
	}
	items, err := o.items(ctx, f, from, to)
	if err != nil {
		return err
	}
	done, err := o.copyAll(ctx, f, items)
	return s.finish(f, done, err)
}

// copyStream copies from standard input or to standard output.
func (s *session) copyStream(ctx context.Context, o *objects, f *copying, from, to spot) error {
	if f.move || f.recursive {
		return usagef("- stands for one stream: it is copied, not moved, and has no folders")
	}
	if to.std {
		if from.key == "" {
			return usagef("%s names no object", from)
		}
		return o.print(ctx, from, f.version)
	}
	if to.key == "" || strings.HasSuffix(to.key, "/") {
		return usagef("say the object's name: awan://%s/KEY", to.bucket)
	}
	m := s.newMeter()
	err := o.uploadStream(ctx, s.Stdin, to, m)
	m.close()
	return s.finish(f, copied{Copied: 1, Bytes: m.bytes.Load()}, err)
}

func (s *session) finish(f *copying, done copied, err error) error {
	if err != nil {
		if done.Copied > 0 {
			fmt.Fprintf(s.Stderr, "%d copied before this:\n", done.Copied)
		}
		return err
	}
	if f.form != "table" {
		return s.documentOf(f.form, done)
	}
	what := "copied"
	if f.dry {
		what = "would be copied"
	} else if f.move {
		what = "moved"
	}
	line := fmt.Sprintf("%d %s, %s", done.Copied, what, bytesText(done.Bytes))
	if done.Skipped > 0 {
		line += fmt.Sprintf("; %d %s", done.Skipped, map[bool]string{false: "are the same", true: "is the same"}[done.Skipped == 1])
	}
	if done.Deleted > 0 {
		line += fmt.Sprintf("; %d %s", done.Deleted, map[bool]string{false: "deleted", true: "would be deleted"}[f.dry])
	}
	fmt.Fprintln(s.Stderr, line)
	return nil
}

// items finds what is to be copied.
func (o *objects) items(ctx context.Context, f *copying, from, to spot) ([]item, error) {
	if f.recursive {
		if f.version != "" {
			return nil, usagef("--version-id is of one object")
		}
		list, err := o.tree(ctx, f, from)
		for i := range list {
			list[i].to = to.at(list[i].rel)
		}
		if err == nil && len(list) == 0 {
			err = fail.New(fail.NotFound, "there is nothing in %s", from)
		}
		return list, err
	}
	it := item{from: from, to: to}
	base := path.Base(from.key)
	if from.remote() {
		if from.key == "" || strings.HasSuffix(from.key, "/") {
			return nil, usagef("%s is a folder: add -r to copy what is in it", from)
		}
		st, err := o.StatObject(ctx, from.bucket, from.key, minio.StatObjectOptions{VersionID: f.version})
		if err != nil {
			if f.version == "" && minio.ToErrorResponse(err).StatusCode == 404 && o.folder(ctx, from) {
				return nil, usagef("%s is a folder: add -r to copy what is in it", from)
			}
			return nil, o.missing(ctx, err, from)
		}
		it.size, it.modified, it.etag = st.Size, st.LastModified, strings.Trim(st.ETag, `"`)
	} else {
		st, err := os.Stat(from.path)
		if err != nil {
			return nil, fileError(err, from.path)
		}
		if st.IsDir() {
			return nil, usagef("%s is a folder: add -r to copy what is in it", from.path)
		}
		base, it.size, it.modified = filepath.Base(from.path), st.Size(), st.ModTime()
	}
	if to.remote() && (to.key == "" || strings.HasSuffix(to.key, "/")) {
		it.to.key += base
	} else if st, err := os.Stat(to.path); !to.remote() && (err == nil && st.IsDir() || strings.HasSuffix(to.path, "/")) {
		it.to.path = filepath.Join(to.path, base)
	}
	it.rel = base
	return []item{it}, nil
}

// folder is whether names lie under p.
func (o *objects) folder(ctx context.Context, p spot) bool {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	for e := range o.Client.ListObjects(ctx, p.bucket, minio.ListObjectsOptions{Prefix: p.key + "/", MaxKeys: 1}) {
		return e.Err == nil
	}
	return false
}

// tree lists what lies under a folder or a prefix, by relative names.
func (o *objects) tree(ctx context.Context, f *copying, p spot) ([]item, error) {
	var out []item
	if p.remote() {
		under := p
		if under.key != "" && !strings.HasSuffix(under.key, "/") {
			under.key += "/"
		}
		err := o.each(ctx, under, true, false, func(e entry) error {
			rel := strings.TrimPrefix(e.Key, under.key)
			if rel == "" || strings.HasSuffix(rel, "/") || f.left(rel) { // a folder's own mark holds nothing
				return nil
			}
			out = append(out, item{rel: rel, from: spot{bucket: p.bucket, key: e.Key}, size: e.Size, modified: e.Modified, etag: e.ETag})
			return nil
		})
		return out, err
	}
	root := p.path
	st, err := os.Stat(root)
	if err != nil {
		return nil, fileError(err, root)
	}
	if !st.IsDir() {
		return nil, fail.New(fail.Invalid, "%s is no folder", root).Then("leave out -r")
	}
	err = filepath.WalkDir(root, func(at string, d fs.DirEntry, err error) error {
		if err != nil {
			return fileError(err, at)
		}
		rel, rerr := filepath.Rel(root, at)
		if rerr != nil {
			return rerr
		}
		rel = filepath.ToSlash(rel)
		switch {
		case rel != "." && f.left(rel) && d.IsDir():
			return fs.SkipDir
		case d.IsDir() || f.left(rel):
			return nil
		}
		st, err := os.Stat(at) // links are followed to files
		if err != nil || !st.Mode().IsRegular() {
			return nil
		}
		out = append(out, item{rel: rel, from: spot{path: at}, size: st.Size(), modified: st.ModTime()})
		return ctx.Err()
	})
	return out, err
}

// left tells whether a pattern leaves a name out: the whole of it, its last part, or a folder above it.
func (f *copying) left(rel string) bool {
	for _, p := range f.exclude {
		p = strings.TrimSuffix(p, "/")
		if ok, _ := path.Match(p, path.Base(rel)); ok {
			return true
		}
		parts := strings.Split(rel, "/")
		for n := 1; n <= len(parts); n++ {
			if ok, _ := path.Match(p, strings.Join(parts[:n], "/")); ok {
				return true
			}
		}
	}
	return false
}

// check refuses patterns that cannot be read, and names that lead out of the folder they are to go into.
func (f *copying) check() error {
	for _, p := range f.exclude {
		if _, err := path.Match(p, ""); err != nil {
			return usagef("--exclude %q is no pattern: use * ? and [a-z]", p)
		}
	}
	if f.jobs < 1 || f.jobs > 64 {
		return usagef("--jobs takes 1 to 64")
	}
	return nil
}

func safe(it item) error {
	if it.to.remote() || !it.from.remote() {
		return nil
	}
	if !filepath.IsLocal(filepath.FromSlash(it.rel)) {
		return fail.New(fail.Denied, "object %q has a name that leads out of the folder, so nothing was copied", it.from.key).Then("copy it by itself, under another name")
	}
	return nil
}

// copyAll copies, a few at a time.
func (o *objects) copyAll(ctx context.Context, f *copying, items []item) (copied, error) {
	total := int64(0)
	for _, it := range items {
		if err := safe(it); err != nil {
			return copied{}, err
		}
		total += it.size
	}
	if f.dry {
		for _, it := range items {
			fmt.Fprintf(o.s.Stderr, "%s -> %s\n", clean(it.from.String()), clean(it.to.String()))
		}
		return copied{Copied: int64(len(items)), Bytes: total}, nil
	}
	m := o.s.newMeter()
	m.total.Store(total)
	m.of.Store(int64(len(items)))
	var sent atomic.Int64
	err := together(ctx, f.jobs, items, func(ctx context.Context, it item) error {
		if err := o.copyOne(ctx, f, it, m); err != nil {
			return err
		}
		m.files.Add(1)
		sent.Add(it.size)
		return nil
	})
	m.close()
	if errors.Is(err, context.Canceled) {
		err = fail.New(fail.Canceled, "stopped").Then("run the same command again: what is there already is not sent twice within a large file")
	}
	return copied{Copied: m.files.Load(), Bytes: sent.Load()}, err
}

func (o *objects) copyOne(ctx context.Context, f *copying, it item, m *meter) (err error) {
	switch {
	case it.from.remote() && it.to.remote():
		err = o.copyObject(ctx, it.from, f.version, it.size, it.to, m)
	case it.to.remote():
		err = o.upload(ctx, it.from.path, it.to, m)
	default:
		err = o.download(ctx, it.from, f.version, it.to.path, m)
	}
	if err != nil || !f.move {
		return err
	}
	if it.from.remote() {
		return o.c.ObjectError(ctx, o.RemoveObject(ctx, it.from.bucket, it.from.key, minio.RemoveObjectOptions{}))
	}
	return fileError(os.Remove(it.from.path), it.from.path)
}

func (s *session) mvCmd() *cobra.Command {
	f := &copying{move: true}
	cmd := &cobra.Command{Use: "mv FROM TO", Short: "move objects", Long: "Copy like awan cp, and delete what was copied. In a bucket that keeps versions the old name keeps its versions.",
		Example: examples("awan mv awan://photos/a.jpg awan://photos/2026/a.jpg", "awan mv -r ./done awan://archive/done/"), Args: cobra.ExactArgs(2)}
	cmd.Flags().BoolVarP(&f.recursive, "recursive", "r", false, "everything in a folder")
	f.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := f.check(); err != nil {
			return err
		}
		if args[0] == args[1] {
			return usagef("both sides are the same")
		}
		return s.copyObjects(cmd.Context(), f, args)
	}
	return cmd
}
