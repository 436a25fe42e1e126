package s3

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/awancloud/awan/internal/dialect/s3/sign"
	"github.com/awancloud/awan/internal/service/bucket"
)

// callback reads OBS's header x-obs-callback, base64 of a JSON document; nil without one.
func (r *request) callback() (*bucket.Callback, error) {
	v := r.ext("Callback")
	if v == "" {
		return nil, nil
	}
	raw, err := base64.StdEncoding.DecodeString(v)
	if err != nil {
		raw, err = base64.URLEncoding.DecodeString(v)
	}
	var doc struct {
		URL  string `json:"callbackUrl"`
		Host string `json:"callbackHost"`
		Body string `json:"callbackBody"`
		Type string `json:"callbackBodyType"`
	}
	if err != nil || json.Unmarshal(raw, &doc) != nil {
		return nil, badRule("x-obs-callback is base64 of a JSON document with callbackUrl and callbackBody")
	}
	cb := &bucket.Callback{URLs: addresses(doc.URL), Host: doc.Host, Body: doc.Body, Type: doc.Type}
	return cb, cb.Check()
}

// formCallback is the same in the fields of an upload form.
func formCallback(form sign.Form, file string) (*bucket.Callback, error) {
	if form["callbackurl"] == "" {
		return nil, nil
	}
	cb := &bucket.Callback{URLs: addresses(form["callbackurl"]), Host: form["callbackhost"], Body: form["callbackbody"], Type: form["callbackbodytype"], FileName: file, Vars: map[string]string{}}
	for name, v := range form {
		if strings.HasPrefix(name, "x:") {
			cb.Vars[name] = v
		}
	}
	return cb, cb.Check()
}

// addresses are parted by semicolons, which addresses themselves have percent-encoded.
func addresses(v string) []string {
	return strings.FieldsFunc(v, func(c rune) bool { return c == ';' || c == ' ' })
}

// called asks a stored object's callback and answers with what it says; 203 where it fails, for the object is stored.
func (r *request) called(cb *bucket.Callback, o *bucket.Object) error {
	h := r.w.Header()
	h["Etag"] = []string{quoted(o.ETag)}
	a, err := r.api.Buckets.Callback(r.Context(), cb, o)
	if err != nil {
		_, code, f := r.wordOf(err)
		return r.answer(http.StatusNonAuthoritativeInfo, errorXML{Code: code, Message: f.Public(), BucketName: r.bucket, Key: o.Key, Resource: "/" + r.bucket + "/" + o.Key, RequestID: r.id, HostID: r.id})
	}
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "sandbox") // a stranger's words under our name
	if a.Type == "" {
		a.Type = "application/json"
	}
	return r.send(http.StatusOK, a.Type, a.Body)
}
