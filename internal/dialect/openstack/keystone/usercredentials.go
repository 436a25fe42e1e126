package keystone

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// UserCredentialRow is one of Keystone's credentials: EC2 keys, or what else a user keeps.
type UserCredentialRow = kind.Row[ident.UserCredentialSpec, ident.UserCredentialStatus]

const storedPath = "/v3/credentials"

func (a *API) userCredentialRoutes() []route {
	k := a.Kinds.UserCredential.D
	return []route{
		{Method: "GET", Path: storedPath, Kind: k, Verb: call.List, Do: listStored},
		{Method: "POST", Path: storedPath, Kind: k, Verb: call.Create, Do: createStored},
		{Method: "GET", Path: storedPath + "/{stored_id}", Kind: k, Verb: ident.Reveal, Do: showStored},
		{Method: "PATCH", Path: storedPath + "/{stored_id}", Kind: k, Verb: call.Update, Do: updateStored},
		{Method: "DELETE", Path: storedPath + "/{stored_id}", Kind: k, Verb: call.Delete, Do: deleteStored},
	}
}

// mine tells whether something of a user is the caller's own, to see and change as it likes. An application credential
// may only where it manages, for what is kept here opens more than it does itself.
func (x *exchange) mine(user string) bool {
	return user == string(x.Who.User) && x.Who.Agency == "" && x.Who.Narrow == nil && (!x.Who.Lent() || x.Who.Manages)
}

// asOwner is the exchange for what is the caller's own, in the cloud's name and with the caller as the author;
// what names it in the audit log.
func (x *exchange) asOwner(what string) *exchange {
	y := *x
	y.Call.Principal, y.Call.Domain = ident.OnBehalf(x.Who, what), ""
	return &y
}

// stored finds a credential, and the exchange to go on with: the owner's where it is the caller's own.
func (x *exchange) stored(target string) (*UserCredentialRow, *exchange, error) {
	if x.mine(string(x.Who.User)) {
		y := x.asOwner("own credential")
		if row, err := wire.Get(&y.Exchange, x.API.Kinds.UserCredential, target); err == nil && x.mine(row.Spec.User) {
			return row, y, nil
		}
	}
	row, err := wire.Get(&x.Exchange, x.API.Kinds.UserCredential, target)
	return row, x, err
}

// blob reveals what is kept.
func (x *exchange) blob(r *UserCredentialRow) (blob string, err error) {
	_, err = x.Do(x.API.Kinds.UserCredential.D, ident.Reveal, string(r.ID), func(c *call.Call) {
		c.Domain = string(r.Domain)
		c.Stream.Emit = func(v any) error {
			if m, ok := v.(map[string]string); ok {
				blob = m["blob"]
			}
			return nil
		}
	})
	return blob, err
}

func (x *exchange) storedView(r *UserCredentialRow) (map[string]any, error) {
	blob, err := x.blob(r)
	v := map[string]any{"id": r.ID, "type": r.Spec.Type, "blob": blob, "user_id": r.Spec.User, "project_id": nil, "links": x.Self(storedPath + "/" + string(r.ID))}
	if r.Spec.Project != "" {
		v["project_id"] = r.Spec.Project
	}
	return v, err
}

// listStored shows the blobs of the caller's own only: others' are read one by one, each with its entry in the audit log.
func listStored(x *exchange) error {
	f, kindOf := kind.Filter{}, x.Query("type")
	y, domain, own := x, x.domain(nil), false
	if u := x.Query("user_id"); u != "" {
		f.Index, f.Value = "user", u
		if own = x.mine(u); own {
			y, domain = x.asOwner("own credential"), ""
		}
	}
	var failed error
	err := List(&y.Exchange, x.API.Kinds.UserCredential, "credentials", domain, f, func(r *UserCredentialRow) bool {
		return kindOf == "" || kindOf == r.Spec.Type
	}, func(r *UserCredentialRow) any {
		v := map[string]any{"id": r.ID, "type": r.Spec.Type, "blob": "", "user_id": r.Spec.User, "project_id": r.Spec.Project, "links": x.Self(storedPath + "/" + string(r.ID))}
		if own && failed == nil {
			v["blob"], failed = y.blob(r)
		}
		return v
	})
	if failed != nil {
		return failed
	}
	return err
}

type storedBody struct {
	Type      *string `json:"type"`
	Blob      *string `json:"blob"`
	UserID    *string `json:"user_id"`
	ProjectID *string `json:"project_id"`
}

func (b *storedBody) spec() wire.Spec {
	s := wire.Spec{}
	wire.Set(s, "type", b.Type)
	wire.Set(s, "blob", b.Blob)
	wire.Set(s, "user", b.UserID)
	wire.Set(s, "project", b.ProjectID)
	return s
}

func createStored(x *exchange) error {
	var b storedBody
	if err := x.Body("credential", &b); err != nil {
		return err
	}
	y, domain := x, x.domain(nil)
	if b.UserID != nil && x.mine(*b.UserID) {
		y, domain = x.asOwner("own credential"), ""
	}
	row, err := y.keep(domain, b.spec())
	if err != nil {
		return err
	}
	v, err := y.storedView(row)
	if err != nil {
		return err
	}
	return x.One(http.StatusCreated, "credential", v)
}

func (x *exchange) keep(domain string, s wire.Spec) (*UserCredentialRow, error) {
	row, err := x.Do(x.API.Kinds.UserCredential.D, call.Create, "", func(c *call.Call) { c.Domain, c.Spec = domain, s.JSON() })
	if err != nil {
		return nil, err
	}
	return row.(*UserCredentialRow), nil
}

func showStored(x *exchange) error {
	row, y, err := x.stored(x.Param("stored_id"))
	if err != nil {
		return err
	}
	v, err := y.storedView(row)
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "credential", v)
}

func updateStored(x *exchange) error {
	var b storedBody
	if err := x.Body("credential", &b); err != nil {
		return err
	}
	row, y, err := x.stored(x.Param("stored_id"))
	if err != nil {
		return err
	}
	changed, err := y.Do(x.API.Kinds.UserCredential.D, call.Update, string(row.ID), func(c *call.Call) { c.Domain, c.Spec = string(row.Domain), b.spec().JSON() })
	if err != nil {
		return err
	}
	v, err := y.storedView(changed.(*UserCredentialRow))
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "credential", v)
}

func deleteStored(x *exchange) error {
	row, y, err := x.stored(x.Param("stored_id"))
	if err != nil {
		return err
	}
	if _, err := y.Do(x.API.Kinds.UserCredential.D, call.Delete, string(row.ID), func(c *call.Call) { c.Domain = string(row.Domain) }); err != nil {
		return err
	}
	return x.NoContent()
}
