package cloud

import (
	"cmp"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/engine/certificate/acme"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/access"
)

// makeAccess makes the service that says how people reach apps.
func (c *Cloud) makeAccess() error {
	first, last, err := portRange(cmp.Or(c.TCPPorts, DefaultTCPPorts))
	if err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fail.Field("listen", "%q is not HOST:PORT", c.Listen)
	}
	var issuer access.Issuer
	if c.ACMEDirectory != "" {
		at, err := netip.ParseAddrPort(c.Listen)
		if err != nil {
			return fail.Field("listen", "%q is not ADDRESS:PORT", c.Listen).Then("certificates by ACME need a fixed address and port, 0.0.0.0:443 say")
		}
		i, err := acme.New(acme.Options{Directory: c.ACMEDirectory, Email: c.ACMEEmail, Dir: c.path("acme"), Port: int(at.Port()), Logger: c.Log})
		if err != nil {
			return err
		}
		c.closing(func() error { i.Close(); return nil })
		issuer = i
	}
	c.Access = access.New(access.Deps{Issuer: issuer, Store: c.Store, Apps: c.App.Reach(), Follow: []string{c.App.Component.D.NamePrefix()}, Unseal: c.unseal, Reserved: c.reserved, Address: host, First: first, Last: last,
		URL: func(name string) string {
			return "https://" + net.JoinHostPort(name, strconv.Itoa(int(c.Front.Addr().Port()))) + "/"
		},
		Now: time.Now, Log: c.Log})
	return nil
}

func portRange(s string) (first, last int, err error) {
	a, b, two := strings.Cut(s, "-")
	first, err1 := strconv.Atoi(a)
	last, err2 := strconv.Atoi(b)
	if !two || err1 != nil || err2 != nil || first < 1 || last > 65535 || first > last {
		return 0, 0, fail.Field("tcp-ports", "%q is no range of ports", s).Then("write FIRST-LAST, 20000-20999 say")
	}
	return first, last, nil
}

// reserved tells whether a name is the cloud's own.
func (c *Cloud) reserved(name string) bool {
	return name == c.Domain || strings.HasSuffix(name, "."+c.Domain) || name == RegistryHost || strings.HasSuffix(name, ".internal") ||
		strings.HasSuffix(name, ".localhost")
}
