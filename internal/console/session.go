package console

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"time"

	"github.com/awancloud/awan/internal/dialect/auth"
	"github.com/awancloud/awan/internal/dialect/login"
	"github.com/awancloud/awan/internal/dialect/native"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/secret"
)

// The cookies. The __Host- prefix makes browsers refuse them from other hosts, paths and without TLS.
const (
	sessionCookie = "__Host-awan"
	guestCookie   = "__Host-awan-guest" // before the log-in: what the form's token is bound to
	projectCookie = "__Host-awan-project"
	themeCookie   = "__Host-awan-theme"
	flashCookie   = "__Host-awan-flash"

	// SessionLife is how long a log-in lasts.
	SessionLife = 8 * time.Hour
)

func (q *request) setCookie(name, value string, life time.Duration) {
	c := &http.Cookie{Name: name, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode}
	if life > 0 {
		c.MaxAge = int(life.Seconds())
	}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(q.w, c)
}

func (q *request) cookie(name string) string {
	c, err := q.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

// identify reads the session. A session that ended is nobody's: private pages then send to the log-in.
func (q *request) identify() error {
	q.token = q.cookie(sessionCookie)
	if q.token == "" {
		return nil
	}
	p, _, err := q.Door.Ident.ByToken(q.Context(), q.token)
	if fail.Is(err, fail.Unauthenticated) {
		q.setCookie(sessionCookie, "", 0)
		q.token = ""
		return nil
	}
	q.who = p
	return err
}

// csrf is the token that every form carries: bound to the session, or to the guest cookie before there is one. It tells
// nothing about either, and no other site can read it.
func (q *request) csrf() string {
	key := q.token
	if q.who.Nobody() {
		key = q.cookie(guestCookie)
		if key == "" {
			key = secret.NewToken()
			q.setCookie(guestCookie, key, 24*time.Hour)
			q.AddCookie(&http.Cookie{Name: guestCookie, Value: key}) // the same for the rest of this page
		}
	}
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte("awan console form"))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// checkPost refuses posts that another site sent, or that carry no token of this session.
func (q *request) checkPost() error {
	if err := q.origin.Check(q.Request); err != nil {
		return fail.New(fail.Denied, "this form was sent from another site, so nothing was done").Because(err)
	}
	if q.scripted() {
		if !q.uploadsImage() { // the image service says how much is too much
			q.Body = http.MaxBytesReader(q.w, q.Body, pieceRoom)
		}
		if !hmac.Equal([]byte(q.Header.Get("X-Csrf")), []byte(q.csrf())) {
			return fail.New(fail.Denied, "this page is out of date, so nothing was done").Then("reload the page")
		}
		return nil
	}
	read := q.ParseForm
	if q.uploads() {
		read = q.openUpload
	} else {
		q.Body = http.MaxBytesReader(q.w, q.Body, MaxForm)
	}
	if err := read(); err != nil {
		return fail.Wrap(err, fail.Invalid, "the form could not be read").Then("go back and send it again")
	}
	if !hmac.Equal([]byte(q.PostForm.Get("csrf")), []byte(q.csrf())) {
		return fail.New(fail.Denied, "this form is out of date, so nothing was done").Then("go back, reload the page and send it again")
	}
	return nil
}

type loginPage struct {
	Next, Domain, User string
	Code               bool // the user has a second factor
	Passkey            *asked
	Err                *fail.Error
	Ways               ways
}

func (q *request) loginPage() error {
	next := ownPath(q.URL.Query().Get("next"))
	if !q.who.Nobody() {
		return q.see(next)
	}
	domain := q.URL.Query().Get("domain")
	return q.render("login", "Log in", loginPage{Next: next, Domain: domain, Ways: q.ways(domain, next)})
}

func (q *request) login() error {
	in := native.Login{Domain: q.PostForm.Get("domain"), User: q.PostForm.Get("user"), Password: q.PostForm.Get("password"), Code: q.PostForm.Get("code"), Life: kind.Span(SessionLife)}
	next := ownPath(q.PostForm.Get("next"))
	err := kind.Validate(&in, "", kind.FieldsOf(in))
	var s native.Session
	if err == nil {
		s, err = native.LogInBy(q.Context(), q.Door, login.Request{From: q.from(), Domain: in.Domain, User: in.User, Password: in.Password, Code: in.Code,
			Life: SessionLife, Passkey: login.Passkey{Origin: q.address(), Browser: q.cookie(guestCookie)}})
	}
	if err != nil {
		if e := fail.From(err); e.Kind == fail.Internal {
			q.Door.Log.Error("console: log-in failed", "request", q.reqID, "err", err)
		}
		return q.renderStatus(native.StatusOf(err), "login", "Log in", loginPage{Next: next, Domain: in.Domain, User: in.User, Err: fail.From(err),
			Code: fail.From(err).Field == "code" || in.Code != "", Passkey: askedBy(err), Ways: q.ways(in.Domain, next)})
	}
	return q.welcome(s, next)
}

// logout revokes the session's token at once, so that a copy of the cookie is worth nothing.
func (q *request) logout() error {
	if err := q.Door.Ident.RevokeToken(q.Context(), q.token); err != nil {
		return err
	}
	q.setCookie(sessionCookie, "", 0)
	p := q.who
	err := q.Door.Record(q.Context(), ledger.Entry{Domain: p.Domain, Actor: p.String(), ActorID: p.User, Source: auth.Source(q.Request),
		Agent: q.UserAgent(), Dialect: "console", Action: "identity:token:delete", Outcome: ledger.Succeeded, RequestID: q.reqID})
	if err != nil {
		return err
	}
	q.who = ident.Principal{}
	return q.see("/login")
}

// toLogin sends to the log-in and afterwards back to this page. A fragment that htmx asked for makes it load the page.
func (q *request) toLogin() {
	next := "/"
	switch {
	case q.live():
		if u, err := url.Parse(q.Header.Get("HX-Current-URL")); err == nil {
			next = u.RequestURI()
		}
	case q.Method == http.MethodGet:
		next = q.URL.RequestURI()
	}
	to := "/login"
	if next = ownPath(next); next != "/" {
		to += "?next=" + url.QueryEscape(next)
	}
	q.began = true
	if q.live() {
		q.w.Header().Set("HX-Redirect", to)
		q.w.WriteHeader(http.StatusUnauthorized)
		return
	}
	http.Redirect(q.w, q.Request, to, http.StatusSeeOther)
}

func (q *request) chooseProject() error {
	want := q.PostForm.Get("project")
	for _, p := range q.projects {
		if string(p.ID) == want {
			q.setCookie(projectCookie, want, 365*24*time.Hour)
			return q.see("/")
		}
	}
	return fail.New(fail.NotFound, "there is no such project").Then("choose one in the menu")
}

// setTheme remembers light, dark or what the system says.
func (q *request) setTheme() error {
	switch t := q.PostForm.Get("theme"); t {
	case "light", "dark":
		q.setCookie(themeCookie, t, 365*24*time.Hour)
	default:
		q.setCookie(themeCookie, "", 0)
	}
	return q.see(ownPath(q.PostForm.Get("next")))
}

func (q *request) theme() string {
	switch t := q.cookie(themeCookie); t {
	case "light", "dark":
		return t
	}
	return "auto"
}

// flash tells the next page what was done.
func (q *request) flash(text string) {
	q.setCookie(flashCookie, base64.RawURLEncoding.EncodeToString([]byte(text)), time.Minute)
}

func (q *request) takeFlash() string {
	v := q.cookie(flashCookie)
	if v == "" {
		return ""
	}
	q.setCookie(flashCookie, "", 0)
	b, _ := base64.RawURLEncoding.DecodeString(v)
	return string(b)
}
