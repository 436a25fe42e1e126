package ident

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// RequestSpec describes requests that an application credential may be confined to, as Keystone's access rules do.
type RequestSpec struct {
	User    string `json:"user" doc:"whose credentials may name it; yours when empty" ref:"identity/user" immutable:"true"`
	Service string `json:"service" doc:"type of the service, as the catalog has it" required:"true" immutable:"true" max:"255" example:"compute"`
	Method  string `json:"method" doc:"the HTTP method" enum:"GET,HEAD,POST,PUT,PATCH,DELETE" required:"true" immutable:"true"`
	Path    string `json:"path" doc:"the path: * stands for anything but /, ** for anything, {name} for what is between two /" required:"true" immutable:"true" pattern:"^/" max:"255" example:"/v2.1/servers/*"`
}

type requestRow = kind.Row[RequestSpec, None]

func (k *Kinds) requestKind() kind.Kind[RequestSpec, None] {
	return kind.Kind[RequestSpec, None]{Service: "identity", Name: "request-rule", Scope: kind.InDomain, AnyName: true,
		Doc:     "A request that application credentials of a user may be confined to, with others like it.",
		Columns: []string{"spec.user", "spec.service", "spec.method", "spec.path"}, Example: RequestSpec{Service: "compute", Method: "GET", Path: "/v2.1/servers"},
		Index:    map[string]func(*requestRow) []string{"user": func(r *requestRow) []string { return []string{r.Spec.User} }},
		Defaults: k.requestOwner, Check: k.checkRequest, CheckDelete: k.requestUnused, Changed: touch[RequestSpec, None]}
}

func (k *Kinds) requestOwner(ctx context.Context, _ store.Tx, row *requestRow) error {
	if row.Spec.User == "" {
		row.Spec.User = string(From(ctx).User)
	}
	return nil
}

func (k *Kinds) checkRequest(ctx context.Context, tx store.Tx, old, row *requestRow) error {
	if err := ref(tx, k.User, row.Domain, "spec.user", &row.Spec.User); err != nil || old != nil {
		return err
	}
	if p := From(ctx); p.Lent() && !p.Manages {
		return fail.New(fail.Denied, "this log-in acts with a part of the user's rights and cannot make rules for others").Then("use a token of the user")
	}
	same, err := k.Request.List(tx, string(row.Domain), kind.Filter{Index: "user", Value: row.Spec.User, Limit: 1, Where: func(r kind.AnyRow) bool {
		return r.M().ID != row.ID && r.(*requestRow).Spec == row.Spec
	}})
	if err == nil && len(same) > 0 {
		return fail.New(fail.Exists, "the user has this rule already, as %s", same[0].ID)
	}
	return err
}

func (k *Kinds) requestUnused(_ context.Context, tx store.Tx, row *requestRow) error {
	used, err := k.Credential.List(tx, string(row.Domain), kind.Filter{Index: "user", Value: row.Spec.User, Limit: 1, Where: func(r kind.AnyRow) bool {
		return slices.Contains(r.(*credentialRow).Spec.Requests, string(row.ID))
	}})
	if err == nil && len(used) > 0 {
		return fail.New(fail.Precondition, "application credential %s is confined to this request", used[0].Name).Then("delete the credential first")
	}
	return err
}

func (k *Kinds) forgetRequests(tx store.Tx, u *userRow) error {
	rows, err := k.Request.List(tx, string(u.Domain), kind.Filter{Index: "user", Value: string(u.ID)})
	if err != nil {
		return err
	}
	for _, r := range rows {
		if err := k.Request.Remove(tx, r); err != nil {
			return err
		}
	}
	return nil
}

// checkRequests resolves the rules that a credential names: they must be its user's.
func (k *Kinds) checkRequests(tx store.Tx, row *credentialRow) error {
	for i := range row.Spec.Requests {
		at := fmt.Sprintf("spec.requests[%d]", i)
		if err := ref(tx, k.Request, row.Domain, at, &row.Spec.Requests[i]); err != nil {
			return err
		}
		r, err := k.Request.Get(tx, id.ID(row.Spec.Requests[i]))
		if err != nil {
			return err
		}
		if r.Spec.User != row.Spec.User {
			return fail.Field(at, "is a rule of another user")
		}
	}
	return nil
}

// requests are what a credential is confined to. A rule that is gone allows nothing.
func (s *Service) requests(tx store.Tx, row *credentialRow) (out []RequestSpec, err error) {
	for _, rid := range row.Spec.Requests {
		r, err := s.Kinds.Request.Get(tx, id.ID(rid))
		if err != nil {
			return nil, err
		}
		if r != nil {
			out = append(out, r.Spec)
		}
	}
	return out, nil
}

// Confined tells whether a request, to a service by any of its names and by any of the forms of its path, is one that p's
// credential may make. Whoever is not confined may make all.
func (p Principal) Confined(services []string, method string, paths ...string) bool {
	if p.Restricted != OnlyRequests {
		return true
	}
	return slices.ContainsFunc(p.Requests, func(r RequestSpec) bool {
		return (r.Method == method || r.Method == "GET" && method == "HEAD") && slices.Contains(services, r.Service) &&
			slices.ContainsFunc(paths, func(path string) bool { return fits(r.Path, path) })
	})
}

// fits tells whether a path is of a pattern. It is asked as a regular expression, whose time is bounded by the path's length.
func fits(pattern, path string) bool {
	var b strings.Builder
	for last := 0; ; {
		m := wildcard.FindStringIndex(pattern[last:])
		if m == nil {
			b.WriteString(regexp.QuoteMeta(pattern[last:]))
			break
		}
		b.WriteString(regexp.QuoteMeta(pattern[last : last+m[0]]))
		switch w := pattern[last+m[0] : last+m[1]]; {
		case w == "*":
			b.WriteString(`[^/]*`)
		case w[0] == '{':
			b.WriteString(`[^/]+`)
		default:
			b.WriteString(`.*`)
		}
		last += m[1]
	}
	re, err := regexp.Compile(`(?s)^` + b.String() + `$`)
	return err == nil && re.MatchString(path)
}

var wildcard = regexp.MustCompile(`\*+|\{[^}]*\}`)
