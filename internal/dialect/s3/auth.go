package s3

import (
	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/dialect/s3/sign"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
)

// authenticate finds who asks. A request without a credential is nobody's, and goes on as such.
func (r *request) authenticate() error {
	r.caller = r.newCaller()
	if r.claim == nil {
		if r.Header.Get("X-Auth-Token") == "" {
			if h := r.Header.Get("Authorization"); h != "" {
				return refuse("InvalidArgument", fail.Invalid, "the Authorization header is of no kind that is known here").Then("sign with AWS4-HMAC-SHA256, AWS or OBS")
			}
			return nil
		}
		p, err := r.api.Auth.Principal(r.Request)
		if err != nil {
			return err
		}
		r.caller.Principal = p
		r.caller.Project = r.Header.Get("X-Project-Id")
		return nil
	}
	p, secret, err := r.api.key(r, r.claim)
	if err != nil {
		return err
	}
	paths := []string{front.OriginalPath(r.Request)}
	if p := r.URL.EscapedPath(); p != paths[0] {
		paths = append(paths, p)
	}
	if r.claim.Query {
		defer r.hoist()
	}
	if err := r.api.verify.Check(r.Request, r.claim, sign.Target{Bucket: r.virtual, Paths: paths}, secret); err != nil {
		return err
	}
	if r.claim.Policy != "" {
		if err := r.linkPolicy(); err != nil {
			return err
		}
	}
	r.secret, r.caller.Principal = secret, p
	return nil
}

// key gives the owner and the secret of a claim's access key.
func (a *API) key(r *request, c *sign.Claim) (p ident.Principal, secret string, err error) {
	if c.Token != "" {
		p, secret, err = a.Ident.ByTemporary(r.Context(), c.Access, c.Token)
		if fail.Is(err, fail.Unauthenticated) {
			return p, "", refuse("InvalidToken", fail.Denied, "the security token is not one of this temporary key, or has ended").Then("get a new one")
		}
		return p, secret, err
	}
	p, secret, err = a.Ident.ByKey(r.Context(), c.Access)
	if fail.Is(err, fail.Unauthenticated) {
		return p, "", refuse("InvalidAccessKeyId", fail.Denied, "%s", fail.From(err).Message).Then("check the key, or make one: awan access-key create")
	}
	return p, secret, err
}

// linkPolicy checks a link that OBS's clients sign for many objects: its policy must allow the bucket and the key.
func (r *request) linkPolicy() error {
	p, err := sign.ParsePolicy(r.claim.Policy)
	if err != nil {
		return err
	}
	return p.Allows(map[string]string{"bucket": r.bucket, "key": r.key}, r.api.Now(), false)
}
