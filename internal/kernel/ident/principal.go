// Package ident knows who is who: domains, projects, users, groups, access keys, tokens, and which policies hold for
// whom. It turns credentials into Principals and asks package policy whether a principal may do a thing.
// It may import kernel/{store,kind,policy,secret,ledger,fail,id,clock}.
package ident

import (
	"context"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
)

// Principal is who a call comes from. The zero value is nobody.
type Principal struct {
	User       id.ID
	UserName   string
	Domain     id.ID
	DomainName string
	Project    id.ID // the project the credential is scoped to; "" when it is scoped to the domain
	Groups     []string
	Method     Method
	Key        string // access key id, when Method is Key
	Token      string // hash of the token, when Method is Token
	Issued     time.Time
	Expires    time.Time
	MFA        bool

	cloud bool // has a grant that holds in the whole cloud
}

// Method says how a principal proved who it is.
type Method string

const (
	ByPassword Method = "password"
	ByToken    Method = "token"
	ByKey      Method = "key"
	BySystem   Method = "system" // the cloud itself: loops, jobs, first start
)

// System is the cloud itself.
func System() Principal { return Principal{UserName: "awan", Method: BySystem} }

// Nobody reports whether p is unauthenticated.
func (p Principal) Nobody() bool { return p.Method == "" }

// String names the principal for the audit log.
func (p Principal) String() string {
	switch p.Method {
	case "":
		return "anonymous"
	case BySystem:
		return "system " + p.UserName
	case ByKey:
		return "user " + p.UserName + " (key " + p.Key + ")"
	}
	return "user " + p.UserName
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
