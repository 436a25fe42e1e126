package call

import (
	"context"
	"maps"
	"sync"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/policy"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Within authorises verb on k for what lies in a row (an object in a bucket), whose own policies have a say too: also for
// callers of other domains, and for nobody. It runs in the caller's transaction; what it returns goes through Refused
// behind that. facts gives the service's own condition keys, if a policy asks for them.
func (d *Door) Within(tx store.Tx, c *Call, k *kind.Def, verb string, row kind.AnyRow, path string, facts func() map[string][]string, own []policy.Attached) error {
	c.Kind, c.Verb, c.Target = k, verb, path
	m := row.M()
	p := &c.Principal
	if p.Restricted != "" {
		return ident.Unfinished(*p)
	}
	if !p.Nobody() {
		if err := d.Ident.Admit(tx, *p, c.Source, c.Dialect == ConsoleDialect); err != nil {
			return err
		}
		if p.Method != ident.BySystem {
			if err := d.Ident.MarkCloud(tx, p); err != nil {
				return err
			}
		}
	}
	late := sync.OnceValue(func() map[string][]string {
		all := map[string][]string{"g:ProjectId": {string(m.Project)}, "g:EnterpriseProjectId": {shown(m.EnterpriseProject)}}
		if c.Source != "" {
			all["g:SourceIp"] = []string{c.Source}
		}
		if c.Agent != "" {
			all["g:UserAgent"] = []string{c.Agent}
		}
		for key, v := range m.Tags {
			all["g:ResourceTag/"+key] = []string{v}
		}
		if facts != nil {
			maps.Copy(all, facts())
		}
		return all
	})
	resource := k.Resource(d.Region, m.Domain, path)
	dec, err := d.Ident.AskBoth(tx, *p, ident.Request{Action: c.action(), Resource: resource, Alias: c.Alias, Domain: m.Domain, Project: m.Project, Late: late, Enterprise: shown(m.EnterpriseProject)}, own)
	if err != nil {
		return err
	}
	if dec.Allowed {
		return nil
	}
	if c.decision, err = d.Ident.Note(tx, dec, resource, m.Domain, d.Ident.FactsOf(late(), *p)); err != nil {
		return err
	}
	if p.Nobody() {
		return fail.New(fail.Denied, "anonymous requests may not do this here").Then("sign the request")
	}
	return d.denied(c, dec.Reason)
}

// Refused records a refusal that Within gave, in the audit log of the row's domain. Nobody's are left out: whoever can
// reach the cloud could fill the log with them.
func (d *Door) Refused(ctx context.Context, c *Call, row kind.AnyRow, err error) error {
	if c.Principal.Nobody() || row == nil {
		return err
	}
	return d.refused(ctx, c, scope{domain: row.M().Domain, project: row.M().Project}, err)
}
