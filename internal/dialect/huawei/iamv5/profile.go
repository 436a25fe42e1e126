package iamv5

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/openstack/keystone"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

func profileRoutes(a *wire.API) []wire.Route {
	k, one := a.Kinds.User.D, "/v5/users/{user_id}/login-profile"
	return []wire.Route{
		{Method: "GET", Path: one, Kind: k, Verb: call.Get, Do: showProfile},
		{Method: "POST", Path: one, Kind: k, Verb: call.Update, Do: createProfile},
		{Method: "PUT", Path: one, Kind: k, Verb: call.Update, Do: updateProfile},
		{Method: "DELETE", Path: one, Kind: k, Verb: call.Update, Do: deleteProfile},
		{Method: "POST", Path: "/v5/caller-password", Incomplete: true, Do: changePassword},
	}
}

// profileView is a log-in profile: that a user has a password. It is as old as the password.
func profileView(x *wire.Exchange, r *keystone.UserRow) (map[string]any, error) {
	st, err := state(x, r.ID)
	if err != nil {
		return nil, err
	}
	made := st.PasswordSet
	if made.IsZero() {
		made = r.Created
	}
	v := map[string]any{"user_id": r.ID, "password_reset_required": r.Spec.PasswordReset, "password_expires_at": nil, "created_at": stamp(made)}
	var rules ident.RulesSpec
	err = x.API.Door.Store.View(x.R.Context(), func(tx store.Tx) error {
		rules, err = x.API.Kinds.RulesOf(tx, r.Domain)
		return err
	})
	if days := rules.Password.MaxAgeDays; days > 0 {
		v["password_expires_at"] = stamp(made.AddDate(0, 0, int(days)))
	}
	return v, err
}

func answerProfile(x *wire.Exchange, status int, r *keystone.UserRow) error {
	v, err := profileView(x, r)
	if err != nil {
		return err
	}
	return x.One(status, "login_profile", v)
}

func noProfile(r *keystone.UserRow) error {
	return fail.New(fail.NotFound, "user %s has no log-in profile", r.Name).Then("make one: POST /v5/users/%s/login-profile", r.ID)
}

func showProfile(x *wire.Exchange) error {
	r, err := wire.Get(x, x.API.Kinds.User, x.Param("user_id"))
	if err != nil {
		return err
	}
	if r.Spec.Password == "" {
		return noProfile(r)
	}
	return answerProfile(x, http.StatusOK, r)
}

// setPassword changes a user whose password is there already, or is not, as the caller wants it to be; again where
// somebody else changed the user meanwhile.
func setPassword(x *wire.Exchange, spec wire.Spec, was func(*keystone.UserRow) error) (*keystone.UserRow, error) {
	for try := 0; ; try++ {
		r, err := wire.Get(x, x.API.Kinds.User, x.Param("user_id"))
		if err != nil {
			return nil, err
		}
		if err := Ask(x, x.API.Kinds.User.D, call.Update, r.Domain); err != nil {
			return nil, err
		}
		if err := was(r); err != nil {
			return nil, err
		}
		row, err := x.Do(x.API.Kinds.User.D, call.Update, string(r.ID), func(c *call.Call) { c.IfRevision, c.Spec = r.Revision, spec.JSON() })
		if err == nil {
			return row.(*keystone.UserRow), nil
		}
		if !fail.Is(err, fail.Conflict) || try == 5 {
			return nil, err
		}
	}
}

func createProfile(x *wire.Exchange) error {
	var b struct {
		Password *string `json:"password"`
		Reset    *bool   `json:"password_reset_required"`
	}
	if err := x.Plain(&b); err != nil {
		return err
	}
	s := wire.Spec{}
	wire.Set(s, "password", b.Password)
	wire.Set(s, "password_reset", b.Reset)
	r, err := setPassword(x, s, func(r *keystone.UserRow) error {
		switch {
		case r.Spec.Password != "":
			return fail.New(fail.Exists, "user %s has a log-in profile", r.Name).Then("change it with PUT")
		case text(b.Password) == "" || *b.Password == kind.Mask:
			return fail.Field("password", "is required")
		}
		return nil
	})
	if err != nil {
		return err
	}
	return answerProfile(x, http.StatusCreated, r)
}

func updateProfile(x *wire.Exchange) error {
	var b struct {
		Password *string `json:"password"`
		Reset    *bool   `json:"password_reset_required"`
	}
	if err := x.Plain(&b); err != nil {
		return err
	}
	s := wire.Spec{}
	wire.Set(s, "password", b.Password)
	wire.Set(s, "password_reset", b.Reset)
	r, err := setPassword(x, s, func(r *keystone.UserRow) error {
		switch {
		case r.Spec.Password == "":
			return noProfile(r)
		case b.Password != nil && *b.Password == "":
			return fail.Field("password", "must not be empty").Then("delete the log-in profile to take the password away")
		}
		return nil
	})
	if err != nil {
		return err
	}
	return answerProfile(x, http.StatusOK, r)
}

func deleteProfile(x *wire.Exchange) error {
	_, err := setPassword(x, wire.Spec{"password": "", "password_reset": false}, func(r *keystone.UserRow) error {
		if r.Spec.Password == "" {
			return noProfile(r)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return x.NoContent()
}

// changePassword lets users change their own password: whoever knows the old one may.
func changePassword(x *wire.Exchange) error {
	var b struct {
		New *string `json:"new_password"`
		Old *string `json:"old_password"`
	}
	if err := x.Plain(&b); err != nil {
		return err
	}
	if b.New == nil || b.Old == nil {
		return fail.Field("new_password", "give both new_password and old_password")
	}
	if err := keystone.ChangeOwnPassword(x, *b.Old, *b.New); err != nil {
		return err
	}
	return done(x)
}
