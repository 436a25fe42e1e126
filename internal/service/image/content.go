package image

import (
	"context"
	"io"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/disk"
)

// UploadIn goes with an image's content.
type UploadIn struct {
	SHA256 string `json:"sha256" doc:"SHA-256 of what is sent, in hex; it is refused when it differs" pattern:"^([0-9a-f]{64})?$"`
}

// DownloadIn says in which form an image is wanted.
type DownloadIn struct {
	Format string `json:"format" doc:"format of the file" enum:"qcow2,raw,vmdk,vhd" default:"qcow2"`
}

func (s *Service) contentActions() []kind.Action[Spec, Status] {
	phase := func(verb, doc, from, to, next string) kind.Action[Spec, Status] {
		return kind.Action[Spec, Status]{Verb: verb, Doc: doc, Level: kind.Write, Change: func(_ context.Context, _ store.Tx, r *Row, _ any) (string, error) {
			if r.Status.Phase == to || to == Usable && r.Status.Phase == OnDemand {
				return "", nil
			}
			if r.Status.Phase != from && !(from == Usable && r.Status.Phase == OnDemand) {
				return "", fail.New(fail.Precondition, "image %s is %s", r.Name, r.Status.Phase).Then("%s", next)
			}
			r.Status.Phase = to
			if to == Usable && r.Spec.Recipe != "" && r.Status.Ready.IsZero() {
				r.Status.Phase = OnDemand
			}
			return "", nil
		}}
	}
	return []kind.Action[Spec, Status]{
		{Verb: "upload", Doc: "give it its content: a file of any known format", Level: kind.Write, In: UploadIn{},
			Serve: func(ctx context.Context, r *Row, in any, st kind.Stream) error {
				out, err := s.Upload(ctx, r, st.Body, in.(*UploadIn).SHA256, nil)
				if err != nil {
					return err
				}
				return st.Emit(out)
			}},
		{Verb: "download", Doc: "get its content as a file", Level: kind.Read, In: DownloadIn{},
			Serve: func(ctx context.Context, r *Row, in any, st kind.Stream) error {
				w := &lateWriter{open: func() (io.Writer, error) { return st.Raw("application/octet-stream") }}
				return s.Download(ctx, r, in.(*DownloadIn).Format, nil, w)
			}},
		phase("deactivate", "let nothing be made from it any more", Usable, Deactivated, "only active images can be deactivated"),
		phase("reactivate", "let it be used again", Deactivated, Usable, "only deactivated images can be activated again"),
	}
}

// lateWriter asks for the connection when the first byte comes: until then an error can still be told.
type lateWriter struct {
	open func() (io.Writer, error)
	w    io.Writer
}

func (l *lateWriter) Write(b []byte) (n int, err error) {
	if l.w == nil {
		if l.w, err = l.open(); err != nil {
			return 0, err
		}
	}
	return l.w.Write(b)
}

// Upload stores what r gives as the content of a queued image. The caller has been let through the door.
func (s *Service) Upload(ctx context.Context, row *Row, r io.Reader, sha256 string, progress func(int64)) (*Row, error) {
	if s.Engine == nil {
		return nil, fail.New(fail.Unsupported, "this cloud keeps no images").Then("see awan status for what is missing")
	}
	// What is stored says whose turn it is; a process that dies leaves "saving", which the next start takes back.
	row, err := s.edit(ctx, &row.Meta, func(tx store.Tx, row *Row) error {
		switch {
		case row.Job != "":
			return fail.New(fail.Conflict, "image %s is busy", row.Name).Then("wait until it is done")
		case row.Status.Phase == Saving:
			return fail.New(fail.Conflict, "image %s is being uploaded already", row.Name).Then("wait, or delete it")
		case row.Status.Phase != Queued || row.Spec.Source != (Source{}) || row.Spec.Alias != "":
			return fail.New(fail.Conflict, "image %s has its content already", row.Name).Then("create another image")
		}
		row.Status.Phase, row.Status.Note = Saving, ""
		return nil
	})
	if err != nil {
		return nil, err
	}
	keys, err := s.keys(ctx, row)
	var seen disk.SeenImage
	if err == nil {
		seen, err = s.Engine.Import(ctx, row.ID, r, disk.Import{Format: row.Spec.Format, SHA256: sha256, MaxBytes: s.MaxBytes, Key: keys[row.ID], Progress: progress})
	}
	late := context.WithoutCancel(ctx)
	out := row
	if err == nil {
		out, err = s.edit(late, &row.Meta, func(_ store.Tx, row *Row) error {
			s.filled(row, seen)
			return nil
		})
	}
	if err != nil {
		_ = s.Engine.DestroyImage(late, row.ID) // what is left is found at the next start
		_, _ = s.edit(late, &row.Meta, func(_ store.Tx, row *Row) error {
			row.Status.Phase, row.Status.Note = Queued, fail.From(err).Public()
			return nil
		})
		return nil, err
	}
	return out, nil
}

// filled writes down what the engine saw.
func (s *Service) filled(row *Row, seen disk.SeenImage) {
	t := &row.Status
	t.Phase, t.Ready, t.Note = Usable, s.Now().UTC(), ""
	t.Format, t.Size, t.Bytes, t.Allocated = seen.Format, seen.Size, seen.Bytes, seen.Allocated
	t.MD5, t.SHA256, t.SHA512 = seen.MD5, seen.SHA256, seen.SHA512
}

func (s *Service) keys(ctx context.Context, row *Row) (keys disk.Keys, err error) {
	err = s.Store.View(ctx, func(tx store.Tx) (err error) {
		keys, err = s.Keys(tx, row)
		return err
	})
	return keys, err
}

// Download writes an image's content in a format; size is told its length before the first byte. The caller has been let
// through the door.
func (s *Service) Download(ctx context.Context, row *Row, format string, size func(int64), w io.Writer) error {
	row, keys, err := s.usable(ctx, row)
	if err != nil {
		return err
	}
	if size == nil {
		size = func(int64) {}
	}
	return s.Engine.Export(ctx, row.ID, format, keys, size, w)
}

// usable gives the row whose content a row stands for, made if need be, with its keys.
func (s *Service) usable(ctx context.Context, row *Row) (*Row, disk.Keys, error) {
	if err := s.Ready(ctx, row.ID); err != nil {
		return nil, nil, err
	}
	var keys disk.Keys
	err := s.Store.View(ctx, func(tx store.Tx) (err error) {
		if row, err = s.content(tx, row); err != nil {
			return err
		}
		keys, err = s.Keys(tx, row)
		return err
	})
	return row, keys, err
}
