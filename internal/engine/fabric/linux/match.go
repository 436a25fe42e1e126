package linux

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Registers by the names that the kernel gives back: the first holds 16 bytes, the others begin behind it.
const (
	reg1  = unix.NFT_REG_1    // bytes 0–15: an interface's name
	reg2  = unix.NFT_REG_2    // bytes 16–23: a MAC
	reg26 = unix.NFT_REG32_06 // bytes 24–: an address
	reg21 = unix.NFT_REG32_05 // bytes 20–: after an address in reg2
	reg11 = unix.NFT_REG32_01 // bytes 4–7
	reg12 = unix.NFT_REG32_02 // bytes 8–11
)

// ifname pads to IFNAMSIZ.
func ifname(s string) []byte {
	b := make([]byte, 16)
	copy(b, s)
	return b
}

// pad fills up to whole registers.
func pad(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func meta(key expr.MetaKey, reg uint32) expr.Any { return &expr.Meta{Key: key, Register: reg} }

func equal(reg uint32, data []byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: data}
}

// iif and oif match an interface's whole name; with begins, how it begins.
func iif(name string) []expr.Any {
	return []expr.Any{meta(expr.MetaKeyIIFNAME, reg1), equal(reg1, ifname(name))}
}

func oif(name string) []expr.Any {
	return []expr.Any{meta(expr.MetaKeyOIFNAME, reg1), equal(reg1, ifname(name))}
}

func iifIn(set string) []expr.Any {
	return []expr.Any{meta(expr.MetaKeyIIFNAME, reg1), &expr.Lookup{SourceRegister: reg1, SetName: set}}
}

func oifIn(set string) []expr.Any {
	return []expr.Any{meta(expr.MetaKeyOIFNAME, reg1), &expr.Lookup{SourceRegister: reg1, SetName: set}}
}

// choose goes on where a map says, by the interface's name.
func choose(key expr.MetaKey, set string) []expr.Any {
	return []expr.Any{meta(key, reg1), verdictOf(reg1, set)}
}

func verdictOf(reg uint32, set string) expr.Any {
	return &expr.Lookup{SourceRegister: reg, SetName: set, DestRegister: unix.NFT_REG_VERDICT, IsDestRegSet: true}
}

func family(six bool) []expr.Any {
	n := byte(unix.NFPROTO_IPV4)
	if six {
		n = unix.NFPROTO_IPV6
	}
	return []expr.Any{meta(expr.MetaKeyNFPROTO, reg1), equal(reg1, []byte{n})}
}

func protocol(n byte) []expr.Any {
	return []expr.Any{meta(expr.MetaKeyL4PROTO, reg1), equal(reg1, []byte{n})}
}

func payload(base expr.PayloadBase, offset, length, reg uint32) expr.Any {
	return &expr.Payload{OperationType: expr.PayloadLoad, DestRegister: reg, Base: base, Offset: offset, Len: length}
}

// source and destination load an address.
func source(six bool, reg uint32) expr.Any {
	if six {
		return payload(expr.PayloadBaseNetworkHeader, 8, 16, reg)
	}
	return payload(expr.PayloadBaseNetworkHeader, 12, 4, reg)
}

func destination(six bool, reg uint32) expr.Any {
	if six {
		return payload(expr.PayloadBaseNetworkHeader, 24, 16, reg)
	}
	return payload(expr.PayloadBaseNetworkHeader, 16, 4, reg)
}

// in matches an address loaded into reg1 by load with a prefix; not inverts it.
func in(load expr.Any, p netip.Prefix, not bool) []expr.Any {
	op := expr.CmpOpEq
	if not {
		op = expr.CmpOpNeq
	}
	p = p.Masked()
	n := ipNet(p)
	out := []expr.Any{load}
	if !p.IsSingleIP() {
		out = append(out, &expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: uint32(len(n.IP)), Mask: n.Mask, Xor: make([]byte, len(n.IP))})
	}
	return append(out, &expr.Cmp{Op: op, Register: reg1, Data: n.IP})
}

func inSet(load expr.Any, set string) []expr.Any {
	return []expr.Any{load, &expr.Lookup{SourceRegister: reg1, SetName: set}}
}

// fromPort and toPort load the ports of TCP, UDP and what else has them in the same place.
func fromPort(reg uint32) expr.Any { return payload(expr.PayloadBaseTransportHeader, 0, 2, reg) }
func toPort(reg uint32) expr.Any   { return payload(expr.PayloadBaseTransportHeader, 2, 2, reg) }

func is16(load expr.Any, v uint16) []expr.Any {
	return []expr.Any{load, equal(reg1, binary.BigEndian.AppendUint16(nil, v))}
}

// between matches a port range.
func between(from, to uint16) []expr.Any {
	a, b := binary.BigEndian.AppendUint16(nil, from), binary.BigEndian.AppendUint16(nil, to)
	switch {
	case from == to:
		return []expr.Any{toPort(reg1), equal(reg1, a)}
	case from == 0 && to == 65535:
		return nil
	}
	return []expr.Any{toPort(reg1), &expr.Cmp{Op: expr.CmpOpGte, Register: reg1, Data: a}, &expr.Cmp{Op: expr.CmpOpLte, Register: reg1, Data: b}}
}

func icmpIs(offset uint32, v byte) []expr.Any {
	return []expr.Any{payload(expr.PayloadBaseTransportHeader, offset, 1, reg1), equal(reg1, []byte{v})}
}

// state matches what connection tracking thinks of the packet.
func state(bits uint32) []expr.Any { return connection(expr.CtKeySTATE, bits) }

// translated matches connections whose destination was changed on the way in.
func translated() []expr.Any {
	const statusDestination = 1 << 5 // IPS_DST_NAT
	return connection(expr.CtKeySTATUS, statusDestination)
}

func connection(key expr.CtKey, bits uint32) []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: key, Register: reg1},
		&expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: 4, Xor: make([]byte, 4), Mask: binaryutil.NativeEndian.PutUint32(bits)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg1, Data: make([]byte, 4)},
	}
}

// known matches answers and what belongs to them: packets of connections that were allowed when they were opened. What
// is no longer allowed is taken out of the kernel's table of connections, see sever.
func known() []expr.Any { return state(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED) }

func fresh() []expr.Any { return state(expr.CtStateBitNEW) }

func accept() []expr.Any { return []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}} }
func drop() []expr.Any   { return []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}} }
func count() []expr.Any  { return []expr.Any{&expr.Counter{}} }

func call(chain string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: chain}}
}

func goOn(chain string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictGoto, Chain: chain}}
}

// reject answers, so that a program learns at once what a drop would tell it after a minute.
func reject() []expr.Any {
	return []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED}}
}
