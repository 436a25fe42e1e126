package s3

import (
	"encoding/xml"
	"net/http"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/bucket"
)

const xsi = "http://www.w3.org/2001/XMLSchema-instance"

// groups are the groups of grants by their addresses.
var groups = map[string]string{
	"http://acs.amazonaws.com/groups/global/AllUsers":           bucket.Everyone,
	"http://acs.amazonaws.com/groups/global/AuthenticatedUsers": bucket.Users,
	"http://acs.amazonaws.com/groups/s3/LogDelivery":            bucket.LogGroup,
	"Everyone": bucket.Everyone, // OBS's <Canned>
}

var permissions = map[string]string{"READ": "read", "WRITE": "write", "READ_ACP": "read-acp", "WRITE_ACP": "write-acp", "FULL_CONTROL": "full"}

var canned = []string{"private", "public-read", "public-read-write", "authenticated-read", "bucket-owner-read", "bucket-owner-full-control",
	"log-delivery-write", "public-read-delivered", "public-read-write-delivered", "aws-exec-read"}

type granteeXML struct {
	XSI         string `xml:"xmlns:xsi,attr,omitempty"`
	Type        string `xml:"xsi:type,attr,omitempty"`
	ID          string `xml:"ID,omitempty"`
	DisplayName string `xml:"DisplayName,omitempty"`
	URI         string `xml:"URI,omitempty"`
	Email       string `xml:"EmailAddress,omitempty"`
	Canned      string `xml:"Canned,omitempty"`
}

type grantXML struct {
	Grantee    granteeXML `xml:"Grantee"`
	Permission string     `xml:"Permission"`
	Delivered  *bool      `xml:"Delivered"`
}

type aclXML struct {
	XMLName   xml.Name   `xml:"AccessControlPolicy"`
	Xmlns     string     `xml:"xmlns,attr,omitempty"`
	Owner     *owner     `xml:"Owner"`
	Delivered *bool      `xml:"Delivered"` // OBS, objects: the bucket's grants hold too
	Grants    []grantXML `xml:"AccessControlList>Grant"`
}

func malformedACL(format string, args ...any) error {
	return refuse("MalformedACLError", fail.Invalid, format, args...)
}

// grants reads grants of XML.
func grants(list []grantXML) ([]bucket.Grant, error) {
	var out []bucket.Grant
	for _, g := range list {
		to := g.Grantee.ID
		switch {
		case g.Grantee.Email != "":
			return nil, refuse("UnresolvableGrantByEmailAddress", fail.Invalid, "grants go to a domain's id or to a group, not to an e-mail address")
		case g.Grantee.URI != "" || g.Grantee.Canned != "":
			if to = groups[g.Grantee.URI+g.Grantee.Canned]; to == "" {
				return nil, refuse("InvalidArgument", fail.Invalid, "there is no group %q", g.Grantee.URI+g.Grantee.Canned)
			}
		case to == "":
			return nil, malformedACL("a grantee needs an ID, or the URI of a group")
		}
		p, ok := permissions[g.Permission]
		if !ok {
			return nil, malformedACL("the permission %q is not known", g.Permission)
		}
		out = append(out, bucket.Grant{To: to, Permission: p, Delivered: g.Delivered != nil && *g.Delivered})
	}
	return out, nil
}

// grantsXML writes grants; names gives a domain's name where it is known.
func (r *request) grantsXML(list []bucket.Grant, names map[string]string, ofBucket bool) []grantXML {
	out := make([]grantXML, 0, len(list))
	for _, g := range list {
		var x grantXML
		for name, p := range permissions {
			if p == g.Permission {
				x.Permission = name
			}
		}
		uri := ""
		for address, group := range groups {
			if group == g.To && address != "Everyone" {
				uri = address
			}
		}
		switch {
		case r.obs && g.To == bucket.Everyone:
			x.Grantee.Canned = "Everyone"
		case uri != "":
			x.Grantee = granteeXML{XSI: xsi, Type: "Group", URI: uri}
		case r.obs:
			x.Grantee.ID = g.To
		default:
			x.Grantee = granteeXML{XSI: xsi, Type: "CanonicalUser", ID: g.To, DisplayName: names[g.To]}
		}
		if r.obs && ofBucket {
			delivered := g.Delivered
			x.Delivered = &delivered
		}
		out = append(out, x)
	}
	slices.SortStableFunc(out, func(a, b grantXML) int {
		return strings.Compare(b.Grantee.URI+b.Grantee.Canned, a.Grantee.URI+a.Grantee.Canned)
	}) // groups first
	return out
}

// aclHeaders reads an ACL of headers: a canned one, or grants.
func (r *request) aclHeaders() (*bucket.ACL, string, error) {
	name := r.ext("Acl")
	if name != "" && !slices.Contains(canned, name) {
		return nil, "", refuse("InvalidArgument", fail.Invalid, "the ACL %q is not known; use %s", name, strings.Join(canned[:4], ", "))
	}
	var acl bucket.ACL
	for _, h := range []struct {
		header, permission string
		delivered          bool
	}{{"Grant-Read", "read", false}, {"Grant-Write", "write", false}, {"Grant-Read-Acp", "read-acp", false}, {"Grant-Write-Acp", "write-acp", false},
		{"Grant-Full-Control", "full", false}, {"Grant-Read-Delivered", "read", true}, {"Grant-Full-Control-Delivered", "full", true}} {
		value := r.ext(h.header)
		if value == "" {
			continue
		}
		for part := range strings.SplitSeq(value, ",") {
			kind, who, ok := strings.Cut(strings.TrimSpace(part), "=")
			if !ok {
				kind, who = "id", kind // OBS's clients send the bare id
			}
			who = strings.Trim(who, `"'`)
			switch strings.ToLower(kind) {
			case "id":
			case "uri":
				if who = groups[who]; who == "" {
					return nil, "", refuse("InvalidArgument", fail.Invalid, "there is no such group in x-amz-%s", strings.ToLower(h.header))
				}
			case "emailaddress":
				return nil, "", refuse("UnresolvableGrantByEmailAddress", fail.Invalid, "grants go to a domain's id or to a group, not to an e-mail address")
			default:
				return nil, "", refuse("InvalidArgument", fail.Invalid, "x-amz-%s is id=\"…\" or uri=\"…\"", strings.ToLower(h.header))
			}
			acl.Grants = append(acl.Grants, bucket.Grant{To: who, Permission: h.permission, Delivered: h.delivered})
		}
	}
	if len(acl.Grants) == 0 {
		return nil, name, nil
	}
	if name != "" {
		return nil, "", refuse("InvalidRequest", fail.Invalid, "specifying both a canned ACL and header grants is not allowed")
	}
	return &acl, "", nil
}

// newACL reads the ACL of a PUT ?acl: of headers or of the body.
func (r *request) newACL() (acl *bucket.ACL, canned, owner string, err error) {
	if acl, canned, err = r.aclHeaders(); err != nil || acl != nil || canned != "" {
		return acl, canned, "", err
	}
	b, err := r.document()
	if err != nil {
		return nil, "", "", err
	}
	if len(b) == 0 {
		return nil, "", "", refuse("MissingSecurityHeader", fail.Invalid, "the request needs an ACL: in the header x-amz-acl, in x-amz-grant- headers, or as XML")
	}
	var doc aclXML
	if err := xml.Unmarshal(b, &doc); err != nil {
		return nil, "", "", malformedACL("the XML is not well-formed, or no AccessControlPolicy")
	}
	if doc.Owner == nil || doc.Owner.ID == "" {
		return nil, "", "", malformedACL("the ACL does not name its owner")
	}
	acl = &bucket.ACL{}
	acl.Grants, err = grants(doc.Grants)
	acl.Emptied = len(acl.Grants) == 0
	return acl, "", doc.Owner.ID, err
}

// names gives the names of an owner and of those it gave rights to.
func (r *request) names(id, name string, list []bucket.Grant) map[string]string {
	p := r.caller.Principal
	m := map[string]string{string(p.Domain): p.DomainName}
	if name != "" {
		m[id] = name
	}
	for _, who := range append([]bucket.Grant{{To: id}}, list...) {
		if _, ok := m[who.To]; !ok && r.api.DomainName != nil {
			m[who.To] = r.api.DomainName(r.Context(), who.To)
		}
	}
	return m
}

func (r *request) getObjectACL() error {
	in, err := r.getInput("obs:object:GetObjectAcl")
	if err != nil {
		return err
	}
	in.Head = true
	c, err := r.api.Buckets.Get(r.Context(), r.caller, in)
	if err != nil {
		r.markerHeaders(c)
		return err
	}
	names := r.names(c.Owner, c.OwnerName, c.ACL.Grants)
	list := c.ACL.Grants
	if len(list) == 0 && !c.ACL.Emptied {
		list = []bucket.Grant{{To: c.Owner, Permission: "full"}}
	}
	if c.Versioned {
		r.set("Version-Id", c.Version)
	}
	return r.answer(http.StatusOK, aclXML{Xmlns: r.space(), Owner: &owner{c.Owner, names[c.Owner]}, Grants: r.grantsXML(list, names, false)})
}

func (r *request) putObjectACL() error {
	acl, canned, _, err := r.newACL()
	if err != nil {
		return err
	}
	o, err := r.api.Buckets.Edit(r.Context(), r.caller, &bucket.EditInput{Bucket: r.bucket, Key: r.key, Version: r.version(), ACL: acl, Canned: canned})
	if err != nil {
		return err
	}
	if o.Versioned {
		r.set("Version-Id", o.Version)
	}
	return r.ok(http.StatusOK)
}
