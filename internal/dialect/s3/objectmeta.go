package s3

import (
	"encoding/xml"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/bucket"
)

type tagXML struct {
	Key   string `xml:"Key"`
	Value string `xml:"Value"`
}

type taggingXML struct {
	XMLName xml.Name `xml:"Tagging"`
	Xmlns   string   `xml:"xmlns,attr,omitempty"`
	Tags    []tagXML `xml:"TagSet>Tag"`
}

func tagsXML(tags map[string]string) []tagXML {
	out := make([]tagXML, 0, len(tags))
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, tagXML{k, tags[k]})
	}
	return out
}

func (t *taggingXML) parse(most int) (map[string]string, error) {
	tags := map[string]string{}
	for _, tag := range t.Tags {
		if _, ok := tags[tag.Key]; ok {
			return nil, refuse("InvalidTag", fail.Invalid, "cannot provide multiple tags with the same key: %q", tag.Key)
		}
		tags[tag.Key] = tag.Value
	}
	return tags, checkTags(tags, most)
}

// look reads an object's record under an action.
func (r *request) look(action string) (*bucket.Content, error) {
	in, err := r.getInput(action)
	if err != nil {
		return nil, err
	}
	in.Head = true
	c, err := r.api.Buckets.Get(r.Context(), r.caller, in)
	if err != nil {
		r.markerHeaders(c)
		return nil, err
	}
	if c.Versioned {
		r.set("Version-Id", c.Version)
	}
	return c, nil
}

// edit changes a version's record.
func (r *request) edit(in bucket.EditInput, status int) error {
	in.Bucket, in.Key, in.Version = r.bucket, r.key, r.version()
	o, err := r.api.Buckets.Edit(r.Context(), r.caller, &in)
	if err != nil {
		return err
	}
	if o.Versioned {
		r.set("Version-Id", o.Version)
	}
	return r.ok(status)
}

func (r *request) getObjectTags() error {
	c, err := r.look("obs:object:GetObjectTagging")
	if err != nil {
		return err
	}
	return r.answer(http.StatusOK, taggingXML{Xmlns: r.space(), Tags: tagsXML(c.Tags)})
}

func (r *request) putObjectTags() error {
	var doc taggingXML
	if err := r.read(&doc); err != nil {
		return err
	}
	tags, err := doc.parse(10)
	if err != nil {
		return err
	}
	r.tagFacts(tags)
	return r.edit(bucket.EditInput{Tags: &tags}, http.StatusOK)
}

func (r *request) deleteObjectTags() error {
	none := map[string]string{}
	return r.edit(bucket.EditInput{Tags: &none}, http.StatusNoContent)
}

type retentionXML struct {
	XMLName xml.Name `xml:"Retention"`
	Xmlns   string   `xml:"xmlns,attr,omitempty"`
	Mode    string   `xml:"Mode,omitempty"`
	Until   string   `xml:"RetainUntilDate,omitempty"`
}

func noLock() error {
	return refuse("NoSuchObjectLockConfiguration", fail.NotFound, "the object has no lock of this kind")
}

// locked tells whether the bucket has object lock at all.
func (r *request) locked() error {
	row, err := r.api.Buckets.Bucket(r.Context(), r.caller, r.bucket, "")
	if err != nil {
		return err
	}
	if !row.Spec.ObjectLock {
		return refuse("InvalidRequest", fail.Invalid, "the bucket has no object lock").Then("locks are switched on when a bucket is made")
	}
	return nil
}

func (r *request) getRetention() error {
	c, err := r.look("obs:object:GetObjectRetention")
	if err != nil {
		return err
	}
	if err := r.locked(); err != nil {
		return err
	}
	if c.Lock.Mode == "" {
		return noLock()
	}
	return r.answer(http.StatusOK, retentionXML{Xmlns: r.space(), Mode: strings.ToUpper(c.Lock.Mode), Until: stamp(c.Lock.Until)})
}

func (r *request) putRetention() error {
	var doc retentionXML
	if err := r.read(&doc); err != nil {
		return err
	}
	if err := r.locked(); err != nil {
		return err
	}
	var l bucket.Lock
	if doc.Mode != "" || doc.Until != "" {
		var err error
		if l.Mode, err = lockMode(doc.Mode); err != nil {
			return err
		}
		if l.Until, err = parseStamp(doc.Until); err != nil {
			return err
		}
		if !l.Until.After(r.api.Now()) {
			return refuse("InvalidArgument", fail.Invalid, "the retain until date must be in the future")
		}
	}
	return r.edit(bucket.EditInput{Lock: &l, Bypass: r.bypass()}, http.StatusOK)
}

type holdXML struct {
	XMLName xml.Name `xml:"LegalHold"`
	Xmlns   string   `xml:"xmlns,attr,omitempty"`
	Status  string   `xml:"Status"`
}

func (r *request) getLegalHold() error {
	c, err := r.look("obs:object:GetObjectLegalHold")
	if err != nil {
		return err
	}
	if err := r.locked(); err != nil {
		return err
	}
	status := "OFF"
	if c.Hold {
		status = "ON"
	}
	return r.answer(http.StatusOK, holdXML{Xmlns: r.space(), Status: status})
}

func (r *request) putLegalHold() error {
	var doc holdXML
	if err := r.read(&doc); err != nil {
		return err
	}
	if err := r.locked(); err != nil {
		return err
	}
	if doc.Status != "ON" && doc.Status != "OFF" {
		return refuse("MalformedXML", fail.Invalid, "a legal hold's status is ON or OFF")
	}
	on := doc.Status == "ON"
	return r.edit(bucket.EditInput{Hold: &on}, http.StatusOK)
}

type restoreXML struct {
	Days int `xml:"Days"`
}

// restoreObject makes a cold object readable for some days: 202 when it begins, 200 when it is readable already.
func (r *request) restoreObject() error {
	var doc restoreXML
	if err := r.read(&doc); err != nil {
		return err
	}
	if doc.Days < 1 || doc.Days > 36500 {
		return refuse("MalformedXML", fail.Invalid, "Days is the number of days for which the object stays readable: 1 or more")
	}
	c, err := r.look("obs:object:GetObject")
	if err != nil {
		return err
	}
	status := http.StatusAccepted
	if c.Restored.After(time.Time{}) {
		status = http.StatusOK
	}
	return r.edit(bucket.EditInput{RestoreDays: doc.Days}, status)
}
