package linux

import (
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/fabric"
)

// The names of what concerns ports at which the cloud itself is.
const (
	setOwn  = "own"  // their addresses; own6
	setCut  = "cut"  // of these those in quarantine; cut6
	fromOwn = "own-" // the chain for what they send begins so
)

// owned are the ports of the VPC at which the cloud itself is.
func (v vpcView) owned() []id.ID {
	var out []id.ID
	for _, name := range v.ports {
		if p := v.w.Ports[name]; p.Own && !p.Down {
			out = append(out, name)
		}
	}
	return out
}

// ownRules checks what the cloud's own ports send: nothing else that is made in this namespace needs a rule. A VPC without
// such ports has no hook for it.
func (v vpcView) ownRules(r *ruleset) {
	for _, name := range v.owned() {
		p := v.w.Ports[name]
		for _, a := range p.Addresses {
			six := a.Is6()
			r.set(of(setOwn, six), addressKey[six], none).elements[string(a.AsSlice())] = ""
			cut := r.set(of(setCut, six), addressKey[six], none)
			if p.Quarantine {
				cut.elements[string(a.AsSlice())] = ""
			}
		}
		v.publicRules(r, p)
	}
	out := func() *chain {
		return r.hook("output", base{kind: nftables.ChainTypeFilter, hook: nftables.ChainHookOutput, priority: 0})
	}
	for _, six := range []bool{false, true} {
		if r.sets[of(setOwn, six)] == nil {
			continue
		}
		c := out()
		if len(c.rules) == 0 {
			c.add(known(), accept())
		}
		c.add(family(six), inSet(source(six, reg1), of(setOwn, six)), goOn(of(fromOwn, six)))
		f := r.chain(of(fromOwn, six))
		f.add(inSet(source(six, reg1), of(setCut, six)), drop())
		f.add(oif("lo"), inSet(destination(six, reg1), of(setOwn, six)), accept())
		for _, peer := range v.peers {
			f.add(oif(peerName(peer)), accept())
		}
		f.add(oif(outName), drop())
		f.add(choose(expr.MetaKeyOIFNAME, mapIngress))
		f.add(drop())
	}
}

// toOwn is the part of the input that is about the cloud's own ports. What comes from a port has passed its sender's rules
// when it gets here.
func (v vpcView) toOwn(r *ruleset, c *chain, outside bool) {
	for _, six := range []bool{false, true} {
		if r.sets[of(setOwn, six)] == nil {
			continue
		}
		switch {
		case !outside:
			c.add(family(six), inSet(destination(six, reg1), of(setOwn, six)), choose(expr.MetaKeyIIFNAME, mapEgress))
		default:
			c.add(family(six), inSet(destination(six, reg1), of(setCut, six)), drop())
			c.add(iif(outName), family(six), protocol(unix.IPPROTO_UDP), is16(toPort(reg1), 67), drop()) // DHCP listens at all addresses
		}
	}
}

// publicRules lets public addresses lead to a port.
func (v vpcView) publicRules(r *ruleset, p fabric.Port) {
	for _, u := range p.Public {
		to, public := p.PublicTo(u), u.Address
		r.set(of(mapPublic, to.Is6()), none, none).elements[string(public.AsSlice())] = string(to.AsSlice())
		private := r.set(of(mapPrivate, to.Is6()), none, none)
		if _, taken := private.elements[string(to.AsSlice())]; !taken { // of several the first is the one to go out by
			private.elements[string(to.AsSlice())] = string(public.AsSlice())
		}
	}
}

// ownMetering counts what goes over public addresses of the cloud's own ports, which nothing forwards.
func (v vpcView) ownMetering(r *ruleset) {
	public := false
	for _, name := range v.owned() {
		public = public || len(v.w.Ports[name].Public) > 0
	}
	if !public {
		return
	}
	in := r.hook("meter-in", base{kind: nftables.ChainTypeFilter, hook: nftables.ChainHookInput, priority: 20})
	out := r.hook("meter-out", base{kind: nftables.ChainTypeFilter, hook: nftables.ChainHookOutput, priority: 20})
	in.add(iif(outName), family(false), []expr.Any{destination(false, reg1), verdictOf(reg1, of("meterin", false))})
	out.add(oif(outName), family(false), []expr.Any{source(false, reg1), verdictOf(reg1, of("meterout", false))})
}
