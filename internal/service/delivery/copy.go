package delivery

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/outward"
)

// copyTime bounds one image.
const copyTime = 30 * time.Minute

// copy brings one image to where the row says, with all its platforms, and tells what came of it. The bytes pass through
// memory piece by piece; what is there already is not sent again.
func (s *Service) copy(ctx context.Context, row *SyncRow, path string, n note, override bool) (state string, err error) {
	ctx, cancel := context.WithTimeout(ctx, copyTime)
	defer cancel()
	host := s.Registry.Host()
	from, err := name.NewDigest(host + "/" + path + "@" + n.Digest)
	if err != nil {
		return "", fail.Wrap(err, fail.Internal, "naming an image")
	}
	inside := remote.WithTransport(s.Registry.Transport(string(row.Project)))
	image, err := remote.Get(from, inside, remote.WithContext(ctx))
	if err != nil {
		return "", fail.New(fail.Unavailable, "the image cannot be read").Because(err)
	}
	options := []remote.Option{inside, remote.WithContext(ctx)}
	if row.Spec.Remote != "" {
		away, opts, err := s.elsewhere(ctx, row)
		if err != nil {
			return "", err
		}
		defer away.CloseIdleConnections()
		host, options = opts.host, append(opts.options, remote.WithContext(ctx))
	}
	to, err := name.NewTag(host + "/" + target(path, row.Spec.Organization) + ":" + n.Tag)
	if err != nil {
		return "", fail.Field("spec.organization", "%s is not a name that a registry takes", target(path, row.Spec.Organization)).Because(err)
	}
	there, err := remote.Head(to, options...)
	switch {
	case err == nil && there.Digest.String() == n.Digest:
		return Succeeded, nil
	case err == nil && !override:
		return Existed, nil
	case err != nil && !absent(err):
		return "", refused(ctx, err, to)
	}
	if err := remote.Push(to, image, options...); err != nil {
		return "", refused(ctx, err, to)
	}
	return Succeeded, nil
}

type reached struct {
	host    string
	options []remote.Option
}

// elsewhere is how the row's other registry is reached.
func (s *Service) elsewhere(ctx context.Context, row *SyncRow) (*http.Client, reached, error) {
	var at *RemoteRow
	err := s.Store.View(ctx, func(tx store.Tx) (err error) {
		at, err = s.Remote.Find(tx, string(row.Project), row.Spec.Remote)
		return err
	})
	if err != nil {
		return nil, reached{}, err
	}
	if at == nil {
		return nil, reached{}, fail.New(fail.NotFound, "the remote registry is gone").Then("delete this sync, or make both again")
	}
	password, err := s.Door().Unseal(&at.Meta, "spec", "password", at.Spec.Password)
	if err != nil {
		return nil, reached{}, err
	}
	c := s.Outward([]byte(at.Spec.CA))
	r := reached{host: strings.Trim(strings.TrimPrefix(at.Spec.URL, "https://"), "/"), options: []remote.Option{remote.WithTransport(https{c.Transport})}}
	if at.Spec.Username != "" {
		r.options = append(r.options, remote.WithAuth(&authn.Basic{Username: at.Spec.Username, Password: password}))
	}
	return c, r, nil
}

// https sends every request by https: the library tries others for hosts that look local.
type https struct{ http.RoundTripper }

func (h https) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		return nil, fail.New(fail.Denied, "%s is not reached by https", r.URL.Host)
	}
	return h.RoundTripper.RoundTrip(r)
}

func absent(err error) bool {
	var answer *transport.Error
	return errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound
}

// refused says why a registry did not take an image. What may pass by itself is fail.Unavailable.
func refused(ctx context.Context, err error, to name.Tag) error {
	at := to.Context().RegistryStr()
	var answer *transport.Error
	var known *fail.Error
	switch {
	case errors.As(err, &known):
		return known
	case ctx.Err() != nil:
		return fail.New(fail.Timeout, "%s did not take the image in %s", at, copyTime)
	case errors.As(err, &answer):
		why := ""
		for _, e := range answer.Errors {
			why = cmp.Or(why, e.Message)
		}
		why = cmp.Or(why, http.StatusText(answer.StatusCode))
		switch c := answer.StatusCode; {
		case c == http.StatusUnauthorized || c == http.StatusForbidden || c == http.StatusNotFound:
			return fail.New(fail.Denied, "%s does not take %s: %s", at, to.Context().RepositoryStr(), why).Because(err).
				Then("look whether the organisation is there, and whether the user may push: awan remote-registry update")
		case c >= http.StatusInternalServerError || c == http.StatusTooManyRequests:
			return fail.New(fail.Unavailable, "%s answered %d: %s", at, c, why).Because(err)
		}
		return fail.New(fail.Precondition, "%s does not take the image: %s", at, why).Because(err)
	}
	return fail.New(fail.Unavailable, "%s cannot be reached: %s", at, outward.Why(err)).Because(err)
}
