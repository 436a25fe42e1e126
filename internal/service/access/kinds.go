package access

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Route sends the requests below a path to a component.
type Route struct {
	Path      string `json:"path" doc:"requests whose path begins with it, segment by segment" default:"/" max:"255"`
	Component string `json:"component" doc:"the component that answers" ref:"app/component" required:"true"`
	Strip     bool   `json:"strip" doc:"take the path off before the component sees the request"`
}

// DomainSpec describes a name of the tenant's own.
type DomainSpec struct {
	Component   string  `json:"component" doc:"the component that answers where no route says otherwise" ref:"app/component"`
	Routes      []Route `json:"routes" doc:"paths that lead to other components; the longest that fits counts" max:"50"`
	Certificate string  `json:"certificate" doc:"cloud: by this cloud's own authority; acme: by the authority the operator configured; own: the chain and key given here" enum:"cloud,acme,own" default:"cloud"`
	Chain       string  `json:"chain" doc:"for own: the certificate and what it stands on, as PEM" max:"65536"`
	Key         string  `json:"key" doc:"for own: the certificate's private key, as PEM" secret:"true" max:"16384"`
}

// DomainStatus is what came of it.
type DomainStatus struct {
	URL      string    `json:"url" doc:"where it answers, once the name leads to this cloud"`
	NotAfter time.Time `json:"not_after,omitzero" doc:"for own: when the certificate ends"`
}

// RuleSpec says who reaches a component, and how.
type RuleSpec struct {
	Component   string   `json:"component" doc:"the component it is about; one rule each" ref:"app/component" required:"true" immutable:"true"`
	Allow       []string `json:"allow" doc:"addresses or networks that may come; none: all" max:"200" example:"10.0.0.0/8"`
	Deny        []string `json:"deny" doc:"addresses or networks that may not, also when allowed" max:"200" example:"192.0.2.7"`
	Rate        int      `json:"rate" doc:"requests that one client may send; 0: no limit" unit:"per second" max:"100000"`
	Burst       int      `json:"burst" doc:"requests that one client may send at once beyond its rate; 0: twice the rate" max:"100000"`
	TotalRate   int      `json:"total_rate" doc:"requests that all clients together may send; 0: no limit" unit:"per second" max:"1000000"`
	MaxBody     int64    `json:"max_body" doc:"largest request body; 0: no limit" unit:"MiB" max:"102400"`
	Maintenance bool     `json:"maintenance" doc:"answer every request with the maintenance page"`
	Message     string   `json:"message" doc:"what the maintenance page says" max:"2000" default:"This app is being worked on. Please come back in a while."`
	Bypass      []string `json:"bypass" doc:"addresses or networks that see the app during maintenance" max:"50"`
}

// RuleStatus is empty: a rule is what it says.
type RuleStatus struct{}

// PortSpec describes a TCP port.
type PortSpec struct {
	Component string   `json:"component" doc:"the component that answers" ref:"app/component" required:"true" immutable:"true"`
	Target    int      `json:"target" doc:"port that the program listens on for it" required:"true" min:"1" max:"65535"`
	Port      int      `json:"port" doc:"port of the cloud; 0: a free one is chosen" immutable:"true" min:"0" max:"65535"`
	Allow     []string `json:"allow" doc:"addresses or networks that may connect; none: all" max:"200"`
}

// PortStatus is what came of it.
type PortStatus struct {
	Port    int    `json:"port" doc:"port of the cloud"`
	Address string `json:"address" doc:"where to connect"`
}

type (
	domainRow = kind.Row[DomainSpec, DomainStatus]
	ruleRow   = kind.Row[RuleSpec, RuleStatus]
	portRow   = kind.Row[PortSpec, PortStatus]
)

const (
	dnsName    = `^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])$`
	namePrefix = "accessname/" // + host: the domain row that has it, in the whole cloud
	portPrefix = "accessport/" // + number: the row that has it
)

func (s *Service) describe() {
	one := func(name string) map[ledger.Dim]func(DomainSpec) int64 {
		return map[ledger.Dim]func(DomainSpec) int64{ledger.Dim(name): func(DomainSpec) int64 { return 1 }}
	}
	s.Domain = kind.TableOf[DomainSpec, DomainStatus](kind.Kind[DomainSpec, DomainStatus]{Service: "access", Name: "custom-domain", Scope: kind.InProject,
		NamePat: dnsName, NameLike: "shop.example.org", NoRename: true, Doc: "A name of your own for one or several components, with its certificate.",
		Columns: []string{"spec.component", "spec.certificate", "status.url"}, Example: DomainSpec{Component: "web"},
		Quota: one("access.domains"), Check: s.checkDomain, Changed: s.domainChanged}.Def())
	s.Rule = kind.TableOf[RuleSpec, RuleStatus](kind.Kind[RuleSpec, RuleStatus]{Service: "access", Name: "access-rule", Scope: kind.InProject,
		Doc:     "Who may reach a component, how often, and whether it is in maintenance. It holds at once, without a new release.",
		Columns: []string{"spec.component", "spec.rate", "spec.maintenance"}, Example: RuleSpec{Component: "web", Rate: 20},
		Index: map[string]func(*ruleRow) []string{"component": func(r *ruleRow) []string { return []string{r.Spec.Component} }},
		Quota: map[ledger.Dim]func(RuleSpec) int64{"access.rules": func(RuleSpec) int64 { return 1 }}, Check: s.checkRule}.Def())
	s.Port = kind.TableOf[PortSpec, PortStatus](kind.Kind[PortSpec, PortStatus]{Service: "access", Name: "tcp-port", Scope: kind.InProject,
		Doc:     "A TCP port of the cloud that leads to a component: for what is not HTTP. It is passed on as it is, without TLS of the cloud's.",
		Columns: []string{"spec.component", "status.address", "spec.target"}, Example: PortSpec{Component: "db", Target: 5432},
		Quota: map[ledger.Dim]func(PortSpec) int64{"access.ports": func(PortSpec) int64 { return 1 }}, Check: s.checkPort, Changed: s.portChanged}.Def())
}

// component turns the name or id in a field into the name, which people read and components keep.
func (s *Service) component(tx store.Tx, project id.ID, field string, ref *string) error {
	found, name, err := s.Apps.Find(tx, project, *ref)
	if err != nil {
		return err
	}
	if found == "" {
		return fail.Field(field, "there is no component %q", *ref).Then("see awan component list")
	}
	*ref = name
	return nil
}

func (s *Service) checkDomain(_ context.Context, tx store.Tx, old, row *domainRow) error {
	if s.Reserved(row.Name) {
		return fail.Field("name", "%s is a name of this cloud itself", row.Name).Then("use a name of a domain of your own")
	}
	owner, taken, err := tx.Get(namePrefix + row.Name)
	if err != nil {
		return err
	}
	if taken && id.ID(owner) != row.ID {
		return fail.New(fail.Exists, "%s is used in this cloud already", row.Name).Then("if the name is yours, ask the operator of the cloud who has it")
	}
	spec := &row.Spec
	if spec.Component == "" && len(spec.Routes) == 0 {
		return fail.Field("spec.component", "nothing answers").Then("name a component, or give routes")
	}
	if spec.Component != "" {
		if err := s.component(tx, row.Project, "spec.component", &spec.Component); err != nil {
			return err
		}
	}
	seen := map[string]bool{}
	for i := range spec.Routes {
		r, field := &spec.Routes[i], fmt.Sprintf("spec.routes[%d]", i)
		if !strings.HasPrefix(r.Path, "/") || strings.ContainsAny(r.Path, "?#") {
			return fail.Field(field+".path", "%q is no path: it begins with / and has no query", r.Path)
		}
		if r.Path = clean(r.Path); seen[r.Path] {
			return fail.Field(field+".path", "%s leads to two components", r.Path)
		}
		seen[r.Path] = true
		if err := s.component(tx, row.Project, field+".component", &r.Component); err != nil {
			return err
		}
	}
	row.Status.URL = s.URL(row.Name)
	return s.checkCertificate(old, row)
}

// clean is a path prefix without a closing slash; "/" is "".
func clean(path string) string { return strings.TrimRight(path, "/") }

func (s *Service) checkCertificate(old, row *domainRow) error {
	spec := &row.Spec
	switch spec.Certificate {
	case "acme":
		if s.Issuer == nil {
			return fail.Field("spec.certificate", "this cloud has no certificate authority configured").Then("use cloud or own, or ask the operator to start it with --acme-directory")
		}
		return nil
	case "cloud":
		return nil
	}
	if spec.Chain == "" || spec.Key == "" {
		return fail.Field("spec.chain", "a certificate of your own needs its chain and its key")
	}
	key := spec.Key
	if old != nil && key == old.Spec.Key {
		plain, err := s.Unseal(&row.Meta, "spec", "key", key)
		if err != nil {
			return err
		}
		key = plain
	}
	leaf, err := parse(spec.Chain, key)
	if err != nil {
		return fail.Field("spec.chain", "chain and key do not make a certificate: %v", err)
	}
	if err := leaf.VerifyHostname(row.Name); err != nil {
		return fail.Field("spec.chain", "the certificate is not for %s but for %s", row.Name, strings.Join(leaf.DNSNames, ", "))
	}
	if s.Now().After(leaf.NotAfter) {
		return fail.Field("spec.chain", "the certificate ended on %s", leaf.NotAfter.UTC().Format(time.DateOnly))
	}
	row.Status.NotAfter = leaf.NotAfter.UTC()
	return nil
}

func parse(chain, key string) (*x509.Certificate, error) {
	pair, err := tls.X509KeyPair([]byte(chain), []byte(key))
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(pair.Certificate[0])
}

// domainChanged keeps who has a name in the whole cloud.
func (s *Service) domainChanged(_ context.Context, tx store.Tx, old, row *domainRow) error {
	if row == nil {
		return tx.Delete(namePrefix + old.Name)
	}
	return tx.Put(namePrefix+row.Name, []byte(row.ID))
}

func networks(field string, list []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for i, text := range list {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			a, aerr := netip.ParseAddr(text)
			if aerr != nil {
				return nil, fail.Field(fmt.Sprintf("%s[%d]", field, i), "%q is neither an address nor a network", text).Then("write 192.0.2.7 or 10.0.0.0/8")
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

func (s *Service) checkRule(_ context.Context, tx store.Tx, old, row *ruleRow) error {
	for field, list := range map[string][]string{"spec.allow": row.Spec.Allow, "spec.deny": row.Spec.Deny, "spec.bypass": row.Spec.Bypass} {
		if _, err := networks(field, list); err != nil {
			return err
		}
	}
	if err := s.component(tx, row.Project, "spec.component", &row.Spec.Component); err != nil {
		return err
	}
	others, err := s.Rule.List(tx, string(row.Project), kind.Filter{Index: "component", Value: row.Spec.Component})
	if err != nil {
		return err
	}
	for _, o := range others {
		if o.ID != row.ID {
			return fail.New(fail.Exists, "the component has a rule already, %s", o.Name).Then("change that one: awan access-rule update %s", o.Name)
		}
	}
	return nil
}

func (s *Service) checkPort(_ context.Context, tx store.Tx, old, row *portRow) error {
	if _, err := networks("spec.allow", row.Spec.Allow); err != nil {
		return err
	}
	if err := s.component(tx, row.Project, "spec.component", &row.Spec.Component); err != nil {
		return err
	}
	if old != nil {
		return nil
	}
	if row.Spec.Port != 0 && (row.Spec.Port < s.First || row.Spec.Port > s.Last) {
		return fail.Field("spec.port", "%d is not one of the ports %d to %d that this cloud gives out", row.Spec.Port, s.First, s.Last).Then("leave it out to get a free one")
	}
	held := false // by a program that is not ours
	for port := s.First; port <= s.Last; port++ {
		if row.Spec.Port != 0 && port != row.Spec.Port {
			continue
		}
		_, taken, err := tx.Get(portPrefix + strconv.Itoa(port))
		if err != nil {
			return err
		}
		if taken {
			continue
		}
		if !s.free(port) {
			held = true
			continue
		}
		row.Status.Port = port
		break
	}
	if row.Status.Port == 0 && row.Spec.Port != 0 && held {
		return fail.Field("spec.port", "%d is held by another program of this machine", row.Spec.Port).Then("leave the port out to get a free one")
	}
	if row.Status.Port == 0 && row.Spec.Port != 0 {
		return fail.New(fail.Exists, "port %d is taken", row.Spec.Port).Then("leave the port out to get a free one")
	}
	if row.Status.Port == 0 {
		return fail.New(fail.NoSpace, "all ports from %d to %d are taken", s.First, s.Last).Then("ask the operator for a wider range (awan up --tcp-ports)")
	}
	row.Status.Address = s.Address + ":" + strconv.Itoa(row.Status.Port)
	return nil
}

func (s *Service) portChanged(_ context.Context, tx store.Tx, old, row *portRow) error {
	if row == nil {
		return tx.Delete(portPrefix + strconv.Itoa(old.Status.Port))
	}
	return tx.Put(portPrefix+strconv.Itoa(row.Status.Port), []byte(row.ID))
}
