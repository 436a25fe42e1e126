package dns

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// A zone's own records: SOA and NS, which the service makes, keeps and takes away with the zone. They are rows, so that
// whoever lists the zone's records sees them.

// serialPrefix + a zone's id holds its serial.
const serialPrefix = "dnsserial/"

// ownTTL is how long others may keep who answers for a zone.
const ownTTL = 172800

// The SOA's times in seconds (RFC 1912 §2.2). No server copies zones from ours, so nobody uses them.
const (
	refresh = 7200
	retry   = 900
	expire  = 1209600
)

func (s *Service) nameServers() []string {
	out := make([]string, len(s.NameServers))
	for i, n := range s.NameServers {
		out[i] = fqdn(n)
	}
	return out
}

// mailbox is an e-mail address as the SOA has it (RFC 1035 §8).
func mailbox(r *zoneRow) string {
	local, domain, ok := strings.Cut(r.Spec.Email, "@")
	if !ok {
		return fqdn("hostmaster." + r.Name)
	}
	return fqdn(strings.ReplaceAll(local, ".", `\.`) + "." + domain)
}

func (s *Service) soa(r *zoneRow, serial uint32) string {
	return fmt.Sprintf("%s %s %d %d %d %d %d", s.nameServers()[0], mailbox(r), serial, refresh, retry, expire, r.Spec.TTL)
}

// keepOwn makes the SOA and NS records, or puts right what the zone says about them.
func (s *Service) keepOwn(tx store.Tx, zone *zoneRow, fresh bool) error {
	if fresh {
		for typ, values := range map[string][]string{"SOA": {s.soa(zone, 1)}, "NS": s.nameServers()} {
			r := &recordRow{Meta: kind.Meta{ID: id.New(), Kind: s.Record.D.FullName(), Domain: zone.Domain, Project: zone.Project, Name: zone.Name,
				EnterpriseProject: zone.EnterpriseProject, State: kind.Active, Generation: 1, CreatedBy: zone.CreatedBy, Created: zone.Created, Updated: zone.Updated, Made: true},
				Spec:   RecordSpec{Zone: string(zone.ID), Type: typ, TTL: ownTTL, Values: values},
				Status: RecordStatus{ZoneName: zone.Name, ZoneType: zone.Spec.Type, System: true}}
			if typ == "SOA" {
				r.Spec.TTL = zone.Spec.TTL
			}
			if err := s.Record.Put(tx, r); err != nil {
				return err
			}
		}
		return nil
	}
	own, err := s.own(tx, zone)
	if err != nil {
		return err
	}
	for _, r := range own {
		if r.Spec.Type != "SOA" || r.Spec.Values[0] == s.soa(zone, 1) {
			continue
		}
		r.Spec.Values = []string{s.soa(zone, 1)}
		r.Updated, r.Generation = zone.Updated, r.Generation+1
		if err := s.Record.Put(tx, r); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) own(tx store.Tx, zone *zoneRow) ([]*recordRow, error) {
	return s.Record.List(tx, string(zone.Project), kind.Filter{Index: "at", Value: at(string(zone.ID), zone.Name),
		Where: func(r kind.AnyRow) bool { return r.(*recordRow).Status.System }})
}

func (s *Service) dropOwn(tx store.Tx, zone *zoneRow) error {
	own, err := s.own(tx, zone)
	if err != nil {
		return err
	}
	for _, r := range own {
		if err := s.Record.Remove(tx, r); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) serial(tx store.Tx, zone id.ID) (uint32, error) {
	b, ok, err := tx.Get(serialPrefix + string(zone))
	if err != nil || !ok {
		return 1, err
	}
	n, err := strconv.ParseUint(string(b), 10, 32)
	return uint32(n), err
}

// count makes the serial larger than it was. It begins with the time, so that a zone that is deleted and made anew does
// not go back.
func (s *Service) count(tx store.Tx, zone id.ID) error {
	was, err := s.serial(tx, zone)
	if err != nil {
		return err
	}
	return tx.Put(serialPrefix+string(zone), strconv.AppendUint(nil, uint64(max(was+1, uint32(s.Now().Unix()))), 10))
}
