package keystone

import (
	"net/http"
	"net/url"
	"time"

	"github.com/awancloud/awan/internal/dialect/login"
	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
)

// ConsumerRow is a program that users lend rights to by OAuth 1.0a.
type ConsumerRow = kind.Row[ident.ConsumerSpec, ident.ConsumerStatus]

const (
	oauthPath  = "/v3/OS-OAUTH1"
	accessPath = "/v3/users/{user_id}/OS-OAUTH1/access_tokens"
)

func (a *API) oauthRoutes() []route {
	k, of := a.Kinds.Consumer.D, oauthPath+"/consumers"
	one := of + "/{consumer_id}"
	return []route{
		{Method: "GET", Path: of, Kind: k, Verb: call.List, Do: listConsumers},
		{Method: "POST", Path: of, Kind: k, Verb: call.Create, Do: createConsumer},
		{Method: "GET", Path: one, Kind: k, Verb: call.Get, Do: showConsumer},
		{Method: "PATCH", Path: one, Kind: k, Verb: call.Update, Do: updateConsumer},
		{Method: "DELETE", Path: one, Kind: k, Verb: call.Delete, Do: deleteConsumer},
		{Method: "POST", Path: oauthPath + "/request_token", Open: true, Do: requestToken},
		{Method: "PUT", Path: oauthPath + "/authorize/{request_token_id}", Do: authorizeRequest},
		{Method: "POST", Path: oauthPath + "/access_token", Open: true, Do: accessToken},
		{Method: "GET", Path: accessPath, Kind: a.Kinds.Credential.D, Verb: call.List, Do: listAccess},
		{Method: "GET", Path: accessPath + "/{credential_id}", Kind: a.Kinds.Credential.D, Verb: call.Get, Do: showAccess},
		{Method: "DELETE", Path: accessPath + "/{credential_id}", Kind: a.Kinds.Credential.D, Verb: call.Delete, Do: deleteAccess},
		{Method: "GET", Path: accessPath + "/{credential_id}/roles", Kind: a.Kinds.Credential.D, Verb: call.Get, Do: accessRoles},
		{Method: "GET", Path: accessPath + "/{credential_id}/roles/{role_id}", Kind: a.Kinds.Credential.D, Verb: call.Get, Do: accessRole},
	}
}

func (x *exchange) consumerView(r *ConsumerRow, secret string) any {
	v := map[string]any{"id": r.ID, "description": r.Spec.Description, "links": x.Self(oauthPath + "/consumers/" + string(r.ID))}
	if secret != "" {
		v["secret"] = secret
	}
	return v
}

func listConsumers(x *exchange) error {
	return List(&x.Exchange, x.API.Kinds.Consumer, "consumers", x.domain(nil), kind.Filter{}, func(*ConsumerRow) bool { return true },
		func(r *ConsumerRow) any { return x.consumerView(r, "") })
}

type consumerBody struct {
	Description *string `json:"description"`
}

func (x *exchange) changeConsumer(verb, target string) (*ConsumerRow, error) {
	var b consumerBody
	if err := x.Body("consumer", &b); err != nil {
		return nil, err
	}
	s := wire.Spec{}
	wire.Set(s, "description", b.Description)
	row, err := x.Do(x.API.Kinds.Consumer.D, verb, target, func(c *call.Call) {
		if c.Spec = s.JSON(); verb == call.Create {
			c.Domain = x.domain(nil)
		}
	})
	if err != nil {
		return nil, err
	}
	return row.(*ConsumerRow), nil
}

func createConsumer(x *exchange) error {
	row, err := x.changeConsumer(call.Create, "")
	if err != nil {
		return err
	}
	return x.One(http.StatusCreated, "consumer", x.consumerView(row, row.Status.Secret))
}

func showConsumer(x *exchange) error {
	row, err := wire.Get(&x.Exchange, x.API.Kinds.Consumer, x.Param("consumer_id"))
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "consumer", x.consumerView(row, ""))
}

func updateConsumer(x *exchange) error {
	row, err := x.changeConsumer(call.Update, x.Param("consumer_id"))
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "consumer", x.consumerView(row, ""))
}

func deleteConsumer(x *exchange) error {
	if _, err := x.Do(x.API.Kinds.Consumer.D, call.Delete, x.Param("consumer_id"), nil); err != nil {
		return err
	}
	return x.NoContent()
}

// consumer reads a signed request and finds the secrets to check it with: second gives that of the token it names.
func (x *exchange) consumer(second func(ident.Signer, *signed) (string, error)) (g ident.Signer, s *signed, err error) {
	if s, err = readSigned(x.R.Method, x.Base()+x.R.URL.EscapedPath(), x.R.Header.Get("Authorization"), x.Queries()); err != nil {
		return g, nil, err
	}
	g, key, err := x.API.Door.Ident.Consumer(x.R.Context(), s.of["oauth_consumer_key"])
	token := ""
	if err == nil && second != nil {
		token, err = second(g, s)
	}
	if err == nil {
		err = s.verify(key, token)
	}
	var at time.Time
	if err == nil {
		if at, err = s.at(); err == nil {
			err = x.API.Door.Ident.OnceOnly(x.R.Context(), g.ID, at, s.of["oauth_nonce"])
		}
	}
	if err != nil {
		return g, s, login.Refused(x.R.Context(), x.API.Door, ident.Principal{Domain: g.Domain}, "consumer "+s.of["oauth_consumer_key"], x.from(), err)
	}
	return g, s, nil
}

func (x *exchange) from() login.From {
	c := x.Call
	return login.From{Source: c.Source, Agent: c.Agent, Dialect: c.Dialect, RequestID: c.RequestID}
}

// form answers with a token and its secret, as OAuth writes them.
func (x *exchange) form(id, secret string, ends time.Time) error {
	v := url.Values{"oauth_token": {id}, "oauth_token_secret": {secret}, "oauth_expires_at": {ends.UTC().Format("2006-01-02T15:04:05.000000Z")}}
	x.W.Header().Set("Content-Type", "application/x-www-form-urlencoded")
	x.W.WriteHeader(http.StatusCreated)
	_, _ = x.W.Write([]byte(v.Encode())) // the client may be gone
	return nil
}

// requestToken: a consumer says in which project it wants rights.
func requestToken(x *exchange) error {
	g, _, err := x.consumer(nil)
	if err != nil {
		return err
	}
	project := x.R.Header.Get("Requested-Project-Id")
	if project == "" {
		return fail.Field("Requested-Project-Id", "the header is missing").Then("say in which project the consumer wants rights")
	}
	t, secret, err := x.API.Door.Ident.AskAs(x.R.Context(), g, project)
	if err != nil {
		return err
	}
	return x.form(string(t.ID), secret, t.Expires)
}

// authorizeRequest: a user grants it some of its own roles there. No policy is asked: what may be lent is what the user has.
func authorizeRequest(x *exchange) error {
	var b struct {
		Roles []token.Ref `json:"roles"`
	}
	if err := x.Plain(&b); err != nil {
		return err
	}
	var roles []string
	for _, r := range b.Roles {
		roles = append(roles, one(r.ID, r.Name))
	}
	t, verifier, err := x.API.Door.Ident.Grant(x.R.Context(), x.Who, x.Param("request_token_id"), roles)
	c := x.Call
	e := ledger.Entry{Domain: x.Who.Domain, Project: t.Project, Actor: x.Who.String(), ActorID: x.Who.User, Source: c.Source, Agent: c.Agent, Dialect: c.Dialect,
		Action: "identity:consumer:authorize", Kind: x.API.Kinds.Consumer.D.FullName(), Row: t.Consumer, Outcome: ledger.Succeeded, RequestID: c.RequestID}
	if err != nil {
		e.Outcome, e.Reason = ledger.Failed, fail.From(err).Public()
	}
	if aerr := x.API.Door.Record(x.R.Context(), e); aerr != nil {
		return aerr
	}
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "token", map[string]string{"oauth_verifier": verifier})
}

// accessToken: the consumer fetches what was granted, an application credential of the user's.
func accessToken(x *exchange) error {
	i := x.API.Door.Ident
	var t ident.RequestToken
	g, s, err := x.consumer(func(g ident.Signer, s *signed) (secret string, err error) {
		t, secret, err = i.AskedBy(x.R.Context(), g, s.of["oauth_token"])
		return secret, err
	})
	if err != nil {
		return err
	}
	p, err := i.Fetched(x.R.Context(), t, s.of["oauth_verifier"])
	if err != nil {
		return login.Refused(x.R.Context(), x.API.Door, ident.Principal{Domain: g.Domain}, "consumer "+string(g.ID), x.from(), err)
	}
	ends := x.API.Door.Now().Add(ident.AccessTokenLife).UTC().Truncate(time.Second)
	spec := wire.Spec{"user": string(p.User), "project": string(t.Project), "policies": t.Policies, "expires": ends, "consumer": string(g.ID),
		"description": "granted to consumer " + string(g.ID)}
	row, err := x.Do(x.API.Kinds.Credential.D, call.Create, "", func(c *call.Call) {
		c.Principal, c.Spec = ident.OnBehalf(p, "granted to consumer "+string(g.ID)), spec.JSON()
	})
	if err != nil {
		return err
	}
	r := row.(*CredentialRow)
	return x.form(string(r.ID), r.Status.Secret, ends)
}

// signedIn is who logs in with a consumer's signature and an access token.
func (x *exchange) signedIn() (*ident.Principal, error) {
	var p ident.Principal
	_, _, err := x.consumer(func(g ident.Signer, s *signed) (secret string, err error) {
		p, secret, err = x.API.Door.Ident.AccessToken(x.R.Context(), g, s.of["oauth_token"])
		return secret, err
	})
	return &p, err
}

// access finds an access token of the user in the path.
func (x *exchange) access(verb string) (*CredentialRow, error) {
	row, err := x.credential(verb, x.Param("credential_id"), nil)
	if err == nil && row != nil && row.Spec.Consumer == "" {
		err = fail.New(fail.NotFound, "the user has no access token %q", x.Param("credential_id"))
	}
	return row, err
}

func (x *exchange) accessView(r *CredentialRow) any {
	self := "/v3/users/" + r.Spec.User + "/OS-OAUTH1/access_tokens/" + string(r.ID)
	return map[string]any{"id": r.ID, "consumer_id": r.Spec.Consumer, "project_id": r.Spec.Project, "authorizing_user_id": r.Spec.User, "expires_at": token.Time(r.Spec.Expires),
		"links": map[string]string{"self": x.Self(self).Self, "roles": x.Self(self + "/roles").Self}}
}

func listAccess(x *exchange) error {
	rows, y, err := x.credentialsOf(func(r *CredentialRow) bool { return r.Spec.Consumer != "" })
	if err != nil {
		return err
	}
	items := []any{}
	for _, r := range rows {
		items = append(items, y.accessView(r))
	}
	token.WriteList(x.W, "access_tokens", items, token.Links{Self: x.Self(x.R.URL.Path).Self})
	return nil
}

func showAccess(x *exchange) error {
	row, err := x.access(call.Get)
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "access_token", x.accessView(row))
}

func deleteAccess(x *exchange) error {
	if _, err := x.access(call.Get); err != nil && !fail.Is(err, fail.Denied) {
		c := x.Call
		if x.mine(x.Param("user_id")) {
			return err
		}
		if _, _, derr := x.API.Door.Permit(x.R.Context(), &c, x.API.Kinds.Credential.D, call.Delete, "*"); derr != nil && fail.Is(derr, fail.Denied) {
			if _, uerr := wire.Get(&x.Exchange, x.API.Kinds.User, x.Param("user_id")); uerr == nil {
				return derr
			}
		}
		return err
	}
	if _, err := x.credential(call.Delete, x.Param("credential_id"), nil); err != nil {
		return err
	}
	return x.NoContent()
}

func accessRoles(x *exchange) error {
	row, err := x.access(call.Get)
	if err != nil {
		return err
	}
	return x.lentRoles(row.Spec.Policies)
}

func accessRole(x *exchange) error {
	row, err := x.access(call.Get)
	if err != nil {
		return err
	}
	return x.lentRole(row.Spec.Policies, "access token")
}
