package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"syscall"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/service/build"
)

// PackageSource is a package or an archive that lies at an address.
type PackageSource struct {
	URL    string `json:"url" doc:"https address of a package or an archive: jar, war, zip, tar, tar.gz, a static binary" max:"2048"`
	Digest string `json:"digest" doc:"what it must be, as sha256:…; empty: whatever lies there when it is built" pattern:"^sha256:[0-9a-f]{64}$"`
}

// Download fetches what lies at an https address; what it gives must be closed. access may be nil.
type Download func(ctx context.Context, url string, access *build.Access) (io.ReadCloser, error)

// check refuses addresses that nothing could be fetched from, and gives the host.
func (p PackageSource) check() (host string, err error) {
	u, err := url.Parse(p.URL)
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "":
		return "", fail.Field("spec.source.package.url", "%q is not an https address", p.URL).Then("packages come by https only; upload others with awan deploy PATH")
	case u.User != nil:
		return "", fail.Field("spec.source.package.url", "must not hold a password").Then("make a credential and name it in spec.source.credential")
	}
	return u.Host, nil
}

// download brings the row's package into a file of its own and gives its digest.
func (s *Service) download(ctx context.Context, row *componentRow, p *progress) (file, digest string, err error) {
	if s.Download == nil {
		return "", "", fail.New(fail.Unsupported, "this cloud fetches no packages").Then("upload the package: awan deploy PATH")
	}
	access, err := s.access(ctx, row)
	if err != nil {
		return "", "", err
	}
	dir := filepath.Dir(s.sourceFile(row.Project, "sha256:x"))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", "", diskError(err)
	}
	sum := sha256.Sum256([]byte(row.ID))
	file = filepath.Join(dir, ".package-"+hex.EncodeToString(sum[:8])) // one of a component: a repeated step takes its own place
	defer func() {
		if err != nil {
			_ = os.Remove(file)
		}
	}()
	src := row.Spec.Source.Package
	job.Note(ctx, "fetching "+address(src.URL))
	p.Log("fetching " + address(src.URL))
	body, err := s.Download(ctx, src.URL, access)
	if err != nil {
		return file, "", err
	}
	defer body.Close()
	if digest, err = save(file, body); err != nil {
		return file, "", err
	}
	if src.Digest != "" && src.Digest != digest {
		return file, "", fail.Field("spec.source.package.digest", "%s holds %s", address(src.URL), digest).Then("give that digest if it is what you want, or correct the address")
	}
	p.Log("fetched " + digest)
	return file, digest, nil
}

// address is an address without its query, in which signatures travel.
func address(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return s
	}
	u.RawQuery, u.Fragment = "", ""
	return u.String()
}

// save writes what is read into a file, as long as an upload may be.
func save(file string, from io.Reader) (digest string, err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return "", diskError(err)
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, h), io.LimitReader(from, MaxUpload+1))
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return "", diskError(err)
	case err != nil:
		return "", fail.Wrap(err, fail.Invalid, "the package broke off after %d bytes", n).Then("try again: awan redeploy")
	case n > MaxUpload:
		return "", fail.New(fail.TooLarge, "the package is larger than %d MiB", MaxUpload>>20)
	case n == 0:
		return "", fail.New(fail.Invalid, "the package is empty")
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}
