package s3

import (
	"encoding/json"
	"encoding/xml"
	"net/http"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/bucket"
)

func readACL(r *request, row *bucket.Row) (any, error) {
	id := string(row.Domain)
	names := r.names(id, "", row.Spec.ACL.Grants)
	list := row.Spec.ACL.Grants
	if len(list) == 0 && !row.Spec.ACL.Emptied {
		list = []bucket.Grant{{To: id, Permission: "full"}}
	}
	return aclXML{Xmlns: r.space(), Owner: &owner{id, names[id]}, Grants: r.grantsXML(list, names, true)}, nil
}

func writeACL(r *request) (func(*bucket.Row) error, error) {
	acl, canned, owner, err := r.newACL()
	if err != nil {
		return nil, err
	}
	return func(row *bucket.Row) error {
		if owner != "" && owner != string(row.Domain) {
			return refuse("AccessDenied", fail.Denied, "an ACL cannot give the bucket to another owner")
		}
		private := canned == "private" || acl != nil && len(acl.Grants) == 1 && acl.Grants[0] == bucket.Grant{To: string(row.Domain), Permission: "full"}
		if row.Spec.Ownership == "enforced" && !private {
			return refuse("AccessControlListNotSupported", fail.Invalid, "the bucket does not allow ACLs").Then("use a bucket policy")
		}
		if acl != nil {
			row.Spec.ACL = *acl
		} else {
			list, err := bucket.Canned(canned, string(row.Domain), string(row.Domain))
			if err != nil {
				return err
			}
			row.Spec.ACL = bucket.ACL{Grants: list}
		}
		return nil
	}, nil
}

func noPolicy() error { return missing("NoSuchBucketPolicy", "the bucket policy does not exist") }

func readPolicy(r *request, row *bucket.Row) (any, error) {
	if row.Spec.Policy == "" {
		return nil, noPolicy()
	}
	return nil, r.send(http.StatusOK, "application/json", []byte(row.Spec.Policy))
}

func writePolicy(r *request) (func(*bucket.Row) error, error) {
	b, err := r.document()
	if err != nil {
		return nil, err
	}
	if !json.Valid(b) {
		return nil, refuse("MalformedPolicy", fail.Invalid, "the policy is no JSON")
	}
	return func(row *bucket.Row) error { row.Spec.Policy = string(b); return nil }, nil
}

type blockXML struct {
	XMLName  xml.Name `xml:"PublicAccessBlockConfiguration"`
	Xmlns    string   `xml:"xmlns,attr,omitempty"`
	ACLs     bool     `xml:"BlockPublicAcls"`
	Ignore   bool     `xml:"IgnorePublicAcls"`
	Policy   bool     `xml:"BlockPublicPolicy"`
	Restrict bool     `xml:"RestrictPublicBuckets"`
}

// open is a bucket without a public access block.
var open = bucket.PublicAccess{AllowACLs: true, HonorACLs: true, AllowPolicy: true, HonorPolicy: true}

func readBlock(r *request, row *bucket.Row) (any, error) {
	p := row.Spec.PublicAccess
	if p == open {
		return nil, missing("NoSuchPublicAccessBlockConfiguration", "the public access block configuration was not found")
	}
	return blockXML{Xmlns: r.space(), ACLs: !p.AllowACLs, Ignore: !p.HonorACLs, Policy: !p.AllowPolicy, Restrict: !p.HonorPolicy}, nil
}

func writeBlock(r *request) (func(*bucket.Row) error, error) {
	var doc blockXML
	if err := r.read(&doc); err != nil {
		return nil, err
	}
	return func(row *bucket.Row) error {
		row.Spec.PublicAccess = bucket.PublicAccess{AllowACLs: !doc.ACLs, HonorACLs: !doc.Ignore, AllowPolicy: !doc.Policy, HonorPolicy: !doc.Restrict}
		return nil
	}, nil
}

type ownershipXML struct {
	XMLName xml.Name `xml:"OwnershipControls"`
	Xmlns   string   `xml:"xmlns,attr,omitempty"`
	Rules   []string `xml:"Rule>ObjectOwnership"`
}

var ownerships = map[string]string{"ObjectWriter": "writer", "BucketOwnerPreferred": "preferred", "BucketOwnerEnforced": "enforced"}

func ownership(name string) (string, error) {
	if v, ok := ownerships[name]; ok {
		return v, nil
	}
	return "", refuse("MalformedXML", fail.Invalid, "the ownership %q is not known; use ObjectWriter, BucketOwnerPreferred or BucketOwnerEnforced", name)
}

func readOwnership(r *request, row *bucket.Row) (any, error) {
	for name, v := range ownerships {
		if v == row.Spec.Ownership {
			return ownershipXML{Xmlns: r.space(), Rules: []string{name}}, nil
		}
	}
	return nil, missing("OwnershipControlsNotFoundError", "the bucket ownership controls were not found")
}

func writeOwnership(r *request) (func(*bucket.Row) error, error) {
	var doc ownershipXML
	if err := r.read(&doc); err != nil {
		return nil, err
	}
	if len(doc.Rules) != 1 {
		return nil, refuse("MalformedXML", fail.Invalid, "ownership controls have one rule")
	}
	v, err := ownership(doc.Rules[0])
	return func(row *bucket.Row) error { row.Spec.Ownership = v; return nil }, err
}
