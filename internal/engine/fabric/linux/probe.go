package linux

import (
	"context"
	"errors"
	"os"

	"github.com/google/nftables"

	"github.com/awancloud/awan/internal/service/fabric"
)

// obstacle says why this process cannot make networks at all; "" if it can.
func obstacle() string {
	if os.Geteuid() != 0 {
		return "awan does not run as root"
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		return "there is no /dev/net/tun"
	}
	c, err := nftables.New()
	if err == nil {
		_, err = c.ListTables()
	}
	if err != nil {
		return "nftables does not answer: " + err.Error()
	}
	if _, err := os.Stat("/proc/sys/net/netfilter/nf_conntrack_max"); errors.Is(err, os.ErrNotExist) {
		return "the kernel tracks no connections (nf_conntrack)"
	}
	return ""
}

// Capabilities implements fabric.Engine.
func (e *Engine) Capabilities(context.Context) fabric.Capabilities {
	c := fabric.Capabilities{Name: "linux", Packets: true, MTU: e.mtu, Missing: map[string]string{
		"vxlan":        "networks are on this one machine",
		"broadcast":    "packets are routed between ports: broadcast and multicast reach the gateway only",
		"ipv6-outside": "IPv6 stays inside the cloud: there are no public IPv6 addresses",
	}}
	if _, err := os.Stat("/proc/sys/net/ipv6"); err != nil {
		c.Missing["ipv6"] = "this kernel has no IPv6"
	}
	return c
}
