package native

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/awancloud/awan/internal/dialect/login"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

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
	c, err := a.newCall(r)
	if err != nil {
		return err
	}
	if err := input(w, r, &in); err != nil {
		return err
	}
	if err := login.ChangePassword(r.Context(), a.Door, c, in.Domain, in.User, in.Old, in.New, in.Code); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) ownFactors(w http.ResponseWriter, r *http.Request) error {
	c, err := a.newCall(r)
	if err != nil {
		return err
	}
	reply, err := login.Factors(r.Context(), a.Door, c)
	if err != nil {
		return err
	}
	c.Verb = call.List
	return answer(w, c, reply)
}

func (a *API) enrol(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Name string `json:"name" doc:"what the device is called" max:"64"`
	}
	c, err := a.newCall(r)
	if err == nil {
		err = login.Self(c.Principal)
	}
	if err == nil {
		err = input(w, r, &in)
	}
	if err != nil {
		return err
	}
	reply, err := login.Enrol(r.Context(), a.Door, c, in.Name)
	if err != nil {
		return err
	}
	c.Verb = call.Create
	return answer(w, c, reply)
}

func (a *API) confirm(w http.ResponseWriter, r *http.Request) error {
	c, err := a.newCall(r)
	if err == nil {
		err = login.Self(c.Principal)
	}
	if err != nil {
		return err
	}
	b, err := readBody(w, r, 4<<10)
	if err != nil {
		return err
	}
	codes, err := login.Confirm(r.Context(), a.Door, c, c.Target, b)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]any{"backup_codes": codes})
}

func (a *API) disown(w http.ResponseWriter, r *http.Request) error {
	c, err := a.newCall(r)
	if err != nil {
		return err
	}
	if err := login.Disown(r.Context(), a.Door, c, c.Target); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// Verify gives the second factor's code again, before a critical operation.
type Verify struct {
	Code string `json:"code" doc:"that the app shows now, or a backup code" required:"true" max:"64"`
}

func (a *API) verify(w http.ResponseWriter, r *http.Request) error {
	var in Verify
	c, err := a.newCall(r)
	if err == nil {
		err = login.Self(c.Principal)
	}
	if err == nil {
		err = input(w, r, &in)
	}
	if err == nil {
		err = login.Verify(r.Context(), a.Door, c.Principal, in.Code, from(c))
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) backupCodes(w http.ResponseWriter, r *http.Request) error {
	c, err := a.newCall(r)
	if err != nil {
		return err
	}
	codes, err := login.BackupCodes(r.Context(), a.Door, c)
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
