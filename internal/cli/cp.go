package cli

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/awancloud/awan/internal/cli/client"
	"github.com/awancloud/awan/internal/kernel/fail"
)

func (s *session) cpCmd() *cobra.Command {
	var instance string
	k := s.component()
	f := &copying{}
	cmd := &cobra.Command{Use: "cp FROM TO", Short: "copy files to and from buckets and apps' instances",
		Long: "Copy files and folders between this machine and a bucket, between buckets, or between this machine and an instance of\n" +
			"an app. A bucket's side is written awan://BUCKET/KEY (s3:// and obs:// do, too), an instance's APP:/PATH, and - is\n" +
			"standard input or output. TO is the copy's own name, or the folder it goes into when it ends with /.\n\n" +
			"With -r, what lies in folder FROM goes under TO. Large files travel in parts, several at a time; an upload that was\n" +
			"interrupted goes on where it stopped when the same command runs again. What is copied into an instance goes with it.",
		Example: examples("awan cp backup.tar awan://backups/", "awan cp -r ./site awan://www/", "awan cp awan://backups/backup.tar .", "awan cp awan://a/x awan://b/y",
			"pg_dump shop | awan cp - awan://backups/shop.sql", "awan cp --version-id 1886f7… awan://a/x awan://a/x   # an old version is the newest again",
			"awan cp ./data.csv shop:/tmp/data.csv", "awan cp shop:/var/log/app ./logs"),
		Args: cobra.ExactArgs(2)}
	cmd.Flags().StringVar(&instance, "instance", "", "this instance (`ID`) of an app; any ready one when empty")
	cmd.Flags().BoolVarP(&f.recursive, "recursive", "r", false, "everything in a folder of this machine or a bucket")
	cmd.Flags().StringVar(&f.version, "version-id", "", "this `VERSION` of an object, as awan ls --versions lists them")
	f.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := f.check(); err != nil {
			return err
		}
		from, fromPath, fromThere := remotePath(args[0])
		to, toPath, toThere := remotePath(args[1])
		if !fromThere && !toThere {
			return s.copyObjects(cmd.Context(), f, args)
		}
		if f.dry || f.version != "" || len(f.exclude) > 0 {
			return usagef("--dry-run, --exclude and --version-id are of copies to and from buckets")
		}
		if err := needs(k, "component"); err != nil {
			return err
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		switch {
		case fromThere == toThere:
			return usagef("one side must be APP:/PATH and the other a path of this machine")
		case toThere:
			if strings.HasSuffix(toPath, "/") {
				toPath += filepath.Base(args[0])
			}
			return s.copyIn(cmd.Context(), c, to, args[0], path.Clean(toPath), instance, nil, false)
		}
		return s.copyOut(cmd.Context(), c, from, fromPath, args[1], instance)
	}
	return cmd
}

// remotePath reads APP:/PATH.
func remotePath(arg string) (app, p string, ok bool) {
	app, p, ok = strings.Cut(arg, ":")
	if !ok || app == "" || strings.HasPrefix(p, "//") || strings.ContainsAny(app, "/.\\") || !strings.HasPrefix(p, "/") {
		return "", "", false
	}
	return app, p, true
}

func (s *session) copyRequest(c *client.Client, app, action, p, instance string, more map[string]any) (client.Request, error) {
	in := map[string]any{"path": p, "instance": instance}
	for k, v := range more {
		in[k] = v
	}
	b, err := json.Marshal(in)
	if err != nil {
		return client.Request{}, err
	}
	return client.Request{Method: "POST", Path: s.collection(c, s.component()) + "/" + url.PathEscape(app) + "/actions/" + action, Query: url.Values{"in": {string(b)}}}, nil
}

// copyIn sends a file or a folder; only says which files of the folder, all when it is nil.
func (s *session) copyIn(ctx context.Context, c *client.Client, app, local, to, instance string, only []string, restart bool) error {
	if _, err := os.Stat(local); err != nil {
		return fail.New(fail.NotFound, "there is no %s here", local)
	}
	var more map[string]any
	if restart {
		more = map[string]any{"restart": true}
	}
	q, err := s.copyRequest(c, app, "copy-in", path.Dir(to), instance, more)
	if err != nil {
		return err
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError(packLocal(w, local, path.Base(to), only)) }()
	defer r.Close()
	q.Body, q.ContentType = r, "application/x-tar"
	return c.Lines(ctx, q, func([]byte) error { return nil })
}

// packLocal writes a file or a folder as tar under name.
func packLocal(to io.Writer, local, name string, only []string) error {
	w := tar.NewWriter(to)
	add := func(p, as string) error {
		st, err := os.Lstat(p)
		if err != nil {
			return err
		}
		link := ""
		if st.Mode()&fs.ModeSymlink != 0 {
			if link, err = os.Readlink(p); err != nil {
				return err
			}
		} else if !st.Mode().IsRegular() && !st.IsDir() {
			return nil
		}
		h, err := tar.FileInfoHeader(st, link)
		if err != nil {
			return err
		}
		h.Name, h.Uname, h.Gname, h.Uid, h.Gid = as, "", "", 0, 0
		if err := w.WriteHeader(h); err != nil || !st.Mode().IsRegular() {
			return err
		}
		f, err := os.Open(p)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.CopyN(w, f, h.Size)
		return err
	}
	if only != nil {
		for _, p := range only {
			if err := add(filepath.Join(local, p), path.Join(name, filepath.ToSlash(p))); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return w.Close()
	}
	err := filepath.WalkDir(local, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(local, p)
		if err != nil {
			return err
		}
		return add(p, path.Join(name, filepath.ToSlash(rel)))
	})
	return errors.Join(err, w.Close())
}

func (s *session) copyOut(ctx context.Context, c *client.Client, app, from, local, instance string) error {
	q, err := s.copyRequest(c, app, "copy-out", from, instance, nil)
	if err != nil {
		return err
	}
	body, err := c.Raw(ctx, q)
	if err != nil {
		return err
	}
	defer body.Close()
	into, name := filepath.Dir(local), filepath.Base(local)
	if st, err := os.Stat(local); err == nil && st.IsDir() || strings.HasSuffix(local, "/") {
		into, name = local, path.Base(path.Clean(from))
	}
	if err := os.MkdirAll(into, 0o755); err != nil {
		return fail.Wrap(err, fail.Invalid, "%s cannot be made", into)
	}
	root, err := os.OpenRoot(into) // no name and no link of the instance's leads out of it
	if err != nil {
		return fail.Wrap(err, fail.Invalid, "%s cannot be written", into)
	}
	defer root.Close()
	n := 0
	for t := tar.NewReader(body); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fail.Wrap(err, fail.Unavailable, "the copy broke off")
		}
		_, rest, _ := strings.Cut(path.Clean(h.Name), "/")
		if err := unpackOne(root, path.Join(name, rest), h, t); err != nil {
			return fail.Wrap(err, fail.Invalid, "%s cannot be written here", h.Name)
		}
		n++
	}
	fmt.Fprintf(s.Stderr, "%d files and folders\n", n)
	return nil
}

func unpackOne(root *os.Root, name string, h *tar.Header, body io.Reader) error {
	switch h.Typeflag {
	case tar.TypeDir:
		return root.MkdirAll(name, 0o755)
	case tar.TypeSymlink:
		_ = root.Remove(name)
		return root.Symlink(h.Linkname, name)
	case tar.TypeReg:
	default:
		return nil
	}
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, h.FileInfo().Mode().Perm()|0o200)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, body)
	return errors.Join(err, f.Close())
}
