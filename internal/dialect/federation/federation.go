// Package federation is the browser's way in through an identity provider, by OpenID Connect or SAML 2.0: the pages to
// leave by and to come back to. What is said there is checked by service/federation. It may import the kernel,
// dialect/{auth,front,login} and service/federation.
package federation

import (
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"time"

	"github.com/awancloud/awan/internal/dialect/auth"
	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/dialect/login"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/service/federation"
)

// Prefix is the path below which the pages are: /federation/{provider}/…
const Prefix = "federation"

// wayCookie holds the state of a log-in that is on its way. A SAML provider's answer is a form that another site posts,
// with which browsers send SameSite=None cookies only.
const wayCookie = "__Host-awan-way"

// Options are what the pages stand on.
type Options struct {
	Door *call.Door
	Fed  *federation.Service
	// Welcome puts the token of a finished log-in into the console's session.
	Welcome func(w http.ResponseWriter, token string, life time.Duration)
}

// Pages serve them.
type Pages struct {
	Options
	mux *http.ServeMux
}

// New makes the pages.
func New(o Options) *Pages {
	p := &Pages{Options: o, mux: http.NewServeMux()}
	p.mux.HandleFunc("GET /{provider}/login", p.serve(p.begin))
	p.mux.HandleFunc("GET /{provider}/callback", p.serve(p.callback))
	p.mux.HandleFunc("POST /{provider}/acs", p.serve(p.acs))
	p.mux.HandleFunc("GET /{provider}/metadata", p.serve(p.metadata))
	return p
}

// LoginPath is where a log-in through a provider begins.
func LoginPath(provider, next string) string {
	return "/" + Prefix + "/" + url.PathEscape(provider) + "/login?" + url.Values{"next": {next}}.Encode()
}

// Service is the pages behind the listener.
func (p *Pages) Service() front.Service {
	return front.Service{Name: Prefix, Handler: p, MaxBody: 1 << 20}
}

// ServeHTTP answers a request.
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("Cache-Control", "no-store")
	p.mux.ServeHTTP(w, r)
}

func (p *Pages) serve(f func(http.ResponseWriter, *http.Request, *federation.Provider) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		row, err := p.Fed.Find(r.Context(), r.URL.Query().Get("domain_id"), r.PathValue("provider"))
		if err == nil {
			err = f(w, r, row)
		}
		if err == nil {
			return
		}
		e := fail.From(err)
		if e.Kind == fail.Internal {
			p.Door.Log.Error("federation: a log-in failed", "request", front.From(r.Context()).RequestID, "err", err)
		}
		if row != nil {
			if rerr := login.Refused(r.Context(), p.Door, ident.Principal{Domain: row.Domain}, "identity provider "+row.Name, from(r), err); rerr != nil {
				e = fail.From(rerr)
			}
			p.Door.Log.Warn("federation: a log-in was refused", "provider", row.Name, "err", err)
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(front.Status(e.Kind))
		_ = page.Execute(w, view{Title: "The log-in did not work", Text: e.Message, More: e.Next, To: "/login", Link: "To the log-in page"})
	}
}

func from(r *http.Request) login.From {
	return login.From{Source: auth.Source(r), Agent: r.UserAgent(), Dialect: "federation", RequestID: front.From(r.Context()).RequestID}
}

// base is the address of a provider's pages: what it must know of this cloud.
func base(r *http.Request, p *federation.Provider) string {
	return "https://" + r.Host + "/" + Prefix + "/" + string(p.ID)
}

// CallbackURL is the redirect address to register at an OpenID Connect provider.
func CallbackURL(host string, p *federation.Provider) string {
	return "https://" + host + "/" + Prefix + "/" + string(p.ID) + "/callback"
}

func (p *Pages) begin(w http.ResponseWriter, r *http.Request, row *federation.Provider) error {
	if row.Spec.Programs {
		return apiOnly(row)
	}
	next := r.URL.Query().Get("next")
	var to, state string
	var err error
	if row.Spec.SAML() {
		to, state, err = p.Fed.BeginSAML(r.Context(), row, base(r, row), next)
	} else {
		to, state, err = p.Fed.BeginOIDC(r.Context(), row, base(r, row)+"/callback", next)
	}
	if err != nil {
		return err
	}
	http.SetCookie(w, &http.Cookie{Name: wayCookie, Value: state, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteNoneMode, MaxAge: 900})
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// back takes up the way that the browser left by.
func (p *Pages) back(w http.ResponseWriter, r *http.Request, row *federation.Provider, state string) (federation.Way, error) {
	c, err := r.Cookie(wayCookie)
	if err != nil {
		c = &http.Cookie{}
	}
	http.SetCookie(w, &http.Cookie{Name: wayCookie, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteNoneMode, MaxAge: -1})
	way, err := p.Fed.Return(r.Context(), state, c.Value)
	if err == nil && way.Provider != row.ID {
		err = fail.New(fail.Denied, "this answer is not of the identity provider that was asked").Then("begin again on the log-in page")
	}
	return way, err
}

func (p *Pages) callback(w http.ResponseWriter, r *http.Request, row *federation.Provider) error {
	q := r.URL.Query()
	way, err := p.back(w, r, row, q.Get("state"))
	if err != nil {
		return err
	}
	if q.Get("error") != "" {
		return fail.New(fail.Denied, "identity provider %s says no: %.100q", row.Name, q.Get("error")).Then("log in there, and agree")
	}
	k, err := p.Fed.EndOIDC(r.Context(), row, way, base(r, row)+"/callback", q.Get("code"))
	if err != nil {
		return err
	}
	return p.welcome(w, r, k, way)
}

func (p *Pages) acs(w http.ResponseWriter, r *http.Request, row *federation.Provider) error {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	if err := r.ParseForm(); err != nil {
		return fail.Wrap(err, fail.Invalid, "the form could not be read")
	}
	way, err := p.back(w, r, row, r.PostForm.Get("RelayState"))
	if err != nil {
		return err
	}
	k, err := p.Fed.EndSAML(r.Context(), row, way, base(r, row), r)
	if err != nil {
		return err
	}
	return p.welcome(w, r, k, way)
}

// Admit makes a session of somebody a provider vouched for, and a token of that.
func Admit(r *http.Request, d *call.Door, s *federation.Service, k federation.Known, sc login.Scope, f login.From, console bool) (login.Session, error) {
	e := ledger.Entry{Source: f.Source, Agent: f.Agent, Dialect: f.Dialect, RequestID: f.RequestID}
	g, err := s.Enter(r.Context(), k, e)
	if err != nil {
		return login.Session{}, err
	}
	return login.Vouched(r.Context(), d, g.Principal, fmt.Sprintf("identity provider %s, subject %s", k.Provider.Name, k.Subject), sc, f, console)
}

func apiOnly(p *federation.Provider) error {
	return fail.New(fail.Denied, "identity provider %s is for log-ins on the APIs only", p.Name).Then("ask an administrator of the domain to clear its programs_only")
}

func (p *Pages) welcome(w http.ResponseWriter, r *http.Request, k federation.Known, way federation.Way) error {
	if k.Provider.Spec.Programs {
		return apiOnly(k.Provider)
	}
	s, err := Admit(r, p.Door, p.Fed, k, login.Scope{}, from(r), true)
	if err != nil {
		return err
	}
	p.Welcome(w, s.Text, time.Until(s.Token.Expires))
	to := way.Next
	if !own(to) {
		to = "/"
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = page.Execute(w, view{Title: "Logged in", To: to, Link: "Go on", Go: true}) // the browser may be gone
	return nil
}

// own tells whether a path leads nowhere but to this cloud.
func own(p string) bool {
	u, err := url.Parse(p)
	return err == nil && u.Scheme == "" && u.Host == "" && len(p) > 0 && p[0] == '/' && (len(p) == 1 || p[1] != '/' && p[1] != '\\')
}

func (p *Pages) metadata(w http.ResponseWriter, r *http.Request, row *federation.Provider) error {
	b, err := p.Fed.Metadata(r.Context(), base(r, row))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/samlmetadata+xml")
	_, _ = w.Write(b) // the client may be gone
	return nil
}

type view struct {
	Title, Text, More, To, Link string
	Go                          bool // by itself
}

// page leads on by itself instead of redirecting: the browser comes from another site, and sends the console's cookie
// only with a request that one of our own pages began.
var page = template.Must(template.New("").Parse(`<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{{.Title}} · Awan</title>` +
	`{{if .Go}}<meta http-equiv="refresh" content="0; url={{.To}}">{{end}}</head><body><h1>{{.Title}}</h1>{{if .Text}}<p>{{.Text}}.</p>{{end}}` +
	`{{if .More}}<p>{{.More}}.</p>{{end}}<p><a href="{{.To}}">{{.Link}}</a></p></body></html>`))
