package s3

import (
	"errors"
	"html"
	"net/http"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/bucket"
)

// isSite tells whether a request is for the web site that a bucket is: under a site's name, or under a name of the
// owner's when a browser asks without a signature.
func (r *request) isSite() bool {
	if r.bucket == "" {
		return false
	}
	if websites[r.label] {
		return true
	}
	if !r.custom || r.claim != nil || r.URL.RawQuery != "" || r.Method != http.MethodGet && r.Method != http.MethodHead || r.Header.Get("X-Auth-Token") != "" {
		return false
	}
	row, err := r.api.Buckets.Bucket(r.Context(), r.newCaller(), r.bucket, "")
	return err == nil && row.Spec.Website != nil
}

// site serves an object as a page: anonymously, with the index of folders, redirects, and the site's own error page.
func (r *request) site() error {
	r.caller = r.newCaller()
	r.claim = nil
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return r.plainPage(http.StatusMethodNotAllowed, "MethodNotAllowed", "a web site answers GET and HEAD")
	}
	row, err := r.api.Buckets.Bucket(r.Context(), r.caller, r.bucket, "")
	if err != nil {
		return r.plainPage(http.StatusNotFound, "NoSuchBucket", "there is no such bucket")
	}
	w := row.Spec.Website
	if w == nil {
		return r.plainPage(http.StatusNotFound, "NoSuchWebsiteConfiguration", "the bucket is no web site")
	}
	if w.RedirectAll != "" {
		scheme := w.Protocol
		if scheme == "" {
			scheme = "https"
		}
		return r.redirect(http.StatusMovedPermanently, scheme+"://"+w.RedirectAll+"/"+encoded(r.key, "url"))
	}
	for i := range w.Routes {
		if route := &w.Routes[i]; route.Status == 0 && strings.HasPrefix(r.key, route.Prefix) {
			return r.follow(route)
		}
	}
	asked := r.key
	if asked == "" || strings.HasSuffix(asked, "/") {
		r.key += w.Index
	}
	err = r.serveSite(http.StatusOK)
	if err == nil || r.wrote {
		return err
	}
	if fail.Is(err, fail.NotFound) && r.key == asked && r.folder(w) {
		return r.redirect(http.StatusFound, "/"+encoded(asked, "url")+"/")
	}
	return r.siteError(w, asked, err)
}

// serveSite serves the object r.key with a status.
func (r *request) serveSite(status int) error {
	in := &bucket.GetInput{Bucket: r.bucket, Key: r.key, Head: r.Method == http.MethodHead}
	if status == http.StatusOK {
		in.If, in.Range = r.conditions(), byteRange(r.Header.Get("Range"))
	}
	c, err := r.api.Buckets.Get(r.Context(), r.caller, in)
	if err != nil {
		return err
	}
	if c.Body != nil {
		defer c.Body.Close()
	}
	if c.Redirect != "" && status == http.StatusOK {
		return r.redirect(http.StatusMovedPermanently, c.Redirect)
	}
	return r.give(in, c, status)
}

// folder tells whether a name without a slash is that of a folder with an index.
func (r *request) folder(w *bucket.Website) bool {
	if w.Index == "" {
		return false
	}
	_, err := r.api.Buckets.Get(r.Context(), r.caller, &bucket.GetInput{Bucket: r.bucket, Key: r.key + "/" + w.Index, Head: true})
	return err == nil
}

// siteError answers with a redirect for this error, the site's error page, or a plain one.
func (r *request) siteError(w *bucket.Website, asked string, err error) error {
	status, code, f := r.wordOf(err)
	for i := range w.Routes {
		if route := &w.Routes[i]; route.Status == status && strings.HasPrefix(asked, route.Prefix) {
			r.key = asked
			return r.follow(route)
		}
	}
	var abort *http.MaxBytesError
	if w.Error != "" && status >= 400 && status < 500 && !errors.As(err, &abort) {
		r.key = w.Error
		if err := r.serveSite(status); err == nil || r.wrote {
			return err
		}
	}
	return r.plainPage(status, code, f.Message)
}

func (r *request) follow(route *bucket.WebsiteRoute) error {
	key := r.key
	switch {
	case route.ReplaceKey != "":
		key = route.ReplaceKey
	case route.ReplacePrefix != "":
		key = route.ReplacePrefix + strings.TrimPrefix(key, route.Prefix)
	}
	scheme, host := route.Protocol, route.Host
	if scheme == "" {
		scheme = "https"
	}
	if host == "" {
		host = r.Host
	}
	code := route.Code
	if code == 0 {
		code = http.StatusMovedPermanently
	}
	return r.redirect(code, scheme+"://"+host+"/"+encoded(key, "url"))
}

func (r *request) redirect(status int, to string) error {
	r.w.Header().Set("Location", to)
	return r.ok(status)
}

// plainPage is an error as a page.
func (r *request) plainPage(status int, code, message string) error {
	r.w.Header().Set("X-Content-Type-Options", "nosniff")
	return r.send(status, "text/html; charset=utf-8", []byte("<!doctype html><title>"+http.StatusText(status)+"</title><h1>"+http.StatusText(status)+
		"</h1><p>"+html.EscapeString(code)+": "+html.EscapeString(message)+"</p><p>Request "+html.EscapeString(r.id)+"</p>\n"))
}
