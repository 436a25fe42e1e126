package network_test

import (
	"encoding/json"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/network"
)

// land is a kernel with the network service and nobody to carry packets.
type land struct {
	*testing.T
	*kerneltest.Kernel
	s *network.Service
}

func rows(t *testing.T) *land {
	l := &land{T: t}
	l.s = network.New(network.Deps{Options: network.Options{Region: "awan-1"}, Now: func() time.Time { return l.Clock.Now() }, Log: slog.New(slog.DiscardHandler)})
	l.Kernel = kerneltest.Start(t, func(d ledger.Dim) (int64, bool) { return 50, true }, l.s.Kinds()...)
	l.s.Store = l.Store
	return l
}

// try sends one call through the door as the administrator.
func (l *land) try(kindName, verb, name, spec string) (kind.AnyRow, error) {
	l.Helper()
	c := &call.Call{Kind: l.Door.KindOf("network/" + kindName), Verb: verb, Principal: l.Root}
	switch verb {
	case call.Create:
		c.Name, c.Spec = &name, json.RawMessage(spec)
	case call.Update:
		c.Target, c.Spec = name, json.RawMessage(spec)
	default:
		c.Target, c.In = name, json.RawMessage(spec)
	}
	r, err := l.Door.Do(l.Context(), c)
	return r.Row, err
}

func (l *land) do(kindName, verb, name, spec string) kind.AnyRow {
	l.Helper()
	r, err := l.try(kindName, verb, name, spec)
	if err != nil {
		l.Fatalf("%s %s %s %s: %v", verb, kindName, name, spec, err)
	}
	return r
}

// refused does what must not be, and looks for the reason.
func (l *land) refused(kindName, verb, name, spec, because string) {
	l.Helper()
	_, err := l.try(kindName, verb, name, spec)
	if err == nil || !strings.Contains(fail.From(err).Public(), because) {
		l.Errorf("%s %s %s %s: %v, want %q", verb, kindName, name, spec, err, because)
	}
}

func status[T any](r kind.AnyRow) T {
	var out T
	b, _ := json.Marshal(r.StatusPtr())
	_ = json.Unmarshal(b, &out)
	return out
}

func spec[T any](r kind.AnyRow) T {
	var out T
	b, _ := json.Marshal(r.SpecPtr())
	_ = json.Unmarshal(b, &out)
	return out
}

func TestADefaultNetworkIsThereWhenItIsNeeded(t *testing.T) {
	l := rows(t)
	a := status[network.PortStatus](l.do("port", call.Create, "a", `{}`))
	b := status[network.PortStatus](l.do("port", call.Create, "b", `{}`))
	if len(a.Addresses) != 1 || a.Addresses[0] == b.Addresses[0] || a.MAC == b.MAC || !strings.HasPrefix(a.Addresses[0], "192.168.0.") {
		t.Errorf("%+v %+v", a, b)
	}
	for k, name := range map[string]string{"vpc": "vpc-default", "subnet": "subnet-default", "security-group": "default"} {
		if r := l.do(k, call.Get, name, ``); r.M().State != kind.Active {
			t.Errorf("%s: %+v", k, r.M())
		}
	}
	if g := status[network.GroupStatus](l.do("security-group", call.Get, "default", ``)); g.Rules != 4 {
		t.Errorf("%+v", g)
	}
	l.refused("vpc", call.Delete, "vpc-default", ``, "subnet subnet-default")
	l.refused("subnet", call.Delete, "subnet-default", ``, "port a")
}

func TestAddressesAreGivenOnce(t *testing.T) {
	l := rows(t)
	l.do("vpc", call.Create, "shop", `{"cidr":"10.1.0.0/16"}`)
	l.do("subnet", call.Create, "web", `{"vpc":"shop","cidr":"10.1.1.0/29","ipv6":true}`)
	sub := spec[network.SubnetSpec](l.do("subnet", call.Get, "web", ``))
	if sub.Gateway != "10.1.1.1" || !strings.HasSuffix(sub.CIDR6, "::/64") || !strings.HasSuffix(sub.Gateway6, "::1") {
		t.Errorf("%+v", sub)
	}
	for _, c := range []struct{ addresses, because string }{
		{`"10.1.1.1"`, "spec.addresses[0]: 10.1.1.1 is the gateway's"},
		{`"10.1.1.0"`, "the range's own"},
		{`"10.1.1.7"`, "broadcast"},
		{`"10.1.2.1"`, "outside subnet web"},
		{`"10.1.1.2","10.1.1.2"`, "spec.addresses[1]: 10.1.1.2 is there twice"},
		{`"x"`, "is not an address"},
	} {
		l.refused("port", call.Create, "p", `{"subnet":"web","addresses":[`+c.addresses+`]}`, c.because)
	}
	fixed := l.do("port", call.Create, "fixed", `{"subnet":"web","addresses":["10.1.1.3"],"mac":"02:00:00:00:00:01"}`)
	l.refused("port", call.Create, "p", `{"subnet":"web","addresses":["10.1.1.3"]}`, "taken by port "+string(fixed.M().ID))
	l.refused("port", call.Create, "p", `{"subnet":"web","mac":"02:00:00:00:00:01"}`, "spec.mac: 02:00:00:00:00:01 is the MAC address of port")
	seen := map[string]bool{"10.1.1.3": true}
	for range 4 {
		p := status[network.PortStatus](l.do("port", call.Create, "", `{"subnet":"web"}`))
		if len(p.Addresses) != 2 || seen[p.Addresses[0]] || !strings.Contains(p.Addresses[1], "ff:fe") {
			t.Errorf("%+v", p)
		}
		seen[p.Addresses[0]] = true
	}
	l.refused("port", call.Create, "p", `{"subnet":"web"}`, "no free address")
	l.do("port", call.Delete, "fixed", ``)
	if p := status[network.PortStatus](l.do("port", call.Create, "again", `{"subnet":"web","mac":"02:00:00:00:00:01"}`)); p.Addresses[0] != "10.1.1.3" {
		t.Errorf("%+v", p)
	}
	if free := status[network.SubnetStatus](l.do("subnet", call.Get, "web", ``)).Free; free != 0 {
		t.Error(free)
	}
}

func TestRulesOfGroups(t *testing.T) {
	l := rows(t)
	l.do("security-group", call.Create, "web", `{}`)
	l.do("address-group", call.Create, "six", `{"ipv6":true,"addresses":["2001:db8::/32"]}`)
	for _, c := range []struct{ spec, because string }{
		{`{"group":"nobody"}`, "spec.group: there is no security-group"},
		{`{"group":"web","protocol":"foo"}`, "spec.protocol"},
		{`{"group":"web","protocol":"icmp","ports":"22"}`, "only tcp and udp have ports"},
		{`{"group":"web","protocol":"tcp","ports":"90-80"}`, `spec.ports: "90-80" is not`},
		{`{"group":"web","protocol":"tcp","icmp_type":8}`, "spec.icmp_type"},
		{`{"group":"web","protocol":"icmpv6"}`, "set ipv6"},
		{`{"group":"web","remote_prefix":"2001:db8::/32"}`, "is of IPv6, the rule is of IPv4"},
		{`{"group":"web","remote_prefix":"10.0.0.0/8","remote_group":"web"}`, "more than one other side"},
		{`{"group":"web","remote_address_group":"six"}`, "holds IPv6 addresses"},
		{`{"group":"web","priority":101}`, "spec.priority"},
		{`{"group":"web","direction":"egress","priority":100}`, "has this very rule already"},
	} {
		l.refused("security-rule", call.Create, "", c.spec, c.because)
	}
	l.do("security-group", call.Create, "back", `{}`)
	r := l.do("security-rule", call.Create, "", `{"group":"web","protocol":"TCP","ports":"22,80-90","remote_group":"back","action":"deny","priority":7}`)
	if got := spec[network.RuleSpec](r); got.Protocol != "tcp" || got.Group == "web" {
		t.Errorf("%+v", got)
	}
	l.refused("security-group", call.Delete, "back", ``, "names it")
	l.do("port", call.Create, "p", `{"groups":["web"]}`)
	l.refused("security-group", call.Delete, "web", ``, "port p")
	l.do("port", call.Delete, "p", ``)
	l.do("security-group", call.Delete, "web", ``)
	l.do("security-group", call.Delete, "back", ``)
	if n := l.used("network.security-rules"); n != 0 {
		t.Errorf("%d rules are counted though there are none", n)
	}
}

// used is how much of a quota the project uses.
func (l *land) used(dim ledger.Dim) (n int64) {
	err := l.Store.View(l.Context(), func(tx store.Tx) error {
		q, err := ledger.Quotas(tx, l.Root.Project, []ledger.Dim{dim}, nil)
		n = q[0].Used
		return err
	})
	if err != nil {
		l.Fatal(err)
	}
	return n
}

func TestPublicAddressesAndNAT(t *testing.T) {
	l := rows(t)
	l.do("vpc", call.Create, "shop", `{"cidr":"10.1.0.0/16"}`)
	l.do("subnet", call.Create, "web", `{"vpc":"shop"}`)
	l.do("subnet", call.Create, "lone", `{"vpc":"none","cidr":"10.9.0.0/24"}`)
	a := l.do("port", call.Create, "a", `{"subnet":"web"}`)
	l.do("port", call.Create, "b", `{"subnet":"lone"}`)
	ip := status[network.PublicIPStatus](l.do("public-ip", call.Create, "front", `{"port":"a"}`))
	if !network.DefaultPublic.Prefix.Contains(netip.MustParseAddr(ip.Address)) || ip.Private != status[network.PortStatus](a).Addresses[0] {
		t.Errorf("%+v", ip)
	}
	l.refused("public-ip", call.Create, "x", `{"address":"`+ip.Address+`"}`, "is taken")
	l.refused("public-ip", call.Create, "x", `{"address":"8.8.8.8"}`, "not an address of pool public")
	l.refused("public-ip", call.Create, "x", `{"pool":"moon"}`, "spec.pool")
	l.refused("public-ip", call.Create, "x", `{"port":"a"}`, "leads to")
	l.refused("public-ip", call.Create, "x", `{"port":"b"}`, "no VPC routes")
	l.do("nat-gateway", call.Create, "out", `{"vpc":"shop","subnet":"web"}`)
	l.refused("snat-rule", call.Create, "", `{"gateway":"out","subnet":"web","public_ips":["front"]}`, "leads to port")
	l.do("public-ip", call.Create, "nat", `{}`)
	l.refused("snat-rule", call.Create, "", `{"gateway":"out","public_ips":["nat"]}`, "say what goes out")
	l.do("snat-rule", call.Create, "s", `{"gateway":"out","subnet":"web","public_ips":["nat"]}`)
	l.do("dnat-rule", call.Create, "d", `{"gateway":"out","port":"a","internal_port":80,"public_ip":"nat","external_port":8080}`)
	l.refused("dnat-rule", call.Create, "", `{"gateway":"out","port":"a","internal_port":81,"public_ip":"nat","external_port":8080}`, "leads elsewhere already")
	l.refused("public-ip", call.Update, "nat", `{"port":"a"}`, "serves SNAT rule")
	l.refused("public-ip", call.Delete, "nat", ``, "serves SNAT rule")
	l.refused("port", call.Delete, "a", ``, "dnat-rule d")
	l.refused("nat-gateway", call.Delete, "out", ``, "snat-rule s")
	l.do("dnat-rule", call.Delete, "d", ``)
	l.do("port", call.Delete, "a", ``)
	if p := spec[network.PublicIPSpec](l.do("public-ip", call.Get, "front", ``)); p.Port != "" {
		t.Error("the address still leads to the port that is gone:", p.Port)
	}
}

func TestVPCsAndTheirRoutes(t *testing.T) {
	l := rows(t)
	for _, c := range []struct{ spec, because string }{
		{`{"cidr":"10.1.0.1/16"}`, "spec.cidr: 10.1.0.1/16 has bits behind its length; write 10.1.0.0/16"},
		{`{"cidr":"169.254.0.0/16"}`, "which no network may have"},
		{`{"cidr":"10.0.0.0/30"}`, "too small"},
		{`{"cidr":"fd00::/64"}`, "not a range of IPv4"},
		{`{"cidr":"10.1.0.0/16","extend_cidrs":["10.1.2.0/24"]}`, "spec.extend_cidrs[0]: 10.1.2.0/24 overlaps"},
		{`{"routes":[{"destination":"10.9.0.0/16"}]}`, "0 next hops"},
	} {
		l.refused("vpc", call.Create, "v", c.spec, c.because)
	}
	l.do("vpc", call.Create, "shop", `{"cidr":"10.1.0.0/16"}`)
	l.do("subnet", call.Create, "web", `{"vpc":"shop","cidr":"10.1.1.0/24"}`)
	for _, c := range []struct{ spec, because string }{
		{`{"vpc":"shop","cidr":"10.1.1.128/25"}`, "overlaps another subnet"},
		{`{"vpc":"shop","cidr":"10.2.0.0/24"}`, "outside the VPC's range"},
		{`{"vpc":"shop","cidr":"10.1.2.0/24","gateway":"10.1.3.1"}`, "spec.gateway"},
		{`{"vpc":"shop","cidr":"10.1.2.0/24","pools":[{"first":"10.1.2.9","last":"10.1.2.5"}]}`, "spec.pools[0]"},
		{`{"vpc":"shop","cidr":"10.1.2.0/24","dns":["x"]}`, "spec.dns[0]"},
		{`{"vpc":"nobody"}`, "there is no vpc"},
	} {
		l.refused("subnet", call.Create, "s", c.spec, c.because)
	}
	p := l.do("port", call.Create, "router", `{"subnet":"web","allowed_pairs":[{"address":"10.9.0.0/16"}]}`)
	l.refused("vpc", call.Update, "shop", `{"routes":[{"destination":"10.1.1.0/25","port":"router"}]}`, "lies in subnet web")
	l.do("vpc", call.Update, "shop", `{"routes":[{"destination":"10.9.0.0/16","port":"router"}]}`)
	l.refused("port", call.Delete, "router", ``, "route to 10.9.0.0/16")
	l.refused("vpc", call.Update, "shop", `{"cidr":"10.7.0.0/16"}`, "subnet web")
	if v := spec[network.VPCSpec](l.do("vpc", call.Get, "shop", ``)); v.Routes[0].Port != string(p.M().ID) {
		t.Errorf("%+v", v)
	}
}
