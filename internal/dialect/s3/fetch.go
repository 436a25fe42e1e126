package s3

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/bucket"
)

// OBS has fetch policies and jobs under names of objects; a header tells them from objects.
const (
	fetchPolicyName = "v1/extension_policy"
	fetchJobsName   = "v1/async-fetch/jobs"
)

func (r *request) extension() bool { return strings.EqualFold(r.ext("Oef-Marker"), "yes") }

func fetchOps() []op {
	return []op{
		{"SetBucketFetchPolicy", "PUT", onExtension, fetchPolicyName, (*request).setFetchPolicy},
		{"GetBucketFetchPolicy", "GET", onExtension, fetchPolicyName, (*request).getFetchPolicy},
		{"DeleteBucketFetchPolicy", "DELETE", onExtension, fetchPolicyName, (*request).deleteFetchPolicy},
		{"SetBucketFetchJob", "POST", onExtension, fetchJobsName, (*request).beginFetch},
		{"GetBucketFetchJob", "GET", onExtension, fetchJobsName + "/", (*request).fetchJob},
	}
}

// extensionOf is the table's word for the name of an extension.
func extensionOf(key string) string {
	if strings.HasPrefix(key, fetchJobsName+"/") {
		return fetchJobsName + "/"
	}
	return key
}

type fetchPolicyJSON struct {
	Fetch struct {
		Status string `json:"status"`
		Agency string `json:"agency"`
	} `json:"fetch"`
}

func (r *request) setFetchPolicy() error {
	b, err := r.document()
	if err != nil {
		return err
	}
	var doc fetchPolicyJSON
	if json.Unmarshal(b, &doc) != nil || doc.Fetch.Status != "open" && doc.Fetch.Status != "closed" {
		return badRule(`a fetch policy is {"fetch": {"status": "open" or "closed", "agency": "…"}}`)
	}
	err = r.api.Buckets.Change(r.Context(), r.caller, r.bucket, "obs:bucket:PutBucketFetchPolicy", func(row *bucket.Row) error {
		row.Spec.Fetch = bucket.Fetch{Open: doc.Fetch.Status == "open", Agency: doc.Fetch.Agency}
		return nil
	})
	if err != nil {
		return err
	}
	return r.ok(http.StatusCreated)
}

func (r *request) getFetchPolicy() error {
	row, err := r.api.Buckets.Bucket(r.Context(), r.caller, r.bucket, "obs:bucket:GetBucketFetchPolicy")
	if err != nil {
		return err
	}
	if row.Spec.Fetch == (bucket.Fetch{}) {
		return missing("NoSuchFetchPolicy", "the bucket has no fetch policy")
	}
	var doc fetchPolicyJSON
	if doc.Fetch.Status, doc.Fetch.Agency = "closed", row.Spec.Fetch.Agency; row.Spec.Fetch.Open {
		doc.Fetch.Status = "open"
	}
	return r.json(http.StatusOK, doc)
}

func (r *request) deleteFetchPolicy() error {
	err := r.api.Buckets.Change(r.Context(), r.caller, r.bucket, "obs:bucket:DeleteBucketFetchPolicy", func(row *bucket.Row) error {
		row.Spec.Fetch = bucket.Fetch{}
		return nil
	})
	if err != nil {
		return err
	}
	return r.ok(http.StatusNoContent)
}

type fetchJobJSON struct {
	Bucket           string            `json:"bucket"`
	URL              string            `json:"url"`
	Host             string            `json:"host,omitempty"`
	Key              string            `json:"key,omitempty"`
	MD5              string            `json:"md5,omitempty"`
	CallbackURL      string            `json:"callbackurl,omitempty"`
	CallbackBody     string            `json:"callbackbody,omitempty"`
	CallbackBodyType string            `json:"callbackbodytype,omitempty"`
	CallbackHost     string            `json:"callbackhost,omitempty"`
	FileType         string            `json:"file_type,omitempty"`
	IgnoreSameKey    bool              `json:"ignore_same_key,omitempty"`
	Headers          map[string]string `json:"objectheaders,omitempty"`
	ETag             string            `json:"etag,omitempty"`
	TrustName        string            `json:"trustname,omitempty"`
}

func (r *request) beginFetch() error {
	b, err := r.document()
	if err != nil {
		return err
	}
	var doc fetchJobJSON
	if err := json.Unmarshal(b, &doc); err != nil {
		return badRule("a fetch job is a JSON document with bucket and url")
	}
	if doc.Bucket != "" && doc.Bucket != r.bucket {
		return badRule("the job is for bucket %q and was sent to another", doc.Bucket)
	}
	j := bucket.FetchJob{URLs: addresses(doc.URL), Host: doc.Host, Key: doc.Key, MD5: doc.MD5, Keep: doc.IgnoreSameKey,
		Said: map[string]string{"file_type": doc.FileType, "etag": doc.ETag, "trustname": doc.TrustName}}
	if j.Class, err = fileType(doc.FileType); err != nil {
		return err
	}
	if doc.CallbackURL != "" {
		j.Callback = &bucket.Callback{URLs: addresses(doc.CallbackURL), Host: doc.CallbackHost, Body: doc.CallbackBody, Type: doc.CallbackBodyType}
	}
	if len(doc.Headers) > 0 { // as an upload has them
		kept, h := r.Header, http.Header{}
		for k, v := range doc.Headers {
			h.Set(k, v)
		}
		r.swap(h)
		j.Attributes, err = r.attributes()
		if r.swap(kept); err != nil {
			return err
		}
	}
	done, ahead, err := r.api.Buckets.BeginFetch(r.Context(), r.caller, r.bucket, j)
	if err != nil {
		return err
	}
	return r.json(http.StatusOK, map[string]any{"id": done.ID, "Wait": ahead})
}

// fileType is the class by its number in fetch jobs.
func fileType(v string) (string, error) {
	switch v {
	case "", "0":
		return "", nil
	case "1":
		return "warm", nil
	case "2":
		return "cold", nil
	}
	return "", refuse("InvalidArgument", fail.Invalid, "file_type is 0 (standard), 1 (warm) or 2 (cold), not %s", strconv.Quote(v))
}

func (r *request) fetchJob() error {
	j, err := r.api.Buckets.FetchJob(r.Context(), r.caller, r.bucket, strings.TrimPrefix(r.key, fetchJobsName+"/"))
	if err != nil {
		return err
	}
	doc := struct {
		Err    string       `json:"err"`
		Code   string       `json:"code"`
		Status string       `json:"status"`
		Job    fetchJobJSON `json:"job"`
	}{Err: j.Error, Status: "wait"}
	switch {
	case j.Done && (j.ETag != "" || j.Error == ""): // the object is there, whatever its callback said
		doc.Status, doc.Code = "success", "200"
	case j.Done:
		doc.Status, doc.Code = "failed", "400"
	case j.Tries > 0:
		doc.Status = "retry"
	}
	doc.Job = fetchJobJSON{Bucket: r.bucket, URL: strings.Join(j.URLs, ";"), Host: j.Host, Key: j.Key, MD5: j.MD5, IgnoreSameKey: j.Keep,
		FileType: j.Said["file_type"], ETag: j.Said["etag"], TrustName: j.Said["trustname"]}
	if cb := j.Callback; cb != nil {
		doc.Job.CallbackURL, doc.Job.CallbackHost, doc.Job.CallbackBody, doc.Job.CallbackBodyType = strings.Join(cb.URLs, ";"), cb.Host, cb.Body, cb.Type
	}
	return r.json(http.StatusOK, doc)
}

func (r *request) json(status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return r.send(status, "application/json", b)
}
