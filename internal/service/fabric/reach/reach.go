// Package reach says what may talk to what in a cloud's networks, and why, from what the engines were told alone: no
// kernel, no packets. Engines without packets answer with it, engines with packets are compared with it, the console
// draws it, and the proof that no path misses its checks goes over it. It may import the fabric port and kernel/id.
package reach

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/fabric"
)

// Metadata is where servers find what is theirs to know. It is always reachable, like the gateway's name service.
var Metadata = netip.MustParseAddr("169.254.169.254")

// World is everything that was told.
type World struct {
	VPCs   map[id.ID]fabric.VPC
	Groups map[id.ID]fabric.Group
	Ports  map[id.ID]fabric.Port
	// Held finds the port of a VPC that has an address, for who keeps that at hand; nil: all ports are looked through.
	Held func(vpc id.ID, a netip.Addr) (port id.ID, ok bool)
}

// New is an empty world.
func New() World {
	return World{VPCs: map[id.ID]fabric.VPC{}, Groups: map[id.ID]fabric.Group{}, Ports: map[id.ID]fabric.Port{}}
}

// Packet is the first of a connection.
type Packet struct {
	Protocol   string // "tcp", "udp", "icmp", "icmpv6" or a number
	From, To   netip.Addr
	Port       uint16 // where it goes to
	Type, Code int    // of ICMP
}

// Ping is an echo request; its addresses are filled in by whoever asks.
func Ping(six bool) Packet {
	if six {
		return Packet{Protocol: "icmpv6", Type: 128}
	}
	return Packet{Protocol: "icmp", Type: 8}
}

// Verdict is the answer.
type Verdict struct {
	Passes bool
	Why    string // a sentence for people
	// To is the port that gets it: "" when it is the cloud itself or, with Outside, whoever is there.
	To      id.ID
	Outside bool
	// Egress and Ingress are the rules that decided, where rules did.
	Egress, Ingress id.ID
	// Source is what the receiver takes for the sender, Target where the packet ends up.
	Source, Target netip.Addr
	// Checked names the places that the packet passed where a rule decides, in order: none is passed unchecked.
	Checked []string
}

func (v Verdict) no(format string, args ...any) Verdict {
	v.Passes, v.Why = false, fmt.Sprintf(format, args...)
	return v
}

func (v Verdict) yes(format string, args ...any) Verdict {
	v.Passes, v.Why = true, fmt.Sprintf(format, args...)
	return v
}

// Between asks for a connection from one port to another's first address that both have the family of.
func (w World) Between(from, to id.ID, protocol string, port uint16) Verdict {
	a, b := w.Ports[from], w.Ports[to]
	for _, src := range a.Addresses {
		for _, dst := range b.Addresses {
			if src.Is4() == dst.Is4() && (protocol != "icmpv6" || src.Is6()) && (protocol != "icmp" || src.Is4()) {
				p := Packet{Protocol: protocol, From: src, To: dst, Port: port}
				switch protocol {
				case "icmp":
					p.Type = 8
				case "icmpv6":
					p.Type = 128
				}
				v := w.Send(from, p)
				if v.Passes && v.To != to {
					return v.no("%s is another's address where %s is", dst, from)
				}
				return v
			}
		}
	}
	return Verdict{}.no("they have no addresses of one family")
}

// Send asks what becomes of a packet that a port sends.
func (w World) Send(from id.ID, p Packet) Verdict {
	var v Verdict
	port, ok := w.Ports[from]
	if !ok {
		return v.no("there is no port %s", from)
	}
	if !p.From.IsValid() {
		if p.From = firstOf(port, p.To.Is4()); !p.From.IsValid() {
			return v.no("the sender has no address of the family of %s", p.To)
		}
	}
	v.Source, v.Target = p.From, p.To
	v.Checked = append(v.Checked, "source:"+string(from))
	if port.Down {
		return v.no("the sender's port is down")
	}
	if !port.Open && !owns(port, p.From) {
		return v.no("%s is not the sender's address", p.From)
	}
	return w.route(port.VPC, from, p, v)
}

// Enter asks what becomes of a packet that comes from the outside to a public address.
func (w World) Enter(p Packet) Verdict {
	v := Verdict{Source: p.From, Target: p.To}
	for _, vpc := range sorted(w.VPCs) {
		if to, ok := w.Translate(vpc, p); ok {
			p.To = to.Addr()
			if to.Port() != 0 {
				p.Port = to.Port()
			}
			v.Target = p.To
			return w.deliver(vpc, "", p, v, true)
		}
	}
	return v.no("nothing has the public address %s", p.To)
}

// route carries a packet inside a VPC from a port ("" is the outside).
func (w World) route(vpc, from id.ID, p Packet, v Verdict) Verdict {
	outside := true
	if to, ok := w.Translate(vpc, p); ok {
		p.To = to.Addr()
		if to.Port() != 0 {
			p.Port = to.Port()
		}
		v.Target, outside = p.To, false
	}
	n := w.VPCs[vpc]
	if w.local(n, p.To) {
		return w.deliver(vpc, from, p, v, false)
	}
	peer, via, found := longest(n, p.To)
	if found && peer == "" { // a static route: it goes to whoever has the next hop's address
		return w.hand(vpc, from, w.Holder(vpc, via), p, v, false)
	}
	if v = w.leave(from, p, v); !v.Passes {
		return v
	}
	if found {
		if !w.Mutual(vpc, peer) {
			return v.no("the other network does not name this one as its peer")
		}
		if !anyHas(peering(w.VPCs[peer], vpc), p.From) {
			return v.no("the other network does not expect %s from here", p.From)
		}
		return w.deliver(peer, from, p, v, true)
	}
	if !outside {
		return v.no("nothing has the address %s", p.To)
	}
	public, ok := w.Outward(vpc, p.From)
	if !ok {
		return v.no("no address translation and no public address lets %s out", p.From)
	}
	if !p.To.Is4() {
		return v.no("IPv6 does not leave the cloud")
	}
	v.Source, p.From = public, public
	if w.isPublic(p.To) {
		in := w.Enter(p)
		in.Checked = append(v.Checked, in.Checked...)
		in.Egress = v.Egress
		return in
	}
	v.Outside = true
	if !public.IsValid() {
		return v.yes("it leaves with this machine's address")
	}
	return v.yes("it leaves as %s", public)
}

// deliver gives a packet to whoever has its address in the VPC. other says that it comes from outside the VPC.
func (w World) deliver(vpc, from id.ID, p Packet, v Verdict, other bool) Verdict {
	n := w.VPCs[vpc]
	if !w.local(n, p.To) {
		return v.no("no subnet has %s", p.To)
	}
	if p.To == Metadata || isGateway(n, p.To) {
		return w.cloud(from, p, v)
	}
	return w.hand(vpc, from, w.Holder(vpc, p.To), p, v, other)
}

// cloud is for what the cloud itself answers inside a VPC.
func (w World) cloud(from id.ID, p Packet, v Verdict) Verdict {
	port := w.Ports[from]
	switch {
	case from != "" && port.Quarantine:
		return v.no("the sender is in quarantine")
	case port.Own:
		return v.no("what the cloud answers there is not for its other ends")
	}
	ping := p.Protocol == "icmp" && p.Type == 8 || p.Protocol == "icmpv6"
	if p.To == Metadata || ping || p.Port == 53 && (p.Protocol == "udp" || p.Protocol == "tcp") {
		return v.yes("the cloud's own services are open to everybody inside")
	}
	return w.leave(from, p, v)
}

// hand is the last step, to a port.
func (w World) hand(vpc, from, to id.ID, p Packet, v Verdict, other bool) Verdict {
	if to == "" {
		return v.no("nothing has the address %s", p.To)
	}
	v.To = to
	if from != "" && from == to {
		return v.yes("it is the sender's own address")
	}
	if !slices.Contains(v.Checked, "egress:"+string(from)) {
		if v = w.leave(from, p, v); !v.Passes {
			return v
		}
	}
	return w.Arrive(to, p, v)
}

// leave is the check at the sender.
func (w World) leave(from id.ID, p Packet, v Verdict) Verdict {
	if from == "" {
		return v.yes("it comes from outside")
	}
	v.Checked = append(v.Checked, "egress:"+string(from))
	ok, why, rule := w.Allows(from, fabric.Egress, p)
	v.Passes, v.Why, v.Egress = ok, why, rule
	return v
}

// Arrive is the check at the receiver.
func (w World) Arrive(to id.ID, p Packet, v Verdict) Verdict {
	v.Checked = append(v.Checked, "ingress:"+string(to))
	ok, why, rule := w.Allows(to, fabric.Ingress, p)
	v.Passes, v.Why, v.Ingress = ok, why, rule
	return v
}

// Allows tells whether a port may send or receive the first packet of a connection, by its state and its groups.
func (w World) Allows(id id.ID, d fabric.Direction, p Packet) (ok bool, why string, rule id.ID) {
	port, there := w.Ports[id]
	who := "receiver"
	remote := p.From
	if d == fabric.Egress {
		who, remote = "sender", p.To
	}
	switch {
	case !there:
		return false, "there is no port " + string(id), ""
	case port.Down:
		return false, "the " + who + "'s port is down", ""
	case port.Quarantine:
		return false, "the " + who + " is in quarantine", ""
	case port.Own:
		return true, "the " + who + " is the cloud itself", ""
	case port.Open:
		return true, "the " + who + "'s port is open: nothing is checked", ""
	}
	if s, ok := w.subnet(port); ok && s.Isolated && !within(s, remote) {
		return false, "the " + who + "'s subnet is isolated", ""
	}
	for _, r := range w.rules(port, d) {
		if w.matches(r, port.VPC, p, remote) {
			if r.Deny {
				return false, fmt.Sprintf("a rule of the %s denies it", who), r.ID
			}
			return true, fmt.Sprintf("a rule of the %s allows it", who), r.ID
		}
	}
	return false, "no rule of the " + who + "'s groups allows " + describe(p, d), ""
}

func describe(p Packet, d fabric.Direction) string {
	word, a := "from", p.From
	if d == fabric.Egress {
		word, a = "to", p.To
	}
	if p.Port != 0 {
		return fmt.Sprintf("%s %d %s %s", strings.ToUpper(p.Protocol), p.Port, word, a)
	}
	return fmt.Sprintf("%s %s %s", strings.ToUpper(p.Protocol), word, a)
}
