package s3

import (
	"crypto/tls"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/dialect/s3/sign"
	"github.com/awancloud/awan/internal/service/bucket"
)

// noted sees what is answered, for the bucket's access log.
type noted struct {
	http.ResponseWriter
	begun  time.Time
	first  time.Time
	status int
	sent   int64
}

func (n *noted) WriteHeader(status int) {
	if n.status == 0 && status >= 200 {
		n.status, n.first = status, time.Now()
	}
	n.ResponseWriter.WriteHeader(status)
}

func (n *noted) Write(b []byte) (int, error) {
	if n.status == 0 {
		n.status, n.first = http.StatusOK, time.Now()
	}
	w, err := n.ResponseWriter.Write(b)
	n.sent += int64(w)
	return w, err
}

// Unwrap is for http.ResponseController.
func (n *noted) Unwrap() http.ResponseWriter { return n.ResponseWriter }

// schemes are S3's names of signatures.
var schemes = map[sign.Scheme]string{sign.V4: "SigV4", sign.V2: "SigV2", sign.OBS: "OBS"}

// note tells the bucket's access log of a request that was answered; err is what it failed with.
func (r *request) note(n *noted, err error) {
	if r.bucket == "" {
		return
	}
	now := time.Now()
	a := &bucket.Access{At: n.begun, Bucket: r.bucket, Key: r.key, Source: r.RemoteAddr, RequestID: r.id, HostID: r.id, URI: r.Method + " " + r.logged() + " " + r.Proto,
		Status: n.status, Sent: n.sent, Total: now.Sub(n.begun), Referer: r.Referer(), Agent: r.UserAgent(), Version: r.q.Get("versionId"), Host: r.Host}
	a.Operation = r.operation()
	if !n.first.IsZero() {
		a.Turn = n.first.Sub(n.begun)
	}
	if c := r.caller; c != nil {
		a.Source = c.Source
		if !c.Principal.Nobody() {
			a.Requester = c.Principal.String()
		}
	}
	if err != nil {
		_, a.Error, _ = r.wordOf(err)
	}
	if r.Method == http.MethodPut || r.Method == http.MethodPost {
		a.Size = max(r.ContentLength, 0)
		if v, err := strconv.ParseInt(r.Header.Get("X-Amz-Decoded-Content-Length"), 10, 64); err == nil {
			a.Size = v
		}
	}
	if r.claim != nil {
		a.Signature, a.Auth = schemes[r.claim.Scheme], "AuthHeader"
		if r.claim.Query {
			a.Auth = "QueryString"
		}
	}
	if r.TLS != nil {
		a.Cipher, a.TLS = cipherName(r.TLS.CipherSuite), tlsVersion(r.TLS.Version)
	}
	r.api.Access(a)
}

// cipherNames remembers what crypto/tls makes a list of all suites for.
var cipherNames sync.Map

func cipherName(suite uint16) string {
	if name, ok := cipherNames.Load(suite); ok {
		return name.(string)
	}
	name := tls.CipherSuiteName(suite)
	cipherNames.Store(suite, name) // there are few, and they were agreed on
	return name
}

func tlsVersion(v uint16) string {
	switch v {
	case tls.VersionTLS13:
		return "TLSv1.3"
	case tls.VersionTLS12:
		return "TLSv1.2"
	}
	return tls.VersionName(v)
}

// logged is the address of a request without what would let a reader of the log repeat it.
func (r *request) logged() string {
	if r.claim == nil || !r.claim.Query {
		return r.URL.RequestURI()
	}
	parts := strings.Split(r.URL.RawQuery, "&")
	for i, p := range parts {
		name, _, _ := strings.Cut(p, "=")
		if l := strings.ToLower(name); strings.HasSuffix(l, "signature") || strings.HasSuffix(l, "token") {
			parts[i] = name + "=-"
		}
	}
	return r.URL.EscapedPath() + "?" + strings.Join(parts, "&")
}

// operation is what S3's logs call it: REST.GET.OBJECT, REST.PUT.LIFECYCLE.
func (r *request) operation() string {
	kind, what := "REST", "BUCKET"
	if r.key != "" {
		what = "OBJECT"
	}
	if r.op == nil {
		kind = "WEBSITE"
	} else if r.op.sub != "" && r.op.sub != "list-type" {
		what = strings.ToUpper(r.op.sub)
	}
	return kind + "." + r.Method + "." + what
}
