package console

import (
	"cmp"
	"errors"
	"time"

	"github.com/awancloud/awan/internal/dialect/auth"
	"github.com/awancloud/awan/internal/dialect/login"
	"github.com/awancloud/awan/internal/dialect/native"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
)

// address is the console's address as this browser sees it: a passkey works at the host that it was made for.
func (q *request) address() string { return "https://" + q.Host }

func (q *request) from() login.From {
	return login.From{Source: auth.Source(q.Request), Agent: q.UserAgent(), Dialect: "console", RequestID: q.reqID}
}

// asked is what the browser is to answer with a passkey.
type asked struct {
	Options string // for the browser, in JSON
	State   string
}

// askedBy finds it in what a log-in was refused with.
func askedBy(err error) *asked {
	var w *login.PasskeyWanted
	if !errors.As(err, &w) {
		return nil
	}
	return &asked{string(w.Options), w.State}
}

// loginPasskey ends a log-in by the browser's answer.
func (q *request) loginPasskey() error {
	next := ownPath(q.PostForm.Get("next"))
	s, err := native.LogInBy(q.Context(), q.Door, login.Request{From: q.from(), Life: SessionLife, Passkey: login.Passkey{
		Origin: q.address(), Browser: q.cookie(guestCookie), State: q.PostForm.Get("state"), Answer: q.PostForm.Get("answer")}})
	if err != nil {
		return q.renderStatus(native.StatusOf(err), "login", "Log in", loginPage{Next: next, Err: fail.From(err), Ways: q.ways("", next)})
	}
	return q.welcome(s, next)
}

// welcome begins the session.
func (q *request) welcome(s native.Session, next string) error {
	q.setCookie(sessionCookie, s.Token, SessionLife)
	q.setCookie(guestCookie, "", 0)
	if s.Needs != "" {
		return q.see("/complete")
	}
	return q.see(next)
}

// completePasskey makes a passkey, and shows what to ask the browser.
func (q *request) completePasskey() error {
	if q.who.Nobody() {
		return q.see("/login")
	}
	r, err := login.EnrolPasskey(q.Context(), q.Door, q.newCall(nil, "", ""), cmp.Or(q.PostForm.Get("name"), "passkey"), q.address())
	if err != nil {
		return q.complete(completion{}, err)
	}
	return q.complete(completion{Passkey: string(r.Row.M().ID), Options: string(r.Row.StatusPtr().(*ident.PasskeyStatus).Options)}, nil)
}

// completePasskeyConfirm activates it by what the browser answered.
func (q *request) completePasskeyConfirm() error {
	if q.who.Nobody() {
		return q.see("/login")
	}
	codes, err := login.ConfirmPasskey(q.Context(), q.Door, q.newCall(nil, "", ""), q.PostForm.Get("passkey"), q.PostForm.Get("answer"))
	if err != nil {
		return q.complete(completion{}, err)
	}
	q.setCookie(sessionCookie, "", 0)
	return q.complete(completion{Codes: codes, ByPasskey: true}, nil)
}

// account is what a user logs in with.
type account struct {
	Err      *fail.Error
	MFA      bool
	Own      bool // a user itself, who may change these
	Passkeys bool // the browser can have them at this address
	Factors  []factor
}

type factor struct {
	Kind, ID, Name, Where string
	Active                bool
	Made, Used            time.Time
}

func (q *request) accountPage() error { return q.account(nil) }

func (q *request) account(failed error) error {
	a := account{MFA: q.who.MFA, Own: q.who.Whole(), Passkeys: q.Door.Ident.Kinds.PasskeysAt(q.address())}
	status := 200
	if failed != nil {
		if a.Err = fail.From(failed); a.Err.Kind == fail.Internal || a.Err.Field == ident.Unconfirmed {
			return failed
		}
		status = native.StatusOf(failed)
	}
	if a.Own {
		c := q.newCall(nil, "", "")
		apps, err := login.Factors(q.Context(), q.Door, c)
		if err != nil {
			return err
		}
		for _, r := range apps.Rows {
			m, st := r.M(), r.StatusPtr().(*ident.DeviceStatus)
			a.Factors = append(a.Factors, factor{Kind: "app", ID: string(m.ID), Name: m.Name, Active: st.Active, Made: m.Created})
		}
		keys, err := login.Passkeys(q.Context(), q.Door, c)
		if err != nil {
			return err
		}
		for _, r := range keys.Rows {
			m, st := r.M(), r.StatusPtr().(*ident.PasskeyStatus)
			a.Factors = append(a.Factors, factor{"passkey", string(m.ID), m.Name, r.SpecPtr().(*ident.PasskeySpec).Origin, st.Active, m.Created, st.Used})
		}
	}
	return q.renderStatus(status, "account", "Your log-in", a)
}

// accountRemove takes one of the user's own second factors away.
func (q *request) accountRemove() error {
	c, which := q.newCall(nil, "", ""), q.PostForm.Get("id")
	remove := login.Disown
	if q.PostForm.Get("kind") == "passkey" {
		remove = login.DisownPasskey
	}
	if err := remove(q.Context(), q.Door, c, which); err != nil {
		return q.account(err)
	}
	return q.see("/account")
}
