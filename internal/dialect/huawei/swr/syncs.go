package swr

import (
	"net/http"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/delivery"
)

// syncRoutes copy images to other regions. This cloud is one; its project's remote registries are the others.
func (a *API) syncRoutes() []wire.Route {
	k, one := a.o.Delivery.Sync.D, "/v2/manage/namespaces/{namespace}/repos/{repository}"
	return []wire.Route{
		{Method: "POST", Path: one + "/sync_repo", Kind: k, Verb: call.Create, Do: a.createSync},
		{Method: "GET", Path: one + "/sync_repo", Kind: k, Verb: call.List, Do: a.listSyncs},
		{Method: "DELETE", Path: one + "/sync_repo", Kind: k, Verb: call.Delete, Do: a.deleteSync},
		{Method: "POST", Path: one + "/sync_images", Kind: k, Verb: "run", Do: a.runSync},
		{Method: "GET", Path: one + "/sync_job", Kind: k, Verb: call.List, Do: a.listSyncJobs},
		{Method: "GET", Path: "/v2/manage/regions", Kind: a.o.Delivery.Remote.D, Verb: call.List, Do: a.listRegions},
	}
}

type syncBody struct {
	Region    string   `json:"remoteRegionId"`
	Namespace string   `json:"remoteNamespace"`
	Auto      bool     `json:"syncAuto"`
	Override  bool     `json:"override"`
	Tags      []string `json:"imageTag"`
}

// place is the remote registry that the body's region names; "" is this cloud's own.
func (b *syncBody) place(region string) (string, error) {
	switch b.Region {
	case "":
		return "", fail.Field("remoteRegionId", "is missing").Then("GET /v2/manage/regions lists those there are")
	case region:
		return "", nil
	}
	return b.Region, nil
}

// syncs lists those of the repository in the path, which must be there, with the names of the regions they go to.
func (a *API) syncs(x *wire.Exchange) ([]*delivery.SyncRow, map[string]string, error) {
	rows, _, err := wire.Rows(x, a.o.Delivery.Sync, "", kind.Filter{Index: "repository", Value: name(x)})
	if err == nil && len(rows) == 0 {
		_, err = a.repository(x)
	}
	if err != nil {
		return nil, nil, err
	}
	remotes, _, err := wire.Rows(x, a.o.Delivery.Remote, "", kind.Filter{})
	names := map[string]string{"": a.API.Region}
	for _, r := range remotes {
		names[string(r.ID)] = r.Name
	}
	return rows, names, err
}

// find gives the sync to a region and organisation; nil when there is none.
func (a *API) find(x *wire.Exchange, b *syncBody) (*delivery.SyncRow, error) {
	rows, names, err := a.syncs(x)
	for _, r := range rows {
		if names[r.Spec.Remote] == b.Region && r.Spec.Organization == b.Namespace {
			return r, err
		}
	}
	return nil, err
}

// ensure gives the sync that the body names; it makes one where there is none.
func (a *API) ensure(x *wire.Exchange, b *syncBody) (*delivery.SyncRow, error) {
	remote, err := b.place(a.API.Region)
	if err != nil {
		return nil, err
	}
	row, err := a.find(x, b)
	if row != nil || err != nil {
		return row, err
	}
	spec := wire.Spec{"repository": name(x), "remote": remote, "organization": b.Namespace, "auto": b.Auto, "override": b.Override}
	made, err := x.Do(a.o.Delivery.Sync.D, call.Create, "", func(c *call.Call) { c.Spec = spec.JSON() })
	if err != nil {
		return nil, renamed(err)
	}
	return made.(*delivery.SyncRow), nil
}

// renamed names the fields as this API does.
func renamed(err error) error {
	e := *fail.From(err)
	for ours, theirs := range map[string]string{"spec.remote": "remoteRegionId", "spec.organization": "remoteNamespace"} {
		if e.Field == ours {
			e.Field = theirs
		}
	}
	return &e
}

func (a *API) createSync(x *wire.Exchange) error {
	var b syncBody
	if err := body(x, &b); err != nil {
		return err
	}
	if _, err := a.repository(x); err != nil {
		return err
	}
	if !b.Auto {
		return rest.Refuse(x, a.o.Delivery.Sync.D, call.Create, "*", fail.Field("syncAuto", "must be true").Then("POST …/sync_images copies single tags"))
	}
	row, err := a.ensure(x, &b)
	if err != nil {
		return err
	}
	spec := wire.Spec{"auto": true, "override": b.Override} // one that was made for single tags becomes automatic
	if _, err := x.Do(a.o.Delivery.Sync.D, call.Update, string(row.ID), func(c *call.Call) { c.Spec = spec.JSON() }); err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, struct{}{})
	return nil
}

func (a *API) runSync(x *wire.Exchange) error {
	var b syncBody
	if err := body(x, &b); err != nil {
		return err
	}
	if _, err := a.repository(x); err != nil {
		return err
	}
	if len(b.Tags) == 0 {
		return rest.Refuse(x, a.o.Delivery.Sync.D, "run", "*", fail.Field("imageTag", "is empty").Then("name the tags to copy"))
	}
	b.Auto = false
	row, err := a.ensure(x, &b)
	if err != nil {
		return err
	}
	c := x.Call
	c.Kind, c.Verb, c.Target, c.In = a.o.Delivery.Sync.D, "run", string(row.ID), wire.Spec{"tags": b.Tags, "override": b.Override}.JSON()
	c.Stream = kind.Stream{Emit: func(any) error { return nil }}
	if _, err := x.API.Door.Do(x.R.Context(), &c); err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, struct{}{})
	return nil
}

func (a *API) syncView(x *wire.Exchange, r *delivery.SyncRow, region string) map[string]any {
	_, repo, _ := strings.Cut(a.full(r), "/")
	return map[string]any{"id": Number(r.ID), "namespace": x.Param("namespace"), "repoName": repo, "remoteRegionId": region, "remoteNamespace": r.Spec.Organization,
		"override": r.Spec.Override, "syncAuto": r.Spec.Auto, "domainID": r.Domain, "domainName": x.Who.DomainName, "createdAt": stamp(r.Created), "updatedAt": stamp(r.Updated)}
}

// full is the whole name of the repository that a sync copies.
func (a *API) full(r *delivery.SyncRow) string {
	if strings.Contains(r.Spec.Repository, "/") {
		return r.Spec.Repository
	}
	return string(r.Project) + "/" + r.Spec.Repository
}

func (a *API) listSyncs(x *wire.Exchange) error {
	rows, names, err := a.syncs(x)
	if err != nil {
		return err
	}
	items := []any{}
	for _, r := range rows {
		if r.Spec.Auto {
			items = append(items, a.syncView(x, r, names[r.Spec.Remote]))
		}
	}
	wire.Write(x.W, http.StatusOK, items)
	return nil
}

func (a *API) deleteSync(x *wire.Exchange) error {
	var b syncBody
	if err := body(x, &b); err != nil {
		return err
	}
	row, err := a.find(x, &b)
	if err != nil {
		return err
	}
	if row == nil {
		return rest.Refuse(x, a.o.Delivery.Sync.D, call.Delete, "*", fail.New(fail.NotFound, "%s is not copied to %s of %s", name(x), b.Namespace, b.Region))
	}
	c := x.Call
	c.Kind, c.Verb, c.Target = a.o.Delivery.Sync.D, call.Delete, string(row.ID)
	if _, err := do(x, c); err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, struct{}{})
	return nil
}

// listSyncJobs lists what was copied of a repository, to wherever, the newest first.
func (a *API) listSyncJobs(x *wire.Exchange) error {
	rows, names, err := a.syncs(x)
	if err != nil {
		return err
	}
	type copied struct {
		row *delivery.SyncRow
		delivery.Copy
	}
	var all []copied
	for _, r := range rows {
		for _, c := range r.Status.Copies {
			all = append(all, copied{r, c})
		}
	}
	f := filters(x)
	slices.SortStableFunc(all, func(l, r copied) int {
		if f["order"] == "asc" {
			l, r = r, l
		}
		return r.Created.Compare(l.Created)
	})
	from, to, err := window(f, len(all))
	if err != nil {
		return err
	}
	items := []any{}
	for _, c := range all[from:to] {
		v := a.syncView(x, c.row, names[c.row.Spec.Remote])
		delete(v, "syncAuto")
		v["id"], v["tag"], v["status"] = Number(id.ID(string(c.row.ID)+c.Tag+c.Created.String())), c.Tag, c.State
		v["syncOperatorId"], v["syncOperatorName"] = "", c.By
		v["createdAt"], v["updatedAt"] = stamp(c.Created), stamp(c.Ended)
		items = append(items, v)
	}
	wire.Write(x.W, http.StatusOK, items)
	return nil
}

// listRegions lists where images can be copied to.
func (a *API) listRegions(x *wire.Exchange) error {
	rows, _, err := wire.Rows(x, a.o.Delivery.Remote, "", kind.Filter{})
	if err != nil {
		return err
	}
	items := []map[string]string{{"regionID": a.API.Region}}
	for _, r := range rows {
		items = append(items, map[string]string{"regionID": r.Name})
	}
	wire.Write(x.W, http.StatusOK, items)
	return nil
}
