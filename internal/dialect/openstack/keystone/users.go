package keystone

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/login"
	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/ledger"
)

func (a *API) userRoutes() []route {
	k := a.Kinds.User.D
	return []route{
		{Method: "GET", Path: "/v3/users", Kind: k, Verb: call.List, Do: listUsers},
		{Method: "POST", Path: "/v3/users", Kind: k, Verb: call.Create, Do: createUser},
		{Method: "GET", Path: "/v3/users/{user_id}", Kind: k, Verb: call.Get, Do: showUser},
		{Method: "PATCH", Path: "/v3/users/{user_id}", Kind: k, Verb: call.Update, Do: updateUser},
		{Method: "DELETE", Path: "/v3/users/{user_id}", Kind: k, Verb: call.Delete, Do: deleteUser},
		{Method: "POST", Path: "/v3/users/{user_id}/password", Incomplete: true, Do: changePassword},
		{Method: "GET", Path: "/v3/users/{user_id}/groups", Kind: k, Verb: call.Get, Do: groupsOfUser},
		{Method: "GET", Path: "/v3/users/{user_id}/projects", Kind: k, Verb: call.Get, Do: projectsOfUser},
	}
}

// UserView is a user on the wire.
func (x *exchange) UserView(r *UserRow) token.UserView {
	return token.UserView{ID: string(r.ID), Name: r.Name, DomainID: x.domainID(r.Domain), Description: r.Spec.Description, Email: r.Spec.Email,
		Enabled: !r.Spec.Disabled, DefaultProject: r.Spec.DefaultProject,
		Options: userOptions(r.Spec.PasswordNeverExpires, r.Spec.LoginProtection), Links: x.Self("/v3/users/" + string(r.ID))}
}

func (x *exchange) userShown(r *UserRow) any { return withForeign(x.UserView(r), r.Spec.Foreign) }

type userBody struct {
	Name           *string        `json:"name"`
	DomainID       *string        `json:"domain_id"`
	Password       *string        `json:"password"`
	Email          *string        `json:"email"`
	Description    *string        `json:"description"`
	DefaultProject *string        `json:"default_project_id"`
	Enabled        *bool          `json:"enabled"`
	Options        map[string]any `json:"options"`
}

func (b *userBody) apply(c *call.Call, foreign *string) {
	s := wire.Spec{}
	wire.Set(s, "foreign", foreign)
	wire.Set(s, "password", b.Password)
	wire.Set(s, "email", b.Email)
	wire.Set(s, "description", b.Description)
	wire.Set(s, "default_project", b.DefaultProject)
	wire.Not(s, "disabled", b.Enabled)
	_ = b.options(s) // check found nothing wrong with them
	c.Name, c.Spec = b.Name, s.JSON()
}

// check refuses what this cloud's users cannot be.
func (b *userBody) check() error { return b.options(wire.Spec{}) }

func listUsers(x *exchange) error {
	return List(&x.Exchange, x.API.Kinds.User, "users", x.domain(nil), x.byName(), func(r *UserRow) bool { return x.fits(&r.Meta, r.Spec.Disabled) },
		func(r *UserRow) any { return x.userShown(r) })
}

func createUser(x *exchange) error {
	var b userBody
	more, err := x.Kept("user", &b)
	if err == nil {
		err = b.check()
	}
	if err != nil {
		return err
	}
	row, err := x.Do(x.API.Kinds.User.D, call.Create, "", func(c *call.Call) { c.Domain = x.domain(b.DomainID); b.apply(c, more.over("")) })
	if err != nil {
		return err
	}
	return x.One(http.StatusCreated, "user", x.userShown(row.(*UserRow)))
}

func showUser(x *exchange) error {
	row, err := wire.Get(&x.Exchange, x.API.Kinds.User, x.Param("user_id"))
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "user", x.userShown(row))
}

func updateUser(x *exchange) error {
	var b userBody
	more, err := x.Kept("user", &b)
	if err == nil {
		err = b.check()
	}
	if err != nil {
		return err
	}
	foreign, err := former(x, x.API.Kinds.User, x.Param("user_id"), more, func(s ident.UserSpec) string { return s.Foreign })
	if err != nil {
		return err
	}
	row, err := x.Do(x.API.Kinds.User.D, call.Update, x.Param("user_id"), func(c *call.Call) { b.apply(c, foreign) })
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "user", x.userShown(row.(*UserRow)))
}

func deleteUser(x *exchange) error {
	if _, err := x.Do(x.API.Kinds.User.D, call.Delete, x.Param("user_id"), nil); err != nil {
		return err
	}
	return x.NoContent()
}

// changePassword lets users change their own password: whoever knows the old one may, no policy is asked. The change
// itself goes through the door in the cloud's name, with the user as its author.
func changePassword(x *exchange) error {
	var b struct {
		Password *string `json:"password"`
		Original *string `json:"original_password"`
	}
	if err := x.Body("user", &b); err != nil {
		return err
	}
	if b.Password == nil || b.Original == nil {
		return fail.Field("user.password", "give both password and original_password")
	}
	if target := x.Param("user_id"); target != string(x.Who.User) { // an administrator who knows the old one; a second factor stands in the way
		u, err := wire.Get(&x.Exchange, x.API.Kinds.User, target)
		if err != nil {
			return err
		}
		c := x.Call
		c.Domain = string(u.Domain)
		if _, _, err := x.API.Door.Permit(x.R.Context(), &c, x.API.Kinds.User.D, call.Update, u.Name); err != nil {
			return err
		}
		if err := login.ChangePassword(x.R.Context(), x.API.Door, &c, "", target, *b.Original, *b.Password, ""); err != nil {
			return err
		}
		return x.NoContent()
	}
	if err := ChangeOwnPassword(&x.Exchange, *b.Original, *b.Password); err != nil {
		return err
	}
	return x.NoContent()
}

// ChangeOwnPassword sets the password of the caller, who shows to know the old one.
func ChangeOwnPassword(x *wire.Exchange, old, password string) error {
	c := x.Call
	if _, err := x.API.Door.Ident.ByPassword(x.R.Context(), string(x.Who.Domain), string(x.Who.User), old, c.Source); err != nil {
		e := ledger.Entry{Domain: x.Who.Domain, Actor: x.Who.String(), ActorID: x.Who.User, Source: c.Source, Agent: c.Agent, Dialect: c.Dialect,
			Action: x.API.Kinds.User.D.Desc.Action(call.Update), Kind: x.API.Kinds.User.D.FullName(), Row: x.Who.User, Name: x.Who.UserName,
			Outcome: ledger.Failed, Reason: fail.From(err).Public(), RequestID: c.RequestID}
		if aerr := x.API.Door.Record(x.R.Context(), e); aerr != nil {
			return aerr
		}
		return err
	}
	_, err := x.Do(x.API.Kinds.User.D, call.Update, string(x.Who.User), func(c *call.Call) {
		c.Principal = ident.Principal{Method: ident.BySystem, User: x.Who.User, UserName: x.Who.UserName + " (own password)", Domain: x.Who.Domain}
		c.Domain, c.Spec = "", wire.Spec{"password": password, "password_reset": false}.JSON()
	})
	return err
}

func groupsOfUser(x *exchange) error {
	u, err := wire.Get(&x.Exchange, x.API.Kinds.User, x.Param("user_id"))
	if err != nil {
		return err
	}
	items := make([]any, 0, len(u.Spec.Groups))
	for _, g := range u.Spec.Groups {
		row, err := wire.Get(&x.Exchange, x.API.Kinds.Group, g)
		if err != nil {
			return err
		}
		if n := x.Query("name"); n == "" || n == row.Name {
			items = append(items, x.groupView(row))
		}
	}
	token.WriteList(x.W, "groups", items, token.Links{Self: x.Self(x.R.URL.Path).Self})
	return nil
}

// projectsOfUser lists the projects in which somebody has a role. For oneself that is part of logging in.
func projectsOfUser(x *exchange) error {
	if x.Param("user_id") == string(x.Who.User) {
		return x.projectsOf(x.Who)
	}
	u, err := wire.Get(&x.Exchange, x.API.Kinds.User, x.Param("user_id"))
	if err != nil {
		return err
	}
	return x.projectsOf(ident.Principal{User: u.ID, UserName: u.Name, Domain: u.Domain, Groups: u.Spec.Groups})
}
