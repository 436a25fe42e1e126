package swr

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/registry"
)

func (a *API) shareRoutes() []wire.Route {
	k, all := a.o.Kinds.Repository.D, "/v2/manage/namespaces/{namespace}/repositories/{repository}/access-domains"
	one := all + "/{access_domain}"
	return []wire.Route{
		{Method: "POST", Path: all, Kind: k, Verb: call.Update, Do: a.createShare},
		{Method: "GET", Path: all, Kind: k, Verb: call.Get, Do: a.listShares},
		{Method: "GET", Path: one, Kind: k, Verb: call.Get, Do: a.showShare},
		{Method: "PATCH", Path: one, Kind: k, Verb: call.Update, Do: a.updateShare},
		{Method: "DELETE", Path: one, Kind: k, Verb: call.Update, Do: a.deleteShare},
		{Method: "GET", Path: "/v2/manage/shared-repositories", Kind: k, Verb: call.List, Do: a.listShared},
		{Method: "GET", Path: "/v3/manage/shared-repositories", Kind: k, Verb: call.List, Do: a.listShared},
	}
}

const forever = "forever"

func shareView(r *registry.RepositoryRow, s registry.Share) map[string]any {
	ns, n := short(r)
	deadline := forever
	if !s.Until.IsZero() {
		deadline = stamp(s.Until)
	}
	return map[string]any{"exist": true, "namespace": ns, "organization": ns, "repository": n, "access_domain": s.Domain, "permit": "read", "deadline": deadline,
		"description": s.Description, "creator_id": "", "creator_name": r.CreatedBy, "created": stamp(s.Created), "updated": stamp(r.Updated),
		"status": s.Until.IsZero() || time.Now().Before(s.Until)}
}

type shareBody struct {
	Domain      string  `json:"access_domain"`
	Permit      string  `json:"permit"`
	Deadline    string  `json:"deadline"`
	Description *string `json:"description"`
}

func (b *shareBody) share(domain string, was registry.Share) (registry.Share, error) {
	if b.Permit != "read" && b.Permit != "" {
		return was, fail.Field("permit", "%q is not possible for another account", b.Permit).Then("write read")
	}
	was.Domain, was.Until = domain, time.Time{}
	if b.Deadline != forever && b.Deadline != "" {
		t, err := time.Parse(time.RFC3339, b.Deadline)
		if err != nil {
			return was, fail.Field("deadline", "%q is neither forever nor a time", b.Deadline).Then("write it as 2030-01-31T00:00:00Z")
		}
		was.Until = t
	}
	if b.Description != nil {
		was.Description = *b.Description
	}
	return was, nil
}

// change edits the shares of a repository: the whole list is written, at the revision it was read at.
func (a *API) change(x *wire.Exchange, edit func([]registry.Share) ([]registry.Share, error)) error {
	r, err := a.repository(x)
	if err != nil {
		return err
	}
	shares, err := edit(r.Spec.Shares)
	if err != nil {
		return err
	}
	if shares == nil {
		shares = []registry.Share{}
	}
	_, err = x.Do(a.o.Kinds.Repository.D, call.Update, name(x), func(c *call.Call) {
		c.Spec, c.IfRevision = wire.Spec{"shares": shares}.JSON(), r.Revision
	})
	return err
}

func at(shares []registry.Share, domain string) int {
	return slices.IndexFunc(shares, func(s registry.Share) bool { return s.Domain == domain })
}

func (a *API) createShare(x *wire.Exchange) error {
	var b shareBody
	if err := body(x, &b); err != nil {
		return err
	}
	err := a.change(x, func(all []registry.Share) ([]registry.Share, error) {
		if at(all, b.Domain) >= 0 {
			return nil, fail.New(fail.Exists, "it is shared with %s already", b.Domain)
		}
		s, err := b.share(b.Domain, registry.Share{Created: time.Now().UTC().Truncate(time.Second)})
		return append(all, s), err
	})
	if err != nil {
		return err
	}
	return created(x)
}

func (a *API) listShares(x *wire.Exchange) error {
	r, err := a.repository(x)
	if err != nil {
		return err
	}
	items := []any{}
	for _, s := range r.Spec.Shares {
		items = append(items, shareView(r, s))
	}
	wire.Write(x.W, http.StatusOK, items)
	return nil
}

func (a *API) showShare(x *wire.Exchange) error {
	r, err := a.repository(x)
	if err != nil {
		return err
	}
	i := at(r.Spec.Shares, x.Param("access_domain"))
	if i < 0 {
		return fail.New(fail.NotFound, "it is not shared with %s", x.Param("access_domain"))
	}
	wire.Write(x.W, http.StatusOK, shareView(r, r.Spec.Shares[i]))
	return nil
}

func (a *API) updateShare(x *wire.Exchange) error {
	var b shareBody
	if err := body(x, &b); err != nil {
		return err
	}
	domain := x.Param("access_domain")
	err := a.change(x, func(all []registry.Share) ([]registry.Share, error) {
		i := at(all, domain)
		if i < 0 {
			return nil, fail.New(fail.NotFound, "it is not shared with %s", domain)
		}
		s, err := b.share(domain, all[i])
		all[i] = s
		return all, err
	})
	if err != nil {
		return err
	}
	return created(x)
}

func (a *API) deleteShare(x *wire.Exchange) error {
	domain := x.Param("access_domain")
	err := a.change(x, func(all []registry.Share) ([]registry.Share, error) {
		i := at(all, domain)
		if i < 0 {
			return nil, fail.New(fail.NotFound, "it is not shared with %s", domain)
		}
		return slices.Delete(all, i, i+1), nil
	})
	if err != nil {
		return err
	}
	return x.NoContent()
}

// listShared lists what the caller's project shares with others (center=self).
func (a *API) listShared(x *wire.Exchange) error {
	f := filters(x)
	if by := cmp.Or(f["center"], f["shared_by"], "self"); by != "self" {
		return fail.Field("filter", "center::%s is not served", by).Then("use center::self; repositories that others share are pulled by their names")
	}
	rows, _, err := wire.Rows(x, a.o.Kinds.Repository, "", kind.Filter{Where: func(r kind.AnyRow) bool {
		row := r.(*registry.RepositoryRow)
		ns, n := short(row)
		return len(row.Spec.Shares) > 0 && (f["namespace"] == "" || f["namespace"] == ns) && strings.Contains(n, f["name"])
	}})
	if err != nil {
		return err
	}
	from, to, err := window(f, len(rows))
	if err != nil {
		return err
	}
	items := []any{}
	for _, r := range rows[from:to] {
		v := a.repositoryView(x, r)
		v["total_range"], v["tags"] = len(rows), []string{}
		items = append(items, v)
	}
	writeRepositories(x, items, to, len(rows))
	return nil
}
