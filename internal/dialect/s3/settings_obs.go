package s3

import (
	"encoding/json"
	"encoding/xml"
	"net/http"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/bucket"
)

type paymentXML struct {
	XMLName xml.Name `xml:"RequestPaymentConfiguration"`
	Xmlns   string   `xml:"xmlns,attr,omitempty"`
	Payer   string   `xml:"Payer"`
}

func readPayment(r *request, row *bucket.Row) (any, error) {
	payer := "BucketOwner"
	if row.Spec.RequesterPays {
		payer = "Requester"
	}
	return paymentXML{Xmlns: r.space(), Payer: payer}, nil
}

func writePayment(r *request) (func(*bucket.Row) error, error) {
	var doc paymentXML
	if err := r.read(&doc); err != nil {
		return nil, err
	}
	if doc.Payer != "BucketOwner" && doc.Payer != "Requester" {
		return nil, malformedXML("the payer is BucketOwner or Requester")
	}
	return func(row *bucket.Row) error { row.Spec.RequesterPays = doc.Payer == "Requester"; return nil }, nil
}

type accelerateXML struct {
	XMLName xml.Name `xml:"AccelerateConfiguration"`
	Xmlns   string   `xml:"xmlns,attr,omitempty"`
	Status  string   `xml:"Status,omitempty"`
}

// readAccelerate: there is no acceleration, and so none that was ever switched on.
func readAccelerate(r *request, _ *bucket.Row) (any, error) {
	return accelerateXML{Xmlns: r.space()}, nil
}

func writeAccelerate(r *request) (func(*bucket.Row) error, error) {
	var doc accelerateXML
	if err := r.read(&doc); err != nil {
		return nil, err
	}
	switch doc.Status {
	case "Suspended":
		return func(*bucket.Row) error { return nil }, nil
	case "Enabled":
		return nil, refuse("NotImplemented", fail.Unsupported, "transfer acceleration is a service of far-away edges; this cloud has none")
	}
	return nil, malformedXML("the status is Enabled or Suspended")
}

type quotaXML struct {
	XMLName xml.Name `xml:"Quota"`
	Xmlns   string   `xml:"xmlns,attr,omitempty"`
	Bytes   int64    `xml:"StorageQuota"`
}

func readQuota(r *request, row *bucket.Row) (any, error) {
	return quotaXML{Xmlns: r.space(), Bytes: row.Spec.Quota}, nil
}

func writeQuota(r *request) (func(*bucket.Row) error, error) {
	var doc quotaXML
	if err := r.read(&doc); err != nil {
		return nil, err
	}
	if doc.Bytes < 0 {
		return nil, badRule("a quota is a number of bytes, 0 for none")
	}
	return func(row *bucket.Row) error { row.Spec.Quota = doc.Bytes; return nil }, nil
}

type classXML struct {
	XMLName xml.Name `xml:"StorageClass"`
	Xmlns   string   `xml:"xmlns,attr,omitempty"`
	Class   string   `xml:",chardata"`
}

func readClass(r *request, row *bucket.Row) (any, error) {
	return classXML{Xmlns: r.space(), Class: r.className(row.Spec.Class)}, nil
}

func setClass(name string) (func(*bucket.Row) error, error) {
	class, err := classOf(strings.TrimSpace(name))
	if err == nil && class == "" {
		err = malformedXML("the storage class is missing")
	}
	return func(row *bucket.Row) error { row.Spec.Class = class; return nil }, err
}

func writeClass(r *request) (func(*bucket.Row) error, error) {
	var doc classXML
	if err := r.read(&doc); err != nil {
		return nil, err
	}
	return setClass(doc.Class)
}

type storagePolicyXML struct {
	XMLName xml.Name `xml:"StoragePolicy"`
	Xmlns   string   `xml:"xmlns,attr,omitempty"`
	Class   string   `xml:"DefaultStorageClass"`
}

func readStoragePolicy(r *request, row *bucket.Row) (any, error) {
	return storagePolicyXML{Xmlns: r.space(), Class: r.className(row.Spec.Class)}, nil
}

func writeStoragePolicy(r *request) (func(*bucket.Row) error, error) {
	var doc storagePolicyXML
	if err := r.read(&doc); err != nil {
		return nil, err
	}
	return setClass(doc.Class)
}

type domainsXML struct {
	XMLName xml.Name    `xml:"ListBucketCustomDomainsResult"`
	Xmlns   string      `xml:"xmlns,attr"`
	Domains []domainXML `xml:"Domains"`
}

type domainXML struct {
	Name    string `xml:"DomainName"`
	Created string `xml:"CreateTime"`
}

func readDomains(r *request, row *bucket.Row) (any, error) {
	out := domainsXML{Xmlns: r.space()}
	for _, d := range row.Spec.Domains {
		out.Domains = append(out.Domains, domainXML{d, stamp(row.Updated)})
	}
	return out, nil
}

// writeDomain adds a name. Certificates come from the cloud; one that is sent along is refused rather than lost.
func writeDomain(r *request) (func(*bucket.Row) error, error) {
	name := strings.ToLower(r.q.Get("customdomain"))
	if name == "" {
		return nil, badRule("customdomain must be a domain name")
	}
	b, err := r.document()
	if err != nil {
		return nil, err
	}
	if len(b) > 0 {
		return nil, refuse("NotImplemented", fail.Unsupported, "a certificate of your own is not kept with the bucket: the cloud's own is used")
	}
	return func(row *bucket.Row) error {
		if !slices.Contains(row.Spec.Domains, name) {
			row.Spec.Domains = append(row.Spec.Domains, name)
		}
		return nil
	}, nil
}

func clearDomain(r *request, row *bucket.Row) error {
	i := slices.Index(row.Spec.Domains, strings.ToLower(r.q.Get("customdomain")))
	if i < 0 {
		return missing("NoSuchCustomDomain", "the bucket has no such custom domain")
	}
	row.Spec.Domains = slices.Delete(slices.Clone(row.Spec.Domains), i, i+1)
	return nil
}

// mirrorJSON is the part of OBS's mirror rules that is acted on.
type mirrorJSON struct {
	Rules []mirrorRule `json:"rules"`
}

type mirrorRule struct {
	ID        string `json:"id"`
	Condition struct {
		Status string `json:"httpErrorCodeReturnedEquals"`
		Prefix string `json:"objectKeyPrefixEquals"`
	} `json:"condition"`
	Redirect struct {
		Agency string `json:"agency,omitempty"`
		Source struct {
			Endpoint struct {
				Master []string `json:"master"`
				Slave  []string `json:"slave,omitempty"`
			} `json:"sourceEndpoint"`
		} `json:"publicSource"`
	} `json:"redirect"`
}

func noMirror() error {
	return missing("NoSuchMirrorBackToSourceConfiguration", "the bucket has no mirror rules")
}

func readMirror(r *request, row *bucket.Row) (any, error) {
	if len(row.Spec.Mirror) == 0 {
		return nil, noMirror()
	}
	var out mirrorJSON
	for _, m := range row.Spec.Mirror {
		rule := mirrorRule{ID: m.ID}
		rule.Condition.Status, rule.Condition.Prefix = "404", m.Prefix
		rule.Redirect.Source.Endpoint.Master = []string{m.URL}
		out.Rules = append(out.Rules, rule)
	}
	b, err := json.Marshal(out)
	if err != nil {
		return nil, err
	}
	return nil, r.send(http.StatusOK, "application/json", b)
}

func writeMirror(r *request) (func(*bucket.Row) error, error) {
	b, err := r.document()
	if err != nil {
		return nil, err
	}
	var doc mirrorJSON
	if err := json.Unmarshal(b, &doc); err != nil {
		return nil, badRule("the mirror rules are no JSON with rules")
	}
	var list []bucket.Mirror
	for _, rule := range doc.Rules {
		master := rule.Redirect.Source.Endpoint.Master
		if rule.ID == "" || len(master) != 1 || len(rule.Redirect.Source.Endpoint.Slave) > 0 {
			return nil, badRule("a mirror rule needs an id and one address in redirect.publicSource.sourceEndpoint.master")
		}
		list = append(list, bucket.Mirror{ID: rule.ID, Prefix: rule.Condition.Prefix, URL: master[0]})
	}
	return func(row *bucket.Row) error { row.Spec.Mirror = list; return nil }, nil
}
