package console

import (
	"net/http"
	"net/url"
	"time"

	"github.com/awancloud/awan/internal/dialect/auth"
	fedpages "github.com/awancloud/awan/internal/dialect/federation"
	"github.com/awancloud/awan/internal/dialect/oidc"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ledger"
)

// Way is a button of the log-in page.
type Way struct{ Title, Path string }

type ways struct {
	On, Missing bool
	Buttons     []Way
}

// ways gives the log-in page's other ways. They are an offer: without them the page works as well.
func (q *request) ways(domain, next string) (w ways) {
	if q.Federation == nil {
		return w
	}
	w.On = true
	asked := domain
	if asked == "" {
		asked = q.Account
	}
	rows, err := q.Federation.Open(q.Context(), asked)
	if err != nil {
		q.Door.Log.Error("console: identity providers cannot be listed", "request", q.reqID, "err", err)
	}
	for _, p := range rows {
		b := Way{Title: p.Spec.Title, Path: fedpages.LoginPath(string(p.ID), next)}
		if b.Title == "" {
			b.Title = "Log in with " + p.Name
		}
		w.Buttons = append(w.Buttons, b)
	}
	w.Missing = domain != "" && len(w.Buttons) == 0
	return w
}

// SetSession makes a token the browser's session: for log-ins that do not end on the log-in page.
func SetSession(w http.ResponseWriter, token string, life time.Duration) {
	(&request{w: w}).setCookie(sessionCookie, token, min(life, SessionLife))
}

type consentPage struct {
	ID, Title, Host string
	Learns          []string
	Leave           string
}

// learns says what each scope tells an app.
var learns = map[string]string{"profile": "your user name and domain", "email": "your e-mail address", "groups": "the groups you are in",
	"offline_access": "this also while you are away, until you log out of it"}

func (q *request) consentPage() error {
	ask := q.URL.Query().Get("id")
	c, err := q.Federation.ConsentOf(q.Context(), ask, q.who)
	if err != nil {
		return err
	}
	if c.Stale { // the app wants a log-in that is newer than this one
		if err := q.Door.Ident.RevokeToken(q.Context(), q.token); err != nil {
			return err
		}
		q.setCookie(sessionCookie, "", 0)
		q.toLogin()
		return nil
	}
	if c.Agreed {
		return q.agree(ask, c.Title())
	}
	p := consentPage{ID: ask, Title: c.Title(), Learns: []string{"that you are you: an identifier that stays the same"}}
	if u, err := url.Parse(c.Ask.Redirect); err == nil {
		p.Host = u.Host
	}
	for _, scope := range c.Ask.Scopes {
		if text := learns[scope]; text != "" {
			p.Learns = append(p.Learns, text)
		}
	}
	return q.render("consent", "Log in to "+c.Title(), p)
}

func (q *request) consent() error {
	ask := q.PostForm.Get("id")
	c, err := q.Federation.ConsentOf(q.Context(), ask, q.who)
	if err != nil {
		return err
	}
	switch q.PostForm.Get("answer") {
	case "yes":
		return q.agree(ask, c.Title())
	case "no":
		a, err := q.Federation.Refuse(q.Context(), ask)
		if err != nil {
			return err
		}
		return q.leave(oidc.RefusedURL(a), c.Title())
	}
	return fail.Field("answer", "say yes or no")
}

func (q *request) agree(ask, title string) error {
	_, t, err := q.Door.Ident.ByToken(q.Context(), q.token)
	if err != nil {
		return err
	}
	e := ledger.Entry{Source: auth.Source(q.Request), Agent: q.UserAgent(), Dialect: "console", RequestID: q.reqID}
	if err := q.Federation.Agree(q.Context(), ask, q.who, t.Methods, e); err != nil {
		return err
	}
	return q.leave(oidc.CallbackPath(ask), title)
}

// leave sends the browser to an app. A redirect after a form would be stopped by the page's own policy (form-action).
func (q *request) leave(to, title string) error {
	q.w.Header().Set("Refresh", "0; url="+to)
	return q.render("consent", "Going on", consentPage{Title: title, Leave: to})
}
