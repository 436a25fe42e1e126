package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// MaxUpload bounds an uploaded source, in bytes of tar.gz.
const MaxUpload = 512 << 20

// Uploaded is the answer to an upload.
type Uploaded struct {
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
}

// Depot keeps uploaded sources as PROJECT/DIGEST: in object storage, encrypted.
type Depot interface {
	Put(ctx context.Context, key string, body io.Reader, size int64) error
	Open(ctx context.Context, key string, from int64) (io.ReadCloser, error)
	Stat(ctx context.Context, key string) (size int64, written time.Time, err error)
	Has(tx store.Tx, key string) (bool, error)
	List(ctx context.Context, prefix, delimiter, after string) (keys, prefixes []string, next string, err error)
	Move(ctx context.Context, from, to string) error
	Delete(ctx context.Context, keys ...string) error
}

// uploadKey is where an upload of this digest lies.
func uploadKey(project id.ID, digest string) string {
	return string(project) + "/" + strings.TrimPrefix(digest, "sha256:")
}

// uploads is where a project's uploads lie, under its own key.
func (s *Service) uploads(project id.ID) (Depot, error) {
	if s.Uploads == nil {
		return nil, fail.New(fail.Unsupported, "this cloud takes no uploads").Then("name an image")
	}
	return s.Uploads(project), nil
}

// serveUpload keeps an uploaded archive under its digest. It is unpacked by the build, with the build's limits.
func (s *Service) serveUpload(ctx context.Context, _ *componentRow, _ any, st kind.Stream) error {
	u, err := s.keepUpload(ctx, st.Meta.Project, st.Body)
	if err != nil {
		return err
	}
	return st.Emit(u)
}

// keepUpload stores what it reads under its digest. Who uploads the same again has it anew, so it is not tidied away.
func (s *Service) keepUpload(ctx context.Context, project id.ID, body io.Reader) (Uploaded, error) {
	depot, err := s.uploads(project)
	if err != nil {
		return Uploaded{}, err
	}
	read := &taken{r: body}
	h := sha256.New()
	fresh := string(project) + "/" + freshUpload + string(id.New())
	err = depot.Put(ctx, fresh, io.TeeReader(read, h), -1)
	switch {
	case read.err != nil && read.n > MaxUpload:
		return Uploaded{}, read.err
	case read.err != nil:
		return Uploaded{}, fail.Wrap(read.err, fail.Invalid, "the upload broke off").Then("try again")
	case err != nil:
		return Uploaded{}, err
	case read.n == 0:
		err = fail.New(fail.Invalid, "the upload is empty").Then("send the folder as tar.gz in the body")
	}
	digest := "sha256:" + hex.EncodeToString(h.Sum(nil))
	if err == nil {
		if err = depot.Move(ctx, fresh, uploadKey(project, digest)); err == nil {
			return Uploaded{Digest: digest, Size: read.n}, nil
		}
	}
	return Uploaded{}, errors.Join(err, depot.Delete(context.WithoutCancel(ctx), fresh))
}

// freshUpload begins the name of an upload whose digest is not known yet.
const freshUpload = ".upload-"

// taken counts what is read, up to MaxUpload, and remembers why reading ended early.
type taken struct {
	r   io.Reader
	n   int64
	err error
}

func (t *taken) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	if t.n += int64(n); t.n > MaxUpload {
		err = fail.New(fail.TooLarge, "the source is larger than %d MiB", MaxUpload>>20).Then("leave out what the build does not need, with a .dockerignore")
	}
	if err != nil && err != io.EOF {
		t.err = err
	}
	return n, err
}

// bring copies an upload into a working file, for a build that needs to go to and fro in it.
func (s *Service) bring(ctx context.Context, row *componentRow) (file string, err error) {
	depot, err := s.uploads(row.Project)
	if err != nil {
		return "", err
	}
	in, err := depot.Open(ctx, uploadKey(row.Project, row.Spec.Source.Digest), 0)
	if fail.Is(err, fail.NotFound) {
		return "", fail.New(fail.NotFound, "the uploaded source is gone").Because(err).Then("upload it again")
	}
	if err != nil {
		return "", err
	}
	defer func() { _ = in.Close() }()
	if file, err = s.workFile(row.ID, "upload"); err != nil {
		return "", err
	}
	if _, err = save(file, in); err != nil {
		_ = os.Remove(file)
	}
	return file, err
}

// workFile names a file in which a component's source lies while it is built: one of a component, so that a repeated step
// takes its own place. Nothing of it outlives the build, or the start after a crash.
func (s *Service) workFile(component id.ID, what string) (string, error) {
	dir := filepath.Join(s.Dir, "work")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", diskError(err)
	}
	return filepath.Join(dir, what+"-"+string(component)), nil
}

// takeOver empties the working files and brings what earlier versions kept as files to where it lies now. It may be cut
// short and begun again.
func (s *Service) takeOver(ctx context.Context) error {
	if err := os.RemoveAll(filepath.Join(s.Dir, "work")); err != nil {
		return diskError(err)
	}
	const suffix = ".tar.gz"
	files, err := filepath.Glob(filepath.Join(s.Dir, "sources", "*", "*"+suffix))
	if err != nil || s.Uploads == nil {
		return err
	}
	for _, file := range files {
		project := id.ID(filepath.Base(filepath.Dir(file)))
		key := uploadKey(project, strings.TrimSuffix(filepath.Base(file), suffix))
		if _, _, err := s.Uploads(project).Stat(ctx, key); fail.Is(err, fail.NotFound) {
			f, err := os.Open(file)
			if err != nil {
				return diskError(err)
			}
			err = s.Uploads(project).Put(ctx, key, f, -1)
			_ = f.Close()
			if err != nil {
				return fail.Wrap(err, fail.Unavailable, "sources cannot be moved into object storage")
			}
		} else if err != nil {
			return err
		}
		if err := os.Remove(file); err != nil {
			return diskError(err)
		}
	}
	return os.RemoveAll(filepath.Join(s.Dir, "sources"))
}

func diskError(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return fail.New(fail.NoSpace, "the cloud's disk is full").Because(err).Then("ask the operator to make room")
	}
	return fail.Wrap(err, fail.Unavailable, "the source cannot be stored")
}
