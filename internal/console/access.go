package console

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/dialect/native"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
)

const policyKind = "identity/policy"

type (
	userRow  = kind.Row[ident.UserSpec, ident.UserStatus]
	grantRow = kind.Row[ident.GrantSpec, ident.None]
)

// rights is what a user may do, and why.
type rights struct {
	User     string
	Grants   []right
	Unused   *ident.UnusedRights
	LastUsed time.Time
	Simulate string // address of the form that asks about the user
}

// right is a policy that a user holds.
type right struct {
	Policy, PolicyHref string
	Held, HeldHref     string // by itself, or by a group
	Where              string
	Grant              string // address of the grant
	Unused             bool
}

// rightsOf gathers a user's grants: its own, and those of its groups. nil for what is no user.
func (q *request) rightsOf(k *kind.Def, row kind.AnyRow) (*rights, error) {
	u, ok := row.(*userRow)
	if !ok || k.FullName() != "identity/user" || !q.mayAsk("identity/grant", "list") {
		return nil, nil
	}
	out := &rights{User: u.Name}
	if q.mayAsk(policyKind, "simulate") {
		out.Simulate = "/simulate?user=" + url.QueryEscape(u.Name)
	}
	if q.mayAsk(policyKind, "unused") {
		var ans struct{ Items []ident.UnusedRights }
		if err := q.ask(policyKind, "unused", "", ident.Unused{User: string(u.ID), Days: 90}, &ans); err == nil && len(ans.Items) == 1 {
			out.Unused, out.LastUsed = &ans.Items[0], ans.Items[0].LastUsed
		}
	}
	for i, subject := range append([]string{string(u.ID)}, u.Spec.Groups...) {
		rows, err := q.rowsOf("identity/grant", "subject", subject)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			g := r.(*grantRow)
			x := right{Held: "granted to the user", Grant: rowPath(q.Door.KindOf("identity/grant"), g.M()), Where: "the whole domain"}
			x.Policy, x.PolicyHref = q.refer(policyKind, g.Spec.Policy)
			if i > 0 {
				name, href := q.refer("identity/group", subject)
				x.Held, x.HeldHref = "by group "+name, href
			}
			switch {
			case g.Spec.Cloud:
				x.Where = "every domain of the cloud"
			case g.Spec.Project != "":
				name, _ := q.refer("identity/project", g.Spec.Project)
				x.Where = "project " + name
			case g.Spec.EnterpriseProject != "":
				name, _ := q.refer("identity/enterprise-project", g.Spec.EnterpriseProject)
				x.Where = "enterprise project " + name
			}
			if out.Unused != nil {
				for _, p := range out.Unused.Policies {
					x.Unused = x.Unused || p.Policy == x.Policy
				}
			}
			out.Grants = append(out.Grants, x)
		}
	}
	return out, nil
}

// whyPage explains the decision about a call that was made.
type whyPage struct {
	ident.Explanation
	View      entryView
	Statement string
	Policy    string // address of the deciding policy
	Simulate  string
}

func (q *request) why() error {
	var p whyPage
	if err := q.ask(policyKind, "explain", "", ident.Explained{Entry: q.PathValue("id")}, &p.Explanation); err != nil {
		return err
	}
	p.View = viewEntry(p.Entry)
	if d := p.Deciding; d != nil {
		p.Statement = indented(d.Statement)
		if k := q.Door.KindOf(policyKind); k != nil && d.PolicyID != "" {
			p.Policy = listPath(k) + "/" + pathEscape(d.PolicyID)
		}
	}
	if words := strings.Fields(p.Entry.Actor); len(words) > 1 && words[0] == "user" {
		v := url.Values{"user": {words[1]}, "actions": {p.Entry.Action}}
		if d := p.Entry.Decision; d != nil {
			v.Set("resources", d.Resource)
		}
		p.Simulate = "/simulate?" + v.Encode()
	}
	return q.render("why", "Why", p)
}

func indented(b json.RawMessage) string {
	var out bytes.Buffer
	if len(b) == 0 || json.Indent(&out, b, "", "  ") != nil {
		return string(b)
	}
	return out.String()
}

// simulatePage asks what would be allowed.
type simulatePage struct {
	User, Agency, Actions, Resources, Project, Document, Facts, Enterprise string
	Users, Agencies, Projects, Enterprises                                 []string
	Known                                                                  []string // actions there are, as suggestions
	Verdicts                                                               []verdictView
	Asked, Single                                                          bool // Single: one answer, shown whole
	Err                                                                    *fail.Error
	Snippet                                                                []sourceLine
}

type verdictView struct {
	ident.Verdict
	Statement string
	Policy    string
}

// simulate is a form by GET, for it changes nothing: its address can be kept and sent.
func (q *request) simulate() error {
	v := q.URL.Query()
	p := simulatePage{User: v.Get("user"), Actions: v.Get("actions"), Resources: v.Get("resources"), Project: v.Get("project"), Document: v.Get("document"),
		Agency: v.Get("agency"), Facts: v.Get("facts"), Enterprise: v.Get("enterprise"),
		Users: q.suggest("identity/user"), Agencies: q.suggest("identity/agency"), Projects: q.suggest("identity/project"), Enterprises: q.suggest("identity/enterprise-project")}
	for _, k := range q.Door.Kinds {
		for _, r := range native.Routes([]*kind.Def{k}) {
			p.Known = append(p.Known, k.Action(r.Verb))
		}
	}
	p.Asked = v.Has("actions") && v.Has("ask")
	if !p.Asked {
		if !v.Has("project") && q.project.Name != "" {
			p.Project = q.project.Name
		}
		return q.render("simulate", "Policy simulator", p)
	}
	in := ident.Question{User: p.User, Agency: p.Agency, Actions: strings.Fields(p.Actions), Resources: strings.Fields(p.Resources), Project: p.Project, EnterpriseProject: p.Enterprise, Facts: map[string]string{}}
	for _, line := range strings.Fields(p.Facts) {
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			p.Err = fail.Field("facts", "%q is not KEY=VALUE", line)
			return q.renderStatus(400, "simulate", "Policy simulator", p)
		}
		in.Facts[key] = value
	}
	if strings.TrimSpace(p.Document) != "" {
		in.Documents = []json.RawMessage{json.RawMessage(p.Document)}
		if err := badJSON("documents[0]", p.Document); err != nil {
			p.Err, p.Snippet = err, snippet(p.Document, lineOfSyntax(p.Document))
			return q.renderStatus(400, "simulate", "Policy simulator", p)
		}
	}
	var ans struct{ Items []ident.Verdict }
	if err := q.ask(policyKind, "simulate", "", in, &ans); err != nil {
		return formError(err, func(e *fail.Error, status int) error {
			p.Err = e
			if rest, ok := strings.CutPrefix(e.Field, "documents[0]."); ok {
				p.Snippet = snippet(p.Document, lineOfPath(p.Document, rest))
			}
			return q.renderStatus(status, "simulate", "Policy simulator", p)
		})
	}
	for _, x := range ans.Items {
		w := verdictView{Verdict: x}
		if x.Deciding != nil {
			w.Statement = indented(x.Deciding.Statement)
			if x.Deciding.PolicyID != "" {
				w.Policy = listPath(q.Door.KindOf(policyKind)) + "/" + pathEscape(x.Deciding.PolicyID)
			}
		}
		p.Verdicts = append(p.Verdicts, w)
	}
	p.Single = len(p.Verdicts) == 1
	return q.render("simulate", "Policy simulator", p)
}
