package keystone

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
)

const ec2Path = "/v3/users/{user_id}/credentials/OS-EC2"

func (a *API) ec2Routes() []route {
	k := a.Kinds.UserCredential.D
	return []route{
		{Method: "GET", Path: ec2Path, Kind: k, Verb: ident.Reveal, Do: listPairs},
		{Method: "POST", Path: ec2Path, Kind: k, Verb: call.Create, Do: createPair},
		{Method: "GET", Path: ec2Path + "/{access}", Kind: k, Verb: ident.Reveal, Do: showPair},
		{Method: "DELETE", Path: ec2Path + "/{access}", Kind: k, Verb: call.Delete, Do: deletePair},
		{Method: "POST", Path: "/v3/s3tokens", Do: validateS3},
	}
}

// holder is the exchange for what is a user's, and the user's domain.
func (x *exchange) holder(user string) (*exchange, string, error) {
	if x.mine(user) {
		return x.asOwner("own credential"), "", nil
	}
	u, err := wire.Get(&x.Exchange, x.API.Kinds.User, user)
	if err != nil {
		return nil, "", err
	}
	return x, string(u.Domain), nil
}

// pairs are the user's key pairs, or the one with the route's access key id.
func (x *exchange) pairs() (*exchange, []*UserCredentialRow, error) {
	user, access := x.Param("user_id"), x.Param("access")
	y, domain, err := x.holder(user)
	if err != nil {
		return nil, nil, err
	}
	rows, _, err := wire.Rows(&y.Exchange, x.API.Kinds.UserCredential, domain, kind.Filter{Index: "user", Value: user, Where: func(r kind.AnyRow) bool {
		c := r.(*UserCredentialRow)
		return c.Spec.Type == ident.EC2 && (access == "" || access == c.Status.Access)
	}})
	if err == nil && access != "" && len(rows) == 0 {
		err = fail.New(fail.NotFound, "the user has no EC2 credential %q", access)
	}
	return y, rows, err
}

func (x *exchange) pairView(r *UserCredentialRow) (map[string]any, error) {
	blob, err := x.blob(r)
	if err != nil {
		return nil, err
	}
	pair, err := ident.PairOf(blob)
	return map[string]any{"user_id": r.Spec.User, "tenant_id": r.Spec.Project, "access": pair.Access, "secret": pair.Secret, "trust_id": nil,
		"links": x.Self("/v3/users/" + r.Spec.User + "/credentials/OS-EC2/" + pair.Access)}, err
}

func listPairs(x *exchange) error {
	y, rows, err := x.pairs()
	if err != nil {
		return err
	}
	var items []any
	for _, r := range rows {
		v, err := y.pairView(r)
		if err != nil {
			return err
		}
		items = append(items, v)
	}
	token.WriteList(x.W, "credentials", items, token.Links{Self: x.Self(x.R.URL.Path).Self})
	return nil
}

func createPair(x *exchange) error {
	var b struct {
		Project string `json:"tenant_id"`
	}
	if err := x.Plain(&b); err != nil {
		return err
	}
	y, domain, err := x.holder(x.Param("user_id"))
	if err != nil {
		return err
	}
	row, err := y.keep(domain, wire.Spec{"type": ident.EC2, "user": x.Param("user_id"), "project": b.Project})
	if err != nil {
		return err
	}
	v, err := y.pairView(row)
	if err != nil {
		return err
	}
	return x.One(http.StatusCreated, "credential", v)
}

func showPair(x *exchange) error {
	y, rows, err := x.pairs()
	if err != nil {
		return err
	}
	v, err := y.pairView(rows[0])
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "credential", v)
}

func deletePair(x *exchange) error {
	y, rows, err := x.pairs()
	if err != nil {
		return err
	}
	r := rows[0]
	if _, err := y.Do(x.API.Kinds.UserCredential.D, call.Delete, string(r.ID), func(c *call.Call) { c.Domain = string(r.Domain) }); err != nil {
		return err
	}
	return x.NoContent()
}
