// Package outward reaches addresses that tenants name: web hooks, mirrors, stores of others. It imports kernel/fail.
package outward

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// New makes a client that connects only to addresses that allow lets it. The check is on the address that is dialled, so a
// name cannot get around it, and redirects are not followed. roots are certificates in PEM form that servers may have beside
// those the machine knows; nil: none.
func New(allow func(netip.AddrPort) bool, roots func() []byte) *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil || !allow(netip.AddrPortFrom(at.Addr().Unmap(), at.Port())) {
			return fail.New(fail.Denied, "%s is not a public address", address).
				Then("use a public address or one of your apps, or ask the operator to allow it with --webhook-allow")
		}
		return nil
	}}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if roots != nil {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		pool.AppendCertsFromPEM(roots())
		config.RootCAs = pool
	}
	return &http.Client{Transport: &http.Transport{Proxy: nil, DialContext: dialer.DialContext, TLSClientConfig: config,
		TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: time.Minute, ExpectContinueTimeout: time.Second,
		MaxIdleConnsPerHost: 4, MaxIdleConns: 64, IdleConnTimeout: 30 * time.Second, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Why says why a call failed, in words that a user can act on.
func Why(err error) string {
	var f *fail.Error
	var dns *net.DNSError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	switch {
	case errors.As(err, &f):
		return f.Public()
	case errors.As(err, &dns):
		return "its name is not known"
	case errors.As(err, &authority):
		return "its certificate is by an authority that is not trusted here"
	case errors.As(err, &host):
		return "its certificate is for another name"
	case errors.Is(err, context.DeadlineExceeded):
		return "it did not answer in time"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "it refused the connection"
	}
	return "the connection failed"
}
