package iamv5

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// MaxPassword is how long a password may be, in characters.
const MaxPassword = 255

func ruleRoutes(a *wire.API) []wire.Route {
	k := a.Kinds.Rules.D
	return []wire.Route{
		{Method: "GET", Path: "/v5/password-policy", Kind: k, Verb: call.Get, Do: showPasswordPolicy},
		{Method: "PUT", Path: "/v5/password-policy", Kind: k, Verb: call.Update, Do: updatePasswordPolicy},
		{Method: "GET", Path: "/v5/login-policy", Kind: k, Verb: call.Get, Do: showLoginPolicy},
		{Method: "PUT", Path: "/v5/login-policy", Kind: k, Verb: call.Update, Do: updateLoginPolicy},
	}
}

type rulesRow = kind.Row[ident.RulesSpec, ident.None]

// Rules reads what a domain ("" = the caller's) demands of log-ins and passwords.
func Rules(x *wire.Exchange, domain string) (ident.RulesSpec, error) {
	row, err := x.Do(x.API.Kinds.Rules.D, call.Get, ident.RulesName, func(c *call.Call) { in(c, domain) })
	if err != nil {
		return ident.RulesSpec{}, err
	}
	return row.(*rulesRow).Spec, nil
}

// MayChangeRules asks the policies before a body is read.
func MayChangeRules(x *wire.Exchange, domain string) error {
	c := x.Call
	in(&c, domain)
	_, _, err := x.API.Door.Permit(x.R.Context(), &c, x.API.Kinds.Rules.D, call.Update, ident.RulesName)
	return err
}

// ChangeRules changes them by a patch.
func ChangeRules(x *wire.Exchange, domain string, patch wire.Spec) (ident.RulesSpec, error) {
	row, err := x.Do(x.API.Kinds.Rules.D, call.Update, ident.RulesName, func(c *call.Call) { in(c, domain); c.Spec = patch.JSON() })
	if err != nil {
		return ident.RulesSpec{}, err
	}
	return row.(*rulesRow).Spec, nil
}

func in(c *call.Call, domain string) {
	if domain != "" {
		c.Domain = domain
	}
}

// PasswordView is what passwords must be like, on the wire.
func PasswordView(r ident.PasswordRules) map[string]any {
	return map[string]any{"maximum_consecutive_identical_chars": r.MaxRepeat, "maximum_password_length": MaxPassword,
		"minimum_password_age": r.MinAgeMinutes, "minimum_password_length": r.MinLength, "password_reuse_prevention": r.Reuse,
		"password_not_username_or_invert": r.NotUserName != nil && *r.NotUserName, "password_validity_period": r.MaxAgeDays,
		"password_char_combination": r.Classes, "password_requirements": Requirements(r), "allow_user_to_change_password": true}
}

// Requirements says in words what passwords must be like.
func Requirements(r ident.PasswordRules) string {
	s := fmt.Sprintf("at least %d characters, of at least %d of these: lower-case letters, upper-case letters, digits, others", r.MinLength, r.Classes)
	if r.MaxRepeat > 0 {
		s += fmt.Sprintf("; no character more than %d times in a row", r.MaxRepeat)
	}
	return s
}

// PasswordBody is what versions 3 and 5 call alike.
type PasswordBody struct {
	MaxRepeat   *int64 `json:"maximum_consecutive_identical_chars"`
	MinAge      *int64 `json:"minimum_password_age"`
	MinLength   *int64 `json:"minimum_password_length"`
	NotUserName *bool  `json:"password_not_username_or_invert"`
	MaxAge      *int64 `json:"password_validity_period"`
	Classes     *int64 `json:"password_char_combination"`
}

// Spec is the body as a patch of the rules for passwords.
func (b *PasswordBody) Spec() wire.Spec {
	s := wire.Spec{}
	wire.Set(s, "max_repeat", b.MaxRepeat)
	wire.Set(s, "min_age_minutes", b.MinAge)
	wire.Set(s, "min_length", b.MinLength)
	wire.Set(s, "not_user_name", b.NotUserName)
	wire.Set(s, "max_age_days", b.MaxAge)
	wire.Set(s, "classes", b.Classes)
	return s
}

func showPasswordPolicy(x *wire.Exchange) error {
	r, err := Rules(x, "")
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "password_policy", PasswordView(r.Password))
}

func updatePasswordPolicy(x *wire.Exchange) error {
	if err := MayChangeRules(x, ""); err != nil {
		return err
	}
	var b struct {
		PasswordBody
		Reuse  *int64 `json:"password_reuse_prevention"`
		Change *bool  `json:"allow_user_to_change_password"`
	}
	if err := x.Plain(&b); err != nil {
		return err
	}
	if b.Change != nil && !*b.Change {
		return fail.Field("allow_user_to_change_password", "cannot be forbidden here").Then("leave it true")
	}
	s := b.Spec()
	wire.Set(s, "reuse", b.Reuse)
	r, err := ChangeRules(x, "", wire.Spec{"password": s})
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "password_policy", PasswordView(r.Password))
}

// LoginView is how log-ins work, on the wire.
func LoginView(r ident.LoginRules) map[string]any {
	return map[string]any{"user_validity_period": r.ValidityDays, "custom_info_for_login": r.Notice, "lockout_duration": r.LockFor,
		"login_failed_times": r.LockAfter, "period_with_login_failures": r.LockWindow, "session_timeout": r.SessionMinutes,
		"show_recent_login_info": r.ShowRecent}
}

// LoginBody is what versions 3 and 5 call alike.
type LoginBody struct {
	Notice     *string `json:"custom_info_for_login"`
	LockFor    *int64  `json:"lockout_duration"`
	LockAfter  *int64  `json:"login_failed_times"`
	LockWindow *int64  `json:"period_with_login_failures"`
	Session    *int64  `json:"session_timeout"`
	ShowRecent *bool   `json:"show_recent_login_info"`
}

// Spec is the body as a patch of the rules for log-ins.
func (b *LoginBody) Spec() wire.Spec {
	s := wire.Spec{}
	wire.Set(s, "notice", b.Notice)
	wire.Set(s, "lock_for", b.LockFor)
	wire.Set(s, "lock_after", b.LockAfter)
	wire.Set(s, "lock_window", b.LockWindow)
	wire.Set(s, "session_minutes", b.Session)
	wire.Set(s, "show_recent", b.ShowRecent)
	return s
}

func loginPolicy(r ident.RulesSpec) map[string]any {
	v, acl := LoginView(r.Login), ACLOf(r.Console)
	v["allow_address_netmasks"], v["allow_ip_ranges"], v["allow_ip_ranges_ipv6"] = acl.Masks, acl.Ranges, acl.Ranges6
	return v
}

func showLoginPolicy(x *wire.Exchange) error {
	r, err := Rules(x, "")
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "login_policy", loginPolicy(r))
}

func updateLoginPolicy(x *wire.Exchange) error {
	if err := MayChangeRules(x, ""); err != nil {
		return err
	}
	var b struct {
		LoginBody
		ACL
		Validity *int64 `json:"user_validity_period"`
	}
	if err := x.Plain(&b); err != nil {
		return err
	}
	s := b.LoginBody.Spec()
	wire.Set(s, "validity_days", b.Validity)
	patch := wire.Spec{"login": s}
	if b.Masks != nil || b.Ranges != nil || b.Masks6 != nil || b.Ranges6 != nil {
		patch["console_networks"] = b.Networks()
	}
	r, err := ChangeRules(x, "", patch)
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "login_policy", loginPolicy(r))
}

// Mask and Range are addresses that something may be used from.
type (
	Mask struct {
		Address     string `json:"address_netmask"`
		Description string `json:"description"`
	}
	Range struct {
		Range       string `json:"ip_range"`
		Description string `json:"description"`
	}
)

// ACL is where from the console or the APIs may be used.
type ACL struct {
	Masks   []Mask  `json:"allow_address_netmasks"`
	Ranges  []Range `json:"allow_ip_ranges"`
	Masks6  []Mask  `json:"allow_address_netmasks_ipv6"`
	Ranges6 []Range `json:"allow_ip_ranges_ipv6"`
}

// The ranges that hold every address: how clients say that there is no limit.
const (
	every4 = "0.0.0.0-255.255.255.255"
	every6 = "0000:0000:0000:0000:0000:0000:0000:0000-FFFF:FFFF:FFFF:FFFF:FFFF:FFFF:FFFF:FFFF"
)

// ACLOf prints what the rules say; no limit is the ranges of every address.
func ACLOf(list []ident.Network) ACL {
	a := ACL{Masks: []Mask{}, Ranges: []Range{}, Masks6: []Mask{}, Ranges6: []Range{}}
	if len(list) == 0 {
		a.Ranges, a.Ranges6 = []Range{{Range: every4}}, []Range{{Range: every6}}
	}
	for _, n := range list {
		six := strings.Contains(n.Address, ":")
		m, r := Mask{n.Address, n.Description}, Range{n.Address, n.Description}
		switch span := strings.Contains(n.Address, "-"); {
		case span && six:
			a.Ranges6 = append(a.Ranges6, r)
		case span:
			a.Ranges = append(a.Ranges, r)
		case six:
			a.Masks6 = append(a.Masks6, m)
		default:
			a.Masks = append(a.Masks, m)
		}
	}
	return a
}

// Networks are the rules that an ACL asks for. The rules have one list for both families of addresses: an ACL that
// lets every IPv4 address in and says nothing of IPv6 limits nothing.
func (a ACL) Networks() []ident.Network {
	out, all4, all6 := []ident.Network{}, false, false
	add := func(address, description string) {
		switch {
		case address == every4 || address == "0.0.0.0/0":
			all4 = true
		case strings.EqualFold(address, every6) || address == "::/0":
			all6 = true
		default:
			out = append(out, ident.Network{Address: address, Description: description})
		}
	}
	for _, m := range append(a.Masks, a.Masks6...) {
		add(m.Address, m.Description)
	}
	for _, r := range append(a.Ranges, a.Ranges6...) {
		add(r.Range, r.Description)
	}
	six := func(n ident.Network) bool { return strings.Contains(n.Address, ":") }
	all6 = all6 || all4 && !slices.ContainsFunc(out, six)
	if all4 && all6 {
		return []ident.Network{}
	}
	if all4 {
		out = append(out, ident.Network{Address: every4})
	}
	if all6 {
		out = append(out, ident.Network{Address: every6})
	}
	return out
}

// Six is the ACL with both families, Four that of clients which know IPv4 only.
func (a ACL) Six() any { return a }

// Four leaves IPv6 out.
func (a ACL) Four() any {
	return struct {
		Masks  []Mask  `json:"allow_address_netmasks"`
		Ranges []Range `json:"allow_ip_ranges"`
	}{a.Masks, a.Ranges}
}
