package client

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/signer"

	"github.com/awancloud/awan/internal/dialect/s3/link"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// Objects gives a client of S3 on this cloud, with the credential that everything else goes by.
func (c *Client) Objects(region string) (*minio.Core, error) {
	u, err := url.Parse(c.target.URL)
	if err != nil {
		return nil, fail.Wrap(err, fail.Invalid, "%q is no address", c.target.URL)
	}
	core, err := minio.NewCore(u.Host, &minio.Options{Creds: credentials.NewStaticV4("", "", ""), Secure: u.Scheme == "https", Region: region,
		BucketLookup: minio.BucketLookupPath, Transport: &objectTransport{c: c, region: region}, MaxRetries: 6})
	if err != nil {
		return nil, fail.Wrap(err, fail.Invalid, "%s cannot be used for objects", c.target.URL)
	}
	return core, nil
}

// objectTransport puts the requests of an S3 client where this cloud answers them, and adds the credential.
type objectTransport struct {
	c      *Client
	region string
}

func (t *objectTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	escaped := r.URL.EscapedPath()
	r.URL.Path, r.URL.RawPath = link.Prefix+r.URL.Path, link.Prefix+escaped
	r.Header.Set("User-Agent", t.c.agent)
	if p := t.c.target.Project; p != "" {
		r.Header.Set("X-Project-Id", p)
	}
	if err := t.authorize(r); err != nil {
		return nil, err
	}
	return t.c.http.Transport.RoundTrip(r)
}

func (t *objectTransport) authorize(r *http.Request) error {
	t.c.mu.Lock()
	signs := t.c.token == "" && t.c.target.AccessKey != "" && t.c.target.SecretKey != ""
	t.c.mu.Unlock()
	if signs {
		if r.Header.Get("X-Amz-Content-Sha256") == "" {
			r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD") // TLS keeps it whole
		}
		*r = *signer.SignV4(*r, t.c.target.AccessKey, t.c.target.SecretKey, "", t.region)
		return nil
	}
	probe := &http.Request{Header: http.Header{}}
	if err := t.c.authorize(r.Context(), probe); err != nil {
		return err
	}
	r.Header.Set("X-Auth-Token", strings.TrimPrefix(probe.Header.Get("Authorization"), "Bearer "))
	return nil
}

// ObjectError turns an error of the S3 client into words, and an error that the exit code follows.
func (c *Client) ObjectError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var e *fail.Error
	if errors.As(err, &e) {
		return err
	}
	var r minio.ErrorResponse
	if !errors.As(err, &r) || r.StatusCode == 0 && r.Code == "" {
		var u *url.Error
		if errors.As(err, &u) || ctx.Err() != nil {
			return c.unreachable(ctx, err)
		}
		return fail.Wrap(err, fail.Unavailable, "the transfer broke off: %s", err).Then("run the same command again: it goes on where it stopped")
	}
	kind := map[int]fail.Kind{400: fail.Invalid, 401: fail.Unauthenticated, 403: fail.Denied, 404: fail.NotFound, 405: fail.Unsupported, 409: fail.Conflict, 411: fail.Invalid,
		412: fail.Precondition, 413: fail.TooLarge, 429: fail.RateLimited, 503: fail.Unavailable, 507: fail.NoSpace}[r.StatusCode]
	switch r.Code {
	case "BucketAlreadyExists", "BucketAlreadyOwnedByYou":
		kind = fail.Exists
	case "NoSuchBucket", "NoSuchKey", "NoSuchVersion", "NoSuchUpload":
		kind = fail.NotFound
	case "InsufficientStorageSpace":
		kind = fail.Quota
	}
	if kind == "" {
		kind = fail.Internal
	}
	text, next, _ := strings.Cut(r.Message, "; ")
	if text == "" {
		text = r.Code
	}
	if next == "" && kind == fail.NotFound && r.Code == "NoSuchKey" {
		text, next = "there is no object "+r.Key, "see awan ls "+r.BucketName
	}
	out := fail.New(kind, "%s", text).Then("%s", next)
	return &Error{Fail: out, RequestID: r.RequestID}
}

// TemporaryKey makes a key that works for a while, at most as policy allows.
func (c *Client) TemporaryKey(ctx context.Context, life time.Duration, policy any) (access, secret, token string, err error) {
	var keys struct {
		Access string `json:"access_key"`
		Secret string `json:"secret_key"`
		Token  string `json:"security_token"`
	}
	err = c.Do(ctx, Request{Method: "POST", Path: "/me/temporary-keys", In: map[string]any{"duration": int64(life.Seconds()), "policy": policy}}, &keys)
	return keys.Access, keys.Secret, keys.Token, err
}
