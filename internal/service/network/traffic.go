package network

import (
	"context"
	"encoding/json"
	"maps"
	"net/netip"
	"slices"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/fabric"
)

// What goes over public addresses, in bytes: to what they lead to, and from there.
const (
	TrafficIn  = ledger.Dim("network.public-in")
	TrafficOut = ledger.Dim("network.public-out")
)

// trafficKey + address holds a meter.
const trafficKey = "net/traffic/"

// meter is what the engine's count of an address was when it was last read, and whom it was counted for.
type meter struct {
	Project, Row id.ID
	Name         string
	In, Out      uint64
}

// countTraffic adds what went over a port's public addresses since the last look to its projects' usage. The engine's count
// and what was counted of it are compared in the transaction that counts, so that a crash at any moment loses nothing and
// counts nothing twice: the kernel goes on counting meanwhile. A count that began anew counts from its beginning.
// Whoever calls holds the port's turn from before it looked.
func (s *Service) countTraffic(ctx context.Context, port id.ID, seen fabric.SeenPort) error {
	_, err := s.Store.Update(ctx, func(tx store.Tx) error {
		for _, a := range slices.SortedFunc(maps.Keys(seen.Public), netip.Addr.Compare) {
			if err := s.countAddress(tx, port, a, seen.Public[a]); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

func (s *Service) countAddress(tx store.Tx, port id.ID, a netip.Addr, now fabric.Traffic) error {
	m, err := meterOf(tx, a)
	if err != nil {
		return err
	}
	row, _, err := tx.Get(publicKey + a.String())
	if err != nil {
		return err
	}
	r, err := s.PublicIP.Get(tx, id.ID(row))
	switch {
	case err != nil:
		return err
	case r != nil && r.Spec.Port == string(port):
		m.Project, m.Row, m.Name = r.Project, r.ID, r.Name
	case m.Row == "":
		return nil // it was released before anything was counted, and may be another's by now
	}
	for _, d := range []struct {
		dim      ledger.Dim
		was, now uint64
	}{{TrafficIn, m.In, now.In}, {TrafficOut, m.Out, now.Out}} {
		more := d.now - d.was
		if d.now < d.was {
			more = d.now
		}
		if err := ledger.Count(tx, ledger.Sample{Project: m.Project, Kind: s.PublicIP.D.FullName(), Row: m.Row, Name: m.Name, Dim: d.dim, Amount: int64(more)}, s.Now().UTC()); err != nil {
			return err
		}
	}
	m.In, m.Out = now.In, now.Out
	return putMeter(tx, a, m)
}

// lastTraffic counts what an engine's port has counted, before it loses addresses or is destroyed; ended is to be called
// when it did, for those addresses are counted from nothing where they lead next.
func (c *converger) lastTraffic(ctx context.Context, port id.ID, want fabric.Port) (ended func() error, err error) {
	seen, err := c.s.Engine.ObservePort(ctx, port)
	if err != nil {
		return func() error { return nil }, nil // it is not there: nothing was counted
	}
	for _, u := range want.Public {
		delete(seen.Public, u.Address)
	}
	if len(seen.Public) == 0 {
		return func() error { return nil }, nil
	}
	if err := c.s.countTraffic(ctx, port, seen); err != nil {
		return nil, err
	}
	return func() error {
		_, err := c.s.Store.Update(ctx, func(tx store.Tx) error {
			for a := range seen.Public {
				m, err := meterOf(tx, a)
				if err != nil {
					return err
				}
				if m.In, m.Out = 0, 0; m.Row != "" {
					if err := putMeter(tx, a, m); err != nil {
						return err
					}
				}
				_, taken, err := tx.Get(publicKey + a.String())
				if err == nil && !taken {
					err = tx.Delete(trafficKey + a.String())
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		return err
	}, nil
}

func meterOf(tx store.Tx, a netip.Addr) (m meter, err error) {
	b, ok, err := tx.Get(trafficKey + a.String())
	if ok {
		err = json.Unmarshal(b, &m)
	}
	return m, err
}

func putMeter(tx store.Tx, a netip.Addr, m meter) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return tx.Put(trafficKey+a.String(), b)
}
