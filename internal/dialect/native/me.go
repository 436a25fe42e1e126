package native

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/awancloud/awan/internal/dialect/login"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// What everybody may do with what is their own: no policy is asked, and most of it works for a log-in that is not
// complete, which is how it is completed.

// input reads a body into v by its field tags.
func input(w http.ResponseWriter, r *http.Request, v any) error {
	b, err := readBody(w, r, 64<<10)
	if err != nil {
		return err
	}
	fields := kind.FieldsOf(v)
	kind.SetDefaults(v, fields)
	if err := kind.DecodeStrict(b, v, "", fields); err != nil {
		return err
	}
	return kind.Validate(v, "", fields)
}

// me gives a call of somebody who is logged in as a user of their own.
func (a *API) me(r *http.Request) (*call.Call, error) {
	c, err := a.newCall(r)
	if err != nil {
		return nil, err
	}
	switch p := c.Principal; {
	case p.Nobody():
		return nil, fail.New(fail.Unauthenticated, "nobody is logged in").Then("awan login")
	case p.Agency != "" || p.Application != "" || p.Narrow != nil:
		return nil, fail.New(fail.Denied, "only the user itself may do this").Then("log in as the user")
	}
	return c, nil
}

// own lets the cloud do to the caller's own things what the caller asks.
func own(c *call.Call, k *kind.Def, verb, target, what string) *call.Call {
	o := *c
	o.Kind, o.Verb, o.Target, o.Domain, o.Project = k, verb, target, "", ""
	o.Principal = ident.OnBehalf(c.Principal, what)
	return &o
}

// OwnPassword changes a password.
type OwnPassword struct {
	Domain string `json:"domain" doc:"the account's name or id" required:"true"`
	User   string `json:"user" doc:"name or id" required:"true"`
	Old    string `json:"old" doc:"the present password" required:"true" secret:"true"`
	New    string `json:"new" doc:"the new one" required:"true" secret:"true"`
	Code   string `json:"code" doc:"of the second factor, where the user has one" max:"64"`
}

func (a *API) ownPassword(w http.ResponseWriter, r *http.Request) error {
	var in OwnPassword
	if err := input(w, r, &in); err != nil {
		return err
	}
	c, err := a.newCall(r)
	if err != nil {
		return err
	}
	ctx := r.Context()
	p, err := a.Door.Ident.ByPasswordAnywhere(ctx, in.Domain, in.User, in.Old, c.Source)
	if err == nil {
		p, err = a.Door.Ident.Complete(ctx, p, in.Code, c.Source, false)
	}
	if err != nil {
		return login.Failed(ctx, a.Door, login.Request{From: from(c), Domain: in.Domain, User: in.User}, "identity:user:update", err)
	}
	c.Principal = p
	o := own(c, a.Door.Ident.Kinds.User.D, call.Update, string(p.User), "own password")
	if o.Spec, err = json.Marshal(map[string]any{"password": in.New, "password_reset": false}); err != nil {
		return err
	}
	if _, err := a.Door.Do(ctx, o); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) ownFactors(w http.ResponseWriter, r *http.Request) error {
	c, err := a.me(r)
	if err != nil {
		return err
	}
	o := own(c, a.Door.Ident.Kinds.Device.D, call.List, "", "own second factor")
	o.Filter = kind.Filter{Index: "user", Value: string(c.Principal.User)}
	reply, err := a.Door.Do(r.Context(), o)
	if err != nil {
		return err
	}
	return answer(w, o, reply)
}

// enrol makes a device. Who has one already must have logged in with it, so that a stolen token cannot add its own.
func (a *API) enrol(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Name string `json:"name" doc:"what the device is called" max:"64"`
	}
	c, err := a.me(r)
	if err != nil {
		return err
	}
	if err := input(w, r, &in); err != nil {
		return err
	}
	if err := a.mayChangeFactors(r, c); err != nil {
		return err
	}
	o := own(c, a.Door.Ident.Kinds.Device.D, call.Create, "", "own second factor")
	if o.Spec, err = json.Marshal(map[string]any{"user": c.Principal.User}); err != nil {
		return err
	}
	o.Name = &in.Name
	reply, err := a.Door.Do(r.Context(), o)
	if err != nil {
		return err
	}
	return answer(w, o, reply)
}

func (a *API) mayChangeFactors(r *http.Request, c *call.Call) error {
	has, err := a.Door.Ident.HasFactor(r.Context(), c.Principal.User)
	if err == nil && has && !c.Principal.MFA {
		return fail.New(fail.Denied, "you have a second factor, and did not log in with it").Then("log in again with its code: awan login")
	}
	return err
}

// mine checks that a device is the caller's.
func (a *API) mine(r *http.Request, c *call.Call) error {
	o := own(c, a.Door.Ident.Kinds.Device.D, call.Get, c.Target, "own second factor")
	reply, err := a.Door.Do(r.Context(), o)
	if err != nil {
		return err
	}
	if d := reply.Row.SpecPtr().(*ident.DeviceSpec); d.User != string(c.Principal.User) {
		return fail.New(fail.NotFound, "there is no mfa-device %q of yours", c.Target).Then("see awan mfa list")
	}
	return nil
}

// confirm activates a device. The caller's other log-ins, made without it, end.
func (a *API) confirm(w http.ResponseWriter, r *http.Request) error {
	c, err := a.me(r)
	if err != nil {
		return err
	}
	if err := a.mine(r, c); err != nil {
		return err
	}
	b, err := readBody(w, r, 4<<10)
	if err != nil {
		return err
	}
	o := own(c, a.Door.Ident.Kinds.Device.D, "confirm", c.Target, "own second factor")
	o.In = b
	if err := a.Door.Ident.Guess(c.Principal, c.Source, func() error { _, err := a.Door.Do(r.Context(), o); return err }); err != nil {
		return err
	}
	if err := a.Door.Ident.RevokeAll(r.Context(), c.Principal.User); err != nil {
		return err
	}
	codes, err := a.Door.Ident.NewBackupCodes(r.Context(), c.Principal.User)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]any{"backup_codes": codes})
}

func (a *API) disown(w http.ResponseWriter, r *http.Request) error {
	c, err := a.me(r)
	if err != nil {
		return err
	}
	if err := a.mine(r, c); err != nil {
		return err
	}
	if err := a.mayChangeFactors(r, c); err != nil {
		return err
	}
	if _, err := a.Door.Do(r.Context(), own(c, a.Door.Ident.Kinds.Device.D, call.Delete, c.Target, "own second factor")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) backupCodes(w http.ResponseWriter, r *http.Request) error {
	c, err := a.me(r)
	if err != nil {
		return err
	}
	if !c.Principal.MFA {
		return fail.New(fail.Denied, "backup codes are for who logged in with a second factor").Then("log in again with its code: awan login")
	}
	codes, err := a.Door.Ident.NewBackupCodes(r.Context(), c.Principal.User)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, map[string]any{"backup_codes": codes})
}

// TemporaryKey asks for a key that ends by itself.
type TemporaryKey struct {
	Duration int64           `json:"duration" doc:"how long it works" unit:"s" min:"900" max:"86400" default:"900"`
	Policy   json.RawMessage `json:"policy" doc:"a policy document that narrows what it may do; none: what you may"`
}

// Keys is a temporary key.
type Keys struct {
	Access  string    `json:"access_key"`
	Secret  string    `json:"secret_key"`
	Token   string    `json:"security_token"`
	Expires time.Time `json:"expires"`
}

func (a *API) temporaryKey(w http.ResponseWriter, r *http.Request) error {
	c, err := a.newCall(r)
	if err != nil {
		return err
	}
	if c.Principal.Nobody() {
		return fail.New(fail.Unauthenticated, "nobody is logged in").Then("awan login")
	}
	var in TemporaryKey
	if err := input(w, r, &in); err != nil {
		return err
	}
	keys, err := login.Temporary(r.Context(), a.Door, login.TemporaryRequest{From: from(c), By: c.Principal,
		Life: time.Duration(in.Duration) * time.Second, Policy: in.Policy})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, Keys{keys.Access, keys.Secret, keys.Token, keys.Expires})
}

// Assume asks to act through an agency.
type Assume struct {
	Domain   string          `json:"domain" doc:"the account that the agency belongs to, by name or id" required:"true"`
	Agency   string          `json:"agency" doc:"the agency, by name or id" required:"true"`
	Project  string          `json:"project" doc:"scope the token to this project of theirs; empty: to their domain"`
	Duration int64           `json:"duration" doc:"how long" unit:"s" min:"900" max:"86400" default:"3600"`
	Keys     bool            `json:"keys" doc:"give temporary keys instead of a token"`
	Policy   json.RawMessage `json:"policy" doc:"a policy document that narrows the keys"`
}

func (a *API) assume(w http.ResponseWriter, r *http.Request) error {
	c, err := a.newCall(r)
	if err != nil {
		return err
	}
	if c.Principal.Nobody() {
		return fail.New(fail.Unauthenticated, "nobody is logged in").Then("awan login")
	}
	var in Assume
	if err := input(w, r, &in); err != nil {
		return err
	}
	life := time.Duration(in.Duration) * time.Second
	agency := login.Agency{Domain: in.Domain, Name: in.Agency}
	if in.Keys {
		keys, err := login.Temporary(r.Context(), a.Door, login.TemporaryRequest{From: from(c), By: c.Principal, Agency: agency, Life: life, Policy: in.Policy})
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusCreated, Keys{keys.Access, keys.Secret, keys.Token, keys.Expires})
	}
	s, err := login.In(r.Context(), a.Door, login.Request{From: from(c), Principal: &c.Principal, Agency: agency, Scope: login.Scope{Project: in.Project}, Life: life})
	if err != nil {
		return err
	}
	out := Session{Token: s.Text, Expires: s.Token.Expires}
	if out.Who, err = whoIs(r.Context(), a.Door, s.Principal); err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, out)
}

func from(c *call.Call) login.From {
	return login.From{Source: c.Source, Agent: c.Agent, Dialect: c.Dialect, RequestID: c.RequestID}
}
