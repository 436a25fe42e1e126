package network

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// notPublic are the ranges that "internet" never means (RFC 6890, RFC 6598, RFC 5771). Ranges for documentation are not
// among them: nobody has a private network there.
var notPublic = []string{"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/3"}

// closed are the ranges that egress does not open: those above, and the networks the host itself is on, where its
// neighbours and their administration are, whatever their addresses.
func closed() []netip.Prefix {
	var out []netip.Prefix
	for _, s := range notPublic {
		out = append(out, netip.MustParsePrefix(s))
	}
	near := onLink()
	slices.SortFunc(near, func(a, b netip.Prefix) int { return a.Bits() - b.Bits() })
	for _, p := range near {
		if !slices.ContainsFunc(out, p.Overlaps) {
			out = append(out, p)
		}
	}
	return out
}

// onLink lists the networks that the host reaches without a router.
func onLink() []netip.Prefix {
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Scope: netlink.SCOPE_LINK}, netlink.RT_FILTER_SCOPE)
	if err != nil {
		return nil
	}
	var out []netip.Prefix
	for _, r := range routes {
		if r.Dst == nil {
			continue
		}
		a, ok := netip.AddrFromSlice(r.Dst.IP.To4())
		if ones, _ := r.Dst.Mask.Size(); ok && ones > 0 {
			out = append(out, netip.PrefixFrom(a, ones).Masked())
		}
	}
	return out
}

// rules is the cloud's nftables table. Its sets hold the ports; the rules themselves never change.
type rules struct {
	table   *nftables.Table
	ports   *nftables.Set // interface . address: who may send as whom
	tenants *nftables.Set // interface -> tenant
	members *nftables.Set // tenant . address: who may be reached by whom
	egress  *nftables.Set // interfaces that may go out
	busy    *nftables.Set // interface -> connections it holds open; nil where the kernel cannot count them
	have    map[netip.Addr]Port
	name    func(netip.Addr) string
}

func tableName(key string) string { return "awan-" + key }

// connections is how many an instance may have opened at a time, so that none fills the host's table for all.
const connections = 8192

// GatewayPort is the one port of the host that instances reach. It leads to a port that was free, since the host may serve
// something of its own at this one.
const GatewayPort = 443

// newRules replaces the whole table in one transaction. A kernel without connection counting gets the rest.
func newRules(n *Network, ports []Port) (*rules, error) {
	r, err := loadRules(n, ports, true)
	if err != nil {
		n.log.Warn("packet rules with a limit on connections are refused; loading them without", "err", err)
		r, err = loadRules(n, ports, false)
	}
	return r, err
}

func loadRules(n *Network, ports []Port, counting bool) (*rules, error) {
	c, err := nftables.New()
	if err != nil {
		return nil, err
	}
	t := &nftables.Table{Family: nftables.TableFamilyINet, Name: tableName(n.key)}
	c.AddTable(t) // so that deleting it cannot fail
	c.DelTable(t)
	c.AddTable(t)

	pair := nftables.MustConcatSetType(nftables.TypeIFName, nftables.TypeIPAddr)
	member := nftables.MustConcatSetType(nftables.TypeMark, nftables.TypeIPAddr)
	r := &rules{table: t, have: map[netip.Addr]Port{}, name: n.Interface,
		ports:   &nftables.Set{Table: t, Name: "ports", KeyType: pair, Concatenation: true},
		tenants: &nftables.Set{Table: t, Name: "tenants", KeyType: nftables.TypeIFName, DataType: nftables.TypeMark, IsMap: true, KeyByteOrder: binaryutil.NativeEndian},
		members: &nftables.Set{Table: t, Name: "members", KeyType: member, Concatenation: true},
		egress:  &nftables.Set{Table: t, Name: "egress", KeyType: nftables.TypeIFName, KeyByteOrder: binaryutil.NativeEndian},
	}
	if counting {
		r.busy = &nftables.Set{Table: t, Name: "busy", KeyType: nftables.TypeIFName, KeyByteOrder: binaryutil.NativeEndian, Dynamic: true}
		if err := c.AddSet(r.busy, nil); err != nil {
			return nil, err
		}
	}
	private := &nftables.Set{Table: t, Name: "private", KeyType: nftables.TypeIPAddr, Interval: true}
	dns := &nftables.Set{Table: t, Name: "dns", KeyType: nftables.TypeIPAddr}

	var ports4, tenants, members, egress []nftables.SetElement
	for _, p := range ports {
		a, b, m, e := r.elements(p)
		ports4, tenants, members, egress = append(ports4, a), append(tenants, b), append(members, m), append(egress, e...)
		r.have[p.Address] = p
	}
	for _, s := range []struct {
		set  *nftables.Set
		vals []nftables.SetElement
	}{{r.ports, ports4}, {r.tenants, tenants}, {r.members, members}, {r.egress, egress}, {private, intervals(closed())}, {dns, addresses(n.dns)}} {
		if err := c.AddSet(s.set, s.vals); err != nil {
			return nil, err
		}
	}
	r.chains(c, n, private, dns)
	if err := c.Flush(); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *rules) chains(c *nftables.Conn, n *Network, private, dns *nftables.Set) {
	t := r.table
	ours, anyCloud := prefix+n.key, prefix
	base := func(name string, typ nftables.ChainType, hook *nftables.ChainHook, prio *nftables.ChainPriority) *nftables.Chain {
		return c.AddChain(&nftables.Chain{Table: t, Name: name, Type: typ, Hooknum: hook, Priority: prio})
	}
	rule := func(ch *nftables.Chain, parts ...[]expr.Any) {
		var all []expr.Any
		for _, p := range parts {
			all = append(all, p...)
		}
		c.AddRule(&nftables.Rule{Table: t, Chain: ch, Exprs: all})
	}

	// Nobody sends as somebody else, and nobody speaks anything but IPv4.
	pre := base("spoof", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityRaw)
	rule(pre, iif(ours, false), accept())
	rule(pre, []expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, &expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte{unix.NFPROTO_IPV4}}}, drop())
	rule(pre, []expr.Any{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1}, source(2), &expr.Lookup{SourceRegister: 1, SetName: r.ports.Name}}, accept())
	rule(pre, []expr.Any{&expr.Counter{}}, drop())

	// From an instance: answers, its own tenant, and out if it may.
	from := c.AddChain(&nftables.Chain{Table: t, Name: "from"})
	rule(from, answers(), accept())
	r.crowd(rule, from)
	rule(from, []expr.Any{ // the packet's mark is the sender's tenant
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1},
		&expr.Lookup{SourceRegister: 1, SetName: r.tenants.Name, DestRegister: 1, IsDestRegSet: true},
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: 1},
	})
	rule(from, []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: 1},
		destination(unix.NFT_REG32_01),
		&expr.Lookup{SourceRegister: 1, SetName: r.members.Name},
	}, accept())
	rule(from, oif(anyCloud, true), reject())
	rule(from, []expr.Any{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1}, &expr.Lookup{SourceRegister: 1, SetName: r.egress.Name, Invert: true}}, reject())
	for _, proto := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
		rule(from, []expr.Any{destination(1), &expr.Lookup{SourceRegister: 1, SetName: dns.Name}}, port(proto, 53), accept())
	}
	rule(from, []expr.Any{destination(1), &expr.Lookup{SourceRegister: 1, SetName: private.Name}}, reject())
	rule(from, accept())

	// To an instance from elsewhere than the host: answers only.
	into := c.AddChain(&nftables.Chain{Table: t, Name: "into"})
	rule(into, answers(), accept())
	rule(into, drop())

	fwd := base("forward", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter)
	rule(fwd, iif(ours, true), jump("from"))
	rule(fwd, oif(ours, true), jump("into"))
	for _, up := range n.guarded() {
		rule(fwd, []expr.Any{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: ifname(up)}}, oif(anyCloud, false), drop())
	}

	in := base("host", nftables.ChainTypeFilter, nftables.ChainHookInput, nftables.ChainPriorityFilter)
	gateway := []expr.Any{destination(1), &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: n.Gateway().AsSlice()}}
	rule(in, iif(ours, false), loopback(false), gateway, reject())
	rule(in, iif(ours, false), accept())
	rule(in, answers(), accept())
	r.crowd(rule, in)
	rule(in, gateway, port(unix.IPPROTO_TCP, n.insidePort()), accept())
	rule(in, reject())

	dst := base("gateway", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest)
	rule(dst, iif(ours, true), gateway, port(unix.IPPROTO_TCP, GatewayPort), []expr.Any{
		&expr.Immediate{Register: 1, Data: n.Gateway().AsSlice()},
		&expr.Immediate{Register: 2, Data: binary.BigEndian.AppendUint16(nil, n.insidePort())},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1, RegProtoMin: 2, Specified: true}})

	post := base("source", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource)
	mask := ipNet(n.subnet)
	rule(post, oif(anyCloud, false), []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.NFPROTO_IPV4}},
		source(1),
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: mask.Mask, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: mask.IP.To4()},
		&expr.Masq{}})
}

// crowd refuses the connection that is one too many of an instance.
func (r *rules) crowd(rule func(*nftables.Chain, ...[]expr.Any), ch *nftables.Chain) {
	if r.busy == nil {
		return
	}
	const over = 1
	rule(ch, []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1},
		&expr.Dynset{SrcRegKey: 1, SetName: r.busy.Name, Operation: unix.NFT_DYNSET_OP_ADD,
			Exprs: []expr.Any{&expr.Connlimit{Count: connections, Flags: over}}},
	}, reject())
}

// add makes a port known; a known one with other properties is replaced.
func (r *rules) add(p Port) error {
	if old, ok := r.have[p.Address]; ok {
		if old == p {
			return nil
		}
		if err := r.remove(old); err != nil {
			return err
		}
	}
	return r.change(p, (*nftables.Conn).SetAddElements, func() { r.have[p.Address] = p })
}

// remove forgets a port; an unknown one is success.
func (r *rules) remove(p Port) error {
	old, ok := r.have[p.Address]
	if !ok {
		return nil
	}
	err := r.change(old, (*nftables.Conn).SetDeleteElements, func() { delete(r.have, p.Address) })
	if errors.Is(err, unix.ENOENT) {
		delete(r.have, p.Address)
		return nil
	}
	return err
}

func (r *rules) change(p Port, op func(*nftables.Conn, *nftables.Set, []nftables.SetElement) error, done func()) error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	a, b, m, e := r.elements(p)
	for set, vals := range map[*nftables.Set][]nftables.SetElement{r.ports: {a}, r.tenants: {b}, r.members: {m}, r.egress: e} {
		if len(vals) == 0 {
			continue
		}
		if err := op(c, set, vals); err != nil {
			return err
		}
	}
	if err := c.Flush(); err != nil {
		return err
	}
	done()
	return nil
}

func (r *rules) elements(p Port) (port, tenant, member nftables.SetElement, egress []nftables.SetElement) {
	name, addr, mark := ifname(r.name(p.Address)), p.Address.AsSlice(), binaryutil.NativeEndian.PutUint32(p.Tenant)
	port.Key = append(append([]byte{}, name...), addr...)
	tenant.Key, tenant.Val = name, mark
	member.Key = append(append([]byte{}, mark...), addr...)
	if p.Egress {
		egress = []nftables.SetElement{{Key: name}}
	}
	return
}

// ifname pads to IFNAMSIZ.
func ifname(s string) []byte {
	b := make([]byte, 16)
	copy(b, s)
	return b
}

func nameHas(key expr.MetaKey, prefix string, is bool) []expr.Any {
	op := expr.CmpOpEq
	if !is {
		op = expr.CmpOpNeq
	}
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: op, Register: 1, Data: []byte(prefix)}}
}

func iif(prefix string, is bool) []expr.Any { return nameHas(expr.MetaKeyIIFNAME, prefix, is) }
func oif(prefix string, is bool) []expr.Any { return nameHas(expr.MetaKeyOIFNAME, prefix, is) }

// loopback matches what this machine sends itself, or everything else.
func loopback(is bool) []expr.Any { return nameHas(expr.MetaKeyIIFNAME, string(ifname("lo")), is) }

func accept() []expr.Any { return []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}} }
func drop() []expr.Any   { return []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}} }
func jump(chain string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictGoto, Chain: chain}}
}

// reject answers, so that a program learns at once what a drop would tell it after a minute.
func reject() []expr.Any {
	return []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED}}
}

// answers matches packets of connections that were allowed when they were opened.
func answers() []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Xor: make([]byte, 4),
			Mask: binaryutil.NativeEndian.PutUint32(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	}
}

func source(reg uint32) expr.Any {
	return &expr.Payload{OperationType: expr.PayloadLoad, DestRegister: reg, Base: expr.PayloadBaseNetworkHeader, Offset: 12, Len: 4}
}

func destination(reg uint32) expr.Any {
	return &expr.Payload{OperationType: expr.PayloadLoad, DestRegister: reg, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4}
}

func port(proto byte, number uint16) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{proto}},
		&expr.Payload{OperationType: expr.PayloadLoad, DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binary.BigEndian.AppendUint16(nil, number)},
	}
}

// intervals gives the ranges as a set's elements. Ranges that touch become one, since a key may begin or end a range but
// not both.
func intervals(prefixes []netip.Prefix) []nftables.SetElement {
	slices.SortFunc(prefixes, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	var out []nftables.SetElement
	end := uint64(0)
	finish := func() {
		if end > 0 && end < 1<<32 {
			out = append(out, nftables.SetElement{Key: binary.BigEndian.AppendUint32(nil, uint32(end)), IntervalEnd: true})
		}
	}
	for n, p := range prefixes {
		first := p.Addr().As4()
		from := uint64(binary.BigEndian.Uint32(first[:]))
		if n == 0 || from > end {
			finish()
			out = append(out, nftables.SetElement{Key: first[:]})
		}
		end = max(end, from+1<<(32-p.Bits()))
	}
	finish()
	return out
}

func addresses(list []netip.Addr) []nftables.SetElement {
	var out []nftables.SetElement
	for _, a := range list {
		out = append(out, nftables.SetElement{Key: a.AsSlice()})
	}
	return out
}
