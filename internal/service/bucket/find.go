package bucket

import (
	"bytes"
	"context"
	"strings"
	"unicode/utf8"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// bucket is a row as requests use it: read once, and shared while it does not change.
type bucket struct {
	*Row
	raw   []byte
	owner string // the domain's name
}

// find reads a bucket by its name; nil when there is none.
func (s *Service) find(tx store.Tx, name string) (*bucket, error) {
	if isDepot(name) {
		return depot(name), nil
	}
	at, ok, err := tx.Get(nameKey + name)
	if err != nil || !ok {
		return nil, err
	}
	project, row, _ := strings.Cut(string(at), "/")
	raw, ok, err := tx.Get(s.Rows.D.Prefix(project) + row)
	if err != nil || !ok {
		return nil, err
	}
	if b, ok := s.decoded.Load(id.ID(row)); ok && bytes.Equal(b.(*bucket).raw, raw) {
		return b.(*bucket), nil
	}
	r, err := s.Rows.D.Decode(raw)
	if err != nil {
		return nil, err
	}
	b := &bucket{Row: r.(*Row), raw: raw}
	if b.owner, err = s.DomainName(tx, b.Domain); err != nil {
		return nil, err
	}
	s.decoded.Store(b.ID, b)
	return b, nil
}

// need is find for those who cannot go on without.
func (s *Service) need(tx store.Tx, name string) (*bucket, error) {
	b, err := s.find(tx, name)
	if err == nil && (b == nil || b.State == kind.Deleting) {
		err = noSuchBucket(name)
	}
	return b, err
}

// wish is what a caller wants to do: the verb on our kind, and the action's name in OBS.
type wish struct {
	kind   *kind.Def
	verb   string
	action string
}

// enter asks the door whether the caller may do w with key ("" = the bucket) and runs fn in the same view, for what it
// reads.
func (s *Service) enter(ctx context.Context, c *Caller, name, key string, w wish, fn func(tx store.Tx, b *bucket) error) (b *bucket, err error) {
	return s.enterOn(ctx, c, name, key, w, nil, fn)
}

// enterOn is enter for what is there already: on finds it, and its own ACL and tags count. That it is missing is told only
// to those who may list.
func (s *Service) enterOn(ctx context.Context, c *Caller, name, key string, w wish, on func(tx store.Tx, b *bucket) (*record, error), fn func(tx store.Tx, b *bucket) error) (b *bucket, err error) {
	cl := c.call(w)
	err = s.Store.View(ctx, func(tx store.Tx) error {
		var err error
		if isDepot(name) && c.Principal.Method != ident.BySystem {
			return noSuchBucket(name)
		}
		if b, err = s.need(tx, name); err != nil {
			return err
		}
		var r *record
		if on != nil {
			if r, err = on(tx, b); err != nil && !fail.Is(err, fail.NotFound) {
				return err
			}
		}
		missing := err
		if missing != nil { // who may list may know, whatever else it may do with the object if there were one
			l := s.listing(false)
			if s.within(tx, c, c.call(l), b, "", l, nil) == nil {
				return missing
			}
		}
		if err := s.within(tx, c, cl, b, key, w, r); err != nil {
			return err
		}
		if missing != nil {
			return fail.New(fail.Denied, "you may not see whether there is an object %q", key).Then("ask for the right to list the bucket")
		}
		if fn == nil {
			return nil
		}
		return fn(tx, b)
	})
	if err != nil && b != nil {
		err = s.door.Refused(ctx, cl, b.Row, err)
	}
	// What operators of the cloud do in the buckets of others, reading included, stands in the audit log of those.
	if p := cl.Principal; err == nil && p.Cloud() && p.Method != ident.BySystem && p.Domain != b.Domain {
		_, err = s.Store.Update(ctx, func(tx store.Tx) error { return s.record(tx, c, b, w, key) })
	}
	return b, err
}

// within is the question itself, in a transaction.
func (s *Service) within(tx store.Tx, c *Caller, cl *call.Call, b *bucket, key string, w wish, r *record) error {
	if c.Principal.Method == ident.BySystem {
		return nil
	}
	path := b.Name
	if key != "" {
		path += "/" + key
	}
	facts := func() map[string][]string {
		facts := c.facts()
		if r != nil {
			for k, v := range r.Tags {
				facts["obs:ExistingObjectTag/"+k] = []string{v}
			}
		}
		return facts
	}
	if err := s.door.Within(tx, cl, w.kind, w.verb, b.Row, path, facts, s.own(b, c.Principal, r)); err != nil {
		if fail.Is(err, fail.Denied) {
			return failed("AccessDenied", fail.From(err))
		}
		return err
	}
	return nil
}

func (c *Caller) call(w wish) *call.Call {
	return &call.Call{Principal: c.Principal, Source: c.Source, Agent: c.Agent, Dialect: c.Dialect, RequestID: c.RequestID, Project: c.Project, Alias: w.action}
}

func (c *Caller) facts() map[string][]string {
	out := make(map[string][]string, len(c.Facts)+8)
	for k, v := range c.Facts {
		out[factKey(k)] = v
	}
	return out
}

// factKey gives a condition key of S3 or OBS the name that policies use here.
func factKey(k string) string {
	if strings.Contains(k, ":") {
		return k
	}
	if k != "" && k[0] >= 'A' && k[0] <= 'Z' {
		return "g:" + k
	}
	return "obs:" + k
}

const maxKey = 1024

func checkKey(key string) error {
	switch {
	case key == "":
		return failed("InvalidURI", fail.Field("key", "an object needs a name"))
	case len(key) > maxKey:
		return failed("KeyTooLongError", fail.Field("key", "a name has at most %d bytes, this one has %d", maxKey, len(key)))
	case !utf8.ValidString(key) || strings.Contains(key, "\x00"):
		return failed("InvalidURI", fail.Field("key", "a name is UTF-8 without zero bytes"))
	}
	return nil
}

// current reads the version that a request without a version means; nil when there is none or a delete marker.
func current(tx store.Tx, b *bucket, key string) (*record, error) {
	return read[record](tx, nowAt(b.ID, key))
}

// newestOld reads the newest of the versions that are not current; nil when there is none.
func newestOld(tx store.Tx, b *bucket, key string) (*record, error) {
	for _, v := range tx.Scan(oldAt(b.ID, key, ""), "") {
		return decode[record](v)
	}
	return nil, tx.ScanErr()
}

// nullOld reads the null version among those that are not current.
func nullOld(tx store.Tx, b *bucket, key string) (*record, error) {
	for _, v := range tx.Scan(oldAt(b.ID, key, ""), "") {
		r, err := decode[record](v)
		if err != nil || r.Null {
			return r, err
		}
	}
	return nil, tx.ScanErr()
}

// version finds the version of a request, "" being the current one, and tells whether it is the latest. Its error is
// NoSuchKey or NoSuchVersion; marker then says that a delete marker is what is current, or was asked for.
func (b *bucket) version(tx store.Tx, key, version string) (r *record, latest bool, err error) {
	now, err := current(tx, b, key)
	if err != nil {
		return nil, false, err
	}
	if version == "" {
		if now == nil {
			marker, err := newestOld(tx, b, key)
			if err == nil {
				err = noSuchKey(key)
			}
			return marker, true, err
		}
		return now, true, nil
	}
	if now != nil && now.id() == version {
		return now, true, nil
	}
	switch {
	case version == nullVersion:
		r, err = nullOld(tx, b, key)
	case validVersion(version):
		r, err = read[record](tx, oldAt(b.ID, key, version))
		if r != nil && r.Null {
			r = nil
		}
	default:
		return nil, false, failed("InvalidArgument", fail.Field("versionId", "%q is no version's id", version))
	}
	if err == nil && r == nil {
		return nil, false, noSuchVersion(key, version)
	}
	if err == nil && now == nil {
		newest, nerr := newestOld(tx, b, key)
		if nerr != nil {
			return nil, false, nerr
		}
		latest = newest != nil && newest.Version == r.Version
	}
	return r, latest, err
}

func validVersion(v string) bool {
	if len(v) != 24 {
		return false
	}
	for _, c := range []byte(v) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
