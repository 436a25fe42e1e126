// Package auth turns what a request carries (a token, a signature, a log-in name with a password) into a principal, the
// same way for every dialect. It may import kernel/{ident,fail} and dialect/huawei/sign.
package auth

import (
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/dialect/huawei/sign"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
)

// MaxSigned is the largest body that is read to check a signature; larger ones are sent with UNSIGNED-PAYLOAD.
const MaxSigned = 16 << 20

// SecurityToken is the header that a temporary key's token comes in.
const SecurityToken = "X-Security-Token"

// Authenticator checks credentials.
type Authenticator struct {
	Ident *ident.Service
	Now   func() time.Time
	// OriginalPath gives the escaped path as the client sent and signed it, before a prefix was cut off.
	OriginalPath func(*http.Request) string
	// Services gives the names of the service that a request is to, for credentials that are confined to certain requests;
	// nil: they may make none.
	Services func(*http.Request) []string
}

// Principal gives who sends r. A request without any credential gives nobody and no error; a wrong one an error.
func (a *Authenticator) Principal(r *http.Request) (ident.Principal, error) {
	if sign.Present(r) {
		return a.signed(r)
	}
	token := r.Header.Get("X-Auth-Token")
	if h := r.Header.Get("Authorization"); token == "" && h != "" {
		scheme, rest, _ := strings.Cut(h, " ")
		if strings.EqualFold(scheme, "Bearer") {
			token = rest
		} else {
			return ident.Principal{}, fail.New(fail.Unauthenticated, "the Authorization scheme %q is not known here", scheme).
				Then("use Bearer with a token, or sign with SDK-HMAC-SHA256")
		}
	}
	if token == "" {
		return ident.Principal{}, nil
	}
	p, _, err := a.Ident.ByToken(r.Context(), strings.TrimSpace(token))
	if err == nil && p.Restricted == ident.OnlyRequests && a.Services != nil {
		path := r.URL.EscapedPath()
		whole := path
		if a.OriginalPath != nil {
			whole = a.OriginalPath(r)
		}
		if p.Confined(a.Services(r), r.Method, path, whole) {
			p.Restricted = ""
		}
	}
	return p, err
}

func (a *Authenticator) signed(r *http.Request) (ident.Principal, error) {
	s, err := sign.Parse(r)
	if err != nil {
		return ident.Principal{}, err
	}
	var p ident.Principal
	var secretKey string
	if token := r.Header.Get(SecurityToken); token != "" {
		p, secretKey, err = a.Ident.ByTemporary(r.Context(), s.Access, token)
	} else {
		p, secretKey, err = a.Ident.ByKey(r.Context(), s.Access)
	}
	if err != nil {
		return ident.Principal{}, err
	}
	digest := ""
	if s.Payload != sign.Unsigned {
		if digest, err = sign.Digest(r, MaxSigned); err != nil {
			return ident.Principal{}, err
		}
	}
	path := r.URL.EscapedPath()
	if a.OriginalPath != nil {
		path = a.OriginalPath(r)
	}
	return p, s.Verify(r, path, digest, secretKey, a.Now())
}

// Source is the address a request came from, without its port.
func Source(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
