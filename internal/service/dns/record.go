package dns

import (
	"context"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

func (s *Service) recordDefaults(_ context.Context, tx store.Tx, r *recordRow) error {
	zone, err := s.Zone.Find(tx, string(r.Project), canonical(r.Spec.Zone))
	if err != nil {
		return err
	}
	if zone == nil {
		return fail.Field("spec.zone", "there is no zone %q", r.Spec.Zone).Then("see awan zone list")
	}
	r.Spec.Zone = string(zone.ID)
	r.Status.ZoneName, r.Status.ZoneType = zone.Name, zone.Spec.Type
	switch name := canonical(r.Name); name {
	case "@", string(r.ID): // the second: no name was given
		r.Name = zone.Name
	default:
		r.Name = name
	}
	return nil
}

func (s *Service) checkRecord(_ context.Context, tx store.Tx, old, r *recordRow) error {
	zone, err := s.Zone.Get(tx, id.ID(r.Spec.Zone))
	if err != nil {
		return err
	}
	if zone == nil || zone.State == kind.Deleting {
		return fail.New(fail.Conflict, "the zone %s is being deleted", r.Status.ZoneName)
	}
	if err := checkName("name", r.Name); err != nil {
		return err
	}
	if r.Name != zone.Name && !strings.HasSuffix(r.Name, "."+zone.Name) {
		return fail.Field("name", "%s is not in the zone %s", r.Name, zone.Name).Then("write the whole name, www.%s say", zone.Name)
	}
	if r.Status.System {
		return s.checkOwn(old, r)
	}
	if r.Spec.Type == "SOA" {
		return fail.Field("spec.type", "the SOA record is made with the zone").Then("change the zone's email and ttl instead")
	}
	if err := checkValues(r); err != nil {
		return err
	}
	return s.checkBeside(tx, zone, r)
}

// checkOwn refuses changes of the zone's own records that would break it.
func (s *Service) checkOwn(old, r *recordRow) error {
	if old != nil && (r.Name != old.Name || r.Spec.Type != old.Spec.Type || r.Spec.Disabled || r.Spec.Weight != nil || !slices.Equal(r.Spec.Values, old.Spec.Values)) {
		return fail.New(fail.Precondition, "the zone's own %s records are the cloud's to keep; only their ttl and description can change", r.Spec.Type)
	}
	return nil
}

// checkBeside refuses what cannot be beside the other records of the name.
func (s *Service) checkBeside(tx store.Tx, zone *zoneRow, r *recordRow) error {
	if r.Spec.Type == "CNAME" && r.Name == zone.Name {
		return fail.Field("spec.type", "the zone's own name cannot be an alias: it has SOA and NS records").Then("use A and AAAA records")
	}
	beside, err := s.Record.List(tx, string(r.Project), kind.Filter{Index: "at", Value: at(r.Spec.Zone, r.Name)})
	if err != nil {
		return err
	}
	for _, o := range beside {
		switch {
		case o.ID == r.ID:
		case o.Spec.Type == r.Spec.Type && (o.Spec.Weight == nil || r.Spec.Weight == nil):
			return fail.New(fail.Exists, "%s has %s records already, in record set %s", r.Name, r.Spec.Type, o.ID).
				Then("change that one, or give both a weight")
		case o.Spec.Type == r.Spec.Type:
		case o.Spec.Type == "CNAME" || r.Spec.Type == "CNAME":
			return fail.New(fail.Conflict, "%s has %s records: an alias (CNAME) is the only record of its name", r.Name, o.Spec.Type).
				Then("delete record set %s first", o.ID)
		}
	}
	return nil
}

func (s *Service) recordFree(_ context.Context, tx store.Tx, r *recordRow) error {
	if !r.Status.System {
		return nil
	}
	return fail.New(fail.Precondition, "the zone's own %s records go with the zone", r.Spec.Type).Then("delete the zone %s", r.Status.ZoneName)
}

func (s *Service) recordChanged(_ context.Context, tx store.Tx, old, r *recordRow) error {
	if r == nil {
		r = old
	}
	zone, err := s.Zone.Get(tx, id.ID(r.Spec.Zone))
	if err != nil || zone == nil {
		return err
	}
	return s.count(tx, zone.ID)
}

// recordShown puts the serial of the moment into the SOA.
func (s *Service) recordShown(tx store.Tx, r *recordRow) error {
	if r.Spec.Type != "SOA" {
		return nil
	}
	zone, err := s.Zone.Get(tx, id.ID(r.Spec.Zone))
	if err != nil || zone == nil {
		return err
	}
	serial, err := s.serial(tx, zone.ID)
	r.Spec.Values = []string{s.soa(zone, serial)}
	return err
}
