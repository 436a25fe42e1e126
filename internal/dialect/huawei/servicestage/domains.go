package servicestage

import (
	"net"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/access"
)

type domainRow = kind.Row[access.DomainSpec, access.DomainStatus]

// hosts are the names of a client's own that its external accesses give: neither addresses nor names of the cloud.
func (a *API) hosts(accesses *[]entrance) []string {
	out := []string{}
	if accesses == nil {
		return out
	}
	for _, e := range *accesses {
		host := strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(e.Address, "https://"), "http://"), "/"))
		if host != "" && net.ParseIP(host) == nil && !a.Access.Reserved(host) && !slices.Contains(out, host) {
			out = append(out, host)
		}
	}
	return out
}

// said are the hosts that the words kept with a component name.
func (a *API) said(foreign string) []string {
	var b struct {
		Accesses *[]entrance `json:"external_accesses"`
	}
	recall(foreign, &b)
	return a.hosts(b.Accesses)
}

// ever are the hosts that a component's words name, now or in an earlier release of it.
func (a *API) ever(x *exchange, r *componentRow) ([]string, error) {
	out := a.said(r.Spec.Foreign)
	rows, err := a.releases(x, r)
	for _, rel := range rows {
		out = append(out, a.said(rel.Spec.Foreign)...)
	}
	return out, err
}

// settle makes the hosts that a component's words name lead to it, and no others that they ever named or
// named before the last change.
func (a *API) settle(x *exchange, component id.ID, was []string) error {
	r, err := wire.Get(x, a.App.Component, string(component))
	if err != nil {
		return err
	}
	before, err := a.ever(x, r)
	if err != nil {
		return err
	}
	if err := a.take(x, r.ID, a.said(r.Spec.Foreign)); err != nil {
		return err
	}
	return a.release(x, r.ID, append(before, was...), a.said(r.Spec.Foreign))
}

// domainOf finds a host's row, if it is one of the project's that leads to the component.
func (a *API) domainOf(x *exchange, host string, component id.ID) (*domainRow, error) {
	r, err := wire.Get(x, a.Access.Domain, host)
	if fail.Is(err, fail.NotFound) {
		return nil, nil
	}
	if err != nil || r.Spec.Component == string(component) {
		return r, err
	}
	c, err := wire.Get(x, a.App.Component, r.Spec.Component) // it may be named by its name
	switch {
	case fail.Is(err, fail.NotFound): // a name that leads nowhere any more
		return r, nil
	case err != nil || c.ID != component:
		return nil, err
	}
	return r, nil
}

// take makes hosts lead to a component. A host that does so already stays as it is.
func (a *API) take(x *exchange, component id.ID, hosts []string) error {
	for i, host := range hosts {
		r, err := a.domainOf(x, host, component)
		if err != nil {
			return err
		}
		if r != nil {
			continue
		}
		_, err = x.Do(a.Access.Domain.D, call.Create, "", func(c *call.Call) { c.Name, c.Spec = &host, wire.Spec{"component": component}.JSON() })
		if e := fail.From(err); err != nil && e.Kind == fail.Invalid {
			return fail.Field("external_accesses["+itoa(i)+"].address", "%s", e.Message).Then("%s", e.Next)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// release takes hosts away from a component that are among none of the others.
func (a *API) release(x *exchange, component id.ID, hosts, but []string) error {
	for _, host := range hosts {
		if slices.Contains(but, host) {
			continue
		}
		r, err := a.domainOf(x, host, component)
		if err != nil {
			return err
		}
		if r == nil {
			continue
		}
		if _, err := x.Do(a.Access.Domain.D, call.Delete, string(r.ID), nil); err != nil && !fail.Is(err, fail.NotFound) {
			return err
		}
	}
	return nil
}
