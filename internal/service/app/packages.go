package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/url"
	"os"
	"strings"
	"syscall"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/build"
)

// PackageSource is a package or an archive that lies at an address, or in a bucket.
type PackageSource struct {
	URL    string `json:"url" doc:"https address of a package or an archive (jar, war, zip, tar, tar.gz, a static binary), or obs://BUCKET/KEY in a bucket of the project" max:"2048"`
	Digest string `json:"digest" doc:"what it must be, as sha256:…; empty: whatever lies there when it is built" pattern:"^sha256:[0-9a-f]{64}$"`
}

// Download fetches what lies at an https address; what it gives must be closed. access may be nil.
type Download func(ctx context.Context, url string, access *build.Access) (io.ReadCloser, error)

// Objects are the project's buckets.
type Objects interface {
	// MayRead refuses who may not read an object.
	MayRead(tx store.Tx, p ident.Principal, project id.ID, bucket, key string) error
	// OpenIn reads it later, for the cloud.
	OpenIn(ctx context.Context, project id.ID, bucket, key string) (io.ReadCloser, error)
}

// object says which object of a bucket the address means, if it means one.
func (p PackageSource) object() (bucket, key string, ok bool) {
	for _, scheme := range []string{"obs://", "s3://", "awan://"} {
		if rest, found := strings.CutPrefix(p.URL, scheme); found {
			bucket, key, _ = strings.Cut(rest, "/")
			return bucket, key, true
		}
	}
	return "", "", false
}

// check refuses addresses that nothing could be fetched from, and gives the host.
func (p PackageSource) check() (host string, err error) {
	if bucket, key, ok := p.object(); ok {
		if bucket == "" || key == "" {
			return "", fail.Field("spec.source.package.url", "%q names no object", p.URL).Then("write obs://BUCKET/KEY")
		}
		return "", nil
	}
	u, err := url.Parse(p.URL)
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "":
		return "", fail.Field("spec.source.package.url", "%q is not an https address", p.URL).Then("packages come by https, or from a bucket of the project (obs://BUCKET/KEY); upload others with awan deploy PATH")
	case u.User != nil:
		return "", fail.Field("spec.source.package.url", "must not hold a password").Then("make a credential and name it in spec.source.credential")
	}
	return u.Host, nil
}

// download brings the row's package into a file of its own and gives its digest.
func (s *Service) download(ctx context.Context, row *componentRow, p *progress) (file, digest string, err error) {
	if file, err = s.workFile(row.ID, "package"); err != nil {
		return "", "", err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file)
		}
	}()
	src := row.Spec.Source.Package
	job.Note(ctx, "fetching "+address(src.URL))
	p.Log("fetching " + address(src.URL))
	body, err := s.openPackage(ctx, row)
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

// openPackage reads what lies at the row's address, or in its bucket.
func (s *Service) openPackage(ctx context.Context, row *componentRow) (io.ReadCloser, error) {
	src := row.Spec.Source.Package
	if bucket, key, ok := src.object(); ok {
		if s.Objects == nil {
			return nil, noBuckets()
		}
		body, err := s.Objects.OpenIn(ctx, row.Project, bucket, key)
		return body, ofPackage(err)
	}
	if s.Download == nil {
		return nil, fail.New(fail.Unsupported, "this cloud fetches no packages").Then("upload the package: awan deploy PATH")
	}
	access, err := s.access(ctx, row)
	if err != nil {
		return nil, err
	}
	return s.Download(ctx, src.URL, access)
}

// mayTake refuses a package of a bucket to who may not read it.
func (s *Service) mayTake(ctx context.Context, tx store.Tx, row *componentRow) error {
	bucket, key, ok := row.Spec.Source.Package.object()
	switch {
	case !ok:
		return nil
	case s.Objects == nil:
		return noBuckets()
	case row.Spec.Source.Credential != "":
		return fail.Field("spec.source.credential", "does not go with a bucket: it is read with the rights of who deploys").Then("leave it out")
	}
	return ofPackage(s.Objects.MayRead(tx, ident.From(ctx), row.Project, bucket, key))
}

func noBuckets() error {
	return fail.New(fail.Unsupported, "this cloud has no buckets").Then("upload the package: awan deploy PATH")
}

// ofPackage names the field that an error of a bucket is about.
func ofPackage(err error) error {
	if err == nil {
		return nil
	}
	e := *fail.From(err)
	if e.Kind == fail.NotFound || e.Kind == fail.Gone {
		e.Kind = fail.Invalid // what is missing is not what the call is for
	}
	e.Field = "spec.source.package.url"
	return &e
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
