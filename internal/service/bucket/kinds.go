package bucket

import (
	"context"
	"encoding/json"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Storage is the quota dimension of what buckets hold, in MiB.
const Storage ledger.Dim = "bucket.storage"

func (s *Service) bucketKind() kind.Kind[BucketSpec, BucketStatus] {
	mib := func(_ BucketSpec, st BucketStatus) int64 { return inMiB(st.Bytes) }
	return kind.Kind[BucketSpec, BucketStatus]{
		Service: "bucket", Name: "bucket", Scope: kind.InProject, NoRename: true, NamePat: `^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`,
		NameRule: "use 3 to 63 lower-case letters, digits, dots and hyphens, a letter or digit at both ends: the name is part of addresses",
		Doc:      "Holds objects under names, by the APIs of S3 and OBS. Its own name is the only one of its kind in the whole cloud.",
		Columns:  []string{"status.objects", "status.bytes", "spec.versioning", "status.public"}, Example: BucketSpec{Versioning: "enabled"},
		Quota: map[ledger.Dim]func(BucketSpec) int64{"bucket.buckets": func(BucketSpec) int64 { return 1 }},
		Holds: map[ledger.Dim]func(BucketSpec, BucketStatus) int64{Storage: mib},
		Meter: map[ledger.Dim]func(BucketSpec, BucketStatus) int64{Storage: mib},
		Check: s.check, CheckDelete: s.empty, Changed: s.changed, Shown: s.shown, Actions: s.actions(),
	}
}

func inMiB(bytes int64) int64 { return (bytes + 1<<20 - 1) >> 20 }

func (s *Service) check(_ context.Context, tx store.Tx, old, row *Row) error {
	if err := s.checkName(tx, old, row.Name); err != nil {
		return err
	}
	sp := &row.Spec
	var was BucketSpec
	if old != nil {
		was = old.Spec
	}
	switch {
	case sp.ObjectLock && sp.Versioning == "off" && old == nil:
		sp.Versioning = "enabled"
	case sp.ObjectLock && sp.Versioning != "enabled":
		return failed("InvalidBucketState", fail.Field("spec.versioning", "a bucket whose objects can be locked keeps its versions").Then("leave versioning enabled"))
	case was.ObjectLock && !sp.ObjectLock:
		return failed("InvalidBucketState", fail.Field("spec.object_lock", "locking cannot be switched off").Then("use another bucket"))
	case was.Versioning != "" && was.Versioning != "off" && sp.Versioning == "off":
		return failed("IllegalVersioningConfigurationException", fail.Field("spec.versioning", "the bucket has versions already").Then("write suspended"))
	case sp.FileSystem && sp.Versioning != "off":
		return failed("InvalidBucketState", fail.Field("spec.versioning", "a bucket with file_system keeps no versions").Then("leave versioning off"))
	}
	if err := checkRetention(sp); err != nil {
		return err
	}
	if sp.Encryption.Key != "" && sp.Encryption.Key != projectKey {
		return failed("KMS.NotFoundException", fail.Field("spec.encryption.key", "there is no key %q", sp.Encryption.Key).Then("leave it empty: the project's own key is used"))
	}
	if err := checkPolicy(row); err != nil {
		return err
	}
	if !slices.Equal(was.ACL.Grants, sp.ACL.Grants) {
		if err := s.known(tx, sp.ACL.Grants); err != nil {
			return err
		}
	}
	public := isPublic(sp.ACL.Grants)
	if public && !sp.PublicAccess.AllowACLs && !slices.Equal(was.ACL.Grants, sp.ACL.Grants) {
		return failed("AccessDenied", fail.Field("spec.acl", "this makes the bucket public, which its public access block does not allow").Then("allow it first: set public_access.allow_acls and honor_acls"))
	}
	if err := checkRules(sp.Lifecycle); err != nil {
		return err
	}
	if err := checkOutward(sp); err != nil {
		return err
	}
	for i, d := range sp.Domains {
		if d = strings.ToLower(d); !hostName.MatchString(d) {
			return fail.Field("spec.domains", "%q is not a host name", d).Then("write a name such as files.example.org")
		}
		sp.Domains[i] = d
		if other, ok, err := tx.Get(domainKey + d); err != nil {
			return err
		} else if ok && id.ID(other) != row.ID {
			return failed("DomainAlreadyExists", fail.New(fail.Exists, "another bucket is served as %s", d).Then("take it away there first"))
		}
	}
	for _, to := range targets(sp) {
		m, err := s.find(tx, to)
		if err != nil {
			return err
		}
		if m == nil || m.Project != row.Project {
			return failed("InvalidTargetBucketForLogging", fail.New(fail.Invalid, "there is no bucket %q in this project", to).Then("make it first"))
		}
	}
	return nil
}

// targets are the buckets that another's settings write to.
func targets(sp *BucketSpec) (out []string) {
	if sp.Logging != nil {
		out = append(out, sp.Logging.Bucket)
	}
	for _, inv := range sp.Inventory {
		out = append(out, inv.Bucket)
	}
	for _, r := range sp.Replication {
		if r.Endpoint == "" {
			out = append(out, r.Bucket)
		}
	}
	return out
}

var hostName = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]$`)

// checkName refuses names that are addresses or taken.
func (s *Service) checkName(tx store.Tx, old *Row, name string) error {
	if old != nil {
		return nil
	}
	if _, err := netip.ParseAddr(name); err == nil || strings.Contains(name, "..") || strings.Contains(name, ".-") || strings.Contains(name, "-.") {
		return failed("InvalidBucketName", fail.Field("name", "%q cannot be a bucket's name", name).Then("use 3 to 63 lower-case letters, digits, hyphens and single dots"))
	}
	if _, taken, err := tx.Get(nameKey + name); err != nil {
		return err
	} else if taken {
		return failed("BucketAlreadyExists", &fail.Error{Kind: fail.Exists, Field: "name", Message: "a bucket called " + name + " is there already, in this project or another",
			Next: "choose another name: buckets' names are part of addresses"})
	}
	return nil
}

func checkRetention(sp *BucketSpec) error {
	r := sp.Retention
	set := r.Days > 0 || r.Years > 0
	switch {
	case r == (Retention{}):
	case !sp.ObjectLock:
		return failed("InvalidBucketState", fail.Field("spec.retention", "objects of this bucket cannot be locked").Then("set object_lock first"))
	case r.Days > 0 && r.Years > 0 || set != (r.Mode != ""):
		return failed("MalformedXML", fail.Field("spec.retention", "needs a mode, and either days or years"))
	}
	return nil
}

func (s *Service) changed(_ context.Context, tx store.Tx, old, row *Row) error {
	if row == nil {
		for _, d := range old.Spec.Domains {
			if err := tx.Delete(domainKey + d); err != nil {
				return err
			}
		}
		if err := tx.Delete(countKey + string(old.ID)); err != nil {
			return err
		}
		if err := forgetTasks(tx, old.ID); err != nil {
			return err
		}
		return tx.Delete(nameKey + old.Name)
	}
	if old != nil {
		for _, d := range old.Spec.Domains {
			if !slices.Contains(row.Spec.Domains, d) {
				if err := tx.Delete(domainKey + d); err != nil {
					return err
				}
			}
		}
	}
	for _, d := range row.Spec.Domains {
		if err := tx.Put(domainKey+d, []byte(row.ID)); err != nil {
			return err
		}
	}
	return tx.Put(nameKey+row.Name, []byte(row.Project+"/"+row.ID))
}

// empty refuses to delete a bucket that holds something, be it old versions or parts.
func (s *Service) empty(_ context.Context, tx store.Tx, row *Row) error {
	for _, p := range []struct{ prefix, what string }{{nowKey, "objects"}, {oldKey, "old versions or delete markers"}, {uploadKey, "uploads that were not completed"}} {
		for range tx.Scan(p.prefix+string(row.ID)+"/", "") {
			return failed("BucketNotEmpty", fail.New(fail.Precondition, "bucket %s holds %s", row.Name, p.what).Then("delete them first: awan bucket empty %s", row.Name))
		}
	}
	return tx.ScanErr()
}

// shown adds what the counters say.
func (s *Service) shown(tx store.Tx, row *Row) error {
	n, err := countOf(tx, row.ID)
	if err != nil {
		return err
	}
	n.fill(&row.Status)
	if row.Status.Waiting, err = copiesWaiting(tx, row.ID); err != nil {
		return err
	}
	row.Status.Public = s.public(row)
	return nil
}

// patch makes the merge patch (RFC 7396) that turns a into b.
func patch(a, b any) json.RawMessage {
	var was, is any
	for v, into := range map[any]*any{a: &was, b: &is} {
		raw, err := json.Marshal(v)
		if err == nil {
			err = json.Unmarshal(raw, into)
		}
		if err != nil {
			panic(err)
		}
	}
	raw, _ := json.Marshal(difference(was, is))
	return raw
}

func difference(was, is any) any {
	a, ok := was.(map[string]any)
	b, both := is.(map[string]any)
	if !ok || !both {
		return is
	}
	out := map[string]any{}
	for k, v := range b {
		out[k] = difference(a[k], v)
	}
	for k := range a {
		if _, still := b[k]; !still {
			out[k] = nil
		}
	}
	return out
}
