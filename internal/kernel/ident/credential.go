package ident

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/policy"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
)

// ByCredential logs in with an application credential: by its id, or by its name and its user's.
func (s *Service) ByCredential(ctx context.Context, credential, domain, user, plain, source string) (Principal, error) {
	name := "credential/" + domain + "/" + user + "/" + credential
	if err := s.attempts.allowed(name, source, defaultLock); err != nil {
		return Principal{}, err
	}
	wrong := fail.New(fail.Unauthenticated, "the application credential or its secret is wrong, or it has ended").Then("check both, or make a new one")
	var p Principal
	err := s.store.View(ctx, func(tx store.Tx) error {
		row, err := s.findCredential(tx, credential, domain, user)
		if err != nil {
			return err
		}
		if row == nil || row.Spec.Consumer != "" { // an access token works signed only
			return wrong
		}
		want, err := s.unseal(row.Domain, "status.secret", row.ID, row.Status.Secret)
		if err != nil {
			return err
		}
		if !secret.Equal(want, plain) {
			return wrong
		}
		p, err = s.ofCredential(tx, row.ID)
		return err
	})
	if err != nil {
		if fail.Is(err, fail.Unauthenticated) {
			s.attempts.failed(name, source)
		}
		return Principal{}, err
	}
	p.Method, p.Issued = ByCredential, s.now()
	return p, nil
}

func (s *Service) findCredential(tx store.Tx, credential, domain, user string) (*credentialRow, error) {
	if cid, ok := id.Parse(credential); ok {
		if row, err := s.Kinds.Credential.Get(tx, cid); row != nil || err != nil {
			return row, err
		}
	}
	u, err := s.findUser(tx, domain, user)
	if err != nil || u == nil {
		return nil, err
	}
	rows, err := s.Kinds.Credential.List(tx, string(u.Domain), kind.Filter{Index: "user", Value: string(u.ID), Limit: 1,
		Where: func(r kind.AnyRow) bool { return r.M().Name == credential }})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return rows[0], nil
}

// ofCredential is who an application credential acts as, while it and its user hold.
func (s *Service) ofCredential(tx store.Tx, credential id.ID) (Principal, error) {
	row, err := s.Kinds.Credential.Get(tx, credential)
	if err != nil {
		return Principal{}, err
	}
	if row == nil || !row.Spec.Expires.IsZero() && !s.now().Before(row.Spec.Expires) {
		return Principal{}, fail.New(fail.Unauthenticated, "the application credential is no more, or has expired").Then("make a new one")
	}
	p, err := s.principal(tx, id.ID(row.Spec.User))
	if err != nil {
		return p, err
	}
	p.Application, p.Manages, p.Project, p.MFA = row.ID, row.Spec.Manages, id.ID(row.Spec.Project), false
	if len(row.Spec.Requests) > 0 {
		p.Restricted = OnlyRequests
		if p.Requests, err = s.requests(tx, row); err != nil {
			return p, err
		}
	}
	for _, o := range row.Spec.Policies {
		p.Only = append(p.Only, id.ID(o))
	}
	if isDocument(row.Spec.Rules) {
		doc, err := policy.Parse(row.Spec.Rules)
		if err != nil {
			return p, err
		}
		p.Narrow = []*policy.Document{doc}
	}
	return p, err
}
