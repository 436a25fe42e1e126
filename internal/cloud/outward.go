package cloud

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// outward reaches addresses that tenants name, by the rules that notifications go by. The check is on the address that is
// dialled, so a name cannot get around it, and redirects are not followed.
func (c *Cloud) outward() *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil || c.Front == nil || !c.mayPost(netip.AddrPortFrom(at.Addr().Unmap(), at.Port())) {
			return fail.New(fail.Denied, "%s is not a public address", address).
				Then("use a public address or one of your apps, or ask the operator to allow it with --webhook-allow")
		}
		return nil
	}}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	roots.AppendCertsFromPEM(c.CA.Certificate())
	return &http.Client{Transport: &http.Transport{Proxy: nil, DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: time.Minute, ExpectContinueTimeout: time.Second,
		MaxIdleConnsPerHost: 4, MaxIdleConns: 64, IdleConnTimeout: 30 * time.Second, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}
