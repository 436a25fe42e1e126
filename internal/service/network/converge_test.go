package network_test

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/asbuilt"
	"github.com/awancloud/awan/internal/service/fabric"
	"github.com/awancloud/awan/internal/service/network"
)

// told is a land whose networks are told to an ear.
func told(t *testing.T) (*land, *ear) {
	l, e := &land{T: t}, newEar()
	l.s = network.New(network.Deps{Options: network.Options{Region: "awan-1"}, Engine: e, Now: func() time.Time { return l.Clock.Now() }, Log: slog.New(slog.DiscardHandler)})
	l.Kernel = kerneltest.Start(t, nil, l.s.Kinds()...)
	l.s.Store = l.Store
	if err := l.s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.s.Close)
	return l, e
}

// until waits for the engine to be told something.
func (l *land) until(e *ear, what string, true_ func() bool) {
	l.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		e.mu.Lock()
		ok := true_()
		e.mu.Unlock()
		if ok {
			return
		}
		if time.Now().After(end) {
			l.Fatalf("the engine was never told: %s", what)
		}
	}
}

func (l *land) id(kindName, name string) id.ID { return l.do(kindName, call.Get, name, ``).M().ID }

func (l *land) plug(port string) id.ID {
	l.Helper()
	p := l.id("port", port)
	if _, err := l.s.Plug(l.Context(), p, 1000); err != nil {
		l.Fatal(err)
	}
	return p
}

func TestTheEngineIsToldWhatRowsSay(t *testing.T) {
	l, e := told(t)
	l.do("vpc", call.Create, "shop", `{"cidr":"10.1.0.0/16","internet":true}`)
	l.do("subnet", call.Create, "web", `{"vpc":"shop","cidr":"10.1.1.0/24"}`)
	l.do("security-group", call.Create, "front", `{"bare":true}`)
	l.do("address-group", call.Create, "office", `{"addresses":["192.0.2.1-192.0.2.2"]}`)
	l.do("security-rule", call.Create, "", `{"group":"front","protocol":"tcp","ports":"22,80-90","remote_address_group":"office"}`)
	l.do("port", call.Create, "a", `{"subnet":"web","groups":["front"],"hostname":"alpha"}`)
	vpc, group := l.id("vpc", "shop"), l.id("security-group", "front")
	port := l.plug("a")
	e.mu.Lock()
	p, g, v := e.ports[port], e.groups[group], e.vpcs[vpc]
	e.mu.Unlock()
	if p.VPC != vpc || p.Hostname != "alpha" || p.Owner != 1000 || len(p.Addresses) != 1 || len(v.NAT) != 1 || v.Subnets[0].DNS[0] != network.OwnAddress {
		t.Errorf("%+v\n%+v", p, v)
	}
	if len(g.Rules) != 1 || len(g.Rules[0].Ports) != 2 || len(g.Rules[0].Remote) != 2 || g.Rules[0].Remote[0] != netip.MustParsePrefix("192.0.2.1/32") {
		t.Errorf("%+v", g)
	}
	l.do("address-group", call.Update, "office", `{"addresses":[]}`)
	l.until(e, "an empty address group is nobody", func() bool { return len(e.groups[group].Rules) == 0 })

	l.do("public-ip", call.Create, "front", `{"port":"`+string(port)+`","mbit":7}`)
	l.until(e, "the public address", func() bool { return len(e.ports[port].Public) == 1 && e.ports[port].Public[0].Mbit == 7 })
	l.do("public-ip", call.Update, "front", `{"port":""}`)
	l.until(e, "it is gone", func() bool { return len(e.ports[port].Public) == 0 })

	if err := l.s.Unplug(t.Context(), port); err != nil {
		t.Fatal(err)
	}
	l.do("port", call.Delete, "a", ``)
	l.do("subnet", call.Delete, "web", ``)
	l.do("vpc", call.Delete, "shop", ``)
	l.do("security-group", call.Delete, "front", ``)
	l.until(e, "all of it is gone", func() bool { return len(e.vpcs)+len(e.ports)+len(e.groups) == 0 })
}

func TestASubnetMovesIntoAVPC(t *testing.T) {
	l, e := told(t)
	l.do("subnet", call.Create, "lone", `{"vpc":"none","cidr":"10.5.0.0/24"}`)
	l.do("port", call.Create, "a", `{"subnet":"lone"}`)
	port, sub := l.plug("a"), l.id("subnet", "lone")
	l.until(e, "a network of its own", func() bool { return e.ports[port].VPC == sub })
	l.do("vpc", call.Create, "r", `{}`)
	vpc := l.id("vpc", "r")
	l.do("subnet", call.Update, "lone", `{"vpc":"r"}`)
	l.until(e, "the port is in the VPC", func() bool { _, old := e.vpcs[sub]; return e.ports[port].VPC == vpc && !old })
	l.do("subnet", call.Update, "lone", `{"vpc":"none"}`)
	l.until(e, "and out again", func() bool { return e.ports[port].VPC == sub })
}

func TestAPeeringOfTwoProjectsNeedsBoth(t *testing.T) {
	l, e := told(t)
	other, err := l.Door.Do(t.Context(), &call.Call{Kind: l.Door.KindOf("identity/project"), Verb: call.Create, Name: ptr("other"), Principal: l.Root})
	if err != nil {
		t.Fatal(err)
	}
	theirs := l.Root
	theirs.Project = other.Row.M().ID
	as := func(who func()) { was := l.Root; l.Root = theirs; who(); l.Root = was }
	l.do("vpc", call.Create, "a", `{"cidr":"10.1.0.0/16"}`)
	l.do("subnet", call.Create, "a", `{"vpc":"a","cidr":"10.1.0.0/24"}`)
	as(func() {
		l.do("vpc", call.Create, "b", `{"cidr":"10.2.0.0/16"}`)
		l.do("subnet", call.Create, "b", `{"vpc":"b","cidr":"10.2.0.0/24"}`)
	})
	var b id.ID
	as(func() { b = l.id("vpc", "b") })
	l.refused("peering", call.Create, "p", `{"vpc":"a","peer":"`+string(b)+`"}`, "there is no vpc")
	l.do("peering", call.Create, "p", `{"vpc":"a","peer":"`+string(b)+`","peer_project":"`+string(theirs.Project)+`"}`)
	l.refused("peering", "accept", "p", ``, "asked for the peering itself")
	l.do("vpc", call.Update, "a", `{"routes":[{"destination":"10.2.0.0/16","peering":"p"}]}`)
	as(func() {
		l.do("peering", "accept", "p", ``)
		l.do("vpc", call.Update, "b", `{"routes":[{"destination":"10.1.0.0/16","peering":"p"}]}`)
	})
	a := l.id("vpc", "a")
	l.until(e, "both ways", func() bool {
		return len(e.vpcs[a].Peers) == 1 && e.vpcs[a].Peers[0].VPC == b && len(e.vpcs[a].Peers[0].Prefixes) == 1 && len(e.vpcs[b].Peers) == 1 && e.vpcs[b].Peers[0].VPC == a
	})
	l.refused("peering", call.Delete, "p", ``, "leads over it")
	l.do("vpc", call.Update, "a", `{"routes":[]}`)
	l.do("peering", call.Delete, "p", ``)
	l.until(e, "it is gone on both sides", func() bool { return len(e.vpcs[a].Peers)+len(e.vpcs[b].Peers) == 0 })
	as(func() { l.refused("peering", call.Get, "p", ``, "there is no peering") })
}

func TestQuarantineCutsOffAtOnce(t *testing.T) {
	l, e := told(t)
	for _, n := range []string{"a", "b"} {
		l.do("port", call.Create, n, `{}`)
	}
	a, b, vpc := l.plug("a"), l.plug("b"), l.id("vpc", "vpc-default")
	l.do("port", "quarantine", "a", `{"reason":"it scans"}`)
	l.until(e, "one port", func() bool { return e.ports[a].Quarantine && !e.ports[b].Quarantine })
	l.do("port", "release", "a", ``)
	l.until(e, "released", func() bool { return !e.ports[a].Quarantine })
	for _, what := range []string{"subnet", "vpc"} {
		l.do(what, "quarantine", what+"-default", ``)
		l.until(e, "all ports of a "+what, func() bool { return e.ports[a].Quarantine && e.ports[b].Quarantine && e.vpcs[vpc].Subnets[0].Isolated })
		l.do(what, "release", what+"-default", ``)
		l.until(e, "released", func() bool { return !e.ports[a].Quarantine && !e.vpcs[vpc].Subnets[0].Isolated })
	}
	l.Door.KindOf("network/vpc")
	serve := func(verb string) {
		c := &call.Call{Kind: l.Door.KindOf("network/vpc"), Verb: verb, Principal: l.Root}
		c.Stream.Emit = func(any) error { return nil }
		if _, err := l.Door.Do(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	serve("quarantine-project")
	l.do("port", call.Create, "c", `{}`)
	c := l.plug("c")
	l.until(e, "the whole project, and what comes later", func() bool { return e.ports[a].Quarantine && e.ports[b].Quarantine && e.ports[c].Quarantine })
	serve("release-project")
	l.until(e, "released", func() bool { return !e.ports[a].Quarantine && !e.ports[c].Quarantine })
}

func TestARestartFindsWhatIsTooMuchAndTooLittle(t *testing.T) {
	l, e := told(t)
	l.do("port", call.Create, "a", `{}`)
	port := l.plug("a")
	l.s.Close()
	e.mu.Lock()
	stray := id.New()
	e.vpcs[stray], e.groups[stray] = fabric.VPC{}, fabric.Group{}
	e.ports[stray] = fabric.Port{VPC: stray}
	delete(e.ports, port)
	e.mu.Unlock()
	again := network.New(network.Deps{Store: l.Store, Options: network.Options{Region: "awan-1"}, Engine: e, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err := again.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Close)
	l.until(e, "the engine has what rows say", func() bool {
		_, p := e.ports[stray]
		_, v := e.vpcs[stray]
		_, g := e.groups[stray]
		_, there := e.ports[port]
		return !p && !v && !g && there
	})
}

func TestDriftIsRepairedAndToldOf(t *testing.T) {
	l, e := told(t)
	l.do("port", call.Create, "a", `{}`)
	port := l.plug("a")
	e.mu.Lock()
	e.findings = []fabric.Finding{{What: "port", ID: port, Detail: "a rule that nobody wrote lets tcp 22 in", Repaired: true}}
	e.mu.Unlock()
	var told []asbuilt.Drift
	l.s.Found = func(_ context.Context, d asbuilt.Drift) { told = append(told, d) }
	if n, err := l.s.Drift(t.Context()); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if len(told) != 1 || told[0].ID != port || told[0].Kind != "network/port" || !told[0].Repaired {
		t.Errorf("the daily report is told %+v", told)
	}
	if !l.told(port, "Drift", "nobody wrote") {
		t.Error("the port knows nothing of it")
	}
}

func TestWhatTheEngineRefusesIsTriedAgain(t *testing.T) {
	l, e := told(t)
	e.mu.Lock()
	e.deaf = errors.New("no room")
	e.mu.Unlock()
	l.do("port", call.Create, "a", `{}`)
	vpc := l.id("vpc", "vpc-default")
	for end := time.Now().Add(10 * time.Second); !l.told(vpc, "NotApplied", "cannot be made"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nobody is told")
		}
	}
	e.mu.Lock()
	e.deaf = nil
	e.mu.Unlock()
	l.until(e, "tried again", func() bool { return len(e.vpcs) == 1 })
}

// told says whether a row has an event.
func (l *land) told(row id.ID, typ, text string) bool {
	var all []event.Event
	_ = l.Store.View(l.Context(), func(tx store.Tx) (err error) {
		all, err = event.Of(tx, row, 100)
		return err
	})
	return slices.ContainsFunc(all, func(e event.Event) bool { return e.Type == typ && strings.Contains(e.Text, text) })
}

func ptr[T any](v T) *T { return &v }
