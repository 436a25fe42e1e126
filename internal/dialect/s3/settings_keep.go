package s3

import (
	"encoding/xml"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/bucket"
)

type versioningXML struct {
	XMLName xml.Name `xml:"VersioningConfiguration"`
	Xmlns   string   `xml:"xmlns,attr,omitempty"`
	Status  string   `xml:"Status,omitempty"`
	MFA     string   `xml:"MfaDelete,omitempty"`
}

func readVersioning(r *request, row *bucket.Row) (any, error) {
	status := map[string]string{"enabled": "Enabled", "suspended": "Suspended"}[row.Spec.Versioning]
	return versioningXML{Xmlns: r.space(), Status: status}, nil
}

func writeVersioning(r *request) (func(*bucket.Row) error, error) {
	var doc versioningXML
	if err := r.read(&doc); err != nil {
		return nil, err
	}
	if doc.MFA == "Enabled" {
		return nil, refuse("NotImplemented", fail.Unsupported, "MFA delete is not there; object lock is stronger")
	}
	switch doc.Status {
	case "Enabled", "Suspended":
	default:
		return nil, refuse("IllegalVersioningConfigurationException", fail.Invalid, "the versioning status is Enabled or Suspended")
	}
	return func(row *bucket.Row) error {
		if row.Spec.ObjectLock && doc.Status == "Suspended" {
			return refuse("InvalidBucketState", fail.Conflict, "an object lock configuration is present on this bucket, so the versioning state cannot be changed")
		}
		row.Spec.Versioning = strings.ToLower(doc.Status)
		return nil
	}, nil
}

type lockXML struct {
	XMLName xml.Name     `xml:"ObjectLockConfiguration"`
	Xmlns   string       `xml:"xmlns,attr,omitempty"`
	Enabled string       `xml:"ObjectLockEnabled"`
	Rule    *lockRuleXML `xml:"Rule"`
}

type lockRuleXML struct {
	Mode  string `xml:"DefaultRetention>Mode"`
	Days  *int   `xml:"DefaultRetention>Days"`
	Years *int   `xml:"DefaultRetention>Years"`
}

func readLock(r *request, row *bucket.Row) (any, error) {
	if !row.Spec.ObjectLock {
		return nil, missing("ObjectLockConfigurationNotFoundError", "object lock configuration does not exist for this bucket")
	}
	out := lockXML{Xmlns: r.space(), Enabled: "Enabled"}
	if d := row.Spec.Retention; d.Mode != "" {
		out.Rule = &lockRuleXML{Mode: strings.ToUpper(d.Mode)}
		if d.Years > 0 {
			out.Rule.Years = &d.Years
		} else {
			out.Rule.Days = &d.Days
		}
	}
	return out, nil
}

func writeLock(r *request) (func(*bucket.Row) error, error) {
	var doc lockXML
	if err := r.read(&doc); err != nil {
		return nil, err
	}
	if doc.Enabled != "Enabled" {
		return nil, refuse("MalformedXML", fail.Invalid, "ObjectLockEnabled must be Enabled")
	}
	var keep bucket.Retention
	if doc.Rule != nil {
		var err error
		if keep.Mode, err = lockMode(doc.Rule.Mode); err != nil {
			return nil, err
		}
		if (doc.Rule.Days == nil) == (doc.Rule.Years == nil) {
			return nil, refuse("MalformedXML", fail.Invalid, "a default retention has Days or Years, not both")
		}
		for _, n := range []*int{doc.Rule.Days, doc.Rule.Years} {
			if n != nil && *n <= 0 {
				return nil, refuse("InvalidRetentionPeriod", fail.Invalid, "a retention period must be a positive number")
			}
		}
		if doc.Rule.Days != nil {
			keep.Days = *doc.Rule.Days
		} else {
			keep.Years = *doc.Rule.Years
		}
	}
	return func(row *bucket.Row) error {
		if !row.Spec.ObjectLock && row.Spec.Versioning != "enabled" {
			return refuse("InvalidBucketState", fail.Conflict, "object lock needs versioning to be enabled on the bucket")
		}
		row.Spec.ObjectLock, row.Spec.Retention = true, keep
		return nil
	}, nil
}

type encryptionXML struct {
	XMLName xml.Name           `xml:"ServerSideEncryptionConfiguration"`
	Xmlns   string             `xml:"xmlns,attr,omitempty"`
	Rules   []encryptionRuleML `xml:"Rule"`
}

type encryptionRuleML struct {
	Algorithm string `xml:"ApplyServerSideEncryptionByDefault>SSEAlgorithm"`
	Key       string `xml:"ApplyServerSideEncryptionByDefault>KMSMasterKeyID,omitempty"`
	BucketKey *bool  `xml:"BucketKeyEnabled"`
}

// readEncryption tells the default. Everything is always encrypted; OBS's clients take that for something set, so they
// hear of it only when it was.
func readEncryption(r *request, row *bucket.Row) (any, error) {
	e := row.Spec.Encryption
	old := r.obs || r.claim != nil && r.claim.Scheme != "AWS4-HMAC-SHA256"
	if old && e.Algorithm != "kms" && !e.Said {
		return nil, missing("NoSuchEncryptionConfiguration", "the server side encryption configuration was not found")
	}
	rule := encryptionRuleML{Algorithm: "AES256"}
	if e.Algorithm == "kms" {
		rule.Algorithm, rule.Key = "aws:kms", e.Key
		if r.obs {
			rule.Algorithm = "kms"
		}
	}
	if !r.obs {
		rule.BucketKey = &e.BucketKey
	}
	return encryptionXML{Xmlns: r.space(), Rules: []encryptionRuleML{rule}}, nil
}

func writeEncryption(r *request) (func(*bucket.Row) error, error) {
	var doc encryptionXML
	if err := r.read(&doc); err != nil {
		return nil, err
	}
	if len(doc.Rules) != 1 {
		return nil, refuse("MalformedXML", fail.Invalid, "an encryption configuration has one rule")
	}
	rule := doc.Rules[0]
	algorithm, err := encryption(rule.Algorithm)
	if err != nil {
		return nil, &as{err, "MalformedXML"}
	}
	if algorithm != "kms" && rule.Key != "" {
		return nil, refuse("InvalidArgument", fail.Invalid, "a key id needs the algorithm aws:kms")
	}
	return func(row *bucket.Row) error {
		row.Spec.Encryption = bucket.Encryption{Algorithm: algorithm, Key: rule.Key, BucketKey: rule.BucketKey != nil && *rule.BucketKey, Said: true}
		return nil
	}, nil
}

func readTags(r *request, row *bucket.Row) (any, error) {
	if len(row.Tags) == 0 {
		return nil, missing("NoSuchTagSet", "the bucket has no tags")
	}
	return taggingXML{Xmlns: r.space(), Tags: tagsXML(row.Tags)}, nil
}

func writeTags(r *request) (func(*bucket.Row) error, error) {
	var doc taggingXML
	if err := r.read(&doc); err != nil {
		return nil, err
	}
	tags, err := doc.parse(50)
	return func(row *bucket.Row) error { row.Tags = tags; return nil }, err
}
