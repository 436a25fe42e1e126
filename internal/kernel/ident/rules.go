package ident

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// RulesSpec is what a domain demands of log-ins and passwords.
type RulesSpec struct {
	Password   PasswordRules   `json:"password" doc:"what passwords must be like"`
	Login      LoginRules      `json:"login" doc:"how log-ins work"`
	MFA        string          `json:"mfa" doc:"which people need a second factor to log in: all, writers (whoever may change something), or off (those who enrolled one are still asked for it); programmatic users never" enum:"all,writers,off" default:"writers"`
	MFAAPI     *bool           `json:"mfa_api" doc:"they need it also to log in by password on the APIs and the command line, not only in the console" default:"true"`
	Protection ProtectionRules `json:"protection" doc:"critical operations, and what users do with their own"`
	Console    []Network       `json:"console_networks" doc:"addresses the console may be used from; empty: any" max:"200"`
	API        []Network       `json:"api_networks" doc:"addresses the APIs may be used from; empty: any" max:"200"`
}

// PasswordRules say what passwords must be like.
type PasswordRules struct {
	MinLength     int64 `json:"min_length" doc:"fewest characters" min:"6" max:"64" default:"8"`
	Classes       int64 `json:"classes" doc:"of lower-case letters, upper-case letters, digits and others, how many kinds it needs" min:"1" max:"4" default:"2"`
	MaxRepeat     int64 `json:"max_repeat" doc:"how often a character may stand in a row; 0: any number" min:"0" max:"32"`
	Reuse         int64 `json:"reuse" doc:"how many of the last passwords cannot be chosen again" min:"0" max:"24" default:"1"`
	MaxAgeDays    int64 `json:"max_age_days" doc:"after so many days a new one must be chosen; 0: never" unit:"days" min:"0" max:"365"`
	MinAgeMinutes int64 `json:"min_age_minutes" doc:"users cannot change it again sooner" unit:"min" min:"0" max:"1440"`
	NotUserName   *bool `json:"not_user_name" doc:"it cannot hold the user's name" default:"true"`
}

// LoginRules say how log-ins work.
type LoginRules struct {
	LockAfter      int64  `json:"lock_after" doc:"failed log-ins in a row that lock a user out" min:"3" max:"10" default:"10"`
	LockWindow     int64  `json:"lock_window" doc:"within this time" unit:"min" min:"5" max:"60" default:"10"`
	LockFor        int64  `json:"lock_for" doc:"for this long" unit:"min" min:"5" max:"1440" default:"10"`
	SessionMinutes int64  `json:"session_minutes" doc:"how long a console session lasts" unit:"min" min:"15" max:"1440" default:"480"`
	ValidityDays   int64  `json:"validity_days" doc:"users who did not log in for so long cannot any more; 0: no limit" unit:"days" min:"0" max:"365"`
	ShowRecent     bool   `json:"show_recent" doc:"tell the user, when logging in, when and from where the last log-in was"`
	Notice         string `json:"notice" doc:"a text for everybody who logs in" max:"64"`
}

// Network is where from something may be used.
type Network struct {
	Address     string `json:"address" doc:"an address, a network or a range" required:"true" max:"100" example:"192.0.2.0/24"`
	Description string `json:"description" doc:"whose it is" max:"255"`
}

type rulesRow = kind.Row[RulesSpec, None]

// RulesName is how the one row of a domain is called.
const RulesName = "rules"

func (k *Kinds) rulesKind() kind.Kind[RulesSpec, None] {
	return kind.Kind[RulesSpec, None]{Service: "identity", Name: "security-policy", Plural: "security-policies", Scope: kind.InDomain, NoRename: true,
		Doc:     "What a domain demands of log-ins and passwords. Every domain has one, called rules.",
		Columns: []string{"spec.mfa", "spec.mfa_api", "spec.password.min_length", "spec.login.lock_after"},
		Check: func(ctx context.Context, tx store.Tx, old, row *rulesRow) error {
			if old == nil {
				return fail.New(fail.Exists, "every domain has its one security policy already").Then("update it: awan security-policy update %s", RulesName)
			}
			for field, list := range map[string][]Network{"spec.console_networks": row.Spec.Console, "spec.api_networks": row.Spec.API} {
				for _, n := range list {
					if _, _, err := n.bounds(); err != nil {
						return fail.Field(field, "%q is not an address, a network or a range", n.Address).Then("for example 192.0.2.7, 192.0.2.0/24 or 192.0.2.1-192.0.2.9")
					}
				}
			}
			return k.guardRules(ctx, tx, row.Domain)
		},
		CheckDelete: func(ctx context.Context, _ store.Tx, _ *rulesRow) error {
			if From(ctx).Method == BySystem {
				return nil
			}
			return fail.New(fail.Precondition, "a domain always has a security policy").Then("update it instead")
		},
		Changed: touch[RulesSpec, None]}
}

// addRules gives a domain its row.
func (k *Kinds) addRules(tx store.Tx, d *kind.Row[DomainSpec, None]) error {
	row := &rulesRow{Meta: newMeta(k.Rules.D, d.ID, RulesName, d.Created)}
	k.defaultRules(&row.Spec)
	return k.Rules.Put(tx, row)
}

// defaultRules is what a domain demands that said nothing else.
func (k *Kinds) defaultRules(spec *RulesSpec) {
	kind.SetDefaults(spec, k.Rules.D.Spec)
	if k.service != nil && k.service.PasswordOnAPIs {
		*spec.MFAAPI = false
	}
}

// mfaOnAPIs tells whether the APIs ask for a second factor as the console does.
func (r RulesSpec) mfaOnAPIs() bool { return r.MFAAPI == nil || *r.MFAAPI }

// RulesOf gives what a domain demands; the defaults where it has no row.
func (k *Kinds) RulesOf(tx store.Tx, domain id.ID) (RulesSpec, error) {
	row, err := k.Rules.Find(tx, string(domain), RulesName)
	if err != nil {
		return RulesSpec{}, err
	}
	if row == nil {
		row = new(rulesRow)
		k.defaultRules(&row.Spec)
	}
	return row.Spec, nil
}

// bounds are the first and the last address.
func (n Network) bounds() (first, last netip.Addr, err error) {
	if from, to, ok := strings.Cut(n.Address, "-"); ok {
		if first, err = netip.ParseAddr(strings.TrimSpace(from)); err == nil {
			last, err = netip.ParseAddr(strings.TrimSpace(to))
		}
		if err == nil && (first.BitLen() != last.BitLen() || last.Less(first)) {
			err = fail.New(fail.Invalid, "the range ends before it begins")
		}
		return first, last, err
	}
	if p, err := netip.ParsePrefix(n.Address); err == nil {
		return p.Masked().Addr(), lastOf(p), nil
	}
	first, err = netip.ParseAddr(n.Address)
	return first, first, err
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// admits tells whether a list lets an address in. An empty list lets everybody in; an address that cannot be read is
// let in by an empty list only.
func admits(list []Network, source string) bool {
	if len(list) == 0 {
		return true
	}
	a, err := netip.ParseAddr(source)
	if err != nil {
		return false
	}
	a = a.Unmap().WithZone("")
	if a.IsLoopback() {
		return true // whoever sits at the machine itself: the way back for who locked everybody out
	}
	for _, n := range list {
		first, last, err := n.bounds()
		if err == nil && a.BitLen() == first.BitLen() && !a.Less(first) && !last.Less(a) {
			return true
		}
	}
	return false
}

// Admit refuses callers from addresses that their domain does not let in.
func (s *Service) Admit(tx store.Tx, p Principal, source string, console bool) error {
	if p.Method == BySystem {
		return nil
	}
	r, err := s.rules(tx, p.Domain)
	if err != nil {
		return err
	}
	list, what := r.API, "the APIs"
	if console {
		list, what = r.Console, "the console"
	}
	if admits(list, source) {
		return nil
	}
	return fail.New(fail.Denied, "your account does not let %s be used from %s", what, source).
		Then("use it from an address that the account's security policy names")
}

// rules gives a domain's rules from the cache.
func (s *Service) rules(tx store.Tx, domain id.ID) (RulesSpec, error) {
	c, err := s.cached(tx)
	if err != nil {
		return RulesSpec{}, err
	}
	return lookup(c, c.rules, domain, func() (RulesSpec, error) { return s.Kinds.RulesOf(tx, domain) })
}

// checkPassword says what a domain's rules find wrong with a password.
func (r PasswordRules) check(user, password string) error {
	wrong := func(format string, args ...any) error {
		return fail.Field("spec.password", format, args...).Then("the rules of your account: awan security-policy get %s", RulesName)
	}
	var lower, upper, digit, other bool
	run, longest := 0, 0
	var last rune
	n := int64(0)
	for _, c := range password {
		n++
		switch {
		case c >= 'a' && c <= 'z':
			lower = true
		case c >= 'A' && c <= 'Z':
			upper = true
		case c >= '0' && c <= '9':
			digit = true
		default:
			other = true
		}
		if run++; c != last {
			run = 1
		}
		last, longest = c, max(longest, run)
	}
	classes := int64(0)
	for _, has := range []bool{lower, upper, digit, other} {
		if has {
			classes++
		}
	}
	switch {
	case n < r.MinLength:
		return wrong("has %d characters; the fewest is %d", n, r.MinLength)
	case classes < r.Classes:
		return wrong("has %d kinds of characters, not %d of lower-case and upper-case letters, digits and others", classes, r.Classes)
	case r.MaxRepeat > 0 && int64(longest) > r.MaxRepeat:
		return wrong("repeats a character %d times; the most is %d", longest, r.MaxRepeat)
	case r.NotUserName != nil && *r.NotUserName && holdsName(password, user):
		return wrong("must not hold the user's name, also not backwards")
	}
	return nil
}

func holdsName(password, user string) bool {
	if len(user) < 4 {
		return strings.EqualFold(password, user)
	}
	p, u := strings.ToLower(password), []rune(strings.ToLower(user))
	back := make([]rune, len(u))
	for i, c := range u {
		back[len(u)-1-i] = c
	}
	return strings.Contains(p, string(u)) || strings.Contains(p, string(back))
}

// expired tells whether a password that was set then has to be changed.
func (r PasswordRules) expired(set, now time.Time) bool {
	return r.MaxAgeDays > 0 && !set.IsZero() && now.Sub(set) > time.Duration(r.MaxAgeDays)*24*time.Hour
}
