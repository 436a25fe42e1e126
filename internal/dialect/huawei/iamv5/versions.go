package iamv5

import (
	"net/http"
	"slices"

	"github.com/awancloud/awan/internal/dialect/openstack/keystone"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
)

type versionRow = kind.Row[ident.VersionSpec, ident.VersionStatus]

// TooMany is the code by which clients know that a version must go before another can be made.
const TooMany = "PAP5.0028"

func versionRoutes(a *wire.API) []wire.Route {
	k, all := a.Kinds.Version.D, "/v5/policies/{policy_id}/versions"
	one := all + "/{version_id}"
	return []wire.Route{
		{Method: "GET", Path: all, Kind: k, Verb: call.List, Do: listVersions},
		{Method: "POST", Path: all, Kind: k, Verb: call.Create, Do: createVersion},
		{Method: "GET", Path: one, Kind: k, Verb: call.List, Do: showVersion},
		{Method: "DELETE", Path: one, Kind: k, Verb: call.Delete, Do: deleteVersion},
		{Method: "POST", Path: one + "/set-default", Kind: k, Verb: call.Update, Do: setDefault},
	}
}

func versionView(r *versionRow) map[string]any {
	return map[string]any{"version_id": r.Name, "document": string(r.Spec.Document), "is_default": r.Spec.Default, "created_at": stamp(r.Created)}
}

// versions reads a policy with its versions, the newest first. A policy that was never changed has none stored: what
// it says is then its first.
func versions(x *wire.Exchange) (*keystone.PolicyRow, []*versionRow, error) {
	p, err := wire.Get(x, x.API.Kinds.Policy, x.Param("policy_id"))
	if err != nil {
		return nil, nil, err
	}
	rows, err := versionsOf(x, p)
	return p, rows, err
}

func versionsOf(x *wire.Exchange, p *keystone.PolicyRow) ([]*versionRow, error) {
	rows, _, err := wire.Rows(x, x.API.Kinds.Version, string(p.Domain), kind.Filter{Index: "policy", Value: string(p.ID)})
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		first := &versionRow{Meta: kind.Meta{Name: "v1", Domain: p.Domain, Created: p.Created}}
		first.Spec = ident.VersionSpec{Policy: string(p.ID), Document: p.Spec.Document, Default: true}
		first.Status.Number = 1
		rows = append(rows, first)
	}
	slices.SortFunc(rows, func(a, b *versionRow) int { return b.Status.Number - a.Status.Number })
	return rows, nil
}

func listVersions(x *wire.Exchange) error {
	_, rows, err := versions(x)
	if err != nil {
		return err
	}
	var items []any
	for _, r := range rows {
		items = append(items, versionView(r))
	}
	return slice(x, "versions", items)
}

func version(x *wire.Exchange) (*versionRow, error) {
	p, rows, err := versions(x)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		if r.Name == x.Param("version_id") {
			return r, nil
		}
	}
	return nil, fail.New(fail.NotFound, "policy %s has no version %q", p.Name, x.Param("version_id"))
}

func showVersion(x *wire.Exchange) error {
	r, err := version(x)
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "policy_version", versionView(r))
}

func createVersion(x *wire.Exchange) error {
	p, err := wire.Get(x, x.API.Kinds.Policy, x.Param("policy_id"))
	if err != nil {
		return err
	}
	if err := Ask(x, x.API.Kinds.Version.D, call.Create, p.Domain); err != nil {
		return err
	}
	var b struct {
		Document *string `json:"policy_document"`
		Default  bool    `json:"set_as_default"`
	}
	if err := x.Plain(&b); err != nil {
		return err
	}
	doc, err := document("policy_document", b.Document)
	if err != nil {
		return err
	}
	row, err := x.Do(x.API.Kinds.Version.D, call.Create, "", func(c *call.Call) {
		s := wire.Spec{"policy": p.ID, "default": b.Default}
		if doc != nil {
			s["document"] = doc
		}
		c.Domain, c.Spec = string(p.Domain), s.JSON()
	})
	if err != nil {
		return err
	}
	return x.One(http.StatusCreated, "policy_version", versionView(row.(*versionRow)))
}

func deleteVersion(x *wire.Exchange) error {
	r, err := version(x)
	if err != nil {
		return err
	}
	if r.ID == "" { // the one version of a policy that has no other
		if err := Ask(x, x.API.Kinds.Version.D, call.Delete, r.Domain); err != nil {
			return err
		}
		return fail.New(fail.Precondition, "this is the default version").Then("make another one the default first")
	}
	if _, err := x.Do(x.API.Kinds.Version.D, call.Delete, string(r.ID), func(c *call.Call) { c.Domain = string(r.Domain) }); err != nil {
		return err
	}
	return x.NoContent()
}

func setDefault(x *wire.Exchange) error {
	r, err := version(x)
	if err != nil {
		return err
	}
	if r.ID == "" {
		if err := Ask(x, x.API.Kinds.Version.D, call.Update, r.Domain); err != nil {
			return err
		}
		return done(x)
	}
	_, err = x.Do(x.API.Kinds.Version.D, call.Update, string(r.ID), func(c *call.Call) {
		c.Domain, c.Spec = string(r.Domain), wire.Spec{"default": true}.JSON()
	})
	if err != nil {
		return err
	}
	return done(x)
}
