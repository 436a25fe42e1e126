// Package s3 speaks the protocols of object stores: Amazon's S3 and Huawei Cloud's OBS, which share paths and shapes and
// differ in the names of headers, in some XML, and in the signature.
//
// A request is found in a table (method, bucket or object, sub-resource of the query), read into the terms of
// service/bucket, and its answer written in the dialect of who asked. Bodies stream; only XML is held, and bounded. It
// may import the kernel, dialect/{auth,front}, and service/bucket.
package s3

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/dialect/auth"
	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/dialect/s3/sign"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/service/bucket"
)

// Options are what an API is made of.
type Options struct {
	Buckets bucket.API
	Ident   *ident.Service
	Auth    *auth.Authenticator // for X-Auth-Token
	Region  string
	// DomainName gives an account's name, "" when it has none; nil: names of others are not told.
	DomainName func(ctx context.Context, domain string) string
	Now        func() time.Time // nil: time.Now
	Logger     *slog.Logger
	Access     func(*bucket.Access) // told of every request on a bucket when it is answered; must be quick; nil: nobody is
}

// API serves both protocols.
type API struct {
	Options
	verify sign.Verifier
	ops    map[opKey]*op
}

// New makes an API.
func New(o Options) *API {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &API{Options: o, verify: sign.Verifier{Now: o.Now}, ops: table()}
}

// Labels of host names behind which a bucket is a web site.
var websites = map[string]bool{"obs-website": true, "s3-website": true}

// Service describes the API to the listener: {bucket}.obs.{region}.{domain}, path style under /obs/ and /s3/ or on the
// service's own name, and signed requests that name no service.
func (a *API) Service() front.Service {
	return front.Service{Name: "obs", Aliases: []string{"s3"}, Hosts: []string{"obs-website", "s3-website"}, Sub: true,
		Match: func(r *http.Request) bool { return sign.Present(r) || isForm(r) }, Handler: a, MaxBody: -1}
}

// isForm tells a POST form that uploads into a bucket on the cloud's own address, whose signature is in its fields, from
// the console's: that is sent by its own pages, with a session.
func isForm(r *http.Request) bool {
	return r.Method == http.MethodPost && strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/form-data") &&
		strings.Count(strings.TrimSuffix(r.URL.Path, "/"), "/") == 1 && r.Header.Get("Cookie") == "" && r.Header.Get("Sec-Fetch-Site") != "same-origin"
}

// Custom serves a bucket under a name of its owner's; nil where host is no bucket's.
func (a *API) Custom(host string) http.Handler {
	if _, err := netip.ParseAddr(host); err == nil {
		return nil // an address is no bucket's
	}
	name, err := a.Buckets.ByDomain(context.Background(), host)
	if err != nil || name == "" {
		return nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.serve(w, r, place{bucket: name, virtual: host, custom: true, key: keyOf(r.URL.EscapedPath())})
	})
}

// ServeHTTP answers a request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, placeOf(r))
}

// place is what a request's host and path name.
type place struct {
	bucket, key string
	virtual     string // the host's part that stands for the bucket; "" in path style
	label       string // "obs", "s3", "obs-website"; "" where the host says nothing
	custom      bool   // a name of the bucket owner's
}

func placeOf(r *http.Request) place {
	info := front.From(r.Context())
	path := r.URL.EscapedPath()
	host := strings.ToLower(r.Host)
	if info.Sub != "" {
		label, _, _ := strings.Cut(strings.TrimPrefix(host, info.Sub+"."), ".")
		return place{bucket: info.Sub, key: keyOf(path), virtual: info.Sub, label: label}
	}
	label, _, _ := strings.Cut(host, ".")
	if !websites[label] && label != "obs" && label != "s3" {
		label = ""
		if strings.HasPrefix(info.Path, "/obs/") && !strings.HasPrefix(path, "/obs/") {
			label = "obs"
		}
	}
	name, _, slash := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	p := place{bucket: unescape(name), label: label}
	if slash {
		p.key = keyOf(path[len(name)+1:])
	}
	return p
}
