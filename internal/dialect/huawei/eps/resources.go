package eps

import (
	"cmp"
	"net/http"
	"strings"

	"github.com/awancloud/awan/internal/dialect/huawei/resources"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// target checks the enterprise project in the path, which the caller must see.
func target(x *wire.Exchange) (string, error) {
	ep := x.Param("enterprise_project_id")
	if ep == ident.DefaultEnterprise {
		return ep, ask(x, call.Get)
	}
	r, err := wire.Get(x, x.API.Kinds.Enterprise, ep)
	if err != nil {
		return "", err
	}
	return string(r.ID), nil
}

// filter lists the resources of an enterprise project.
func filter(x *wire.Exchange) error {
	ep, err := target(x)
	if err != nil {
		return err
	}
	var b struct {
		Projects []string `json:"projects"`
		Types    []string `json:"resource_types"`
		Offset   int      `json:"offset"`
		Limit    int      `json:"limit"`
		Matches  []struct {
			Key   string `json:"key"`
			Value string `json:"value"`
		} `json:"matches"`
	}
	if err := x.Plain(&b); err != nil {
		return err
	}
	f := kind.Filter{Enterprise: ep}
	for _, m := range b.Matches {
		match, key, value := f.Where, m.Key, m.Value
		if key != "resource_name" && key != "resource_id" {
			return fail.Field("matches.key", "%q is neither resource_name nor resource_id", key)
		}
		f.Where = func(r kind.AnyRow) bool {
			is := string(r.M().ID)
			if key == "resource_name" {
				is = r.M().Name
			}
			return strings.Contains(is, value) && (match == nil || match(r))
		}
	}
	found, refused, err := resources.Search(x, b.Projects, b.Types, f)
	if err != nil {
		return err
	}
	from, to := resources.Slice(len(found), b.Offset, b.Limit, 1000)
	items := make([]any, 0, to-from)
	for _, r := range found[from:to] {
		m := r.Row.M()
		items = append(items, map[string]any{"enterprise_project_id": cmp.Or(string(m.EnterpriseProject), ident.DefaultEnterprise),
			"project_id": m.Project, "project_name": r.Project, "resource_id": m.ID, "resource_name": m.Name, "resource_type": resources.TypeOf(r.Kind),
			"resource_detail": nil})
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"resources": items, "errors": refused, "total_count": len(found)})
	return nil
}

// migrate moves a resource into an enterprise project.
func migrate(x *wire.Exchange) error {
	ep, err := target(x)
	if err != nil {
		return err
	}
	var b struct {
		Region     string `json:"region_id"`
		Project    string `json:"project_id"`
		Resource   string `json:"resource_id"`
		Type       string `json:"resource_type"`
		Associated bool   `json:"associated"`
	}
	if err := x.Plain(&b); err != nil {
		return err
	}
	if b.Region != "" && b.Region != x.API.Region {
		return fail.Field("region_id", "there is no region %q", b.Region).Then("this cloud has one, %s", x.API.Region)
	}
	k, err := resources.Kind(x, "resource_type", b.Type)
	if err != nil {
		return err
	}
	_, err = x.Do(k, call.Update, b.Resource, func(c *call.Call) {
		resources.In(c, b.Project)
		c.EnterpriseProject = &ep
	})
	if err != nil {
		return err
	}
	return x.NoContent()
}

// associated tells which resources move along with one: here each moves alone.
func associated(x *wire.Exchange) error {
	k, r, err := resources.Get(x, x.Query("resource_type"), x.Query("project_id"), x.Param("resource_id"))
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"id": r.M().ID, "name": r.M().Name, "type": resources.TypeOf(k), "associated_resources": []any{}, "errors": []any{}})
	return nil
}

// quotas counts the enterprise projects; there is no limit to them.
func quotas(x *wire.Exchange) error {
	rows, _, err := wire.Rows(x, x.API.Kinds.Enterprise, "", kind.Filter{})
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"quotas": map[string]any{"resources": []any{
		map[string]any{"type": "enterprise_project", "used": len(rows) + 1, "quota": -1}}}})
	return nil
}

// configs tells that enterprise projects can be deleted: in a string for the SDK, where the Terraform provider ends at once
// over anything but a boolean.
func configs(x *wire.Exchange) error {
	var yes any = "true"
	if strings.Contains(strings.ToLower(x.R.UserAgent()), "terraform") {
		yes = true
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"support_item": map[string]any{"delete_ep_support": yes}})
	return nil
}

// mapping names the service of each type.
func mapping(x *wire.Exchange) error {
	of := map[string]string{}
	for _, k := range resources.Kinds(x) {
		of[resources.TypeOf(k)] = k.Service
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"resource_mapping": of})
	return nil
}

func providers(x *wire.Exchange) error {
	all := resources.Providers(x, x.Query("provider"))
	offset, err := x.Number("offset", 0, 0, resources.Most)
	if err != nil {
		return err
	}
	limit, err := x.Number("limit", 0, 0, resources.Most)
	if err != nil {
		return err
	}
	from, to := resources.Slice(len(all), offset, limit, 200)
	wire.Write(x.W, http.StatusOK, map[string]any{"providers": all[from:to], "total_count": len(all)})
	return nil
}

func versionView(x *wire.Exchange) map[string]any {
	return map[string]any{"id": "v1.0", "version": "", "min_version": "", "status": "CURRENT", "updated": "2018-06-25T00:00:00Z",
		"links": []any{map[string]string{"rel": "self", "href": x.API.Base(x.R) + "/v1.0/"}}}
}

func versions(x *wire.Exchange) error {
	wire.Write(x.W, http.StatusOK, map[string]any{"versions": []any{versionView(x)}})
	return nil
}

func version(x *wire.Exchange) error { return x.One(http.StatusOK, "version", versionView(x)) }
