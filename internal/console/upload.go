package console

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"

	"maps"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/app"
)

// maxFormText bounds the texts of a form that brings files.
const maxFormText = 1 << 20

// uploads tells whether a post may bring files: they are read part by part, never kept in memory.
func (q *request) uploads() bool {
	typ, _, _ := mime.ParseMediaType(q.Header.Get("Content-Type"))
	return q.URL.Path == "/deploy" && typ == "multipart/form-data"
}

// openUpload reads the texts of a form up to its first file. A form's texts come first, as the page has them.
func (q *request) openUpload() error {
	q.Body = http.MaxBytesReader(q.w, q.Body, app.MaxUpload+maxFormText)
	parts, err := q.MultipartReader()
	if err != nil {
		return err
	}
	q.PostForm = url.Values{}
	total := 0
	for {
		p, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if name, isFile := fileName(p); isFile {
			if name == "" {
				continue // a file input that was left empty
			}
			q.first, q.parts = p, parts
			return nil
		}
		b, err := io.ReadAll(io.LimitReader(p, maxFormText))
		if err != nil {
			return err
		}
		if total += len(b); total >= maxFormText {
			return errors.New("its texts are too long")
		}
		q.PostForm.Add(p.FormName(), string(b))
	}
}

// fileName is a part's file name with its folders, which browsers send for chosen folders.
func fileName(p *multipart.Part) (string, bool) {
	_, params, err := mime.ParseMediaType(p.Header.Get("Content-Disposition"))
	name, ok := params["filename"]
	return strings.ReplaceAll(name, `\`, "/"), ok && err == nil
}

// upload sends a source through the door.
func (q *request) upload(body io.Reader) (digest string, err error) {
	k := q.Door.KindOf(componentKind)
	if a := k.ActionOf(uploadVerb); a == nil || !a.Stream {
		return "", fail.New(fail.Unsupported, "this cloud takes no uploads").Then("deploy from git or an image")
	}
	c := q.newCall(k, uploadVerb, "")
	c.Stream = kind.Stream{Body: body, Emit: func(v any) error { digest = digestOf(v); return nil }, Raw: func(string) (io.Writer, error) { return io.Discard, nil }}
	_, err = q.do(c)
	return digest, err
}

// archive uploads what fill writes as a tar.gz.
func (q *request) archive(fill func(t *tar.Writer) error) (string, error) {
	r, w := io.Pipe()
	filled := make(chan error, 1)
	go func() {
		z := gzip.NewWriter(w)
		t := tar.NewWriter(z)
		err := fill(t)
		if err == nil {
			err = errors.Join(t.Close(), z.Close())
		}
		_ = w.CloseWithError(err) // nil ends the archive
		filled <- err
	}()
	digest, err := q.upload(r)
	_ = r.Close() // so that the writer ends, too, when the upload was refused
	if ferr := <-filled; ferr != nil && !errors.Is(ferr, io.ErrClosedPipe) {
		return "", ferr
	}
	return digest, err
}

func (q *request) uploadFiles(files map[string]string) (string, error) {
	return q.archive(func(t *tar.Writer) error {
		for _, name := range slices.Sorted(maps.Keys(files)) {
			if err := addFile(t, name, int64(len(files[name])), strings.NewReader(files[name])); err != nil {
				return err
			}
		}
		return nil
	})
}

func addFile(t *tar.Writer, name string, size int64, r io.Reader) error {
	if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: size}); err != nil {
		return err
	}
	_, err := io.CopyN(t, r, size)
	return err
}

// uploadParts uploads the file, or the folder, that a form brought; "" when it brought none.
func (q *request) uploadParts() (string, error) {
	if q.first == nil {
		return "", nil
	}
	if q.first.FormName() != "folder" {
		return q.upload(q.first)
	}
	digest, err := q.archive(func(t *tar.Writer) error {
		n := 0
		for p := q.first; ; {
			name, isFile := fileName(p)
			if isFile && name != "" && p.FormName() == "folder" && wanted(&name) {
				n++
				if err := spool(t, name, p); err != nil {
					return err
				}
			}
			var err error
			if p, err = q.parts.NextPart(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return broken(err)
			}
		}
		if n == 0 {
			return fail.Field("upload", "the folder is empty")
		}
		return nil
	})
	return digest, err
}

func broken(err error) error {
	if big := new(http.MaxBytesError); errors.As(err, &big) {
		return fail.Field("upload", "the source is larger than %d MiB", app.MaxUpload>>20)
	}
	return fail.Wrap(err, fail.Invalid, "the upload broke off").Then("try again")
}

// wanted takes the chosen folder's own name away, and leaves out what no build needs.
func wanted(name *string) bool {
	clean := path.Clean("/" + *name)[1:]
	if _, rest, ok := strings.Cut(clean, "/"); ok {
		clean = rest
	}
	*name = clean
	return clean != "" && !strings.HasPrefix(clean, ".git/") && !strings.HasPrefix(clean, "node_modules/")
}

// spool writes a part to the archive by way of the disk, since an archive tells each file's size before the file.
func spool(t *tar.Writer, name string, p io.Reader) error {
	f, err := os.CreateTemp("", "awan-upload-*")
	if err != nil {
		return fail.Wrap(err, fail.Unavailable, "the upload cannot be kept")
	}
	defer func() {
		_ = f.Close()
		_ = os.Remove(f.Name())
	}()
	n, err := io.Copy(f, p)
	if err != nil {
		return broken(err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return addFile(t, name, n, f)
}
