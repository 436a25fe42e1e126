package iam

import (
	"cmp"
	"net/http"
	"strings"

	"github.com/awancloud/awan/internal/dialect/huawei/iamv5"
	"github.com/awancloud/awan/internal/dialect/openstack/keystone"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
)

func userRoutes(a *wire.API) []wire.Route {
	k, one := a.Kinds.User.D, "/v3.0/OS-USER/users/{user_id}"
	return []wire.Route{
		{Method: "POST", Path: "/v3.0/OS-USER/users", Kind: k, Verb: call.Create, Do: createUser},
		{Method: "GET", Path: one, Kind: k, Verb: call.Get, Do: showUser},
		{Method: "PUT", Path: one, Kind: k, Verb: call.Update, Do: updateUser},
		{Method: "GET", Path: one + "/login-protect", Kind: k, Verb: call.Get, Do: showLoginProtect},
		{Method: "PUT", Path: one + "/login-protect", Kind: k, Verb: call.Update, Do: setLoginProtect},
		{Method: "GET", Path: "/v3.0/OS-USER/login-protects", Kind: k, Verb: call.List, Do: listLoginProtects},
		{Method: "PUT", Path: one + "/info", Kind: k, Verb: call.Update, Do: updateInfo},
	}
}

// userBody is a user as Huawei's clients send one. PwdStatus asks for a new password at the next log-in.
type userBody struct {
	Name        *string `json:"name"`
	DomainID    *string `json:"domain_id"`
	Password    *string `json:"password"`
	Email       *string `json:"email"`
	AreaCode    *string `json:"areacode"`
	Phone       *string `json:"phone"`
	Description *string `json:"description"`
	Enabled     *bool   `json:"enabled"`
	PwdStatus   *bool   `json:"pwd_status"`
	AccessMode  *string `json:"access_mode"`
	XUserID     *string `json:"xuser_id"`
	XUserType   *string `json:"xuser_type"`
}

func (b *userBody) check() error {
	if text(b.XUserID) != "" || text(b.XUserType) != "" {
		return fail.New(fail.Unsupported, "users of external identity systems are not possible here").Then("leave xuser_id and xuser_type out")
	}
	if (text(b.Phone) == "") != (text(b.AreaCode) == "") {
		return fail.Field("user.areacode", "areacode and phone come together")
	}
	return nil
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func (b *userBody) apply(c *call.Call) {
	s := wire.Spec{}
	wire.Set(s, "password", b.Password)
	wire.Set(s, "email", b.Email)
	wire.Set(s, "description", b.Description)
	wire.Not(s, "disabled", b.Enabled)
	wire.Set(s, "password_reset", b.PwdStatus)
	wire.Set(s, "access_mode", b.AccessMode)
	if b.Phone != nil {
		s["phone"] = ""
		if *b.Phone != "" {
			s["phone"] = text(b.AreaCode) + "-" + *b.Phone
		}
	}
	c.Name, c.Spec = b.Name, s.JSON()
}

func userView(x *wire.Exchange, r *keystone.UserRow) map[string]any {
	area, phone, _ := strings.Cut(r.Spec.Phone, "-")
	return map[string]any{"id": r.ID, "name": r.Name, "domain_id": r.Domain, "enabled": !r.Spec.Disabled, "description": r.Spec.Description,
		"email": r.Spec.Email, "areacode": area, "phone": phone, "access_mode": cmp.Or(r.Spec.AccessMode, "default"), "pwd_status": r.Spec.PasswordReset, "is_domain_owner": false,
		"xuser_id": "", "xuser_type": "", "create_time": stamp(r.Created), "update_time": stamp(r.Updated), "password_expires_at": nil,
		"default_project_id": r.Spec.DefaultProject, "links": keystone.Self(x, "/v3/users/"+string(r.ID))}
}

func createUser(x *wire.Exchange) error {
	var b userBody
	if err := x.Body("user", &b); err != nil {
		return err
	}
	if err := b.check(); err != nil {
		return err
	}
	row, err := x.Do(x.API.Kinds.User.D, call.Create, "", func(c *call.Call) {
		if b.DomainID != nil {
			c.Domain = *b.DomainID
		}
		b.apply(c)
	})
	if err != nil {
		return err
	}
	return x.One(http.StatusCreated, "user", userView(x, row.(*keystone.UserRow)))
}

func showUser(x *wire.Exchange) error {
	row, err := wire.Get(x, x.API.Kinds.User, x.Param("user_id"))
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "user", userView(x, row))
}

func updateUser(x *wire.Exchange) error {
	var b userBody
	if err := x.Body("user", &b); err != nil {
		return err
	}
	if err := b.check(); err != nil {
		return err
	}
	row, err := x.Do(x.API.Kinds.User.D, call.Update, x.Param("user_id"), b.apply)
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "user", userView(x, row.(*keystone.UserRow)))
}

// vmfa is the one second factor there is: an authenticator app.
const vmfa = "vmfa"

func loginProtectView(r *keystone.UserRow) map[string]any {
	method := ""
	if r.Spec.LoginProtection {
		method = vmfa
	}
	return map[string]any{"user_id": r.ID, "enabled": r.Spec.LoginProtection, "verification_method": method}
}

// showLoginProtect tells whether the user is always asked for a second factor.
func showLoginProtect(x *wire.Exchange) error {
	row, err := wire.Get(x, x.API.Kinds.User, x.Param("user_id"))
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "login_protect", loginProtectView(row))
}

func listLoginProtects(x *wire.Exchange) error {
	rows, _, err := wire.Rows(x, x.API.Kinds.User, "", kind.Filter{})
	if err != nil {
		return err
	}
	items := make([]any, 0, len(rows))
	for _, r := range rows {
		items = append(items, loginProtectView(r))
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"login_protects": items})
	return nil
}

func setLoginProtect(x *wire.Exchange) error {
	var b struct {
		Enabled bool   `json:"enabled"`
		Method  string `json:"verification_method"`
	}
	if err := x.Body("login_protect", &b); err != nil {
		return err
	}
	if b.Enabled && b.Method != vmfa {
		return fail.New(fail.Unsupported, "%q is no second factor of this cloud", b.Method).Then("use %s, an authenticator app", vmfa)
	}
	row, err := x.Do(x.API.Kinds.User.D, call.Update, x.Param("user_id"), func(c *call.Call) {
		c.Spec = wire.Spec{"login_protection": b.Enabled}.JSON()
	})
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "login_protect", loginProtectView(row.(*keystone.UserRow)))
}

// updateInfo lets users change how they are reached. Of others, administrators change it.
func updateInfo(x *wire.Exchange) error {
	var b struct {
		Email  *string `json:"email"`
		Mobile *string `json:"mobile"`
	}
	if err := x.Body("user", &b); err != nil {
		return err
	}
	user := x.Param("user_id")
	_, err := x.Do(x.API.Kinds.User.D, call.Update, user, func(c *call.Call) {
		s := wire.Spec{}
		wire.Set(s, "email", b.Email)
		wire.Set(s, "phone", b.Mobile)
		if iamv5.Own(x, user) {
			c.Principal, c.Domain = ident.OnBehalf(x.Who, "own address"), ""
		}
		c.Spec = s.JSON()
	})
	if err != nil {
		return err
	}
	return x.NoContent()
}
