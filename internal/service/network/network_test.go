package network_test

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
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
	for _, k := range []string{"vpc", "subnet", "security-group"} {
		if r := l.do(k, call.Get, "default", ``); r.M().State != kind.Active {
			t.Errorf("%s: %+v", k, r.M())
		}
	}
	if g := status[network.GroupStatus](l.do("security-group", call.Get, "default", ``)); g.Rules != 4 {
		t.Errorf("%+v", g)
	}
	l.refused("vpc", call.Delete, "default", ``, "subnet default")
	l.refused("subnet", call.Delete, "default", ``, "port a")
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
