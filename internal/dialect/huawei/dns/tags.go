package dns

import (
	"net/http"
	"strings"

	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/dns"
)

// tagsAsked reads tags=key,value|key,value.
func tagsAsked(x *exchange) map[string]string {
	out := map[string]string{}
	for _, t := range strings.Split(x.Query("tags"), "|") {
		if k, v, _ := strings.Cut(t, ","); k != "" {
			out[k] = v
		}
	}
	return out
}

// tagRoutes are one set of paths for each type of resource.
func (a *API) tagRoutes() (out []route) {
	for _, t := range []struct {
		of, param string
		k         *kind.Def
	}{
		{"DNS-public_zone", "zone_id", a.dns.Zone.D}, {"DNS-private_zone", "zone_id", a.dns.Zone.D},
		{"DNS-public_recordset", "recordset_id", a.dns.Record.D}, {"DNS-private_recordset", "recordset_id", a.dns.Record.D},
	} {
		all := "/v2/{project_id}/" + t.of + "/{" + t.param + "}/tags"
		typ := dns.Public
		if strings.Contains(t.of, "private") {
			typ = dns.Private
		}
		at := func(do func(*exchange) error) func(*exchange) error {
			return func(x *exchange) error {
				if err := of(x, t.k, x.Param(t.param), typ); err != nil {
					return err
				}
				return do(x)
			}
		}
		out = append(out,
			route{Method: "GET", Path: all, Kind: t.k, Verb: call.Get, Do: at(rest.ShowTags(t.k, t.param))},
			route{Method: "POST", Path: all, Kind: t.k, Verb: call.Update, Do: at(rest.AddTag(t.k, t.param))},
			route{Method: "POST", Path: all + "/action", Kind: t.k, Verb: call.Update, Do: at(rest.ActOnTags(t.k, t.param))},
			route{Method: "DELETE", Path: all + "/{key}", Kind: t.k, Verb: call.Update, Do: at(rest.RemoveTag(t.k, t.param))})
	}
	return out
}

// of refuses a resource that is not of the type in the path.
func of(x *exchange, k *kind.Def, target, typ string) error {
	r, err := x.Do(k, call.Get, target, nil)
	if err != nil {
		return err
	}
	is := typ
	switch r := r.(type) {
	case *zoneRow:
		is = r.Spec.Type
	case *recordRow:
		is = r.Status.ZoneType
	}
	if is != typ {
		return fail.New(fail.NotFound, "there is no %s %s %s", typ, k.Name, target)
	}
	return nil
}

// generalRoutes are what is about no zone.
func (a *API) generalRoutes() []route {
	k := a.dns.Zone.D
	return []route{
		{Method: "GET", Path: "/v2/nameservers", Do: a.nameServers},
		{Method: "GET", Path: "/v2.1/system-lines", Do: a.lines},
		{Method: "GET", Path: "/v2.1/zones/{zone_id}/lines", Kind: k, Verb: call.Get, Do: a.zoneLines},
		{Method: "GET", Path: "/v2/quotamg/dns/quotas", Kind: k, Verb: call.List, Do: a.quotas},
	}
}

func (a *API) nameServers(x *exchange) error {
	records := []any{}
	for i, n := range a.dns.NameServers {
		records = append(records, map[string]any{"hostname": n + ".", "priority": i + 1})
	}
	typ := x.Query("type")
	if typ != "" && typ != dns.Public && typ != dns.Private {
		return fail.Field("type", "%q is neither public nor private", typ)
	}
	region := x.Query("region")
	if region != "" && region != a.Region {
		return fail.Field("region", "there is no region %q", region).Then("this cloud has one, %s", a.Region)
	}
	items := []any{}
	if typ != dns.Public { // of a region clients want the resolvers, whose addresses they give to their subnets
		items = append(items, map[string]any{"type": dns.Private, "region": a.Region, "ns_records": []any{map[string]any{"address": dns.Resolver, "priority": 1}}})
	}
	if typ != dns.Private && region == "" {
		items = append(items, map[string]any{"type": dns.Public, "region": "", "ns_records": records})
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"nameservers": items})
	return nil
}

func (a *API) lines(x *exchange) error {
	wire.Write(x.W, http.StatusOK, map[string]any{"lines": []any{map[string]any{"id": defaultLine, "name": "default", "father_id": ""}}, "metadata": map[string]int{"total_count": 1}})
	return nil
}

func (a *API) zoneLines(x *exchange) error {
	if _, err := a.zone(x); err != nil {
		return err
	}
	return a.lines(x)
}

// quotas tells the project's limits and what is used; zones of both types count together.
func (a *API) quotas(x *exchange) error {
	c := x.Call
	all, err := a.Door.Quotas(x.R.Context(), &c)
	if err != nil {
		return err
	}
	items := []any{}
	for _, q := range all {
		for _, key := range map[string][]string{"dns.zones": {"zone", "private_zone"}, "dns.record-sets": {"record_set"}}[string(q.Dim)] {
			items = append(items, map[string]any{"quota_key": key, "quota_limit": q.Limit, "used": q.Used, "unit": "count"})
		}
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"quotas": items})
	return nil
}
