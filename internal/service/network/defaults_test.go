package network_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/network"
)

// in does a call in a project.
func (l *land) in(project id.ID, kindName, verb, name, spec string) (kind.AnyRow, error) {
	l.Helper()
	c := &call.Call{Kind: l.Door.KindOf("network/" + kindName), Verb: verb, Principal: l.Root, Project: string(project)}
	if verb == call.Create {
		c.Name, c.Spec = &name, json.RawMessage(spec)
	} else {
		c.Target = name
	}
	r, err := l.Door.Do(l.Context(), c)
	return r.Row, err
}

func (l *land) project(verb, name string) (kind.AnyRow, error) {
	l.Helper()
	c := &call.Call{Kind: l.Door.KindOf("identity/project"), Verb: verb, Principal: l.Root}
	if verb == call.Create {
		c.Name, c.Spec = &name, json.RawMessage(`{}`)
	} else {
		c.Target = name
	}
	r, err := l.Door.Do(l.Context(), c)
	return r.Row, err
}

func (l *land) made(r kind.AnyRow, err error) kind.AnyRow {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
	return r
}

// TestAProjectHasANetworkFromTheBeginning: rows that clients find by Huawei's names, of which the engine hears only when a
// port is there, and again when the last one goes; they go with the project, and never keep it.
func TestAProjectHasANetworkFromTheBeginning(t *testing.T) {
	l, e := told(t)
	l.Ident.Kinds.Furnish(l.s)
	p := l.made(l.project(call.Create, "shop")).M().ID
	vpc := l.made(l.in(p, "vpc", call.Get, "vpc-default", "")).M().ID
	sub := spec[network.SubnetSpec](l.made(l.in(p, "subnet", call.Get, "subnet-default", "")))
	group := l.made(l.in(p, "security-group", call.Get, "default", ""))
	if sub.VPC != string(vpc) || sub.CIDR != "192.168.0.0/24" || status[network.GroupStatus](group).Rules != 4 {
		t.Errorf("%+v, %+v", sub, group)
	}
	knows := func() (v, g bool) {
		_, v = e.vpcs[vpc]
		_, g = e.groups[group.M().ID]
		return v, g
	}
	l.s.Settle()
	e.mu.Lock()
	if v, g := knows(); v || g {
		t.Errorf("the engine was told of a network that nothing is in: %v %v", v, g)
	}
	e.mu.Unlock()
	port := l.made(l.in(p, "port", call.Create, "a", `{}`)).M().ID
	l.until(e, "the network is needed", func() bool { v, g := knows(); return v && g })
	if _, err := l.project(call.Delete, "shop"); !fail.Is(err, fail.Precondition) {
		t.Errorf("a project with a port in it goes: %v", err)
	}
	l.made(l.in(p, "vpc", call.Get, "vpc-default", "")) // and keeps what it has
	l.made(l.in(p, "port", call.Delete, string(port), ""))
	l.until(e, "the network is not needed any more", func() bool { v, g := knows(); return !v && !g })
	// Another group's rule makes the default one needed.
	l.made(l.in(p, "security-group", call.Create, "front", `{"bare":true}`))
	l.made(l.in(p, "security-rule", call.Create, "", `{"group":"front","remote_group":"default"}`))
	l.until(e, "a rule names the group", func() bool { _, g := knows(); return g })
	l.made(l.in(p, "security-group", call.Delete, "front", ""))
	l.until(e, "no rule names it", func() bool { _, g := knows(); return !g })
	l.made(l.project(call.Delete, "shop"))
	err := l.Store.View(t.Context(), func(tx store.Tx) error {
		for k := range tx.Scan("", "") {
			if strings.Contains(string(k), string(vpc)) || strings.Contains(string(k), string(group.M().ID)) || strings.HasPrefix(string(k), "net/default/"+string(p)) {
				t.Errorf("%s is left", k)
			}
		}
		used, err := ledger.Used(tx)
		for dim, n := range used[p] {
			if n != 0 {
				t.Errorf("%d of %s are left", n, dim)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestWhatUsersDeleteOfItIsMadeAgainWhenNeeded: and not before.
func TestWhatUsersDeleteOfItIsMadeAgainWhenNeeded(t *testing.T) {
	l := rows(t)
	l.Ident.Kinds.Furnish(l.s)
	p := l.made(l.project(call.Create, "shop")).M().ID
	l.made(l.in(p, "subnet", call.Delete, "subnet-default", ""))
	l.made(l.in(p, "vpc", call.Delete, "vpc-default", ""))
	if _, err := l.in(p, "vpc", call.Get, "vpc-default", ""); !fail.Is(err, fail.NotFound) {
		t.Errorf("a deleted VPC is there again: %v", err)
	}
	if _, err := l.in(p, "security-group", call.Delete, "default", ""); !fail.Is(err, fail.Precondition) {
		t.Errorf("the default group may go: %v", err)
	}
	l.made(l.in(p, "port", call.Create, "a", `{}`))
	l.made(l.in(p, "vpc", call.Get, "vpc-default", ""))
	l.made(l.in(p, "port", call.Delete, "a", ""))
	l.made(l.project(call.Delete, "shop"))
}

// TestAnEarlierDefaultNetworkIsTakenOver: of a cloud whose projects got one at the first use, under other names.
func TestAnEarlierDefaultNetworkIsTakenOver(t *testing.T) {
	l := rows(t)
	p := l.made(l.project(call.Create, "old")).M()
	vpc := l.made(l.in(p.ID, "vpc", call.Create, "default", `{"cidr":"192.168.0.0/16"}`)).M().ID
	l.made(l.in(p.ID, "subnet", call.Create, "default", `{"vpc":"default"}`))
	_, err := l.Store.Update(t.Context(), func(tx store.Tx) error { return l.s.Furnish(t.Context(), tx, p) })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.in(p.ID, "vpc", call.Get, "vpc-default", ""); !fail.Is(err, fail.NotFound) {
		t.Errorf("there is a second VPC: %v", err)
	}
	port := status[network.PortStatus](l.made(l.in(p.ID, "port", call.Create, "a", `{}`)))
	if port.VPC != string(vpc) {
		t.Errorf("%+v", port)
	}
}
