package keystone

import (
	"net/http"
	"time"

	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// CredentialRow is an application credential.
type CredentialRow = kind.Row[ident.CredentialSpec, ident.CredentialStatus]

const credentialPath = "/v3/users/{user_id}/application_credentials"

func (a *API) credentialRoutes() []route {
	k := a.Kinds.Credential.D
	return []route{
		{Method: "GET", Path: credentialPath, Kind: k, Verb: call.List, Do: listCredentials},
		{Method: "POST", Path: credentialPath, Kind: k, Verb: call.Create, Do: createCredential},
		{Method: "GET", Path: credentialPath + "/{credential_id}", Kind: k, Verb: call.Get, Do: showCredential},
		{Method: "DELETE", Path: credentialPath + "/{credential_id}", Kind: k, Verb: call.Delete, Do: deleteCredential},
	}
}

// self acts for what is the caller's own: everybody may make, see and delete what their own programs log in with, in the
// cloud's name and with them as the author, as with passwords. An application credential may only where it manages.
func (x *exchange) self(c *call.Call) error {
	if x.Param("user_id") != string(x.Who.User) || x.Who.Agency != "" || x.Who.Trust != "" {
		return nil
	}
	if x.Who.Application != "" && !x.Who.Manages && c.Verb != call.Get && c.Verb != call.List {
		return fail.New(fail.Denied, "this application credential may not make or delete others").Then("use a token of the user, or an unrestricted credential")
	}
	c.Principal, c.Domain = ident.OnBehalf(x.Who, "own application credential"), ""
	return nil
}

func (x *exchange) credential(verb, target string, edit func(*call.Call)) (*CredentialRow, error) {
	var mine error
	row, err := x.Do(x.API.Kinds.Credential.D, verb, target, func(c *call.Call) {
		if edit != nil {
			edit(c)
		}
		mine = x.self(c)
		if mine != nil {
			c.Principal = ident.Principal{}
		}
	})
	if mine != nil {
		return nil, mine
	}
	if err != nil {
		return nil, err
	}
	if row == nil {
		return nil, nil //nolint:nilnil // deleted
	}
	r := row.(*CredentialRow)
	if r.Spec.User != x.Param("user_id") {
		return nil, fail.New(fail.NotFound, "the user has no application credential %q", target)
	}
	return r, nil
}

func (x *exchange) credentialView(r *CredentialRow, withSecret bool) (map[string]any, error) {
	roles := []any{}
	for _, p := range r.Spec.Policies {
		row, err := wire.Get(&x.Exchange, x.API.Kinds.Policy, p)
		switch {
		case fail.Is(err, fail.Denied), fail.Is(err, fail.NotFound):
			roles = append(roles, map[string]any{"id": p})
		case err != nil:
			return nil, err
		default:
			roles = append(roles, token.Ref{ID: string(row.ID), Name: row.Name})
		}
	}
	y := x
	if x.mine(r.Spec.User) {
		y = x.asOwner("own credential")
	}
	rules, err := x.ruleViews(y, r.Domain, r.Spec.Requests)
	if err != nil {
		return nil, err
	}
	v := map[string]any{"id": r.ID, "name": r.Name, "description": r.Spec.Description, "user_id": r.Spec.User, "project_id": r.Spec.Project, "roles": roles,
		"expires_at": nil, "unrestricted": r.Spec.Manages, "access_rules": rules, "links": x.Self("/v3/users/" + r.Spec.User + "/application_credentials/" + string(r.ID))}
	if !r.Spec.Expires.IsZero() {
		v["expires_at"] = r.Spec.Expires.UTC().Format("2006-01-02T15:04:05.000000")
	}
	if withSecret {
		v["secret"] = r.Status.Secret
	}
	return v, nil
}

func listCredentials(x *exchange) error {
	rows, y, err := x.credentialsOf(func(r *CredentialRow) bool {
		return r.Spec.Consumer == "" && (x.Query("name") == "" || x.Query("name") == r.Name)
	})
	if err != nil {
		return err
	}
	items := []any{}
	for _, r := range rows {
		v, err := y.credentialView(r, false)
		if err != nil {
			return err
		}
		items = append(items, v)
	}
	token.WriteList(x.W, "application_credentials", items, token.Links{Self: x.Self(x.R.URL.Path).Self})
	return nil
}

// credentialsOf reads those of the user in the path, and gives the exchange to go on with.
func (x *exchange) credentialsOf(which func(*CredentialRow) bool) ([]*CredentialRow, *exchange, error) {
	user := x.Param("user_id")
	mine := call.Call{Kind: x.API.Kinds.Credential.D, Verb: call.List, Principal: x.Who, Domain: x.Call.Domain}
	if err := x.self(&mine); err != nil {
		return nil, nil, err
	}
	y := *x
	y.Call.Principal = mine.Principal
	domain := ""
	if mine.Principal.Method != ident.BySystem {
		u, err := wire.Get(&x.Exchange, x.API.Kinds.User, user)
		if err != nil {
			return nil, nil, err
		}
		domain = string(u.Domain)
	}
	rows, _, err := wire.Rows(&y.Exchange, x.API.Kinds.Credential, domain, kind.Filter{Index: "user", Value: user,
		Where: func(r kind.AnyRow) bool { return which(r.(*CredentialRow)) }})
	return rows, &y, err
}

func createCredential(x *exchange) error {
	var b struct {
		Name         *string      `json:"name"`
		Description  *string      `json:"description"`
		Secret       *string      `json:"secret"`
		Expires      *string      `json:"expires_at"`
		ProjectID    *string      `json:"project_id"`
		Unrestricted *bool        `json:"unrestricted"`
		Roles        *[]token.Ref `json:"roles"`
		Rules        *[]ruleBody  `json:"access_rules"`
	}
	if err := x.Body("application_credential", &b); err != nil {
		return err
	}
	if x.Param("user_id") != string(x.Who.User) {
		if _, err := wire.Get(&x.Exchange, x.API.Kinds.User, x.Param("user_id")); err != nil {
			return err
		}
	}
	s := wire.Spec{"user": x.Param("user_id"), "project": string(x.Who.Project)}
	wire.Set(s, "description", b.Description)
	wire.Set(s, "secret", b.Secret)
	wire.Set(s, "manages", b.Unrestricted)
	wire.Set(s, "project", b.ProjectID)
	if b.Expires != nil && *b.Expires != "" {
		at, err := moment("application_credential.expires_at", *b.Expires)
		if err != nil {
			return err
		}
		s["expires"] = at
	}
	if b.Roles != nil {
		var policies []string
		for _, r := range *b.Roles {
			policies = append(policies, one(r.ID, r.Name))
		}
		s["policies"] = policies
	} else if x.Param("user_id") == string(x.Who.User) { // as Keystone has it: the roles that the caller has now, and no later ones
		held, err := x.held()
		if err != nil {
			return err
		}
		s["policies"] = held
	}
	if b.Rules != nil && len(*b.Rules) > 0 {
		c := x.Call
		c.Kind, c.Verb = x.API.Kinds.Credential.D, call.Create
		if err := x.self(&c); err != nil {
			return err
		}
		rules, err := x.ruleIDs(*b.Rules)
		if err != nil {
			return err
		}
		s["requests"] = rules
	}
	row, err := x.credential(call.Create, "", func(c *call.Call) { c.Name, c.Spec = b.Name, s.JSON() })
	if err != nil {
		return err
	}
	v, err := x.credentialView(row, true)
	if err != nil {
		return err
	}
	return x.One(http.StatusCreated, "application_credential", v)
}

// held are the ids of the caller's roles where its token is for.
func (x *exchange) held() (out []string, err error) {
	err = x.API.Door.Store.View(x.R.Context(), func(tx store.Tx) error {
		roles, err := x.API.Door.Ident.Roles(tx, x.Who, x.Who.Domain, x.Who.Project)
		out = nil
		for _, r := range roles {
			out = append(out, string(r.ID))
		}
		return err
	})
	return out, err
}

// moment reads a time as OpenStack's clients write it: with or without a zone, which is then UTC.
func moment(field, text string) (time.Time, error) {
	for _, form := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
		if t, err := time.Parse(form, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fail.Field(field, "%q is not a time", text).Then("write it like 2030-01-31T12:00:00")
}

func showCredential(x *exchange) error {
	row, err := x.credential(call.Get, x.Param("credential_id"), nil)
	if err != nil {
		return err
	}
	v, err := x.credentialView(row, false)
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "application_credential", v)
}

func deleteCredential(x *exchange) error {
	if _, err := x.credential(call.Get, x.Param("credential_id"), nil); err != nil && !fail.Is(err, fail.Denied) {
		return err
	}
	if _, err := x.credential(call.Delete, x.Param("credential_id"), nil); err != nil {
		return err
	}
	return x.NoContent()
}
