package s3_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-obs/obs"

	"github.com/awancloud/awan/test/conformance/cloudtest"
)

// elsewhere is a server on the internet: it has files, and is told of uploads.
type elsewhere struct {
	*httptest.Server
	mu    sync.Mutex
	asked map[string]int
	told  []string
}

func newElsewhere(t *testing.T) *elsewhere {
	e := &elsewhere{asked: map[string]int{}}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		e.mu.Lock()
		defer e.mu.Unlock()
		e.asked[r.URL.Path]++
		switch {
		case r.URL.Path == "/pic.png":
			w.Header().Set("Content-Type", "image/png")
			_, _ = io.WriteString(w, "picture")
		case r.URL.Path == "/second-try" && e.asked[r.URL.Path] == 1:
			http.Error(w, "busy", http.StatusServiceUnavailable)
		case r.URL.Path == "/second-try":
			_, _ = io.WriteString(w, "came")
		case r.URL.Path == "/hook":
			e.told = append(e.told, r.Host+" "+r.Header.Get("Content-Type")+" "+string(body))
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"thanks":true}`)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(e.Close)
	return e
}

func (e *elsewhere) last() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.told) == 0 {
		return ""
	}
	return e.told[len(e.told)-1]
}

// TestOBSFetch has a bucket fetch objects behind the request, as Huawei Cloud's SDK for Go asks for it.
func TestOBSFetch(t *testing.T) {
	c, e := cloudtest.Start(t), newElsewhere(t)
	cl := obsClient(t, c, obs.SignatureObs)
	in := &obs.CreateBucketInput{Bucket: "fetched"}
	in.Location = "awan-1"
	must[*obs.BaseModel](t)(cl.CreateBucket(in))
	job := func(j obs.SetBucketFetchJobInput) (*obs.SetBucketFetchJobOutput, error) {
		j.Bucket = "fetched"
		return cl.SetBucketFetchJob(&j)
	}
	if _, err := cl.GetBucketFetchPolicy(&obs.GetBucketFetchPolicyInput{Bucket: "fetched"}); code(err) != "NoSuchFetchPolicy" {
		t.Errorf("a policy that nobody set: %v", err)
	}
	if _, err := job(obs.SetBucketFetchJobInput{URL: e.URL + "/pic.png"}); code(err) != "AccessDenied" {
		t.Errorf("without a policy: %v", err)
	}
	must[*obs.BaseModel](t)(cl.SetBucketFetchPolicy(&obs.SetBucketFetchPolicyInput{Bucket: "fetched", Status: obs.FetchStatusOpen, Agency: "obs-agency"}))
	if p := must[*obs.GetBucketFetchPolicyOutput](t)(cl.GetBucketFetchPolicy(&obs.GetBucketFetchPolicyInput{Bucket: "fetched"})); p.Status != obs.FetchStatusOpen || p.Agency != "obs-agency" {
		t.Errorf("policy: %+v", p)
	}
	for what, bad := range map[string]obs.SetBucketFetchJobInput{
		"no web address": {URL: "file:///etc/passwd", Key: "k"}, "a login in it": {URL: "http://a:b@example.org/", Key: "k"},
		"no name": {URL: e.URL}, "no sum": {URL: e.URL + "/pic.png", Md5: "zz"}, "an unknown variable": {URL: e.URL + "/pic.png", CallBackURL: e.URL + "/hook", CallBackBody: "$(moon)"},
	} {
		if _, err := job(bad); code(err) != "InvalidArgument" {
			t.Errorf("%s: %v", what, err)
		}
	}
	put := &obs.PutObjectInput{Body: strings.NewReader("mine")}
	put.Bucket, put.Key = "fetched", "kept"
	must[*obs.PutObjectOutput](t)(cl.PutObject(put))
	for _, row := range []struct {
		what         string
		in           obs.SetBucketFetchJobInput
		key, content string
		status, says string
	}{
		{"a picture", obs.SetBucketFetchJobInput{URL: e.URL + "/pic.png", CallBackURL: e.URL + "/hook", CallBackBody: `{"key":"$(key)","size":$(fsize)}`, CallBackBodyType: "application/json", CallBackHost: "hooks.example.org",
			ObjectHeaders: map[string]string{"x-obs-meta-from": "there"}}, "pic.png", "picture", "success", ""},
		{"its first address is gone", obs.SetBucketFetchJobInput{URL: e.URL + "/gone;" + e.URL + "/pic.png", Key: "a/b"}, "a/b", "picture", "success", ""},
		{"it comes at the second try", obs.SetBucketFetchJobInput{URL: e.URL + "/second-try", Key: "late"}, "late", "came", "success", ""},
		{"it is gone", obs.SetBucketFetchJobInput{URL: e.URL + "/gone", Key: "gone"}, "gone", "", "failed", "404"},
		{"another content", obs.SetBucketFetchJobInput{URL: e.URL + "/pic.png", Key: "wrong", Md5: strings.Repeat("0", 32)}, "wrong", "", "failed", "another md5"},
		{"the name is taken", obs.SetBucketFetchJobInput{URL: e.URL + "/pic.png", Key: "kept", IgnoreSameKey: true}, "kept", "mine", "success", ""},
		{"a private address", obs.SetBucketFetchJobInput{URL: "http://127.0.0.2:1/x", Key: "inside"}, "inside", "", "failed", "not a public address"},
	} {
		made, err := job(row.in)
		if err != nil || made.ID == "" {
			t.Errorf("%s: %+v, %v", row.what, made, err)
			continue
		}
		var got *obs.GetBucketFetchJobOutput
		for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(20 * time.Millisecond) {
			c.Clock.Add(time.Second) // what failed waits for its next try
			got = must[*obs.GetBucketFetchJobOutput](t)(cl.GetBucketFetchJob(&obs.GetBucketFetchJobInput{Bucket: "fetched", JobID: made.ID}))
			if got.Status == "success" || got.Status == "failed" {
				break
			}
		}
		if got.Status != row.status || !strings.Contains(got.Err, row.says) || got.Job.Key != row.key || got.Job.URL != row.in.URL {
			t.Errorf("%s: %+v", row.what, got)
		}
		read := &obs.GetObjectInput{}
		read.Bucket, read.Key = "fetched", row.key
		o, err := cl.GetObject(read)
		if row.content == "" {
			if code(err) != "NoSuchKey" {
				t.Errorf("%s: it is there: %v", row.what, err)
			}
			continue
		}
		ok(t, err)
		if b := must[[]byte](t)(io.ReadAll(o.Body)); string(b) != row.content {
			t.Errorf("%s: %q", row.what, b)
		}
		if row.key == "pic.png" && (o.ContentType != "image/png" || o.Metadata["from"] != "there") {
			t.Errorf("%s: %s, %v", row.what, o.ContentType, o.Metadata)
		}
	}
	if told := e.last(); told != `hooks.example.org application/json {"key":"pic.png","size":7}` {
		t.Errorf("told %s", told)
	}
	if _, err := cl.GetBucketFetchJob(&obs.GetBucketFetchJobInput{Bucket: "fetched", JobID: "none"}); code(err) != "NoSuchJob" {
		t.Errorf("a job that is not there: %v", err)
	}
	must[*obs.BaseModel](t)(cl.DeleteBucketFetchPolicy(&obs.DeleteBucketFetchPolicyInput{Bucket: "fetched"}))
	if _, err := job(obs.SetBucketFetchJobInput{URL: e.URL + "/pic.png"}); code(err) != "AccessDenied" {
		t.Errorf("with the policy gone: %v", err)
	}
}

// TestOBSCallback has a server told of uploads, whose answer the uploader gets: by PUT, in parts, and by a form.
func TestOBSCallback(t *testing.T) {
	c, e := cloudtest.Start(t), newElsewhere(t)
	cl := obsClient(t, c, obs.SignatureObs)
	in := &obs.CreateBucketInput{Bucket: "called"}
	in.Location = "awan-1"
	must[*obs.BaseModel](t)(cl.CreateBucket(in))
	header := func(v obs.CallbackInput) string {
		b, err := json.Marshal(v)
		ok(t, err)
		return base64.StdEncoding.EncodeToString(b)
	}
	put := func(key string, v obs.CallbackInput) (*obs.PutObjectOutput, error) {
		p := &obs.PutObjectInput{Body: strings.NewReader("hello")}
		p.Bucket, p.Key, p.ContentType = "called", key, "text/plain"
		return cl.PutObject(p, obs.WithCallbackHeader(header(v)))
	}
	reader := func(cb *obs.CallbackBody) string {
		b := make([]byte, 4096)
		n, _ := cb.ReadCallbackBody(b)
		_ = cb.CloseCallbackBody()
		return string(b[:n])
	}
	host := strings.TrimPrefix(e.URL, "http://")
	out := must[*obs.PutObjectOutput](t)(put("a&b.txt", obs.CallbackInput{CallbackUrl: e.URL + "/gone;" + e.URL + "/hook", CallbackBody: "k=$(key)&b=$(bucket)&n=$(fsize)&x=$(ext)&t=$(mimeType)&e=$(etag)"}))
	if got := reader(&out.CallbackBody); out.StatusCode != 200 || got != `{"thanks":true}` {
		t.Errorf("the answer: %d %s", out.StatusCode, got)
	}
	want := fmt.Sprintf("%s application/x-www-form-urlencoded k=a%%26b.txt&b=called&n=5&x=txt&t=text%%2Fplain&e=%s", host, strings.Trim(out.ETag, `"`))
	if told := e.last(); told != want {
		t.Errorf("told %s\nwant %s", told, want)
	}
	out = must[*obs.PutObjectOutput](t)(put("kept", obs.CallbackInput{CallbackUrl: e.URL + "/gone", CallbackBody: "x"}))
	if got := reader(&out.CallbackBody); out.StatusCode != 203 || !strings.Contains(got, "CallbackFailed") || !strings.Contains(got, "404") {
		t.Errorf("a callback that fails: %d %s", out.StatusCode, got)
	}
	out = must[*obs.PutObjectOutput](t)(put("inside", obs.CallbackInput{CallbackUrl: "http://127.0.0.2:1/x", CallbackBody: "x"}))
	if got := reader(&out.CallbackBody); out.StatusCode != 203 || !strings.Contains(got, "not a public address") {
		t.Errorf("a callback to the inside: %d %s", out.StatusCode, got)
	}
	for what, v := range map[string]struct {
		in   obs.CallbackInput
		code string
	}{
		"no body":     {obs.CallbackInput{CallbackUrl: e.URL}, "InvalidArgument"},
		"no address":  {obs.CallbackInput{CallbackUrl: "ftp://x", CallbackBody: "x"}, "InvalidArgument"},
		"its type":    {obs.CallbackInput{CallbackUrl: e.URL, CallbackBody: "x", CallbackBodyType: "text/html"}, "InvalidArgument"},
		"no variable": {obs.CallbackInput{CallbackUrl: e.URL, CallbackBody: "$(nothing)"}, "InvalidArgument"},
		"pictures":    {obs.CallbackInput{CallbackUrl: e.URL, CallbackBody: "$(imageInfo.width)"}, "NotImplemented"},
	} {
		if _, err := put("refused", v.in); code(err) != v.code {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := cl.HeadObject(&obs.HeadObjectInput{Bucket: "called", Key: "refused"}); err == nil {
		t.Error("what was refused is stored")
	}
	begin := &obs.InitiateMultipartUploadInput{}
	begin.Bucket, begin.Key = "called", "parts"
	up := must[*obs.InitiateMultipartUploadOutput](t)(cl.InitiateMultipartUpload(begin))
	part := must[*obs.UploadPartOutput](t)(cl.UploadPart(&obs.UploadPartInput{Bucket: "called", Key: "parts", UploadId: up.UploadId, PartNumber: 1, Body: strings.NewReader("part")}))
	done := must[*obs.CompleteMultipartUploadOutput](t)(cl.CompleteMultipartUpload(&obs.CompleteMultipartUploadInput{Bucket: "called", Key: "parts", UploadId: up.UploadId, Parts: []obs.Part{{PartNumber: 1, ETag: part.ETag}}},
		obs.WithCallbackHeader(header(obs.CallbackInput{CallbackUrl: e.URL + "/hook", CallbackBody: `{"k":"$(key)"}`, CallbackBodyType: "application/json"}))))
	if got := reader(&done.CallbackBody); got != `{"thanks":true}` || !strings.HasSuffix(e.last(), ` {"k":"parts"}`) {
		t.Errorf("parts: %s, told %s", got, e.last())
	}

	signed := must[*obs.CreateBrowserBasedSignatureOutput](t)(cl.CreateBrowserBasedSignature(&obs.CreateBrowserBasedSignatureInput{Bucket: "called", Key: "form", Expires: 300}))
	body, kind := multipartForm(t, map[string]string{"key": "form", "accesskeyid": c.Admin.AccessKey, "policy": signed.Policy, "signature": signed.Signature,
		"callbackUrl": e.URL + "/hook", "callbackBody": "f=$(fname)&id=${x:id}", "x:id": "a b"}, "photo.jpg", "pixels")
	req := must[*http.Request](t)(http.NewRequest(http.MethodPost, "https://called.obs.awan-1.awan.test/", body))
	req.Header.Set("Content-Type", kind)
	resp := must[*http.Response](t)((&http.Client{Transport: transport(t, c)}).Do(req))
	defer resp.Body.Close()
	if got := string(must[[]byte](t)(io.ReadAll(resp.Body))); resp.StatusCode != 200 || got != `{"thanks":true}` || !strings.HasSuffix(e.last(), " f=photo.jpg&id="+url.QueryEscape("a b")) {
		t.Errorf("form: %d %s, told %s", resp.StatusCode, got, e.last())
	}
}
