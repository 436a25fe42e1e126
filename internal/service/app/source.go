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

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// MaxUpload bounds an uploaded source, in bytes of tar.gz.
const MaxUpload = 512 << 20

// Uploaded is the answer to an upload.
type Uploaded struct {
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
}

func (s *Service) sourceFile(project id.ID, digest string) string {
	return filepath.Join(s.Dir, "sources", string(project), strings.TrimPrefix(digest, "sha256:")+".tar.gz")
}

// serveUpload keeps an uploaded archive under its digest. It is unpacked by the build, with the build's limits.
func (s *Service) serveUpload(_ context.Context, _ *componentRow, _ any, st kind.Stream) error {
	dir := filepath.Dir(s.sourceFile(st.Meta.Project, "sha256:x"))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return diskError(err)
	}
	f, err := os.CreateTemp(dir, ".upload-*")
	if err != nil {
		return diskError(err)
	}
	defer func() {
		_ = f.Close()
		_ = os.Remove(f.Name()) // gone already when the upload succeeded
	}()
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, h), io.LimitReader(st.Body, MaxUpload+1))
	switch {
	case err != nil && errors.Is(err, syscall.ENOSPC):
		return diskError(err)
	case err != nil:
		return fail.Wrap(err, fail.Invalid, "the upload broke off").Then("try again")
	case n > MaxUpload:
		return fail.New(fail.TooLarge, "the source is larger than %d MiB", MaxUpload>>20).Then("leave out what the build does not need, with a .dockerignore")
	case n == 0:
		return fail.New(fail.Invalid, "the upload is empty").Then("send the folder as tar.gz in the body")
	}
	digest := "sha256:" + hex.EncodeToString(h.Sum(nil))
	if err := f.Sync(); err != nil {
		return diskError(err)
	}
	if err := os.Rename(f.Name(), s.sourceFile(st.Meta.Project, digest)); err != nil {
		return diskError(err)
	}
	return st.Emit(Uploaded{Digest: digest, Size: n})
}

func diskError(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return fail.New(fail.NoSpace, "the cloud's disk is full").Because(err).Then("ask the operator to make room")
	}
	return fail.Wrap(err, fail.Unavailable, "the source cannot be stored")
}
