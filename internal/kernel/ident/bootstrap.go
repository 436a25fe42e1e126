package ident

import (
	"context"
	"embed"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
)

//go:embed policies/*.json
var systemPolicies embed.FS

// Admin is the first administrator's credential. It exists in this value only until it is written to a 0600 file.
type Admin struct {
	Domain, User, Password, Project string
	DomainID, UserID, ProjectID     id.ID
	AccessKey, SecretKey            string
}

// Bootstrap makes the first domain, project and administrator when the store has none; nil when it has.
// Names: domain (the account), project (named like the region, as clients expect).
func (s *Service) Bootstrap(ctx context.Context, domain, project string) (*Admin, error) {
	a := &Admin{Domain: domain, User: "admin", Project: project, Password: secret.NewPassword(),
		AccessKey: secret.NewAccessKey(), SecretKey: secret.NewSecretKey()}
	hash, err := s.passwords.Hash(ctx, a.Password)
	if err != nil {
		return nil, err
	}
	ctx = With(ctx, System())
	made := false
	_, err = s.store.Update(ctx, func(tx store.Tx) error {
		made = false
		have, err := s.Kinds.Domain.List(tx, "-", kind.Filter{})
		if err != nil {
			return err
		}
		for _, d := range have { // of a cloud that an earlier version made
			if err := s.Kinds.complete(tx, d); err != nil {
				return err
			}
		}
		if len(have) > 0 {
			return nil
		}
		made = true
		return s.firstRows(ctx, tx, a, hash)
	})
	if err != nil || !made {
		return nil, err
	}
	return a, nil
}

func (s *Service) firstRows(ctx context.Context, tx store.Tx, a *Admin, hash string) error {
	now := s.now().UTC()
	k := s.Kinds
	d := &kind.Row[DomainSpec, None]{Meta: newMeta(k.Domain.D, "", a.Domain, now)}
	d.Domain, d.Spec.Description = d.ID, "the first domain, of the cloud's operator"
	if err := k.Domain.Put(tx, d); err != nil {
		return err
	}
	if err := k.addSystemPolicies(tx, d); err != nil {
		return err
	}
	if err := k.addRules(tx, d); err != nil {
		return err
	}
	p := &kind.Row[ProjectSpec, None]{Meta: newMeta(k.Project.D, d.ID, a.Project, now)}
	u := &userRow{Meta: newMeta(k.User.D, d.ID, a.User, now)}
	u.Spec.Description = "the first administrator"
	sealed, err := s.Seal(d.ID, "spec.password", u.ID, hash)
	if err != nil {
		return err
	}
	u.Spec.Password = sealed
	key := &kind.Row[KeySpec, KeyStatus]{Meta: newMeta(k.Key.D, d.ID, a.AccessKey, now)}
	key.Spec = KeySpec{User: string(u.ID), Description: "the first administrator's"}
	key.Status.Access = a.AccessKey
	if key.Status.Secret, err = s.Seal(d.ID, "status.secret_key", key.ID, a.SecretKey); err != nil {
		return err
	}
	full, err := k.Policy.Find(tx, string(d.ID), "full-access")
	if err != nil {
		return err
	}
	g := &kind.Row[GrantSpec, None]{Meta: newMeta(k.Grant.D, d.ID, "", now)}
	g.Spec = GrantSpec{Policy: string(full.ID), User: string(u.ID), Cloud: true}
	for _, put := range []func() error{
		func() error { return k.Project.Put(tx, p) }, func() error { return k.User.Put(tx, u) },
		func() error { return k.Key.Put(tx, key) }, func() error { return keyChanged(ctx, tx, nil, key) },
		func() error { return k.Grant.Put(tx, g) }, func() error { return bump(tx) },
		func() error { return putState(tx, u.ID, UserState{PasswordSet: now, Generated: true}) }} {
		if err := put(); err != nil {
			return err
		}
	}
	a.DomainID, a.UserID, a.ProjectID = d.ID, u.ID, p.ID
	return nil
}

func newMeta(d *kind.Def, domain id.ID, name string, now time.Time) kind.Meta {
	return kind.Meta{ID: id.New(), Kind: d.FullName(), Domain: domain, Name: name, State: kind.Active, Generation: 1,
		CreatedBy: "system awan", Created: now, Updated: now}
}

// addSystemPolicies gives a new domain the policies that come with the cloud.
func (k *Kinds) addSystemPolicies(tx store.Tx, d *kind.Row[DomainSpec, None]) error {
	files, err := systemPolicies.ReadDir("policies")
	if err != nil {
		return err
	}
	for _, f := range files {
		b, err := systemPolicies.ReadFile("policies/" + f.Name())
		if err != nil {
			return err
		}
		var p struct {
			Description string          `json:"description"`
			Document    json.RawMessage `json:"document"`
		}
		if err := json.Unmarshal(b, &p); err != nil {
			return err
		}
		name := strings.TrimSuffix(f.Name(), ".json")
		if have, err := k.Policy.Find(tx, string(d.ID), name); err != nil || have != nil {
			if err != nil {
				return err
			}
			continue
		}
		row := &policyRow{Meta: newMeta(k.Policy.D, d.ID, name, d.Created)}
		row.Spec = PolicySpec{Description: p.Description, Document: p.Document, System: true}
		if err := k.Policy.Put(tx, row); err != nil {
			return err
		}
	}
	return nil
}

// complete gives a domain what newer versions give to every new one.
func (k *Kinds) complete(tx store.Tx, d *kind.Row[DomainSpec, None]) error {
	if err := k.addSystemPolicies(tx, d); err != nil {
		return err
	}
	have, err := k.Rules.Find(tx, string(d.ID), RulesName)
	if err != nil || have != nil {
		return err
	}
	return k.addRules(tx, d)
}

const sealedPrefix = "sealed:"

// Seal encrypts a secret field's value for storage, bound to its owner, field and row.
func (s *Service) Seal(owner id.ID, field string, row id.ID, plain string) (string, error) {
	b, err := s.sealer.Seal(string(owner), []byte(plain), []byte(string(row)+"/"+field))
	return sealedPrefix + base64.RawStdEncoding.EncodeToString(b), err
}

// Unseal reads what Seal wrote.
func (s *Service) Unseal(owner id.ID, field string, row id.ID, sealed string) (string, error) {
	return s.unseal(owner, field, row, sealed)
}

func (s *Service) unseal(owner id.ID, field string, row id.ID, sealed string) (string, error) {
	text, ok := strings.CutPrefix(sealed, sealedPrefix)
	if !ok {
		return "", fail.New(fail.Internal, "a secret is stored in clear")
	}
	b, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return "", fail.Wrap(err, fail.Internal, "a stored secret cannot be read")
	}
	plain, err := s.sealer.Open(string(owner), b, []byte(string(row)+"/"+field))
	return string(plain), err
}
