package bucket

import (
	"context"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/outward"
)

const (
	callbackTime  = 10 * time.Second // for each address
	callbackURLs  = 10
	callbackReply = 1 << 20 // bytes of an answer
)

// Callback is a question to a server of the uploader's, asked when an object is stored; the answer is the uploader's.
type Callback struct {
	URLs     []string // tried in turn until one answers 200
	Host     string   // of the Host header; "" as in the address
	Body     string   // with $(key) and the like
	Type     string   // of Body; "" a form
	FileName string   // what $(fname) is
	Vars     map[string]string
}

// Answer is what a callback's server said.
type Answer struct {
	Type string
	Body []byte
}

// variable is $(name), or ${x:name} for one of the uploader's own.
var variable = regexp.MustCompile(`\$\(([^()]*)\)|\$\{([^{}]*)\}`)

// system are the variables that an object has.
func (cb *Callback) system(o *Object) map[string]string {
	v := map[string]string{"bucket": o.Bucket, "key": o.Key, "object": o.Key, "etag": o.ETag, "fsize": strconv.FormatInt(o.Size, 10),
		"size": strconv.FormatInt(o.Size, 10), "fname": cb.FileName, "mimeType": o.ContentType}
	if v["fname"] == "" {
		v["fname"] = path.Base(o.Key)
	}
	if v["ext"] = strings.TrimPrefix(path.Ext(v["fname"]), "."); v["ext"] == "" {
		if list, _ := mime.ExtensionsByType(o.ContentType); len(list) > 0 {
			v["ext"] = strings.TrimPrefix(list[0], ".")
		}
	}
	return v
}

// Check tells before the upload what will not work after it.
func (cb *Callback) Check() error {
	if len(cb.URLs) == 0 || len(cb.URLs) > callbackURLs || cb.Body == "" {
		return failed("InvalidArgument", fail.Field("callback", "needs 1 to %d addresses in callbackUrl, parted by semicolons, and a callbackBody", callbackURLs))
	}
	for _, u := range cb.URLs {
		if err := checkURL("callback", u, false); err != nil {
			return err
		}
	}
	switch t, _, err := mime.ParseMediaType(orElse(cb.Type, formType)); {
	case err != nil, t != formType && t != "application/json":
		return failed("InvalidArgument", fail.Field("callback", "callbackBodyType is %s or application/json", formType))
	}
	known := cb.system(&Object{})
	for _, m := range variable.FindAllStringSubmatch(cb.Body, -1) {
		name := m[1] + m[2]
		if strings.HasPrefix(name, "imageInfo") {
			return failed("NotImplemented", fail.New(fail.Unsupported, "$(%s) is not offered: images are not looked into here", name))
		}
		if _, ok := known[name]; !ok && !strings.HasPrefix(name, "x:") {
			return failed("InvalidArgument", fail.Field("callback", "there is no variable %q", name).Then("use bucket, key, etag, fsize, fname, ext, mimeType, or x: and a name of your own"))
		}
	}
	return nil
}

const formType = "application/x-www-form-urlencoded"

// body is Body with what its variables stand for, written as its type wants it.
func (cb *Callback) body(o *Object) string {
	system := cb.system(o)
	asJSON := !strings.HasPrefix(orElse(cb.Type, formType), formType)
	return variable.ReplaceAllStringFunc(cb.Body, func(m string) string {
		name := m[2 : len(m)-1]
		v, ok := system[name]
		if !ok {
			v = cb.Vars[name]
		}
		if !asJSON {
			return url.QueryEscape(v)
		}
		quoted, err := json.Marshal(v)
		if err != nil {
			return ""
		}
		return string(quoted[1 : len(quoted)-1]) // the document has the quotation marks
	})
}

// Callback asks an object's callback. The object is stored, whatever comes of it.
func (s *Service) Callback(ctx context.Context, cb *Callback, o *Object) (a *Answer, err error) {
	body := cb.body(o)
	for _, to := range cb.URLs {
		if a, err = s.callOne(ctx, cb, to, body); err == nil {
			return a, nil
		}
	}
	return nil, failed("CallbackFailed", fail.New(fail.Unavailable, "the object is stored, but its callback failed: %s", outward.Why(err)))
}

func (s *Service) callOne(ctx context.Context, cb *Callback, to, body string) (*Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, callbackTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(body))
	if err != nil {
		return nil, fail.Wrap(err, fail.Invalid, "the address cannot be used")
	}
	req.Host = cb.Host
	req.Header.Set("Content-Type", orElse(cb.Type, formType))
	req.Header.Set("User-Agent", "awan-buckets")
	resp, err := s.Outward.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, callbackReply+1))
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode != http.StatusOK:
		return nil, fail.New(fail.Unavailable, "it answered %s", resp.Status)
	case len(b) > callbackReply:
		return nil, fail.New(fail.Unavailable, "its answer is over 1 MiB")
	}
	return &Answer{Type: resp.Header.Get("Content-Type"), Body: b}, nil
}
