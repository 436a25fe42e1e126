package bucket

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"net"
	"net/url"
	"strings"
	"syscall"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// checkURL refuses what is no address that the cloud calls for a tenant. Which hosts it then may reach, Deps.Outward says
// when it connects.
func checkURL(field, text string, httpsOnly bool) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && (httpsOnly || u.Scheme != "http") || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return failed("InvalidArgument", fail.Field(field, "%q is not an address that can be called", text).Then("write https://HOST/PATH, without a user name in it"))
	}
	return nil
}

// checkOutward checks the addresses that a bucket's settings name.
func checkOutward(sp *BucketSpec) error {
	for i := range sp.Notifications {
		n := &sp.Notifications[i]
		if err := checkURL("spec.notifications", n.URL, false); err != nil {
			return err
		}
	}
	return nil
}

// unreachable says why a call to the outside failed, in words that a user can act on.
func unreachable(err error) string {
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

// short names something in a key by a hash.
func short(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:8])
}
