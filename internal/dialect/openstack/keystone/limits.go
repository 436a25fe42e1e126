package keystone

import (
	"cmp"
	"net/http"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// RegisteredLimitRow and LimitRow are Keystone's unified limits.
type (
	RegisteredLimitRow = kind.Row[ident.RegisteredLimitSpec, ident.None]
	LimitRow           = kind.Row[ident.LimitSpec, ident.None]
)

const (
	registeredPath = "/v3/registered_limits"
	limitsPath     = "/v3/limits"
)

func (a *API) limitRoutes() []route {
	r, l := a.Kinds.RegisteredLimit.D, a.Kinds.Limit.D
	return []route{
		{Method: "GET", Path: registeredPath, Kind: r, Verb: call.List, Do: listRegistered},
		{Method: "POST", Path: registeredPath, Kind: r, Verb: call.Create, Do: createRegistered},
		{Method: "GET", Path: registeredPath + "/{registered_limit_id}", Kind: r, Verb: call.Get, Do: showRegistered},
		{Method: "PATCH", Path: registeredPath + "/{registered_limit_id}", Kind: r, Verb: call.Update, Do: updateRegistered},
		{Method: "DELETE", Path: registeredPath + "/{registered_limit_id}", Kind: r, Verb: call.Delete, Do: drop(r, "registered_limit_id")},
		{Method: "GET", Path: limitsPath, Kind: l, Verb: call.List, Do: listLimits},
		{Method: "POST", Path: limitsPath, Kind: l, Verb: call.Create, Do: createLimits},
		{Method: "GET", Path: limitsPath + "/model", Do: limitModel},
		{Method: "GET", Path: limitsPath + "/{limit_id}", Kind: l, Verb: call.Get, Do: showLimit},
		{Method: "PATCH", Path: limitsPath + "/{limit_id}", Kind: l, Verb: call.Update, Do: updateLimit},
		{Method: "DELETE", Path: limitsPath + "/{limit_id}", Kind: l, Verb: call.Delete, Do: drop(l, "limit_id")},
	}
}

// drop deletes the row that a placeholder names.
func drop(k *kind.Def, param string) func(*exchange) error {
	return func(x *exchange) error {
		if _, err := x.Do(k, call.Delete, x.Param(param), nil); err != nil {
			return err
		}
		return x.NoContent()
	}
}

// limitModel says how limits are kept: each by itself, for projects do not share them.
func limitModel(x *exchange) error {
	return x.One(http.StatusOK, "model", map[string]string{"name": "flat", "description": "Each project and domain has its own limits, else the registered one; none counts what is below it."})
}

// orNull is a text, or null where there is none.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func (x *exchange) registeredView(r *RegisteredLimitRow) any {
	return map[string]any{"id": r.ID, "service_id": r.Spec.Service, "region_id": orNull(r.Spec.Region), "resource_name": r.Spec.Resource,
		"default_limit": r.Spec.Default, "description": r.Spec.Description, "links": x.Self(registeredPath + "/" + string(r.ID))}
}

func (x *exchange) limitView(r *LimitRow) any {
	v := map[string]any{"id": r.ID, "service_id": r.Spec.Service, "region_id": orNull(r.Spec.Region), "resource_name": r.Spec.Resource,
		"resource_limit": r.Spec.Limit, "description": r.Spec.Description, "project_id": orNull(r.Spec.Project), "domain_id": nil, "links": x.Self(limitsPath + "/" + string(r.ID))}
	if r.Spec.Project == "" {
		v["domain_id"] = x.domainID(r.Domain)
	}
	return v
}

// limits tells whether a limit is about what the query asks for.
func (x *exchange) limits(k ident.LimitKey) bool {
	service, region, resource := x.Query("service_id"), x.Query("region_id"), x.Query("resource_name")
	return (service == "" || service == k.Service) && (region == "" || region == k.Region) && (resource == "" || resource == k.Resource)
}

func listRegistered(x *exchange) error {
	return List(&x.Exchange, x.API.Kinds.RegisteredLimit, "registered_limits", "", kind.Filter{}, func(r *RegisteredLimitRow) bool { return x.limits(r.Spec.Key()) }, x.registeredView)
}

func showRegistered(x *exchange) error {
	row, err := wire.Get(&x.Exchange, x.API.Kinds.RegisteredLimit, x.Param("registered_limit_id"))
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "registered_limit", x.registeredView(row))
}

type registeredBody struct {
	Service     *string `json:"service_id"`
	Region      *string `json:"region_id"`
	Resource    *string `json:"resource_name"`
	Default     *int64  `json:"default_limit"`
	Description *string `json:"description"`
}

// spec checks that the service is in the catalog. A region may be one that only the service knows.
func (b *registeredBody) spec(x *exchange) (wire.Spec, error) {
	s := wire.Spec{}
	wire.Set(s, "service", b.Service)
	wire.Set(s, "region", b.Region)
	wire.Set(s, "resource", b.Resource)
	wire.Set(s, "default", b.Default)
	wire.Set(s, "description", b.Description)
	return s, x.listedService(b.Service)
}

func (x *exchange) listedService(service *string) error {
	if service == nil {
		return nil
	}
	all, err := x.allServices()
	for _, s := range all {
		if s.ID == *service {
			return nil
		}
	}
	return cmp.Or(err, error(fail.Field("service_id", "there is no service %q", *service).Then("see GET /v3/services")))
}

// batch makes several rows, or none: where one is refused, those before it are taken away again.
func (x *exchange) batch(k *kind.Def, n int, make func(i int) (domain string, s wire.Spec, err error)) ([]kind.AnyRow, error) {
	c := x.Call
	c.Domain = x.domain(nil)
	if _, _, err := x.API.Door.Permit(x.R.Context(), &c, k, call.Create, "*"); err != nil {
		return nil, err
	}
	var rows []kind.AnyRow
	for i := range n {
		domain, s, err := make(i)
		if err == nil {
			var row kind.AnyRow
			if row, err = x.Do(k, call.Create, "", func(c *call.Call) { c.Domain, c.Spec = domain, s.JSON() }); err == nil {
				rows = append(rows, row)
				continue
			}
		}
		for _, r := range rows {
			if _, undone := x.Do(k, call.Delete, string(r.M().ID), func(c *call.Call) { c.Domain = string(r.M().Domain) }); undone != nil {
				return nil, fail.Wrap(undone, fail.Internal, "what was made before the entry that is wrong could not be taken away")
			}
		}
		return nil, err
	}
	return rows, nil
}

func createRegistered(x *exchange) error {
	var all []registeredBody
	if err := x.list("registered_limits", &all); err != nil {
		return err
	}
	rows, err := x.batch(x.API.Kinds.RegisteredLimit.D, len(all), func(i int) (string, wire.Spec, error) {
		s, err := all[i].spec(x)
		return "", s, err
	})
	if err != nil {
		return err
	}
	items := []any{}
	for _, r := range rows {
		items = append(items, x.registeredView(r.(*RegisteredLimitRow)))
	}
	return x.One(http.StatusCreated, "registered_limits", items)
}

func updateRegistered(x *exchange) error {
	var b registeredBody
	if err := x.Body("registered_limit", &b); err != nil {
		return err
	}
	s, err := b.spec(x)
	if err != nil {
		return err
	}
	row, err := x.Do(x.API.Kinds.RegisteredLimit.D, call.Update, x.Param("registered_limit_id"), func(c *call.Call) { c.Spec = s.JSON() })
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "registered_limit", x.registeredView(row.(*RegisteredLimitRow)))
}

func listLimits(x *exchange) error {
	domain, f := x.domain(nil), kind.Filter{}
	if p := x.Query("project_id"); p != "" {
		row, err := wire.Get(&x.Exchange, x.API.Kinds.Project, p)
		if err != nil {
			return err
		}
		domain, f.Index, f.Value = string(row.Domain), "project", string(row.ID)
	}
	return List(&x.Exchange, x.API.Kinds.Limit, "limits", domain, f, func(r *LimitRow) bool { return x.limits(r.Spec.Key()) }, x.limitView)
}

func showLimit(x *exchange) error {
	row, err := wire.Get(&x.Exchange, x.API.Kinds.Limit, x.Param("limit_id"))
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "limit", x.limitView(row))
}

type limitBody struct {
	Service     *string `json:"service_id"`
	Region      *string `json:"region_id"`
	Resource    *string `json:"resource_name"`
	Limit       *int64  `json:"resource_limit"`
	Description *string `json:"description"`
	Project     *string `json:"project_id"`
	Domain      *string `json:"domain_id"`
}

func createLimits(x *exchange) error {
	var all []limitBody
	if err := x.list("limits", &all); err != nil {
		return err
	}
	rows, err := x.batch(x.API.Kinds.Limit.D, len(all), func(i int) (string, wire.Spec, error) {
		b, s, domain := all[i], wire.Spec{}, ""
		wire.Set(s, "service", b.Service)
		wire.Set(s, "region", b.Region)
		wire.Set(s, "resource", b.Resource)
		wire.Set(s, "limit", b.Limit)
		wire.Set(s, "description", b.Description)
		if b.Project != nil {
			row, err := wire.Get(&x.Exchange, x.API.Kinds.Project, *b.Project)
			if err != nil {
				return "", nil, err
			}
			domain, s["project"] = string(row.Domain), string(row.ID)
		} else if b.Domain != nil {
			domain = x.domain(b.Domain)
		} else {
			return "", nil, fail.Field("limits", "say project_id or domain_id")
		}
		return domain, s, x.listedService(b.Service)
	})
	if err != nil {
		return err
	}
	items := []any{}
	for _, r := range rows {
		items = append(items, x.limitView(r.(*LimitRow)))
	}
	return x.One(http.StatusCreated, "limits", items)
}

func updateLimit(x *exchange) error {
	var b struct {
		Limit       *int64  `json:"resource_limit"`
		Description *string `json:"description"`
	}
	if err := x.Body("limit", &b); err != nil {
		return err
	}
	s := wire.Spec{}
	wire.Set(s, "limit", b.Limit)
	wire.Set(s, "description", b.Description)
	row, err := x.Do(x.API.Kinds.Limit.D, call.Update, x.Param("limit_id"), func(c *call.Call) { c.Spec = s.JSON() })
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "limit", x.limitView(row.(*LimitRow)))
}
