package cloud

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/build"
)

// packageTime is how long fetching a package may take in all.
const packageTime = 15 * time.Minute

// download fetches a package for a tenant: by https, from where tenants' sources may come from.
func (p *puller) download(ctx context.Context, url string, access *build.Access) (io.ReadCloser, error) {
	outside, err := p.transport(access)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, packageTime)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		cancel()
		return nil, fail.Field("spec.source.package.url", "%q is no address", url)
	}
	if access != nil && access.Password != "" {
		req.SetBasicAuth(access.Username, access.Password)
	}
	client := &http.Client{Transport: outside, CheckRedirect: func(next *http.Request, via []*http.Request) error {
		if len(via) > 5 {
			return fail.New(fail.Invalid, "%s leads on and on", req.URL.Host)
		}
		if next.URL.Host != req.URL.Host {
			next.Header.Del("Authorization")
		}
		return nil
	}}
	resp, err := client.Do(req)
	if err != nil {
		cancel()
		var known *fail.Error
		if errors.As(err, &known) {
			return nil, fail.Wrap(known, known.Kind, "the package cannot be fetched")
		}
		return nil, fail.New(fail.Invalid, "%s does not give the package", req.URL.Host).Because(err).Then("check the address and its certificate; a credential may hold an authority (ca) of its own")
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		cancel()
		switch resp.StatusCode {
		case http.StatusUnauthorized, http.StatusForbidden:
			return nil, fail.Field("spec.source.credential", "%s does not let us have the package (%s)", req.URL.Host, resp.Status).
				Then("name a credential that may: awan credential create NAME --host %s --username USER --password @FILE", req.URL.Host)
		case http.StatusNotFound, http.StatusGone:
			return nil, fail.Field("spec.source.package.url", "there is nothing at this address (%s)", resp.Status)
		}
		return nil, fail.New(fail.Invalid, "%s answers %s", req.URL.Host, resp.Status).Then("try again later")
	}
	return &bounded{resp.Body, cancel}, nil
}

// bounded ends its deadline when it is closed.
type bounded struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b *bounded) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}
