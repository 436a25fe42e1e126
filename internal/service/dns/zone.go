package dns

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"strings"

	"github.com/miekg/dns"
	"golang.org/x/net/publicsuffix"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// namePrefix + name holds the id of the public zone that has it, in the whole cloud.
const namePrefix = "dnszone/"

// canonical is a name as rows have it.
func canonical(name string) string {
	return strings.TrimSuffix(strings.ToLower(strings.TrimSpace(name)), ".")
}

// checkName refuses what is no domain name (RFC 1035 §2.3.4), at labels too.
func checkName(field, name string) error {
	if name == "" {
		return fail.Field(field, "is required").Then("for example example.com")
	}
	if len(name) > 253 {
		return fail.Field(field, "is longer than 253 characters")
	}
	for i, label := range strings.Split(name, ".") {
		switch {
		case label == "":
			return fail.Field(field, "%q has an empty part", name)
		case len(label) > 63:
			return fail.Field(field, "%q has a part longer than 63 characters", name)
		case label == "*" && i == 0:
			continue
		case strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-"):
			return fail.Field(field, "%q has a part that begins or ends with a hyphen", name)
		case strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "":
			return fail.Field(field, "%q has a character other than letters, digits, - and _", name).Then("write names in other scripts in their xn-- form")
		}
	}
	return nil
}

func (s *Service) zoneDefaults(_ context.Context, tx store.Tx, r *zoneRow) error {
	r.Name = canonical(r.Name)
	for i, ref := range r.Spec.VPCs {
		if s.Networks == nil {
			break
		}
		vpc, err := s.Networks.FindVPC(tx, r.Project, ref)
		if err != nil {
			return err
		}
		if vpc != "" {
			r.Spec.VPCs[i] = string(vpc)
		}
	}
	return nil
}

func (s *Service) checkZone(_ context.Context, tx store.Tx, old, r *zoneRow) error {
	if err := checkName("name", r.Name); err != nil {
		return err
	}
	if strings.HasPrefix(r.Name, "*") {
		return fail.Field("name", "a zone's name has no *").Then("make a record set of that name in a zone")
	}
	if r.Spec.Email != "" {
		if a, err := mail.ParseAddress(r.Spec.Email); err != nil || a.Name != "" || strings.ContainsAny(a.Address, "\"\\ ") {
			return fail.Field("spec.email", "%q is no e-mail address", r.Spec.Email)
		}
	}
	r.Status.NameServers = s.nameServers()
	if r.Spec.Type == Private {
		return s.checkPrivate(tx, old, r)
	}
	if len(r.Spec.VPCs) > 0 {
		return fail.Field("spec.vpcs", "a public zone is for everybody").Then("make a private one for VPCs")
	}
	if r.Spec.Recursive {
		return fail.Field("spec.recursive", "is for private zones only")
	}
	if old != nil {
		return nil
	}
	return s.checkPublic(tx, r)
}

// checkPublic refuses names that somebody else has, wholly or in part, and those that nobody can have.
func (s *Service) checkPublic(tx store.Tx, r *zoneRow) error {
	if suffix, icann := publicsuffix.PublicSuffix(r.Name); !strings.Contains(r.Name, ".") || icann && suffix == r.Name {
		return fail.Field("name", "%s is where domains are registered, and no domain itself", r.Name)
	}
	if s.Reserved(r.Name) {
		return fail.Field("name", "%s is a name of this cloud itself", r.Name).Then("use a domain of your own")
	}
	for name := r.Name; name != ""; {
		b, ok, err := tx.Get(namePrefix + name)
		if err != nil {
			return err
		}
		if ok && name == r.Name {
			return fail.New(fail.Exists, "the zone %s is in this cloud already", name).Then("if the domain is yours, ask the operator of the cloud who has it")
		}
		if ok {
			other, err := s.Zone.Get(tx, id.ID(b))
			if err != nil {
				return err
			}
			if other != nil && other.Domain != r.Domain {
				return fail.Field("name", "%s belongs to somebody else's zone %s", r.Name, name).Then("ask its owner for records of that name")
			}
		}
		_, name, _ = strings.Cut(name, ".")
	}
	return nil
}

func (s *Service) checkPrivate(tx store.Tx, old, r *zoneRow) error {
	if s.Networks == nil {
		return fail.New(fail.Unsupported, "this cloud has no VPCs, which private zones are for")
	}
	if len(r.Spec.VPCs) == 0 {
		return fail.Field("spec.vpcs", "a private zone is for at least one VPC").Then("see awan vpc list")
	}
	for i, vpc := range r.Spec.VPCs {
		field := fmt.Sprintf("spec.vpcs[%d]", i)
		if slices.Contains(r.Spec.VPCs[:i], vpc) {
			return fail.Field(field, "%s is there twice", vpc)
		}
		if old != nil && slices.Contains(old.Spec.VPCs, vpc) {
			continue // it may be gone by now
		}
		found, err := s.Networks.FindVPC(tx, r.Project, vpc)
		if err != nil {
			return err
		}
		if found == "" {
			return fail.Field(field, "there is no VPC %q", vpc).Then("see awan vpc list")
		}
		others, err := s.Zone.List(tx, string(r.Project), kind.Filter{Index: "vpc", Value: vpc})
		if err != nil {
			return err
		}
		for _, o := range others {
			if o.ID != r.ID && o.Name == r.Name {
				return fail.New(fail.Exists, "another zone %s is answered in the VPC %s", r.Name, vpc).Then("take the VPC out of zone %s first", o.ID)
			}
		}
	}
	return nil
}

// zoneChanged keeps who has a public name, and the zone's own records.
func (s *Service) zoneChanged(_ context.Context, tx store.Tx, old, r *zoneRow) error {
	if r == nil {
		if err := tx.Delete(serialPrefix + string(old.ID)); err != nil {
			return err
		}
		if err := s.dropOwn(tx, old); err != nil || old.Spec.Type == Private {
			return err
		}
		return tx.Delete(namePrefix + old.Name)
	}
	if old == nil && r.Spec.Type == Public {
		if err := tx.Put(namePrefix+r.Name, []byte(r.ID)); err != nil {
			return err
		}
	}
	if r.State == kind.Deleting {
		return nil
	}
	if err := s.keepOwn(tx, r, old == nil); err != nil {
		return err
	}
	return s.count(tx, r.ID)
}

func (s *Service) zoneShown(tx store.Tx, r *zoneRow) (err error) {
	if r.Status.Serial, err = s.serial(tx, r.ID); err != nil {
		return err
	}
	rows, err := s.Record.List(tx, string(r.Project), kind.Filter{Index: "zone", Value: string(r.ID)})
	r.Status.Records = len(rows)
	return err
}

// dropRecords takes the zone's record sets with it, all but its own, which go in its last transaction.
func (s *Service) dropRecords(ctx context.Context, r *zoneRow) error {
	left, err := s.others(ctx, r)
	if err != nil {
		return err
	}
	var errs []error
	for _, rec := range left {
		errs = append(errs, s.Host.Unmake(ctx, s.Record.D.FullName(), rec.ID)) // a nap until it is gone
	}
	if left, err = s.others(ctx, r); err != nil || len(left) == 0 {
		return err
	}
	return errors.Join(errs...)
}

// others are the record sets of a zone beside its own.
func (s *Service) others(ctx context.Context, r *zoneRow) (rows []*recordRow, err error) {
	err = s.Store.View(ctx, func(tx store.Tx) (err error) {
		rows, err = s.Record.List(tx, string(r.Project), kind.Filter{Index: "zone", Value: string(r.ID), Where: func(r kind.AnyRow) bool { return !r.(*recordRow).Status.System }})
		return err
	})
	return rows, err
}

func fqdn(name string) string { return dns.Fqdn(name) }
