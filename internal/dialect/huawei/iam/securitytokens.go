package iam

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/awancloud/awan/internal/dialect/huawei/iamv5"
	"github.com/awancloud/awan/internal/dialect/login"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/fail"
)

func securityTokenRoutes() []wire.Route {
	return []wire.Route{{Method: "POST", Path: "/v3.0/OS-CREDENTIAL/securitytokens", Do: createSecurityToken}}
}

// securityTokenBody asks for temporary keys: by a token, the caller's own where it names none, or through an agency.
type securityTokenBody struct {
	Identity struct {
		Methods []string        `json:"methods"`
		Policy  json.RawMessage `json:"policy"`
		Token   *struct {
			ID      string `json:"id"`
			Seconds *int64 `json:"duration_seconds"`
		} `json:"token"`
		Agency *struct {
			Name       string `json:"agency_name"`
			DomainID   string `json:"domain_id"`
			DomainName string `json:"domain_name"`
			Seconds    *int64 `json:"duration_seconds"`
			Session    *struct {
				Name string `json:"name"`
			} `json:"session_user"`
		} `json:"assume_role"`
	} `json:"identity"`
}

func createSecurityToken(x *wire.Exchange) error {
	var b securityTokenBody
	if err := x.Body("auth", &b); err != nil {
		return err
	}
	i := b.Identity
	r := login.TemporaryRequest{From: iamv5.From(x), By: x.Who, Policy: i.Policy}
	var seconds *int64
	switch {
	case slices.Equal(i.Methods, []string{"token"}):
		if i.Token == nil {
			break
		}
		seconds = i.Token.Seconds
		if i.Token.ID == "" {
			break
		}
		p, _, err := x.API.Door.Ident.ByToken(x.R.Context(), i.Token.ID)
		if err != nil {
			return err
		}
		if p.Domain != x.Who.Domain || p.User != x.Who.User {
			return fail.New(fail.Denied, "the token is of somebody else").Then("ask with that token")
		}
		r.By = p
	case slices.Equal(i.Methods, []string{"assume_role"}) && i.Agency != nil:
		r.Agency = login.Agency{Domain: i.Agency.DomainID, Name: i.Agency.Name}
		if r.Agency.Domain == "" {
			r.Agency.Domain = i.Agency.DomainName
		}
		seconds = i.Agency.Seconds
	default:
		return fail.Field("auth.identity.methods", `must be ["token"] or, with assume_role beside it, ["assume_role"]`)
	}
	if seconds != nil {
		r.Life = time.Duration(*seconds) * time.Second
	}
	keys, err := login.Temporary(x.R.Context(), x.API.Door, r)
	if err != nil {
		return err
	}
	x.W.Header().Set("Cache-Control", "no-store")
	return x.One(http.StatusCreated, "credential", map[string]any{"access": keys.Access, "secret": keys.Secret, "securitytoken": keys.Token,
		"expires_at": stamp(keys.Expires)})
}
