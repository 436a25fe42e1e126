package linux

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/fabric"
	"github.com/awancloud/awan/internal/service/fabric/reach"
)

const arpTable = "awan-arp"

// arpInput is NF_ARP_IN: ARP counts its hooks anew.
var arpInput = nftables.ChainHookRef(0)

// The names of sets and chains in a VPC's table.
const (
	setTaps     = "taps"     // interfaces of ports
	setOpen     = "open"     // those without checks
	setMute     = "mute"     // those in quarantine
	setLogged   = "logged"   // those with a flow log
	setBusy     = "busy"     // interface → the connections it has to the outside
	setStations = "stations" // interface . MAC
	setSources  = "sources"  // interface . MAC . address; sources6
	setWide     = "wide"     // the same with ranges
	mapRefuse   = "refuse"   // interface → where its refused packets are counted
	mapEgress   = "egress"   // interface → what may come out of it
	mapIngress  = "ingress"  // interface → what may go in
	mapStates   = "states"   // what connection tracking says → what becomes of the packet
	mapPublic   = "public"   // public address → address; public6
	mapPrivate  = "private"  // the other way round
)

var (
	none       nftables.SetDatatype
	stationKey = nftables.MustConcatSetType(nftables.TypeIFName, nftables.TypeEtherAddr)
	sourceKey  = map[bool]nftables.SetDatatype{
		false: nftables.MustConcatSetType(nftables.TypeIFName, nftables.TypeEtherAddr, nftables.TypeIPAddr),
		true:  nftables.MustConcatSetType(nftables.TypeIFName, nftables.TypeEtherAddr, nftables.TypeIP6Addr),
	}
	addressKey = map[bool]nftables.SetDatatype{false: nftables.TypeIPAddr, true: nftables.TypeIP6Addr}
)

func of(name string, six bool) string {
	if six {
		return name + "6"
	}
	return name
}

func egressChain(p id.ID) string  { return "out-" + string(p) }
func ingressChain(p id.ID) string { return "in-" + string(p) }
func refuseChain(p id.ID) string  { return "no-" + string(p) }

// rules is the VPC's table. A packet from a port meets: raw (is the sender who it says), egress (may it send this),
// ingress (may the other receive it). What the cloud's own ends get meets input instead of the last two.
func (v vpcView) rules() *ruleset {
	r := newRuleset(nftables.TableFamilyINet)
	for _, name := range []string{setTaps, setOpen, setMute, setLogged} {
		r.set(name, nftables.TypeIFName, none)
	}
	for _, name := range []string{mapRefuse, mapEgress, mapIngress} {
		r.set(name, nftables.TypeIFName, nftables.TypeVerdict)
	}
	r.set(setStations, stationKey, none)
	for _, six := range []bool{false, true} {
		r.set(of(setSources, six), sourceKey[six], nftables.TypeVerdict)
		r.set(of(mapPublic, six), addressKey[six], addressKey[six])
		r.set(of(mapPrivate, six), addressKey[six], addressKey[six])
	}
	v.ownRules(r)
	v.spoofing(r)
	v.forwarding(r)
	v.inside(r)
	v.translation(r)
	for _, name := range v.ports {
		if p := v.w.Ports[name]; !p.Down && !p.Own {
			v.portRules(r, name, p)
		}
	}
	for _, peer := range v.peers {
		r.set(mapEgress, none, none).elements[string(ifname(peerName(peer)))] = jumpTo("from-" + string(peer))
		r.set(mapIngress, none, none).elements[string(ifname(peerName(peer)))] = jumpTo("to-peer")
		from := r.chain("from-" + string(peer))
		for _, x := range v.peering(peer) {
			from.add(family(x.Addr().Is6()), in(source(x.Addr().Is6(), reg1), x, false), goOn(arrive))
		}
		from.add(drop())
	}
	if v.outward() {
		r.set(mapEgress, none, none).elements[string(ifname(outName))] = jumpTo("from-outside")
		r.set(mapIngress, none, none).elements[string(ifname(outName))] = jumpTo("to-outside")
	}
	return r
}

// spoofing lets a port send with its own MAC and its own addresses only.
func (v vpcView) spoofing(r *ruleset) {
	c := r.hook("raw", base{kind: nftables.ChainTypeFilter, hook: nftables.ChainHookPrerouting, priority: *nftables.ChainPriorityRaw, drop: true})
	for _, six := range []bool{false, true} {
		who := slices.Concat(family(six), []expr.Any{meta(expr.MetaKeyIIFNAME, reg1), payload(expr.PayloadBaseLLHeader, 6, 6, reg2), source(six, reg26)})
		c.add(slices.Clone(who), []expr.Any{verdictOf(reg1, of(setSources, six))}) // nearly every packet ends here
		if wide := v.wide(r, six); wide != "" {
			c.add(slices.Clone(who), []expr.Any{&expr.Lookup{SourceRegister: reg1, SetName: wide}}, accept())
		}
	}
	c.add(iif(outName), accept())
	c.add(iif("lo"), accept())
	for _, peer := range v.peers {
		c.add(iif(peerName(peer)), accept())
	}
	c.add(iifIn(setOpen), accept())
	// Before it has an address a machine asks for one; with IPv6 it also speaks from its link's address to its link.
	station := []expr.Any{meta(expr.MetaKeyIIFNAME, reg1), payload(expr.PayloadBaseLLHeader, 6, 6, reg2), &expr.Lookup{SourceRegister: reg1, SetName: setStations}}
	c.add(family(false), protocol(unix.IPPROTO_UDP), in(source(false, reg1), netip.MustParsePrefix("0.0.0.0/32"), false),
		is16(fromPort(reg1), 68), is16(toPort(reg1), 67), station, accept())
	for _, from := range []string{"fe80::/10", "::/128"} {
		for _, to := range []string{"fe80::/10", "ff02::/16"} {
			c.add(family(true), in(source(true, reg1), netip.MustParsePrefix(from), false), in(destination(true, reg1), netip.MustParsePrefix(to), false), station, accept())
		}
	}
	c.add(choose(expr.MetaKeyIIFNAME, mapRefuse))
}

// wide is the set of allowed ranges, named by its content; "" when nobody has one.
func (v vpcView) wide(r *ruleset, six bool) string {
	elements, until := map[string]string{}, map[string]string{}
	for _, name := range v.ports {
		p := v.w.Ports[name]
		for _, a := range p.Allowed {
			if p.Down || p.Open || a.Prefix.IsSingleIP() || a.Prefix.Addr().Is6() != six {
				continue
			}
			mac := p.MAC
			if a.MAC != nil {
				mac = a.MAC
			}
			begin := string(ifname(tapName(name))) + string(pad(slices.Clone(mac)))
			key := begin + string(a.Prefix.Masked().Addr().AsSlice())
			elements[key], until[key] = "", begin+string(lastOf(a.Prefix).AsSlice())
		}
	}
	return r.intervals(of(setWide, six), sourceKey[six], elements, until)
}

// connections is how many a port may have open to the outside at once.
const connections = 16384

const connlimitOver = 1 // NFT_CONNLIMIT_F_INV

// arrive is where a packet goes on that its sender may send.
const arrive = "arrive"

// forwarding is what passes between ports, peers and the outside.
func (v vpcView) forwarding(r *ruleset) {
	f := r.hook("forward", base{kind: nftables.ChainTypeFilter, hook: nftables.ChainHookForward, priority: 0, drop: true})
	// One look-up decides about nearly every packet. What is known are answers and packets of connections that were allowed
	// when they were opened; what is no longer allowed is taken out of the kernel's table of connections, see sever.
	states := r.set(mapStates, nftables.TypeCTState, nftables.TypeVerdict)
	for bit, verdict := range map[uint32]string{expr.CtStateBitESTABLISHED: let, expr.CtStateBitRELATED: let, expr.CtStateBitINVALID: refuse} {
		states.elements[string(binaryutil.NativeEndian.PutUint32(bit))] = verdict
	}
	f.add([]expr.Any{&expr.Ct{Key: expr.CtKeySTATE, Register: reg1}, verdictOf(reg1, mapStates)})
	// Nobody plays the part of the cloud: DHCP's answers are its own. (A router's announcements are never forwarded.)
	f.add(family(false), protocol(unix.IPPROTO_UDP), is16(fromPort(reg1), 67), is16(toPort(reg1), 68), choose(expr.MetaKeyIIFNAME, mapRefuse))
	f.add(family(true), protocol(unix.IPPROTO_UDP), is16(fromPort(reg1), 547), is16(toPort(reg1), 546), choose(expr.MetaKeyIIFNAME, mapRefuse))
	f.add(choose(expr.MetaKeyIIFNAME, mapEgress))

	a := r.chain(arrive)
	r.set(mapIngress, none, none).elements[string(ifname(""))] = let // to the cloud's own ends: from input, where there is no way out
	a.add(choose(expr.MetaKeyOIFNAME, mapIngress))
	a.add(drop())

	peer := r.chain("to-peer") // nobody passes through a VPC to another
	peer.add(iifIn(setTaps), accept())
	peer.add(drop())
	if v.outward() {
		from := r.chain("from-outside")
		from.add(translated(), goOn(arrive))
		from.add(drop())
		to := r.chain("to-outside")
		// Connections to the outside are also in the machine's own table, which no port may fill.
		r.sets[setBusy] = &set{key: nftables.TypeIFName, limited: true, elements: map[string]string{}}
		to.add([]expr.Any{meta(expr.MetaKeyIIFNAME, reg1), &expr.Dynset{SrcRegKey: reg1, SetName: setBusy, Operation: unix.NFT_DYNSET_OP_ADD,
			Exprs: []expr.Any{&expr.Connlimit{Count: v.connections, Flags: connlimitOver}}}}, reject())
		to.add(iifIn(setTaps), goOn("leave"))
		to.add(drop())
		v.leave(r.chain("leave"))
	}
	v.metering(r)
	if logged := slices.ContainsFunc(v.ports, func(p id.ID) bool { return v.w.Ports[p].FlowLog }); logged {
		log := r.hook("log", base{kind: nftables.ChainTypeFilter, hook: nftables.ChainHookForward, priority: 15})
		log.add(fresh(), iifIn(setLogged), logTo("+out"))
		log.add(fresh(), oifIn(setLogged), logTo("+in"))
	}
}

// leave lets out who has an address outside, and tells the others that there is no way.
func (v vpcView) leave(c *chain) {
	for _, six := range []bool{false, true} {
		c.add(family(six), inSet(source(six, reg1), of(mapPrivate, six)), accept())
	}
	for _, n := range v.want.NAT {
		for _, x := range n.From {
			if x.Addr().Is4() {
				c.add(family(false), in(source(false, reg1), x, false), accept())
			}
		}
	}
	c.add(reject())
}

// inside is what reaches the cloud's own ends in the VPC. What they open themselves passes.
func (v vpcView) inside(r *ruleset) {
	c := r.hook("input", base{kind: nftables.ChainTypeFilter, hook: nftables.ChainHookInput, priority: 0, drop: true})
	c.add(iif("lo"), accept())
	c.add(known(), accept())
	c.add(family(false), protocol(unix.IPPROTO_UDP), is16(fromPort(reg1), 68), is16(toPort(reg1), 67), iifIn(setTaps), accept())
	c.add(family(true), protocol(unix.IPPROTO_UDP), is16(fromPort(reg1), 546), is16(toPort(reg1), 547), iifIn(setTaps), accept())
	for _, kind := range []byte{133, 135, 136} { // a station's questions and answers about its link
		c.add(family(true), protocol(unix.IPPROTO_ICMPV6), icmpIs(0, kind), accept())
	}
	v.toOwn(r, c, true)
	c.add(iif(outName), translated(), accept())
	c.add(iif(outName), drop())
	c.add(iifIn(setMute), choose(expr.MetaKeyIIFNAME, mapRefuse))
	v.toOwn(r, c, false)
	c.add(family(false), protocol(unix.IPPROTO_ICMP), icmpIs(0, 8), iifIn(setTaps), accept())
	c.add(family(true), protocol(unix.IPPROTO_ICMPV6), icmpIs(0, 128), iifIn(setTaps), accept())
	c.add(family(false), in(destination(false, reg1), hostPrefix(reach.Metadata), false), iifIn(setTaps), accept())
	for _, n := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
		c.add(protocol(n), is16(toPort(reg1), 53), iifIn(setTaps), accept())
	}
	c.add(choose(expr.MetaKeyIIFNAME, mapEgress))
}

// translation changes addresses between the VPC's own and those outside.
func (v vpcView) translation(r *ruleset) {
	if !v.outward() {
		return // what nobody needs costs every packet
	}
	dst := r.hook("destination", base{kind: nftables.ChainTypeNAT, hook: nftables.ChainHookPrerouting, priority: *nftables.ChainPriorityNATDest})
	for _, f := range v.want.Forward {
		six := f.Public.Addr().Is6()
		n, _ := fabric.ProtocolNumber(f.Protocol)
		dst.add(family(six), protocol(byte(n)), in(destination(six, reg1), hostPrefix(f.Public.Addr()), false), is16(toPort(reg1), f.Public.Port()),
			[]expr.Any{
				&expr.Immediate{Register: reg1, Data: f.To.Addr().AsSlice()},
				&expr.Immediate{Register: reg2, Data: binary.BigEndian.AppendUint16(nil, f.To.Port())},
				&expr.NAT{Type: expr.NATTypeDestNAT, Family: nfproto(six), RegAddrMin: reg1, RegProtoMin: reg2, Specified: true}})
	}
	src := r.hook("source", base{kind: nftables.ChainTypeNAT, hook: nftables.ChainHookPostrouting, priority: *nftables.ChainPriorityNATSource})
	for _, six := range []bool{false, true} {
		mapped := func(load expr.Any, set string) []expr.Any {
			return []expr.Any{load, &expr.Lookup{SourceRegister: reg1, SetName: of(set, six), DestRegister: reg1, IsDestRegSet: true}}
		}
		dst.add(family(six), mapped(destination(six, reg1), mapPublic),
			[]expr.Any{&expr.NAT{Type: expr.NATTypeDestNAT, Family: nfproto(six), RegAddrMin: reg1}})
		src.add(oif(outName), family(six), mapped(source(six, reg1), mapPrivate),
			[]expr.Any{&expr.NAT{Type: expr.NATTypeSourceNAT, Family: nfproto(six), RegAddrMin: reg1}})
	}
	for _, n := range v.want.NAT {
		as := n.Public
		if !as.IsValid() {
			as = v.w.links[v.id]
		}
		for _, x := range n.From {
			if x.Addr().Is4() {
				src.add(oif(outName), family(false), in(source(false, reg1), x, false),
					[]expr.Any{&expr.Immediate{Register: reg1, Data: as.AsSlice()}, &expr.NAT{Type: expr.NATTypeSourceNAT, Family: nfproto(false), RegAddrMin: reg1}})
			}
		}
	}
}

func nfproto(six bool) uint32 {
	if six {
		return unix.NFPROTO_IPV6
	}
	return unix.NFPROTO_IPV4
}

func (v vpcView) arp() *ruleset {
	r := newRuleset(nftables.TableFamilyARP)
	r.set(setOpen, nftables.TypeIFName, none)
	s := r.set(setSources, sourceKey[false], nftables.TypeVerdict)
	r.set(setStations, stationKey, none)
	for _, name := range v.ports {
		v.sources(r, name, v.w.Ports[name], s)
	}
	c := r.hook("input", base{kind: nftables.ChainTypeFilter, hook: arpInput, priority: 0, drop: true})
	c.add(iifIn(setOpen), accept())
	who := []expr.Any{meta(expr.MetaKeyIIFNAME, reg1), payload(expr.PayloadBaseNetworkHeader, 8, 6, reg2)}
	sender := payload(expr.PayloadBaseNetworkHeader, 14, 4, reg26)
	c.add(who, []expr.Any{sender, verdictOf(reg1, setSources)})
	if wide := v.wide(r, false); wide != "" {
		c.add(who, []expr.Any{sender, &expr.Lookup{SourceRegister: reg1, SetName: wide}}, accept())
	}
	c.add([]expr.Any{payload(expr.PayloadBaseNetworkHeader, 14, 4, reg1), equal(reg1, make([]byte, 4))}, who,
		[]expr.Any{&expr.Lookup{SourceRegister: reg1, SetName: setStations}}, accept())
	c.add(count(), drop())
	return r
}

// sources fills in as whom a port may speak.
func (v vpcView) sources(r *ruleset, name id.ID, p fabric.Port, four *set) {
	if p.Down || p.Own {
		return
	}
	device := string(ifname(tapName(name)))
	if p.Open {
		r.set(setOpen, none, none).elements[device] = ""
		return
	}
	r.set(setStations, none, none).elements[device+string(pad(slices.Clone(p.MAC)))] = ""
	add := func(mac []byte, a netip.Addr) {
		key := device + string(pad(slices.Clone(mac))) + string(a.AsSlice())
		if a.Is4() {
			four.elements[key] = let
		} else if six, ok := r.sets[of(setSources, true)]; ok {
			six.elements[key] = let
		}
	}
	for _, a := range p.Addresses {
		add(p.MAC, a)
	}
	for _, pair := range p.Allowed {
		if pair.MAC != nil {
			r.set(setStations, none, none).elements[device+string(pad(slices.Clone(pair.MAC)))] = ""
		}
		if mac := pair.MAC; pair.Prefix.IsSingleIP() {
			if mac == nil {
				mac = p.MAC
			}
			add(mac, pair.Prefix.Addr())
		}
	}
}

// intervals adds a set of ranges under a name that says its content, so that it never changes; "" for an empty one.
func (r *ruleset) intervals(name string, key nftables.SetDatatype, elements, until map[string]string) string {
	if len(elements) == 0 {
		return ""
	}
	name = fmt.Sprintf("%s-%s", name, digest(elements, until))
	r.sets[name] = &set{key: key, interval: true, elements: elements, until: until}
	return name
}
