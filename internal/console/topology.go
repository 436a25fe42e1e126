package console

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/fabric/reach"
	"github.com/awancloud/awan/internal/service/network"
)

const (
	vpcKind  = "network/vpc"
	portKind = "network/port"
)

// maxPictured is how many ports a picture has: more are no picture any more.
const maxPictured = 100

// picturePage is a VPC drawn: its subnets with what is in them, and what one of these may reach.
type picturePage struct {
	Kind        *kind.Desc
	Name, Path  string
	VPC         string // its own page
	Subnets     []*subnetBox
	From        *node
	Links       []picLink
	Groups      []groupLine
	More        int // ports that are not shown
	Width       int
	Height      int
	Internet    box
	Out, In     []string // what the chosen one may send to the outside, and get from there
	OutNo, InNo string   // why not
}

type box struct{ X, Y, W, H int }

type subnetBox struct {
	box
	Name, CIDR, Href string
	Nodes            []*node
}

// node is a port: a server's, or something else's.
type node struct {
	box
	Port         id.ID
	Name, Href   string // of the server
	Choose       string // the address of the picture with it chosen
	Address      string
	Public       string
	Groups       []string
	Chosen       bool
	To, From     []string // what the chosen one may send to it, and get from it
	ToNo, FromNo string   // why not
}

// picLink is a line of the picture.
type picLink struct{ Path, Class string }

type groupLine struct {
	Name, Href string
	Members    int
	Rules      []string
}

func (q *request) vpcPicture() error {
	k, err := q.need(vpcKind, "networks")
	if err != nil {
		return err
	}
	row, err := q.get(k, q.PathValue("id"))
	if err != nil {
		return err
	}
	if q.Console.World == nil {
		return fail.New(fail.NotFound, "this cloud draws no networks")
	}
	w, err := q.Console.World(q.Context(), row.M().ID)
	if err != nil {
		return err
	}
	p := &picturePage{Kind: &k.Desc, Name: q.rowName(k, row), VPC: rowPath(k, row.M()), Path: rowPath(k, row.M()) + "/picture"}
	if err := q.place(p, row.M().ID, w); err != nil {
		return err
	}
	p.ask(w)
	p.draw()
	p.Groups = q.groupLines(w)
	return q.render("picture", p.Name+" picture", p)
}

// place puts the ports of the world that the caller may see into their subnets, and finds the chosen one.
func (q *request) place(p *picturePage, vpc id.ID, w reach.World) error {
	subnets, err := q.rowsOf(subnetKind, "vpc", string(vpc))
	if err != nil {
		return err
	}
	names := map[string]string{}
	for _, s := range q.firstRows(serverKind) {
		names[string(s.M().ID)] = nameOr(s.M())
	}
	groups := map[id.ID]string{}
	for _, g := range q.firstRows(secGroupKind) {
		groups[g.M().ID] = nameOr(g.M())
	}
	want, shown := id.ID(q.URL.Query().Get("from")), 0
	for _, r := range subnets {
		sub, ok := r.(*kind.Row[network.SubnetSpec, network.SubnetStatus])
		if !ok {
			continue
		}
		b := &subnetBox{Name: nameOr(&sub.Meta), CIDR: strings.TrimSpace(sub.Spec.CIDR + " " + sub.Spec.CIDR6), Href: "/k/network/subnets/" + string(sub.ID)}
		ports, err := q.rowsOf(portKind, "subnet", string(sub.ID))
		if err != nil {
			return err
		}
		for _, r := range ports {
			port, ok := r.(*kind.Row[network.PortSpec, network.PortStatus])
			told, there := w.Ports[r.M().ID]
			if !ok || !there {
				continue
			}
			if shown >= maxPictured && port.ID != want {
				p.More++
				continue
			}
			shown++
			n := &node{Port: port.ID, Name: names[port.Spec.Device], Choose: p.Path + "?from=" + string(port.ID), Address: strings.Join(port.Status.Addresses, " ")}
			if n.Name != "" {
				n.Href = "/k/compute/servers/" + port.Spec.Device
			} else {
				n.Name, n.Href = cmp.Or(port.Name, "port "+cut(string(port.ID), 13)), "/k/network/ports/"+string(port.ID)
			}
			for _, u := range told.Public {
				n.Public = strings.TrimSpace(n.Public + " " + u.Address.String())
			}
			for _, g := range told.Groups {
				n.Groups = append(n.Groups, cmp.Or(groups[g], "everything passes"))
			}
			if p.From == nil || port.ID == want {
				p.From = n
			}
			b.Nodes = append(b.Nodes, n)
		}
		p.Subnets = append(p.Subnets, b)
	}
	if p.From != nil {
		p.From.Chosen = true
	}
	return nil
}

// outsider stands for anybody outside: an address of a range that is kept for examples (RFC 5737).
var outsider = netip.MustParseAddr("198.51.100.1")

// ask asks what the chosen port may reach, and what may reach it.
func (p *picturePage) ask(w reach.World) {
	if p.From == nil {
		return
	}
	me := p.From.Port
	starts := w.Starts()
	for _, s := range p.Subnets {
		for _, n := range s.Nodes {
			if n.Port == me {
				continue
			}
			n.To, n.ToNo = summary(starts, func(proto string, port uint16) reach.Verdict { return w.Between(me, n.Port, proto, port) })
			n.From, n.FromNo = summary(starts, func(proto string, port uint16) reach.Verdict { return w.Between(n.Port, me, proto, port) })
		}
	}
	packet := func(proto string, port uint16) reach.Packet {
		if proto == "icmp" {
			return reach.Ping(false)
		}
		return reach.Packet{Protocol: proto, Port: port}
	}
	p.Out, p.OutNo = summary(starts, func(proto string, port uint16) reach.Verdict {
		k := packet(proto, port)
		k.To = outsider
		v := w.Send(me, k)
		v.Passes = v.Passes && v.Outside
		return v
	})
	p.InNo = "it has no public address, and no rule of a NAT gateway leads to it"
	for _, a := range w.PublicOf(me) {
		in, no := summary(starts, func(proto string, port uint16) reach.Verdict {
			k := packet(proto, port)
			k.From, k.To = outsider, a
			v := w.Enter(k)
			if v.Passes && v.To != me {
				return reach.Verdict{Why: "it is led to another port"}
			}
			return v
		})
		p.InNo = no
		for _, x := range in {
			p.In = append(p.In, x+" at "+a.String())
		}
	}
}

// summary says in words what passes. Between two of the starts every port is alike, so one of them is asked.
func summary(starts []uint16, ask func(proto string, port uint16) reach.Verdict) (passes []string, why string) {
	for _, proto := range []string{"tcp", "udp"} {
		var spans []string
		for i := 0; i < len(starts); i++ {
			if !ask(proto, starts[i]).Passes {
				continue
			}
			j := i
			for j+1 < len(starts) && ask(proto, starts[j+1]).Passes {
				j++
			}
			end := 65535
			if j+1 < len(starts) {
				end = int(starts[j+1]) - 1
			}
			switch first := int(starts[i]); {
			case first == 1 && end == 65535:
				spans = append(spans, "all")
			case first == end:
				spans = append(spans, fmt.Sprint(first))
			default:
				spans = append(spans, fmt.Sprintf("%d–%d", first, end))
			}
			i = j
		}
		if len(spans) == 1 && spans[0] == "all" {
			passes = append(passes, "all "+strings.ToUpper(proto))
		} else if len(spans) > 0 {
			passes = append(passes, strings.ToUpper(proto)+" "+strings.Join(spans, ", "))
		}
	}
	if ask("icmp", 0).Passes {
		passes = append(passes, "ping")
	}
	if passes == nil {
		why = "for ssh: " + ask("tcp", 22).Why
	}
	return passes, why
}

// groupLines say what each group of the VPC lets pass.
func (q *request) groupLines(w reach.World) []groupLine {
	members := map[id.ID]int{}
	for _, p := range w.Ports {
		for _, g := range p.Groups {
			members[g]++
		}
	}
	var out []groupLine
	names := map[string]string{}
	all := q.firstRows(secGroupKind)
	for _, g := range all {
		names[string(g.M().ID)] = nameOr(g.M())
	}
	for _, g := range all {
		if members[g.M().ID] == 0 {
			continue
		}
		l := groupLine{Name: nameOr(g.M()), Href: "/k/network/security-groups/" + string(g.M().ID), Members: members[g.M().ID]}
		rules, err := q.rowsOf("network/security-rule", "group", string(g.M().ID))
		if err != nil {
			continue
		}
		said := map[string]bool{}
		for _, r := range rules {
			if rule, ok := r.(*kind.Row[network.RuleSpec, network.RuleStatus]); ok && !rule.Spec.Disabled {
				said[secRuleWords(&rule.Spec, names)] = true
			}
		}
		l.Rules = slices.Sorted(maps.Keys(said))
		out = append(out, l)
	}
	return out
}

// secRuleWords says a rule in words.
func secRuleWords(r *network.RuleSpec, groups map[string]string) string {
	what := "everything"
	if r.Protocol != "" {
		what = strings.ToUpper(r.Protocol)
	}
	if r.Ports != "" {
		what += " " + r.Ports
	}
	verb, to := "lets in", "from"
	if r.Direction == "egress" {
		verb, to = "lets out", "to"
	}
	if r.Action == "deny" {
		verb = strings.Replace(verb, "lets", "refuses", 1)
	}
	remote := "anybody"
	switch {
	case r.RemotePrefix == "0.0.0.0/0", r.RemotePrefix == "::/0":
	case r.RemotePrefix != "":
		remote = r.RemotePrefix
	case r.RemoteGroup != "":
		remote = "members of " + cmp.Or(groups[r.RemoteGroup], r.RemoteGroup)
	case r.RemoteAddressGroup != "":
		remote = "an address group"
	}
	family := "IPv4"
	if r.IPv6 {
		family = "IPv6"
	}
	return fmt.Sprintf("%s %s %s %s (%s)", verb, what, to, remote, family)
}
