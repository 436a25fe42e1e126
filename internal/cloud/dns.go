package cloud

import (
	"cmp"
	"context"
	"net"
	"strconv"
	"time"

	"github.com/awancloud/awan/internal/cloud/iaas"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/dns"
)

// noDNS is Options.DNS of a cloud without a name server.
const noDNS = "off"

// beside is how far the name server's port lies from the listener's, where nothing else was said.
const beside = 10

// makeDNS makes the service of zones and records. Its server begins in startDNS.
func (c *Cloud) makeDNS() {
	c.DNS = dns.New(dns.Deps{Store: c.Store, Host: unmaker{c}, Networks: iaas.Zones(c.IaaS.Networks), NameServers: []string{"ns1." + c.Domain}, Reserved: c.reserved, Now: time.Now, Log: c.Log})
	c.IaaS.Networks.Names = c.DNS.Answer
}

// unmaker gives the service the door, which is made after it.
type unmaker struct{ *Cloud }

// Unmake deletes a row in the cloud's own name.
func (u unmaker) Unmake(ctx context.Context, fullName string, row id.ID) error {
	return u.Door.Unmake(ctx, fullName, row)
}

// startDNS answers questions from now on.
func (c *Cloud) startDNS(ctx context.Context) error {
	if err := c.DNS.Start(ctx); err != nil {
		return err
	}
	c.closing(func() error { c.DNS.Close(); return nil })
	if c.Options.DNSListen == noDNS {
		return nil
	}
	address, err := c.dnsAddress()
	if err != nil {
		return err
	}
	server, err := c.DNS.Serve(address)
	if fail.Is(err, fail.Unavailable) && c.Options.DNSListen == "" { // nobody asked for this very port
		c.Log.Warn("the name server's usual port is taken; it takes a free one", "port", address)
		host, _, _ := net.SplitHostPort(address)
		server, err = c.DNS.Serve(net.JoinHostPort(host, "0"))
	}
	if err != nil {
		return err
	}
	c.NameServer = server.Addr()
	c.closing(server.Close)
	return nil
}

// dnsAddress is where the name server listens: as the operator said, else beside the listener.
func (c *Cloud) dnsAddress() (string, error) {
	if c.Options.DNSListen != "" {
		if _, _, err := net.SplitHostPort(c.Options.DNSListen); err != nil {
			return "", fail.Field("dns", "%q is not HOST:PORT", c.Options.DNSListen).Then("write 0.0.0.0:53 say, or off")
		}
		return c.Options.DNSListen, nil
	}
	host, port, err := net.SplitHostPort(cmp.Or(c.Listen, DefaultListen))
	if err != nil {
		return "", fail.Field("listen", "%q is not HOST:PORT", c.Listen)
	}
	n, err := strconv.Atoi(port)
	if err != nil || n == 0 || n+beside > 65535 {
		return net.JoinHostPort(host, "0"), nil
	}
	return net.JoinHostPort(host, strconv.Itoa(n+beside)), nil
}
