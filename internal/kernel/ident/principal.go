// Package ident knows who is who: domains, projects, users, groups, agencies, access keys, tokens, and which policies
// hold for whom. It turns credentials into Principals and asks package policy whether a principal may do a thing.
// It may import kernel/{store,kind,policy,secret,ledger,fail,id,clock}.
package ident

import (
	"context"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/policy"
)

// Principal is who a call comes from. The zero value is nobody.
type Principal struct {
	User       id.ID // of somebody who acts through an agency: the agency's id
	UserName   string
	Domain     id.ID
	DomainName string
	Project    id.ID // the project the credential is scoped to; "" when it is scoped to the domain
	Visits     id.ID // the domain that its token is for, where that is not its own
	Groups     []string
	Federated  []string // of Groups, those that an identity provider put the user into
	Method     Method
	Key        string // access key id, when Method is Key
	Token      string // hash of the token, when Method is Token
	Issued     time.Time
	Expires    time.Time
	MFA        bool
	Verified   time.Time // when its user gave the second factor last, for this token

	Agency      id.ID // acts through this agency; By says who
	By          Actor
	Application id.ID              // an application credential of the user
	Manages     bool               // it may make keys and credentials
	Requests    []RequestSpec      // it may make these requests only; says something when Restricted is OnlyRequests
	Trust       id.ID              // acts with what another user lent; By is the other one of the two
	Only        []id.ID            // its policies: of the user's, these alone hold; nil = all
	Narrow      []*policy.Document // each of them must allow too: what a temporary key or a credential was narrowed to
	// Restricted says why this log-in may do nothing but complete itself; "" = it is complete.
	Restricted Restriction

	lender  *Principal // with Trust: whose rights they are
	asker   *Principal // with BySystem: the user for whom the cloud does it
	vouched bool       // an identity provider vouches for it
	cloud   bool       // has a grant that holds in the whole cloud
}

// Restriction is what a log-in lacks.
type Restriction string

// What a log-in may lack.
const (
	NeedsCode     Restriction = "code"     // the code of the user's second factor
	NeedsFactor   Restriction = "factor"   // a second factor: the user has to enrol one
	NeedsPassword Restriction = "password" // a new password
	// OnlyRequests: it is confined to certain requests, and nobody looked yet whether this is one.
	OnlyRequests Restriction = "requests"
)

// Method says how a principal proved who it is.
type Method string

const (
	ByPassword   Method = "password"
	ByToken      Method = "token"
	ByKey        Method = "key"
	ByAgency     Method = "agency"
	ByCredential Method = "application_credential"
	ByFederation Method = "federation" // an identity provider vouches for the user
	BySystem     Method = "system"     // the cloud itself: loops, jobs, first start
)

// System is the cloud itself.
func System() Principal { return Principal{UserName: "awan", Method: BySystem} }

// OnBehalf is the cloud itself doing what every user may do with what is its own (its password, its second factor).
func OnBehalf(p Principal, what string) Principal {
	return Principal{Method: BySystem, User: p.User, UserName: p.UserName + " (" + what + ")", Domain: p.Domain, DomainName: p.DomainName, asker: &p}
}

// Lent tells whether p acts with a part of its user's rights that was given to a program or to another user.
func (p Principal) Lent() bool { return p.Application != "" || p.Trust != "" }

// Parties are the users of p's trust, and whether the trustee acts in the trustor's name.
func (p Principal) Parties() (trustor, trustee id.ID, impersonates bool) {
	if p.lender == nil || p.lender.User != p.User {
		return p.By.User, p.User, false
	}
	return p.User, p.By.User, true
}

// Whole tells whether p is a user itself, with all that it may do.
func (p Principal) Whole() bool { return p.Agency == "" && !p.Lent() && p.Narrow == nil }

// Bound tells whether p works in its own project only, because its credential was made for that one.
func (p Principal) Bound() bool {
	return p.Method == ByToken || p.Method == ByKey || p.Lent() || strings.HasPrefix(p.Key, temporaryStart)
}

// Nobody reports whether p is unauthenticated.
func (p Principal) Nobody() bool { return p.Method == "" }

// String names the principal for the audit log.
func (p Principal) String() string {
	if p.Method == "" {
		return "anonymous"
	}
	if p.Method == BySystem {
		return "system " + p.UserName
	}
	name := "user " + p.UserName
	if p.Agency != "" {
		name = "agency " + p.UserName + " by " + p.By.Name
		if p.By.DomainName != "" {
			name = "agency " + p.UserName + " by user " + p.By.DomainName + "/" + p.By.Name
		}
	}
	if p.Application != "" {
		name += " (application credential " + string(p.Application) + ")"
	}
	if p.Trust != "" {
		name += " (trust " + string(p.Trust) + " with " + p.By.Name + ")"
	}
	if p.Key != "" {
		name += " (key " + p.Key + ")"
	}
	return name
}

type principalKey struct{}

// With puts the principal into the context of a call.
func With(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// From gives the principal of a call; nobody when there is none.
func From(ctx context.Context) Principal {
	p, _ := ctx.Value(principalKey{}).(Principal)
	return p
}
