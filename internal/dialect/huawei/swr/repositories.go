package swr

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/registry"
)

func (a *API) repositoryRoutes() []wire.Route {
	k, all := a.o.Kinds.Repository.D, "/v2/manage/namespaces/{namespace}/repos"
	one := all + "/{repository}"
	return []wire.Route{
		{Method: "POST", Path: all, Kind: k, Verb: call.Create, Do: a.createRepository},
		{Method: "GET", Path: one, Kind: k, Verb: call.Get, Do: a.showRepository},
		{Method: "PATCH", Path: one, Kind: k, Verb: call.Update, Do: a.updateRepository},
		{Method: "DELETE", Path: one, Kind: k, Verb: call.Delete, Do: a.deleteRepository},
		{Method: "GET", Path: "/v2/manage/repos", Kind: k, Verb: call.List, Do: a.listRepositories},
		{Method: "GET", Path: "/v3/manage/repos", Kind: k, Verb: call.List, Do: a.listRepositories},
		{Method: "GET", Path: one + "/access", Kind: k, Verb: call.Get, Do: a.showRepositoryAccess},
		{Method: "POST", Path: one + "/access", Kind: k, Verb: call.Update, Do: a.grantRepositoryAccess},
		{Method: "PATCH", Path: one + "/access", Kind: k, Verb: call.Update, Do: a.grantRepositoryAccess},
		{Method: "DELETE", Path: one + "/access", Kind: k, Verb: call.Update, Do: a.revokeRepositoryAccess},
	}
}

// name is the repository that the path of a request names: "$" stands for a slash within a segment.
func name(x *wire.Exchange) string {
	ns, n := x.Param("namespace"), strings.ReplaceAll(x.Param("repository"), "$", "/")
	if _, own := id.Parse(ns); own && !strings.Contains(n, "/") {
		return n // the project's own organisation
	}
	return ns + "/" + n
}

func (a *API) repository(x *wire.Exchange) (*registry.RepositoryRow, error) {
	return wire.Get(x, a.o.Kinds.Repository, name(x))
}

// short is a repository's name within its namespace.
func short(r *registry.RepositoryRow) (namespace, name string) {
	namespace, name, _ = strings.Cut(r.Status.Path, "/")
	return namespace, name
}

func category(r *registry.RepositoryRow) string {
	if r.Spec.Category == "arm" {
		return "arms" // as the API writes it
	}
	return r.Spec.Category
}

func (a *API) repositoryView(x *wire.Exchange, r *registry.RepositoryRow) map[string]any {
	ns, n := short(r)
	return map[string]any{"id": Number(r.ID), "ns_id": 0, "name": n, "namespace": ns, "namespace_name": ns, "category": category(r), "description": r.Spec.Description,
		"creator_id": "", "creator_name": r.CreatedBy, "size": r.Status.Bytes, "is_public": r.Spec.Public, "num_images": r.Status.Tags, "num_download": 0,
		"url": "", "logo": "", "path": a.o.Host(x.R) + "/" + r.Status.Path, "internal_path": a.o.Host(x.R) + "/" + r.Status.Path, "domain_id": r.Domain,
		"domain_name": x.Who.DomainName, "created": stamp(r.Created), "updated": stamp(r.Updated), "created_at": stamp(r.Created), "updated_at": stamp(r.Updated),
		"priority": 0, "status": false}
}

type repositoryBody struct {
	Repository  string  `json:"repository"`
	IsPublic    *bool   `json:"is_public"`
	Category    *string `json:"category"`
	Description *string `json:"description"`
}

func (b *repositoryBody) spec() wire.Spec {
	s := wire.Spec{}
	wire.Set(s, "public", b.IsPublic)
	wire.Set(s, "description", b.Description)
	if b.Category != nil && *b.Category != "" {
		s["category"] = strings.Replace(*b.Category, "arms", "arm", 1)
	}
	return s
}

func (a *API) createRepository(x *wire.Exchange) error {
	var b repositoryBody
	if err := body(x, &b); err != nil {
		return err
	}
	ns := x.Param("namespace")
	full := ns + "/" + b.Repository
	if _, own := id.Parse(ns); own {
		full = b.Repository
	} else if _, err := a.namespace(x); err != nil {
		return err
	}
	_, err := x.Do(a.o.Kinds.Repository.D, call.Create, "", func(c *call.Call) { c.Name, c.Spec = &full, b.spec().JSON() })
	if err != nil {
		if e := fail.From(err); e.Kind == fail.Invalid && e.Field == "name" && strings.HasPrefix(e.Message, "there is no organisation") {
			return &fail.Error{Kind: fail.NotFound, Message: e.Message, Next: e.Next, Cause: err}
		}
		return err
	}
	return created(x)
}

func (a *API) showRepository(x *wire.Exchange) error {
	r, err := a.repository(x)
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, a.repositoryView(x, r))
	return nil
}

func (a *API) updateRepository(x *wire.Exchange) error {
	var b repositoryBody
	if err := body(x, &b); err != nil {
		return err
	}
	if _, err := x.Do(a.o.Kinds.Repository.D, call.Update, name(x), func(c *call.Call) { c.Spec = b.spec().JSON() }); err != nil {
		return err
	}
	return created(x)
}

func (a *API) deleteRepository(x *wire.Exchange) error {
	c := x.Call
	c.Kind, c.Verb, c.Target = a.o.Kinds.Repository.D, call.Delete, name(x)
	if _, err := do(x, c); err != nil {
		return err
	}
	return x.NoContent()
}

// filters reads SWR's filter=key::value|key::value, and the same keys as parameters of their own.
func filters(x *wire.Exchange) map[string]string {
	out := map[string]string{}
	for _, part := range strings.Split(x.Query("filter"), "|") {
		if k, v, ok := strings.Cut(part, "::"); ok {
			out[k] = v
		}
	}
	for k, v := range x.R.URL.Query() {
		if _, there := out[k]; !there && k != "filter" && len(v) > 0 {
			out[k] = v[0]
		}
	}
	return out
}

// window gives the part of n entries that offset and limit ask for.
func window(f map[string]string, n int) (from, to int, err error) {
	to = n
	if s := cmp.Or(f["offset"], f["marker"]); s != "" {
		if from, err = strconv.Atoi(s); err != nil || from < 0 {
			return 0, 0, fail.Field("offset", "%q is not a number", s)
		}
	}
	if s := f["limit"]; s != "" {
		limit, err := strconv.Atoi(s)
		if err != nil || limit < -1 {
			return 0, 0, fail.Field("limit", "%q is not a number", s)
		}
		if limit > 0 {
			to = min(n, from+limit)
		}
	}
	return min(from, to), to, nil
}

func (a *API) listRepositories(x *wire.Exchange) error {
	f := filters(x)
	rows, _, err := wire.Rows(x, a.o.Kinds.Repository, "", kind.Filter{Where: func(r kind.AnyRow) bool {
		row := r.(*registry.RepositoryRow)
		ns, n := short(row)
		fits := func(key, have string, exact bool) bool {
			want := f[key]
			return want == "" || want == have || !exact && strings.Contains(have, want)
		}
		return fits("namespace", ns, true) && fits("name", n, false) && fits("category", category(row), true) &&
			fits("is_public", strconv.FormatBool(row.Spec.Public), true)
	}})
	if err != nil {
		return err
	}
	from, to, err := window(f, len(rows))
	if err != nil {
		return err
	}
	items := make([]any, 0, to-from)
	for _, r := range rows[from:to] {
		v := a.repositoryView(x, r)
		v["total_range"] = len(rows)
		tags := []string{}
		images, err := a.o.Kinds.Listed(x.R.Context(), r)
		if err != nil {
			return err
		}
		for _, im := range images {
			tags = append(tags, im.Tag)
		}
		v["tags"] = tags
		items = append(items, v)
	}
	x.W.Header().Set("Content-Range", strconv.Itoa(from)+"-"+strconv.Itoa(max(from, to-1))+"/"+strconv.Itoa(len(rows)))
	writeRepositories(x, items, to, len(rows))
	return nil
}

// writeRepositories writes a page that ends before the entry to of n, in the form of the version that was asked.
func writeRepositories(x *wire.Exchange, items []any, to, n int) {
	if strings.HasPrefix(x.R.URL.Path, "/v3/") {
		page := map[string]any{"repos": items}
		if to < n {
			page["nextMarker"] = to
		}
		wire.Write(x.W, http.StatusOK, page)
		return
	}
	wire.Write(x.W, http.StatusOK, items)
}

func (a *API) showRepositoryAccess(x *wire.Exchange) error {
	r, err := a.repository(x)
	if err != nil {
		return err
	}
	v := accessView(x, &r.Meta, r.Spec.Members)
	_, v["name"] = short(r)
	wire.Write(x.W, http.StatusOK, v)
	return nil
}

func (a *API) changeRepositoryMembers(x *wire.Exchange, read func(*wire.Exchange) (map[string]any, error)) error {
	return a.patchMembers(x, a.o.Kinds.Repository.D, name(x), read)
}

func (a *API) grantRepositoryAccess(x *wire.Exchange) error {
	if err := a.changeRepositoryMembers(x, grants); err != nil {
		return err
	}
	return created(x)
}

func (a *API) revokeRepositoryAccess(x *wire.Exchange) error {
	if err := a.changeRepositoryMembers(x, revoked); err != nil {
		return err
	}
	return x.NoContent()
}
