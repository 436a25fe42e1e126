package iamv5

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/dialect/login"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
)

// TokenRoutes are those of Huawei's STS (https://support.huaweicloud.com/intl/en-us/api-sts/).
func TokenRoutes() []wire.Route {
	return []wire.Route{
		{Method: "GET", Path: "/v5/caller-identity", Do: caller},
		{Method: "POST", Path: "/v5/agencies/assume", Do: assumeAgency},
	}
}

// caller tells who the caller is.
func caller(x *wire.Exchange) error {
	p, what := x.Who, "user"
	if p.Agency != "" {
		what = "agency"
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"account_id": p.Domain, "principal_id": p.User, "principal_urn": urn(p.Domain, what, p.UserName)})
	return nil
}

// From says where a request comes from, for the audit log.
func From(x *wire.Exchange) login.From {
	c := x.Call
	return login.From{Source: c.Source, Agent: c.Agent, Dialect: c.Dialect, RequestID: c.RequestID}
}

// assumeAgency gives out temporary keys that act through an agency.
func assumeAgency(x *wire.Exchange) error {
	var b struct {
		URN      string   `json:"agency_urn"`
		Session  string   `json:"agency_session_name"`
		Seconds  *int64   `json:"duration_seconds"`
		Policy   *string  `json:"policy"`
		Policies []string `json:"policy_ids"`
	}
	if err := x.Plain(&b); err != nil {
		return err
	}
	part := strings.Split(b.URN, ":") // iam::ACCOUNT:agency:PATH/NAME
	if len(part) != 5 || part[0] != "iam" || part[3] != "agency" {
		return fail.Field("agency_urn", "%q does not name an agency", b.URN).Then("for example iam::ACCOUNT:agency:NAME")
	}
	if len(b.Policies) > 0 {
		return fail.New(fail.Unsupported, "a session is narrowed by one document here").Then("give it as policy, and leave policy_ids out")
	}
	narrow, err := document("policy", b.Policy)
	if err != nil {
		return err
	}
	name := part[4][strings.LastIndexByte(part[4], '/')+1:]
	keys, err := temporary(x, login.Agency{Domain: part[2], Name: name}, b.Seconds, narrow)
	if err != nil {
		return err
	}
	x.W.Header().Set("Cache-Control", "no-store")
	wire.Write(x.W, http.StatusCreated, map[string]any{"source_identity": "", "assumed_agency": map[string]string{"urn": "sts::" + part[2] + ":assumed-agency:" + name + "/" + b.Session,
		"id": name + ":" + b.Session}, "credentials": map[string]any{"access_key_id": keys.Access, "secret_access_key": keys.Secret,
		"security_token": keys.Token, "expiration": stamp(keys.Expires)}})
	return nil
}

func temporary(x *wire.Exchange, a login.Agency, seconds *int64, narrow json.RawMessage) (ident.Temporary, error) {
	life := time.Duration(session) * time.Second
	if seconds != nil {
		life = time.Duration(*seconds) * time.Second
	}
	return login.Temporary(x.R.Context(), x.API.Door, login.TemporaryRequest{From: From(x), By: x.Who, Agency: a, Life: life, Policy: narrow})
}
