package swr

import (
	"encoding/base64"
	"net/http"
	"time"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/registry"
)

func (a *API) accountRoutes() []wire.Route {
	k := a.o.Kinds.Repository.D
	return []wire.Route{
		{Method: "POST", Path: "/v2/manage/utils/secret", Do: a.logIn},
		{Method: "POST", Path: "/v2/manage/utils/authorizationtoken", Do: a.logIn},
		{Method: "GET", Path: "/v2/manage/projects/{project_id}/quotas", Kind: a.o.Kinds.Organization.D, Verb: call.List, Do: a.quotas},
		{Method: "GET", Path: "/v2/manage/projects/{project_id}/feature-gates", Kind: k, Verb: call.List, Do: a.features},
		{Method: "GET", Path: "/v2/manage/agency", Kind: a.o.Delivery.Trigger.D, Verb: call.List, Do: a.agency},
		{Method: "POST", Path: "/v2/manage/agency", Kind: a.o.Delivery.Trigger.D, Verb: call.List, Do: a.createAgency},
		{Method: "GET", Path: "/v2/manage/overview", Kind: k, Verb: call.List, Do: a.overview},
	}
}

// loginLife is how long a temporary log-in holds, as SWR has it.
const loginLife = 24 * time.Hour

// logIn makes a log-in for docker that ends by itself: a token of the caller.
func (a *API) logIn(x *wire.Exchange) error {
	t := ident.TokenFor(x.Who, x.Who.Project, "registry") // it may what the caller may, no more
	t.Expires = x.Who.Expires
	text, t, err := x.API.Door.Ident.IssueToken(x.R.Context(), t, loginLife)
	if err != nil {
		return err
	}
	host, user := a.o.Host(x.R), a.API.Region+"@token"
	h := x.W.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Swr-Dockerlogin", "docker login -u "+user+" -p "+text+" "+host)
	h.Set("X-Swr-Expireat", t.Expires.UTC().Format(time.RFC3339))
	wire.Write(x.W, http.StatusOK, map[string]any{"auths": map[string]any{host: map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(user + ":" + text))}}})
	return nil
}

// quotas shows what SWR counts: organisations, and what this cloud counts beside.
func (a *API) quotas(x *wire.Exchange) error {
	x.Call.Project = x.Param("project_id")
	if _, _, err := wire.Rows(x, a.o.Kinds.Organization, "", kind.Filter{Limit: 1}); err != nil {
		return err
	}
	c := x.Call
	all, err := x.API.Door.Quotas(x.R.Context(), &c)
	if err != nil {
		return err
	}
	items := []any{}
	for _, q := range all {
		switch q.Dim {
		case "registry.organizations":
			items = append(items, map[string]any{"quota_key": "namespace", "quota_limit": q.Limit, "used": q.Used, "unit": ""})
		case registry.Storage:
			items = append(items, map[string]any{"quota_key": "storage", "quota_limit": q.Limit, "used": q.Used, "unit": "MiB"})
		}
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"quotas": items})
	return nil
}

func (a *API) overview(x *wire.Exchange) error {
	rows, _, err := wire.Rows(x, a.o.Kinds.Repository, "", kind.Filter{})
	if err != nil {
		return err
	}
	spaces, _, err := wire.Rows(x, a.o.Kinds.Organization, "", kind.Filter{})
	if err != nil {
		return err
	}
	images, bytes := 0, int64(0)
	for _, r := range rows {
		images += r.Status.Tags
		bytes += r.Status.Bytes
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"domain_id": x.Who.Domain, "domain_name": x.Who.DomainName, "namspace_num": len(spaces),
		"repo_num": len(rows), "image_num": images, "store_space": float64(bytes), "downflow_size": 0})
	return nil
}

// features tells what of SWR's is here.
func (a *API) features(x *wire.Exchange) error {
	x.Call.Project = x.Param("project_id")
	if _, _, err := wire.Rows(x, a.o.Kinds.Repository, "", kind.Filter{Limit: 1}); err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, map[string]bool{"enable_experience": false, "enable_hss_service": false, "enable_image_scan": true, "enable_sm3": false,
		"enable_image_sync": true, "enable_cci_service": false, "enable_image_label": false, "enable_pipeline": false, "enable_authorization_token": true,
		"enable_resource": false, "enable_list_v3": true, "enable_image_quota": true})
	return nil
}

// agency tells whether the registry may release to the account's workloads: here it may what who made a trigger may, and
// needs no leave beside that.
func (a *API) agency(x *wire.Exchange) error {
	if _, _, err := wire.Rows(x, a.o.Delivery.Trigger, "", kind.Filter{Limit: 1}); err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"domain_id": x.Who.Domain, "is_agency": true})
	return nil
}

func (a *API) createAgency(x *wire.Exchange) error {
	if _, _, err := wire.Rows(x, a.o.Delivery.Trigger, "", kind.Filter{Limit: 1}); err != nil {
		return err
	}
	return fail.New(fail.Exists, "the registry needs no agency here: a trigger may what who made it may")
}
