package iamv5

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// assume is the one action of a trust policy.
const assume = "sts:agencies:assume"

// trustPolicy says who may act through an agency. An agency here trusts one account or one service, so of the grammar
// of policies one statement with one principal is taken, and anything else refused.
type trustPolicy struct {
	Version   string           `json:"Version"`
	Statement []trustStatement `json:"Statement"`
}

type trustStatement struct {
	Sid       string         `json:"Sid,omitempty"`
	Effect    string         `json:"Effect"`
	Principal trustPrincipal `json:"Principal"`
	Action    []string       `json:"Action"`
}

type trustPrincipal struct {
	IAM     []string `json:"IAM,omitempty"`
	Service []string `json:"Service,omitempty"`
}

// trusted reads whom a trust policy trusts: an account's id or name, or a service as the client spells it.
func trusted(s *string) (account, service string, err error) {
	wrong := func(why string) error {
		return fail.Field("trust_policy", "%s", why).Then(`an agency trusts one account or one service: ` +
			`{"Version":"5.0","Statement":[{"Effect":"Allow","Principal":{"IAM":["ACCOUNT"]},"Action":["` + assume + `"]}]}`)
	}
	if s == nil {
		return "", "", nil
	}
	var p trustPolicy
	d := json.NewDecoder(strings.NewReader(*s))
	d.DisallowUnknownFields() // a condition that is skipped silently would be a hole
	if err := d.Decode(&p); err != nil {
		return "", "", wrong("cannot be read: " + strings.TrimPrefix(err.Error(), "json: "))
	}
	if p.Version != "5.0" || len(p.Statement) != 1 {
		return "", "", wrong("is not of version 5.0 with one statement")
	}
	st := p.Statement[0]
	if st.Effect != "Allow" || !slices.Equal(st.Action, []string{assume}) {
		return "", "", wrong("does not allow " + assume + " alone")
	}
	switch w := st.Principal; {
	case len(w.IAM) == 1 && len(w.Service) == 0:
		return accountOf(w.IAM[0]), "", nil
	case len(w.Service) == 1 && len(w.IAM) == 0:
		return "", w.Service[0], nil
	}
	return "", "", wrong("does not name one principal")
}

// accountOf takes the account out of "iam::ACCOUNT:root"; an account alone stays.
func accountOf(principal string) string {
	if rest, ok := strings.CutPrefix(principal, "iam::"); ok {
		account, _, _ := strings.Cut(rest, ":")
		return account
	}
	return principal
}

// serviceName is how the cloud calls a service that clients call "service.ECS".
func serviceName(principal string) string {
	return strings.ToLower(strings.TrimPrefix(principal, "service."))
}

func trustText(w trustPrincipal) string {
	b, err := json.Marshal(trustPolicy{"5.0", []trustStatement{{Effect: "Allow", Principal: w, Action: []string{assume}}}})
	if err != nil {
		return "" // plain values always encode
	}
	return string(b)
}

// applyTrust puts whom an agency trusts into its spec.
func applyTrust(s wire.Spec, account, service string) {
	if account != "" {
		s["trust_domain"], s["trust_service"] = account, ""
	} else if service != "" {
		s["trust_domain"], s["trust_service"] = "", serviceName(service)
	}
}
