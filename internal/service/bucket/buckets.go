package bucket

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Bucket finds a bucket for a caller that may do action; without one, for what everybody may know (how to answer a
// browser's question, what serves a web site).
func (s *Service) Bucket(ctx context.Context, c *Caller, name, action string) (*Row, error) {
	if isDepot(name) {
		return nil, noSuchBucket(name)
	}
	if action == "" {
		var b *bucket
		err := s.Store.View(ctx, func(tx store.Tx) (err error) {
			b, err = s.need(tx, name)
			return err
		})
		if err != nil {
			return nil, err
		}
		return b.Row, nil
	}
	b, err := s.enter(ctx, c, name, "", wish{s.Rows.D, "get", action}, nil)
	if err != nil {
		return nil, err
	}
	if action == "obs:bucket:GetBucketPolicyPublicStatus" {
		row := s.Rows.D.Clone(b.Row).(*Row)
		row.Status.Public = s.public(row)
		return row, nil
	}
	return b.Row, nil
}

// Create makes a bucket in the caller's project. A canned ACL that makes it public is an express wish: it is then not
// blocked.
func (s *Service) Create(ctx context.Context, c *Caller, name string, spec BucketSpec, canned string, enterprise *string) (*Row, error) {
	project, err := s.projectOf(c)
	if err != nil {
		return nil, err
	}
	domain := string(c.Principal.Domain)
	if canned != "" {
		if spec.ACL.Grants, err = Canned(canned, domain, domain); err != nil {
			return nil, err
		}
	}
	if isPublic(spec.ACL.Grants) {
		spec.PublicAccess.AllowACLs, spec.PublicAccess.HonorACLs = true, true
	}
	raw, err := json.Marshal(&spec)
	if err != nil {
		return nil, err
	}
	var sparse map[string]any // what was not said has its default
	if err := json.Unmarshal(raw, &sparse); err != nil {
		return nil, err
	}
	maps.DeleteFunc(sparse, func(_ string, v any) bool { return v == "" || v == nil })
	if spec.Encryption == (Encryption{}) {
		delete(sparse, "encryption")
	}
	if raw, err = json.Marshal(sparse); err != nil {
		return nil, err
	}
	cl := c.call(wish{action: "obs:bucket:CreateBucket"})
	cl.Kind, cl.Verb, cl.Name, cl.Project, cl.Spec, cl.EnterpriseProject = s.Rows.D, call.Create, &name, project, raw, enterprise
	r, err := s.door.Do(ctx, cl)
	if err != nil {
		if CodeOf(err) == "BucketAlreadyExists" {
			if row, ferr := s.Bucket(ctx, c, name, ""); ferr == nil && row.Domain == c.Principal.Domain {
				return row, failed("BucketAlreadyOwnedByYou", fail.From(err))
			}
		}
		return nil, err
	}
	return r.Row.(*Row), nil
}

// projectOf is the project of what a caller makes: the one it says or its credential is for, else the one that has the
// region's name.
func (s *Service) projectOf(c *Caller) (string, error) {
	if c.Project != "" {
		return c.Project, nil
	}
	if c.Principal.Project != "" {
		return string(c.Principal.Project), nil
	}
	if c.Principal.Nobody() {
		return "", fail.New(fail.Unauthenticated, "this needs a log-in").Then("sign the request")
	}
	return s.door.Region, nil
}

// Change edits a bucket's settings, for a caller that may do action.
func (s *Service) Change(ctx context.Context, c *Caller, name, action string, edit func(*Row) error) error {
	for try := 0; ; try++ {
		row, err := s.Bucket(ctx, c, name, "")
		if err != nil {
			return err
		}
		old := s.Rows.D.Clone(row).(*Row)
		changed := s.Rows.D.Clone(row).(*Row)
		if err := edit(changed); err != nil {
			return err
		}
		cl := c.call(wish{action: action})
		cl.Kind, cl.Verb, cl.Target, cl.Domain, cl.Project, cl.IfRevision = s.Rows.D, call.Update, string(row.ID), string(row.Domain), string(row.Project), row.Revision
		cl.Spec = patch(&old.Spec, &changed.Spec)
		if !maps.Equal(old.Tags, changed.Tags) {
			cl.Tags = &changed.Tags
		}
		if c.Principal.Domain != row.Domain { // others find it by its name, as everything about buckets
			if _, err := s.enter(ctx, c, name, "", wish{s.Rows.D, "update", action}, nil); err != nil {
				return err
			}
			cl.Principal = ident.OnBehalf(c.Principal, "by the bucket's own policy or ACL")
		}
		_, err = s.door.Do(ctx, cl)
		if fail.Is(err, fail.Denied) && CodeOf(err) == "" {
			err = failed("AccessDenied", fail.From(err))
		}
		if !fail.Is(err, fail.Conflict) || try == 5 {
			return err
		}
	}
}

// DeleteBucket deletes an empty bucket.
func (s *Service) DeleteBucket(ctx context.Context, c *Caller, name string) error {
	row, err := s.Bucket(ctx, c, name, "")
	if err != nil {
		return err
	}
	cl := c.call(wish{action: "obs:bucket:DeleteBucket"})
	cl.Kind, cl.Verb, cl.Target, cl.Domain, cl.Project = s.Rows.D, call.Delete, string(row.ID), string(row.Domain), string(row.Project)
	_, err = s.door.Do(ctx, cl)
	if fail.Is(err, fail.Denied) {
		err = failed("AccessDenied", fail.From(err))
	}
	return err
}

// Buckets lists those of the caller's domain that it may list, by name.
func (s *Service) Buckets(ctx context.Context, c *Caller) (out []*Row, err error) {
	if c.Principal.Nobody() {
		return nil, failed("AccessDenied", fail.New(fail.Denied, "anonymous requests may not list buckets").Then("sign the request"))
	}
	var projects []id.ID
	err = s.Store.View(ctx, func(tx store.Tx) error {
		for k := range tx.Scan(nameKey, "") {
			b, err := s.find(tx, strings.TrimPrefix(k, nameKey))
			if err != nil {
				return err
			}
			if b != nil && b.Domain == c.Principal.Domain && !slices.Contains(projects, b.Project) {
				projects = append(projects, b.Project)
			}
		}
		return tx.ScanErr()
	})
	denied := error(nil)
	for _, p := range projects {
		var after id.ID
		for err == nil {
			cl := c.call(wish{action: "obs:bucket:ListAllMyBuckets"})
			cl.Kind, cl.Verb, cl.Project = s.Rows.D, call.List, string(p)
			cl.Filter = kind.Filter{Limit: call.MaxPage, After: after}
			r, lerr := s.door.Do(ctx, cl)
			if fail.Is(lerr, fail.Denied) || fail.Is(lerr, fail.NotFound) {
				denied = lerr
				break
			}
			if lerr != nil {
				return nil, lerr
			}
			for _, row := range r.Rows {
				out = append(out, row.(*Row))
			}
			if after = r.Next; after == "" {
				break
			}
		}
	}
	if len(out) == 0 && denied != nil {
		return nil, denied
	}
	slices.SortFunc(out, func(a, b *Row) int { return strings.Compare(a.Name, b.Name) })
	return out, err
}

// ByDomain gives the bucket that is served under a name of its owner's; "" when there is none.
func (s *Service) ByDomain(ctx context.Context, host string) (name string, err error) {
	err = s.Store.View(ctx, func(tx store.Tx) error {
		b, ok, err := tx.Get(domainKey + strings.ToLower(host))
		if err != nil || !ok {
			return err
		}
		row, err := s.Rows.Get(tx, id.ID(b))
		if row != nil {
			name = row.Name
		}
		return err
	})
	return name, err
}
