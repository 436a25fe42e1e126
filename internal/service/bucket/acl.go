package bucket

import (
	"fmt"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/policy"
	"github.com/awancloud/awan/internal/kernel/store"
)

// What a permission of an ACL stands for, as policies: on a bucket, and on an object.
var (
	onBucket = map[string]policy.Attached{
		"read":      allowing("read of the bucket's ACL", "obs:bucket:ListBucket", "obs:bucket:ListBucketVersions", "obs:bucket:ListBucketMultipartUploads", "obs:bucket:HeadBucket", "obs:bucket:GetBucketLocation"),
		"write":     allowing("write of the bucket's ACL", "obs:object:PutObject", "obs:object:DeleteObject", "obs:object:DeleteObjectVersion", "obs:object:AbortMultipartUpload", "obs:object:ListMultipartUploadParts", "obs:object:ModifyObject", "obs:object:AppendObject"),
		"read-acp":  allowing("read-acp of the bucket's ACL", "obs:bucket:GetBucketAcl"),
		"write-acp": allowing("write-acp of the bucket's ACL", "obs:bucket:PutBucketAcl"),
	}
	onObject = map[string]policy.Attached{
		"read":      allowing("read of the object's ACL", "obs:object:GetObject", "obs:object:GetObjectVersion"),
		"write":     allowing("write of the object's ACL"),
		"read-acp":  allowing("read-acp of the object's ACL", "obs:object:GetObjectAcl", "obs:object:GetObjectVersionAcl"),
		"write-acp": allowing("write-acp of the object's ACL", "obs:object:PutObjectAcl", "obs:object:PutObjectVersionAcl"),
	}
)

func allowing(name string, actions ...string) policy.Attached {
	if len(actions) == 0 {
		return policy.Attached{}
	}
	doc, err := policy.Parse(fmt.Appendf(nil, `{"Version":"1.1","Statement":[{"Effect":"Allow","Action":["%s"]}]}`, strings.Join(actions, `","`)))
	if err != nil {
		panic(err)
	}
	return policy.Attached{Name: name, Source: "ACL", Doc: doc}
}

// own gives the policies that a bucket, and one object in it, carry themselves and that speak of p.
func (s *Service) own(b *bucket, p ident.Principal, r *record) []policy.Attached {
	out := s.policies.of(b).of(b, p)
	if b.Spec.Ownership == "enforced" {
		return out
	}
	out = granted(out, b, b.Spec.ACL.Grants, onBucket, p, false)
	if r != nil {
		out = granted(out, b, r.Grants, onObject, p, false)
		if r.Owner != "" && r.Owner == string(p.Domain) {
			out = append(out, onObject["read"], onObject["read-acp"], onObject["write-acp"])
		}
		out = granted(out, b, b.Spec.ACL.Grants, onObject, p, true)
	}
	return out
}

// granted adds what grants give p. delivered: only those that hold for objects too.
func granted(out []policy.Attached, b *bucket, grants []Grant, means map[string]policy.Attached, p ident.Principal, delivered bool) []policy.Attached {
	for _, g := range grants {
		// What the owner's own people may do their policies say: an ACL speaks of the domain as a whole.
		if delivered && !g.Delivered || !g.to(p) || g.To == string(b.Domain) || public(g.To) && !b.Spec.PublicAccess.HonorACLs {
			continue
		}
		if g.Permission != "full" {
			out = append(out, means[g.Permission])
			continue
		}
		for _, perm := range []string{"read", "write", "read-acp", "write-acp"} {
			out = append(out, means[perm])
		}
	}
	return out
}

func (g Grant) to(p ident.Principal) bool {
	switch g.To {
	case Everyone:
		return true
	case Users:
		return !p.Nobody()
	case LogGroup:
		return false
	}
	return !p.Nobody() && g.To == string(p.Domain)
}

// known refuses grants to domains that are not there.
func (s *Service) known(tx store.Tx, grants []Grant) error {
	for _, g := range grants {
		if public(g.To) || g.To == LogGroup {
			continue
		}
		name, err := s.DomainName(tx, id.ID(g.To))
		if err != nil {
			return err
		}
		if name == "" || name == g.To {
			return failed("InvalidArgument", fail.Field("acl", "there is no domain with the id %q", g.To).Then("write a domain's id, or a group"))
		}
	}
	return nil
}

func public(to string) bool { return to == Everyone || to == Users }

func isPublic(grants []Grant) bool {
	return slices.ContainsFunc(grants, func(g Grant) bool { return public(g.To) })
}

// Canned gives the grants that a canned ACL of S3 or OBS stands for. owner is who writes, bucketOwner whose the bucket is.
func Canned(name, owner, bucketOwner string) ([]Grant, error) {
	all := []Grant{{To: owner, Permission: "full"}}
	switch name {
	case "", "private":
		return all, nil
	case "public-read":
		return append(all, Grant{To: Everyone, Permission: "read"}), nil
	case "public-read-write":
		return append(all, Grant{To: Everyone, Permission: "read"}, Grant{To: Everyone, Permission: "write"}), nil
	case "public-read-delivered":
		return append(all, Grant{To: Everyone, Permission: "read", Delivered: true}), nil
	case "public-read-write-delivered":
		return append(all, Grant{To: Everyone, Permission: "read", Delivered: true}, Grant{To: Everyone, Permission: "write", Delivered: true}), nil
	case "authenticated-read":
		return append(all, Grant{To: Users, Permission: "read"}), nil
	case "bucket-owner-read":
		if owner != bucketOwner {
			all = append(all, Grant{To: bucketOwner, Permission: "read"})
		}
		return all, nil
	case "bucket-owner-full-control":
		if owner != bucketOwner {
			all = append(all, Grant{To: bucketOwner, Permission: "full"})
		}
		return all, nil
	case "log-delivery-write":
		return append(all, Grant{To: LogGroup, Permission: "write"}, Grant{To: LogGroup, Permission: "read-acp"}), nil
	}
	return nil, failed("InvalidArgument", fail.Field("acl", "there is no canned ACL %q", name).Then("use private, public-read, public-read-write, authenticated-read, bucket-owner-read or bucket-owner-full-control"))
}

// grants are those that a write asks for, checked against what the bucket allows.
func (b *bucket) grants(c *Caller, acl *ACL, canned string) ([]Grant, error) {
	if acl == nil && canned == "" {
		return nil, nil
	}
	if b.Spec.Ownership == "enforced" {
		if acl == nil && (canned == "bucket-owner-full-control" || canned == "private") {
			return nil, nil
		}
		return nil, failed("AccessControlListNotSupported", fail.New(fail.Invalid, "bucket %s takes no ACLs", b.Name).Then("say who may do what in its policy"))
	}
	var out []Grant
	if acl != nil {
		out = acl.Grants
		for _, g := range out {
			if _, ok := onBucket[g.Permission]; !ok && g.Permission != "full" {
				return nil, failed("InvalidArgument", fail.Field("permission", "%q is no permission", g.Permission).Then("use READ, WRITE, READ_ACP, WRITE_ACP or FULL_CONTROL"))
			}
		}
	} else {
		var err error
		owner := c.Principal.Domain
		if c.Principal.Nobody() { // what nobody uploads is the bucket's owner's
			owner = b.Domain
		}
		if out, err = Canned(canned, string(owner), string(b.Domain)); err != nil {
			return nil, err
		}
	}
	if isPublic(out) && !b.Spec.PublicAccess.AllowACLs {
		return nil, failed("AccessDenied", fail.New(fail.Denied, "bucket %s blocks public ACLs", b.Name).Then("change its public access block first"))
	}
	return out, nil
}
