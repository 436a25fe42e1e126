package native

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/dialect/auth"
	"github.com/awancloud/awan/internal/dialect/login"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Login is what a log-in sends.
type Login struct {
	Domain   string    `json:"domain" doc:"the account's name or id" required:"true"`
	User     string    `json:"user" doc:"name or id" required:"true"`
	Password string    `json:"password" secret:"true" required:"true"`
	Code     string    `json:"code" doc:"of the second factor, where the user has one: the app's six digits, or a backup code" max:"64"`
	Project  string    `json:"project" doc:"scope the token to this project; empty: to the domain"`
	Life     kind.Span `json:"life" doc:"how long the token lives; at most 24h" default:"24h"`
}

// Session is what a log-in answers.
type Session struct {
	Token   string    `json:"token"`
	Expires time.Time `json:"expires"`
	Who     Who       `json:"who"`
	// Needs says what has to be done before anything else: factor (enrol a second factor) or password (choose a new one).
	Needs ident.Restriction `json:"needs,omitempty"`
	// Last is the log-in before this one, where the account's rules say that people are told.
	Last   *LastLogin `json:"last_login,omitempty"`
	Notice string     `json:"notice,omitempty"`
}

// LastLogin is when and from where somebody logged in.
type LastLogin struct {
	At     time.Time `json:"at"`
	Source string    `json:"source"`
}

// Who describes a principal.
type Who struct {
	User       string            `json:"user"`
	UserID     id.ID             `json:"user_id"`
	Domain     string            `json:"domain"`
	DomainID   id.ID             `json:"domain_id"`
	Project    string            `json:"project,omitempty"`
	ProjectID  id.ID             `json:"project_id,omitempty"`
	Method     ident.Method      `json:"method"`
	Expires    time.Time         `json:"expires,omitzero"`
	CloudAdmin bool              `json:"cloud_admin,omitempty"`
	MFA        bool              `json:"mfa,omitempty"`      // logged in with a second factor
	Agency     string            `json:"agency,omitempty"`   // acts through this agency
	ActingAs   string            `json:"acted_by,omitempty"` // who does
	Needs      ident.Restriction `json:"needs,omitempty"`    // what the log-in still lacks
}

func (a *API) login(w http.ResponseWriter, r *http.Request) error {
	b, err := readBody(w, r, 64<<10)
	if err != nil {
		return err
	}
	var in Login
	fields := kind.FieldsOf(in)
	kind.SetDefaults(&in, fields)
	if err := kind.DecodeStrict(b, &in, "", fields); err != nil {
		return err
	}
	if err := kind.Validate(&in, "", fields); err != nil {
		return err
	}
	s, err := LogIn(r.Context(), a.Door, in, auth.Source(r), r.UserAgent(), "native")
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, s)
}

// LogIn checks a password, issues a token and audits both outcomes.
func LogIn(ctx context.Context, d *call.Door, in Login, source, agent, dialect string) (Session, error) {
	return LogInBy(ctx, d, login.Request{From: login.From{Source: source, Agent: agent, Dialect: dialect}, Domain: in.Domain, User: in.User,
		Password: in.Password, Code: in.Code, Scope: login.Scope{Project: in.Project}, Life: time.Duration(in.Life)})
}

// LogInBy is LogIn for whatever is known of who asks.
func LogInBy(ctx context.Context, d *call.Door, r login.Request) (Session, error) {
	s, err := login.In(ctx, d, r)
	if err != nil {
		return Session{}, err
	}
	out := Session{Token: s.Text, Expires: s.Token.Expires, Needs: s.Principal.Restricted}
	if out.Who, err = whoIs(ctx, d, s.Principal); err != nil {
		return out, err
	}
	err = d.Store.View(ctx, func(tx store.Tx) error {
		rules, err := d.Ident.Kinds.RulesOf(tx, s.Principal.Domain)
		out.Notice = rules.Login.Notice
		if rules.Login.ShowRecent && !s.Before.LastLogin.IsZero() {
			out.Last = &LastLogin{s.Before.LastLogin, s.Before.LastSource}
		}
		return err
	})
	return out, err
}

func whoIs(ctx context.Context, d *call.Door, p ident.Principal) (Who, error) {
	w := Who{User: p.UserName, UserID: p.User, Domain: p.DomainName, DomainID: p.Domain, ProjectID: p.Project, Method: p.Method, Expires: p.Expires, MFA: p.MFA, Needs: p.Restricted}
	if p.Agency != "" {
		w.Agency, w.ActingAs = p.UserName, p.By.DomainName+"/"+p.By.Name
	}
	err := d.Store.View(ctx, func(tx store.Tx) error {
		if err := d.Ident.MarkCloud(tx, &p); err != nil {
			return err
		}
		w.CloudAdmin = p.Cloud()
		if p.Project == "" {
			return nil
		}
		row, err := d.Ident.Kinds.Project.Get(tx, p.Project)
		if row != nil {
			w.Project = row.Name
		}
		return err
	})
	return w, err
}

func (a *API) logout(w http.ResponseWriter, r *http.Request) error {
	c, err := a.newCall(r)
	if err != nil {
		return err
	}
	if c.Principal.Nobody() {
		return fail.New(fail.Unauthenticated, "nobody is logged in")
	}
	if c.Principal.Method != ident.ByToken {
		return fail.New(fail.Invalid, "only a token can be logged out").Then("delete or disable the access key instead")
	}
	token := r.Header.Get("X-Auth-Token")
	if token == "" {
		_, token, _ = strings.Cut(r.Header.Get("Authorization"), " ")
	}
	err = login.Out(r.Context(), a.Door, c.Principal, strings.TrimSpace(token), nil, login.From{Source: c.Source, Agent: c.Agent, Dialect: "native", RequestID: c.RequestID})
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) whoami(w http.ResponseWriter, r *http.Request) error {
	c, err := a.newCall(r)
	if err != nil {
		return err
	}
	if c.Principal.Nobody() {
		return fail.New(fail.Unauthenticated, "nobody is logged in").Then("awan login")
	}
	who, err := whoIs(r.Context(), a.Door, c.Principal)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, who)
}

func (a *API) version(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, map[string]string{"version": a.Version, "region": a.Door.Region, "domain": a.Domain})
}

// ca tells the cloud's CA to those who do not trust it yet (awan login); it is public.
func (a *API) ca(w http.ResponseWriter, _ *http.Request) error {
	if a.CA == nil {
		return fail.New(fail.NotFound, "this cloud has no CA of its own")
	}
	w.Header().Set("Content-Type", "application/x-pem-file")
	_, err := w.Write(a.CA())
	return err
}

func (a *API) kinds(w http.ResponseWriter, _ *http.Request) error {
	out := make([]kind.Desc, len(a.Door.Kinds))
	for i, k := range a.Door.Kinds {
		out[i] = k.Desc
	}
	return writeJSON(w, http.StatusOK, map[string]any{"items": out})
}

// job reads an operation; ?wait=30s answers when it ended, or after that time as it then is.
func (a *API) job(w http.ResponseWriter, r *http.Request) error {
	c, err := a.newCall(r)
	if err != nil {
		return err
	}
	jobID, ok := id.Parse(c.Target)
	if !ok {
		return fail.New(fail.NotFound, "there is no job %q", c.Target)
	}
	if c.Principal.Nobody() {
		return fail.New(fail.Unauthenticated, "this needs a log-in").Then("awan login")
	}
	var j *job.Job
	if j, err = a.Door.Job(r.Context(), c.Principal, jobID); err != nil {
		return err
	}
	if s := r.URL.Query().Get("wait"); s != "" && !j.Done() {
		d, err := time.ParseDuration(s)
		if err != nil || d < 0 || d > 5*time.Minute {
			return fail.Field("wait", "%q is not a duration up to 5m", s)
		}
		ctx, cancel := context.WithTimeout(r.Context(), d)
		defer cancel()
		if later, err := a.Door.WaitJob(ctx, jobID); later != nil && (err == nil || ctx.Err() != nil) {
			j = later
		}
	}
	return writeJSON(w, http.StatusOK, j)
}

func (a *API) audit(w http.ResponseWriter, r *http.Request) error {
	c, err := a.newCall(r)
	if err != nil {
		return err
	}
	p := r.URL.Query()
	q := ledger.Query{Project: id.ID(p.Get("project")), Actor: p.Get("actor"), Action: p.Get("action"), Resource: p.Get("resource"),
		Outcome: ledger.Outcome(p.Get("outcome")), Text: p.Get("text"), Before: id.ID(p.Get("marker"))}
	var limit int64
	for _, err := range []error{number(p.Get("limit"), "limit", &limit), moment(p.Get("since"), "since", &q.Since), moment(p.Get("until"), "until", &q.Until)} {
		if err != nil {
			return err
		}
	}
	q.Limit = int(limit)
	entries, next, err := a.Door.Audit(r.Context(), c, q)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]any{"items": orEmpty(entries), "next": next})
}

func (a *API) quota(w http.ResponseWriter, r *http.Request) error {
	c, err := a.newCall(r)
	if err != nil {
		return err
	}
	return a.quotas(w, r, c)
}

func (a *API) quotas(w http.ResponseWriter, r *http.Request, c *call.Call) error {
	q, err := a.Door.Quotas(r.Context(), c)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]any{"items": orEmpty(q)})
}

func (a *API) setQuota(w http.ResponseWriter, r *http.Request) error {
	c, err := a.newCall(r)
	if err != nil {
		return err
	}
	b, err := readBody(w, r, 4<<10)
	if err != nil {
		return err
	}
	var in struct {
		Name  ledger.Dim `json:"name"`
		Limit int64      `json:"limit"`
	}
	if err := kind.DecodeStrict(b, &in, "", []kind.Field{{Name: "name"}, {Name: "limit"}}); err != nil {
		return err
	}
	c.Spec = json.RawMessage(b)
	if err := a.Door.SetQuotas(r.Context(), c, map[ledger.Dim]int64{in.Name: in.Limit}); err != nil {
		return err
	}
	return a.quotas(w, r, c) // not quota: a signature cannot be checked again once the body is read
}

func (a *API) usage(w http.ResponseWriter, r *http.Request) error {
	c, err := a.newCall(r)
	if err != nil {
		return err
	}
	to := time.Now().UTC()
	from := time.Date(to.Year(), to.Month(), 1, 0, 0, 0, 0, time.UTC)
	q := r.URL.Query()
	for _, err := range []error{moment(q.Get("from"), "from", &from), moment(q.Get("to"), "to", &to)} {
		if err != nil {
			return err
		}
	}
	u, err := a.Door.Usage(r.Context(), c, from, to)
	if err != nil {
		return err
	}
	type priced struct {
		ledger.Usage
		Cost *float64 `json:"cost,omitempty"`
	}
	items, total := []priced{}, 0.0
	for _, one := range u {
		p := priced{one, a.Door.Rates.Cost(one)}
		if p.Cost != nil {
			total += *p.Cost
		}
		items = append(items, p)
	}
	out := map[string]any{"items": items, "from": from, "to": to}
	if a.Door.Rates.Currency != "" {
		out["currency"], out["cost"] = a.Door.Rates.Currency, total
	}
	return writeJSON(w, http.StatusOK, out)
}
