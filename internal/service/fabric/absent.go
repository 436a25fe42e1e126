package fabric

import (
	"context"
	"iter"
	"net"
	"net/netip"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
)

// Absent is the engine of a cloud that carries no packets: networks are rows, and nothing can be plugged in. Why says what
// is missing and what to do.
type Absent struct{ Why error }

var _ Engine = Absent{}

func (a Absent) err() error {
	if a.Why != nil {
		return a.Why
	}
	return fail.New(fail.Unsupported, "this cloud carries no packets")
}

func none(func(id.ID, error) bool) {}

// EnsureVPC has nothing to make.
func (Absent) EnsureVPC(context.Context, id.ID, VPC) error { return nil }

// DestroyVPC has nothing to destroy.
func (Absent) DestroyVPC(context.Context, id.ID) error { return nil }

// VPCs lists nothing.
func (Absent) VPCs(context.Context) iter.Seq2[id.ID, error] { return none }

// EnsureGroup has nothing to make.
func (Absent) EnsureGroup(context.Context, id.ID, Group) error { return nil }

// DestroyGroup has nothing to destroy.
func (Absent) DestroyGroup(context.Context, id.ID) error { return nil }

// Groups lists nothing.
func (Absent) Groups(context.Context) iter.Seq2[id.ID, error] { return none }

// EnsurePort says why not.
func (a Absent) EnsurePort(context.Context, id.ID, Port) (SeenPort, error) {
	return SeenPort{}, a.err()
}

// ObservePort finds nothing.
func (Absent) ObservePort(_ context.Context, port id.ID) (SeenPort, error) {
	return SeenPort{}, fail.New(fail.Gone, "there is no port %s", port)
}

// DestroyPort has nothing to destroy.
func (Absent) DestroyPort(context.Context, id.ID) error { return nil }

// Ports lists nothing.
func (Absent) Ports(context.Context) iter.Seq2[id.ID, error] { return none }

// Drift finds nothing.
func (Absent) Drift(context.Context, bool) ([]Finding, error) { return nil, nil }

// Flows waits.
func (Absent) Flows(ctx context.Context) iter.Seq2[Flow, error] {
	return func(func(Flow, error) bool) { <-ctx.Done() }
}

// Listen says why not.
func (a Absent) Listen(context.Context, id.ID, netip.AddrPort) (net.Listener, error) {
	return nil, a.err()
}

// ListenPacket says why not.
func (a Absent) ListenPacket(context.Context, id.ID, netip.AddrPort) (net.PacketConn, error) {
	return nil, a.err()
}

// Dial says why not.
func (a Absent) Dial(context.Context, id.ID, string, netip.AddrPort) (net.Conn, error) {
	return nil, a.err()
}

// DialFrom says why not.
func (a Absent) DialFrom(context.Context, id.ID, string, netip.AddrPort) (net.Conn, error) {
	return nil, a.err()
}

// Capabilities says why not.
func (a Absent) Capabilities(context.Context) Capabilities {
	return Capabilities{Name: "absent", Missing: map[string]string{"packets": fail.From(a.err()).Public()}}
}

// Close does nothing.
func (Absent) Close() error { return nil }
