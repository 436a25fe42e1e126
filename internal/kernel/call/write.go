package call

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// errDryRun rolls a transaction back in which everything was found right.
var errDryRun = errors.New("dry run")

// write runs the one transaction of a writing call and starts its job.
func (d *Door) write(ctx context.Context, c *Call, fn func(tx store.Tx, r *Reply, s *scope) error) (Reply, error) {
	var r Reply
	var s scope
	_, err := d.Store.Update(ctx, func(tx store.Tx) error {
		r, s = Reply{}, scope{}
		if err := fn(tx, &r, &s); err != nil {
			return err
		}
		if c.DryRun {
			return errDryRun
		}
		return nil
	})
	if err != nil && !errors.Is(err, errDryRun) {
		return Reply{}, d.refused(ctx, c, s, err)
	}
	if r.Job != nil && err == nil {
		d.jobs.Kick(r.Job.ID)
	}
	return r, nil
}

func (d *Door) create(ctx context.Context, c *Call) (Reply, error) {
	base := c.Kind.New()
	m := base.M()
	if c.Name != nil {
		m.Name = *c.Name
	}
	if c.Tags != nil {
		m.Tags = *c.Tags
	}
	kind.SetDefaults(base.SpecPtr(), c.Kind.Spec)
	if err := kind.DecodeStrict(c.Spec, base.SpecPtr(), "spec", c.Kind.Spec); err != nil {
		return Reply{}, err
	}
	kind.FillDefaults(base.SpecPtr(), c.Kind.Spec)
	at, err := d.mayCreate(ctx, c)
	if err != nil {
		return Reply{}, err
	}
	m.Domain, m.Project = at.domain, at.project // for what prepares the row
	if err := kind.Validate(base.SpecPtr(), "spec", c.Kind.Spec); err != nil {
		return Reply{}, err
	}
	if f := c.Kind.Prepare; f != nil {
		if err := f(ctx, nil, base); err != nil {
			return Reply{}, err
		}
	}
	if err := checkNameAndTags(c.Kind, m); err != nil {
		return Reply{}, err
	}
	var shown kind.AnyRow
	r, err := d.write(ctx, c, func(tx store.Tx, r *Reply, s *scope) (err error) {
		if *s, err = d.scope(tx, c); err != nil {
			return err
		}
		why, err := d.allowed(tx, c, *s, m.Name, nil)
		if err != nil {
			return err
		}
		if again, err := d.repeated(tx, c, *s); again != nil || err != nil {
			r.Row, r.Repeat = again, true
			return err
		}
		if s.frozen {
			return frozen(*s)
		}
		row := c.Kind.Clone(base)
		m := row.M()
		now := d.now()
		m.ID, m.Kind, m.Domain, m.Project = id.New(), c.Kind.FullName(), s.domain, s.project
		m.EnterpriseProject = s.enterprise
		m.State, m.Generation, m.Created, m.Updated, m.CreatedBy = kind.Creating, 1, now, now, c.Principal.UserName
		if c.Kind.Scope == kind.InCloud {
			m.Domain = m.ID
		}
		if c.Kind.AnyName && m.Name == "" {
			m.Name = string(m.ID)
		}
		if f := c.Kind.Defaults; f != nil {
			if err := f(ctx, tx, row); err != nil {
				return err
			}
		}
		if f := c.Kind.Check; f != nil {
			if err := f(ctx, tx, nil, row); err != nil {
				return err
			}
		}
		shown = c.Kind.Clone(row)
		if err := d.seal(c.Kind, nil, row); err != nil {
			return err
		}
		if r.Job, err = d.accept(ctx, tx, c, *s, nil, row, "create", why); err != nil {
			return err
		}
		r.Row = row
		return d.remember(tx, c, *s, m.ID)
	})
	if err != nil || r.Repeat {
		if r.Row != nil {
			r.Row = c.Kind.Redacted(r.Row)
		}
		return r, err
	}
	r.Row = revealOnce(c.Kind, r.Row, shown)
	return r, nil
}

// revealOnce masks the spec's secrets, but shows those of the status as they were made: this is the only time.
func revealOnce(k *kind.Def, stored, plain kind.AnyRow) kind.AnyRow {
	out := k.Redacted(stored)
	if kind.HasSecret(k.Status) {
		reflect.ValueOf(out.StatusPtr()).Elem().Set(reflect.ValueOf(plain.StatusPtr()).Elem())
	}
	return out
}

// mayCreate asks the policies before anything slow is done for the caller.
func (d *Door) mayCreate(ctx context.Context, c *Call) (scope, error) {
	var s scope
	name := "*"
	if c.Name != nil {
		name = *c.Name
	}
	err := d.Store.View(ctx, func(tx store.Tx) (err error) {
		if s, err = d.scope(tx, c); err != nil {
			return err
		}
		_, err = d.allowed(tx, c, s, name, nil)
		return err
	})
	return s, d.refused(ctx, c, s, err)
}

func frozen(s scope) error {
	return fail.New(fail.Precondition, "project %s is disabled", s.projectName).Then("enable it first: awan project update %s --disabled=false", s.projectName)
}

var tagKey = regexp.MustCompile(`^[^\x00-\x1f=*<>\\,|/]{1,128}$`)

func checkNameAndTags(k *kind.Def, m *kind.Meta) error {
	if !k.AnyName {
		if m.Name == "" {
			return fail.Field("name", "is required")
		}
		if ok, _ := regexp.MatchString(k.NamePat, m.Name); !ok {
			e := fail.Field("name", "%q is not a valid name", m.Name)
			e.Next = "it must match " + k.NamePat
			switch {
			case k.NameRule != "":
				e.Next = k.NameRule
			case k.NameLike != "":
				e.Next = "write it like " + k.NameLike
			case k.NamePat == kind.DefaultNamePat:
				e.Next = "use lower-case letters, digits and hyphens, at most 63, beginning with a letter"
			}
			return e
		}
	} else if len(m.Name) > 255 || strings.ContainsAny(m.Name, "\x00\n\r/") {
		return fail.Field("name", "must be at most 255 characters on one line, without /")
	}
	if len(m.Tags) > 20 {
		return fail.Field("tags", "%d tags are too many; the most is 20", len(m.Tags))
	}
	for key, v := range m.Tags {
		if !tagKey.MatchString(key) {
			return fail.Field("tags", "%q is not a valid key: 1 to 128 characters, none of = * < > \\ , | /", key)
		}
		if len(v) > 255 {
			return fail.Field("tags."+key, "the value is longer than 255 characters")
		}
	}
	return nil
}

// seal encrypts the secrets of a row that are new; those that equal old's stay as they are.
func (d *Door) seal(k *kind.Def, old, row kind.AnyRow) error {
	if !kind.HasSecret(k.Spec) && !kind.HasSecret(k.Status) {
		return nil
	}
	m := row.M()
	owner := m.Project
	if owner == "" {
		owner = m.Domain
	}
	for part, v := range map[string]struct {
		now, was any
		fields   []kind.Field
	}{"spec": {row.SpecPtr(), specOf(old), k.Spec}, "status": {row.StatusPtr(), statusOf(old), k.Status}} {
		was := map[string]string{}
		if v.was != nil {
			_ = kind.EachSecretAt(v.was, v.fields, func(_, at, value string) (string, error) {
				was[at] = value
				return value, nil
			})
		}
		err := kind.EachSecretAt(v.now, v.fields, func(path, at, value string) (string, error) {
			if s, ok := was[at]; ok && (value == kind.Mask || value == s) {
				return s, nil
			}
			if _, err := d.Ident.Unseal(owner, part+"."+path, m.ID, value); err == nil {
				return value, nil // sealed for this very field: it comes from an earlier state of the row
			}
			if value == kind.Mask {
				return "", fail.Field(part+"."+at, "there is no earlier value that %s could stand for", kind.Mask)
			}
			return d.Ident.Seal(owner, part+"."+path, m.ID, value)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Unseal reads one secret of a stored row: part is "spec" or "status", path that of the field ("env_secrets.TOKEN").
func (d *Door) Unseal(m *kind.Meta, part, path, sealed string) (string, error) {
	owner := m.Project
	if owner == "" {
		owner = m.Domain
	}
	return d.Ident.Unseal(owner, part+"."+path, m.ID, sealed)
}

func specOf(r kind.AnyRow) any {
	if r == nil {
		return nil
	}
	return r.SpecPtr()
}

func statusOf(r kind.AnyRow) any {
	if r == nil {
		return nil
	}
	return r.StatusPtr()
}

func (d *Door) update(ctx context.Context, c *Call) (Reply, error) {
	if c.Kind.Prepare == nil {
		return d.updateOnce(ctx, c, nil)
	}
	var base, old kind.AnyRow // a slow preparation happens outside the transaction, for the row as it is now
	var s scope
	err := d.Store.View(ctx, func(tx store.Tx) (err error) {
		if s, old, _, err = d.row(tx, c); err == nil {
			base, err = d.merged(c, old)
		}
		return err
	})
	if err != nil {
		return Reply{}, d.refused(ctx, c, s, err)
	}
	if err := c.Kind.Prepare(ctx, old, base); err != nil {
		return Reply{}, err
	}
	return d.updateOnce(ctx, c, base)
}

func (d *Door) updateOnce(ctx context.Context, c *Call, base kind.AnyRow) (Reply, error) {
	r, err := d.write(ctx, c, func(tx store.Tx, r *Reply, s *scope) error {
		sc, old, why, err := d.row(tx, c)
		*s = sc
		if err != nil {
			return err
		}
		row := base
		if row == nil {
			if row, err = d.merged(c, old); err != nil {
				return err
			}
		} else if row.M().Revision != old.M().Revision {
			return fail.New(fail.Conflict, "%s %s was changed meanwhile", c.Kind.Name, old.M().Name).Then("try again")
		} else {
			row = c.Kind.Clone(row)
		}
		if err := d.changeable(c, *s, old); err != nil {
			return err
		}
		if err := d.migrate(tx, c, *s, row); err != nil {
			return err
		}
		if f := c.Kind.Defaults; f != nil {
			if err := f(ctx, tx, row); err != nil {
				return err
			}
		}
		if err := kind.CheckImmutable(old.SpecPtr(), row.SpecPtr(), c.Kind.Spec); err != nil {
			return err
		}
		if f := c.Kind.Check; f != nil {
			if err := f(ctx, tx, old, row); err != nil {
				return err
			}
		}
		if err := d.seal(c.Kind, old, row); err != nil {
			return err
		}
		r.Row = row
		if sameSpec(old, row) && row.M().State == kind.Active {
			if old.M().Name == row.M().Name && maps.Equal(old.M().Tags, row.M().Tags) && old.M().EnterpriseProject == row.M().EnterpriseProject {
				return nil // nothing to change, nothing to record
			}
			r.Job, err = d.accept(ctx, tx, c, *s, old, row, "", why)
			return err
		}
		flow := "update"
		if !row.M().Made {
			flow = "create"
		}
		r.Job, err = d.accept(ctx, tx, c, *s, old, row, flow, why)
		return err
	})
	if r.Row != nil {
		r.Row = c.Kind.Redacted(r.Row)
	}
	return r, err
}

// migrate moves the row to the enterprise project that the call names. Who may change it where it is must also be allowed
// to where it comes to.
func (d *Door) migrate(tx store.Tx, c *Call, s scope, row kind.AnyRow) error {
	if c.EnterpriseProject == nil {
		return nil
	}
	if c.Kind.Scope != kind.InProject {
		return fail.Field("enterprise_project", "a %s belongs to no enterprise project", c.Kind.Name)
	}
	ep, err := d.enterprise(tx, s.domain, *c.EnterpriseProject)
	if err != nil || ep == row.M().EnterpriseProject {
		return err
	}
	row.M().EnterpriseProject = ep
	_, err = d.allowed(tx, c, s, row.M().Name, row)
	return err
}

func sameSpec(a, b kind.AnyRow) bool {
	x, _ := json.Marshal(a.SpecPtr())
	y, _ := json.Marshal(b.SpecPtr())
	return slices.Equal(x, y)
}

// changeable refuses changes of rows that are busy, in the trash, at another revision, or in a disabled project.
func (d *Door) changeable(c *Call, s scope, row kind.AnyRow) error {
	m := row.M()
	switch {
	case c.IfRevision != 0 && c.IfRevision != m.Revision:
		return fail.New(fail.Conflict, "%s %s is at revision %d, not %d", c.Kind.Name, m.Name, m.Revision, c.IfRevision).Then("read it again and repeat the change")
	case s.frozen:
		return frozen(s)
	case m.State == kind.Trashed:
		return fail.New(fail.Precondition, "%s %s is in the trash", c.Kind.Name, m.Name).Then("restore it first: awan %s restore %s", c.Kind.Name, m.Name)
	case m.Job != "":
		return fail.New(fail.Conflict, "%s %s is busy (%s)", c.Kind.Name, m.Name, m.State).Then("wait for job %s, then try again", m.Job)
	}
	return nil
}

// merged is the row with the call's changes: name, tags, and the merge patch over the spec.
func (d *Door) merged(c *Call, old kind.AnyRow) (kind.AnyRow, error) {
	row := c.Kind.Clone(old)
	m := row.M()
	if c.Name != nil && *c.Name != m.Name {
		if c.Kind.NoRename {
			return nil, fail.Field("name", "cannot change, because it is part of the address").Then("create another under the new name")
		}
		m.Name = *c.Name
	}
	if c.Tags != nil {
		m.Tags = *c.Tags
	}
	if err := checkNameAndTags(c.Kind, m); err != nil {
		return nil, err
	}
	if len(c.Spec) == 0 {
		return row, nil
	}
	spec, err := json.Marshal(old.SpecPtr())
	if err != nil {
		return nil, err
	}
	merged, err := mergePatch(spec, c.Spec)
	if err != nil {
		return nil, err
	}
	reflect.ValueOf(row.SpecPtr()).Elem().SetZero()
	kind.SetDefaults(row.SpecPtr(), c.Kind.Spec)
	if err := kind.DecodeStrict(merged, row.SpecPtr(), "spec", c.Kind.Spec); err != nil {
		return nil, err
	}
	kind.FillDefaults(row.SpecPtr(), c.Kind.Spec)
	return row, d.validMerged(c.Kind, old, row)
}

// validMerged checks the field rules on a copy in which secrets that did not change, being sealed, are masked.
func (d *Door) validMerged(k *kind.Def, old, row kind.AnyRow) error {
	probe := k.Clone(row)
	if kind.HasSecret(k.Spec) {
		type sealed struct{ path, value string }
		was := map[sealed]bool{}
		_ = kind.EachSecret(old.SpecPtr(), k.Spec, func(p, v string) (string, error) { was[sealed{p, v}] = true; return v, nil })
		_ = kind.EachSecret(probe.SpecPtr(), k.Spec, func(p, v string) (string, error) {
			if was[sealed{p, v}] {
				return kind.Mask, nil
			}
			return v, nil
		})
	}
	return kind.Validate(probe.SpecPtr(), "spec", k.Spec)
}

// mergePatch applies RFC 7396.
func mergePatch(doc, patch json.RawMessage) (json.RawMessage, error) {
	var d, p any
	if err := json.Unmarshal(doc, &d); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(patch, &p); err != nil {
		return nil, fail.Field("spec", "not valid JSON: %v", err)
	}
	if _, ok := p.(map[string]any); !ok {
		return nil, fail.Field("spec", "expected an object")
	}
	return json.Marshal(merge(d, p))
}

func merge(doc, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	d, ok := doc.(map[string]any)
	if !ok {
		d = map[string]any{}
	}
	for k, v := range p {
		if v == nil {
			delete(d, k)
		} else {
			d[k] = merge(d[k], v)
		}
	}
	return d
}

// act runs a custom action that changes the row.
func (d *Door) act(ctx context.Context, c *Call) (Reply, error) {
	a := c.Kind.ActionOf(c.Verb)
	r, err := d.write(ctx, c, func(tx store.Tx, r *Reply, s *scope) error {
		sc, old, why, err := d.row(tx, c)
		*s = sc
		if err != nil {
			return err
		}
		in, err := decodeIn(a, c.In) // after the policies: who may not do it learns nothing about how
		if err != nil {
			return err
		}
		if err := d.changeable(c, *s, old); err != nil {
			return err
		}
		row := c.Kind.Clone(old)
		flow, err := a.Change(ctx, tx, row, in)
		if err != nil {
			return err
		}
		if err := kind.Validate(row.SpecPtr(), "spec", c.Kind.Spec); err != nil && !kind.HasSecret(c.Kind.Spec) {
			return err
		}
		if err := d.seal(c.Kind, old, row); err != nil {
			return err
		}
		if flow != "" && !row.M().Made {
			flow = "create"
		}
		r.Row = row
		r.Job, err = d.accept(ctx, tx, c, *s, old, row, flow, why)
		return err
	})
	if r.Row != nil {
		r.Row = c.Kind.Redacted(r.Row)
	}
	return r, err
}

const idemPrefix = "idem/"

type idem struct {
	Row  id.ID  `json:"row"`
	At   int64  `json:"at"` // Unix seconds
	Body string `json:"body"`
}

func idemKey(c *Call, s scope) string {
	return idemPrefix + c.Kind.FullName() + "/" + string(s.domain) + string(s.project) + "/" + c.Idempotency
}

// repeated finds the row that an earlier create with the same idempotency key made.
func (d *Door) repeated(tx store.Tx, c *Call, s scope) (kind.AnyRow, error) {
	if c.Idempotency == "" {
		return nil, nil
	}
	if len(c.Idempotency) > 128 || strings.ContainsAny(c.Idempotency, "/\x00") {
		return nil, fail.Field("Idempotency-Key", "must be at most 128 characters, without /")
	}
	b, ok, err := tx.Get(idemKey(c, s))
	if err != nil || !ok {
		return nil, err
	}
	var was idem
	if err := json.Unmarshal(b, &was); err != nil {
		return nil, err
	}
	if d.now().Unix()-was.At > 24*3600 {
		return nil, nil
	}
	if was.Body != bodyHash(c) {
		return nil, fail.Field("Idempotency-Key", "was used for another request").Then("use a new key for a new request")
	}
	row, err := c.Kind.Get(tx, was.Row)
	if err == nil && row == nil {
		return nil, fail.New(fail.Conflict, "what this idempotency key created was deleted meanwhile").Then("use a new key")
	}
	return row, err
}

func (d *Door) remember(tx store.Tx, c *Call, s scope, row id.ID) error {
	if c.Idempotency == "" {
		return nil
	}
	b, err := json.Marshal(idem{Row: row, At: d.now().Unix(), Body: bodyHash(c)})
	if err != nil {
		return err
	}
	return tx.Put(idemKey(c, s), b)
}
