package linux

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"iter"
	"net/netip"
	"strings"
	"time"

	mdnetlink "github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/fabric"
)

// Attributes of NFLOG's messages (linux/netfilter/nfnetlink_log.h).
const (
	nflogPacket, nflogConfig = 0, 1
	configCommand            = 1
	configMode               = 2
	commandBind              = 1
	modePacket               = 2
	attrIn, attrOut          = 4, 5
	attrPayload, attrPrefix  = 9, 10
)

// Flows implements fabric.Engine. Each record is the first packet of a connection that was let through, or a packet
// that was refused; of the latter a port yields up to a hundred a second.
func (e *Engine) Flows(ctx context.Context) iter.Seq2[fabric.Flow, error] {
	return func(yield func(fabric.Flow, error) bool) {
		c := make(chan fabric.Flow, 1024)
		e.mu.Lock()
		e.readers[c] = true
		e.mu.Unlock()
		defer func() {
			e.mu.Lock()
			delete(e.readers, c)
			e.mu.Unlock()
		}()
		for {
			select {
			case <-ctx.Done():
				return
			case f := <-c:
				if !yield(f, nil) {
					return
				}
			}
		}
	}
}

// watch reads what a VPC's rules log.
func (e *Engine) watch(vpc id.ID, s *space) (io.Closer, error) {
	c, err := mdnetlink.Dial(unix.NETLINK_NETFILTER, &mdnetlink.Config{NetNS: int(s.fd)})
	if err != nil {
		return nil, err
	}
	_ = c.SetReadBuffer(4 << 20)
	_ = c.SetOption(mdnetlink.NoENOBUFS, true) // losing records is allowed, stopping is not
	mode := append(binary.BigEndian.AppendUint32(nil, 64), modePacket, 0)
	for _, a := range []mdnetlink.Attribute{{Type: configCommand, Data: []byte{commandBind}}, {Type: configMode, Data: mode}} {
		b, err := mdnetlink.MarshalAttributes([]mdnetlink.Attribute{a})
		if err == nil {
			_, err = c.Execute(mdnetlink.Message{
				Header: mdnetlink.Header{Type: unix.NFNL_SUBSYS_ULOG<<8 | nflogConfig, Flags: mdnetlink.Request | mdnetlink.Acknowledge},
				Data:   append([]byte{unix.AF_UNSPEC, 0, 0, flowGroup}, b...),
			})
		}
		if err != nil {
			_ = c.Close()
			return nil, err
		}
	}
	go func() {
		for {
			list, err := c.Receive()
			for _, m := range list {
				if m.Header.Type == unix.NFNL_SUBSYS_ULOG<<8|nflogPacket && len(m.Data) > 4 {
					e.record(vpc, s, m.Data[4:])
				}
			}
			if err != nil && !errors.Is(err, unix.ENOBUFS) {
				return // closed
			}
		}
	}()
	return c, nil
}

func (e *Engine) record(vpc id.ID, s *space, attrs []byte) {
	ad, err := mdnetlink.NewAttributeDecoder(attrs)
	if err != nil {
		return
	}
	ad.ByteOrder = binary.BigEndian
	var prefix string
	var in, out uint32
	var packet []byte
	for ad.Next() {
		switch ad.Type() {
		case attrPrefix:
			prefix = ad.String()
		case attrIn:
			in = ad.Uint32()
		case attrOut:
			out = ad.Uint32()
		case attrPayload:
			packet = ad.Bytes()
		}
	}
	f, ok := parseFlow(packet)
	if !ok || ad.Err() != nil {
		return
	}
	f.At, f.Packets = time.Now(), 1
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return
	}
	device := func(index uint32) string {
		if l, err := s.link.LinkByIndex(int(index)); err == nil {
			return l.Attrs().Name
		}
		return ""
	}
	refused, isRefused := strings.CutPrefix(prefix, "-")
	f.Accepted = !isRefused
	switch {
	case isRefused:
		f.Port = id.ID(refused)
		f.In = out != 0 && device(out) == tapName(f.Port)
	default:
		f.In = prefix == "+in"
		name := device(in)
		if f.In {
			name = device(out)
		}
		for p, want := range e.w.Ports {
			if want.VPC == vpc && tapName(p) == name {
				f.Port = p
			}
		}
	}
	if _, known := e.w.Ports[f.Port]; !known {
		return
	}
	for c := range e.readers {
		select {
		case c <- f:
		default: // a slow reader loses records
		}
	}
}

// parseFlow reads the beginning of an IP packet.
func parseFlow(b []byte) (f fabric.Flow, ok bool) {
	if len(b) < 20 {
		return f, false
	}
	var from, to netip.Addr
	var proto byte
	var rest []byte
	switch b[0] >> 4 {
	case 4:
		head := int(b[0]&15) * 4
		if len(b) < head {
			return f, false
		}
		from, to = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
		proto, rest = b[9], b[head:]
		f.Bytes = uint64(binary.BigEndian.Uint16(b[2:4]))
	case 6:
		if len(b) < 40 {
			return f, false
		}
		from, to = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		proto, rest = b[6], b[40:]
		f.Bytes = uint64(binary.BigEndian.Uint16(b[4:6])) + 40
	default:
		return f, false
	}
	f.Protocol = protocolName(proto)
	var sport, dport uint16
	if fabric.HasPorts(int(proto)) && len(rest) >= 4 {
		sport, dport = binary.BigEndian.Uint16(rest), binary.BigEndian.Uint16(rest[2:])
	}
	f.From, f.To = netip.AddrPortFrom(from, sport), netip.AddrPortFrom(to, dport)
	return f, true
}
