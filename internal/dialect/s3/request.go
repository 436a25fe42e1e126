package s3

import (
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/awancloud/awan/internal/dialect/auth"
	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/dialect/s3/sign"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/bucket"
)

// request is one request on its way to an operation.
type request struct {
	*http.Request
	place
	api    *API
	w      http.ResponseWriter
	q      url.Values
	id     string
	obs    bool // answered in OBS's words
	op     *op
	caller *bucket.Caller
	claim  *sign.Claim
	secret string
	wrote  bool
	extra  []extra
	found  bool // extra is complete
}

func (a *API) serve(w http.ResponseWriter, hr *http.Request, at place) {
	r := &request{Request: hr, place: at, api: a, w: w}
	info := front.From(hr.Context())
	if r.id = info.RequestID; r.id == "" {
		r.id = hr.Header.Get("X-Request-Id")
	}
	var n *noted
	if a.Access != nil {
		n = &noted{ResponseWriter: w, begun: time.Now()}
		r.w = n
	}
	err := r.handle()
	if n != nil {
		defer func() { r.note(n, err) }()
	}
	if err != nil {
		r.fail(err)
	}
}

func (r *request) handle() error {
	var err error
	if r.q, err = url.ParseQuery(r.URL.RawQuery); err != nil {
		r.q = url.Values{}
		r.obs = r.inOBS()
		return refuse("InvalidURI", fail.Invalid, "the query is not correctly percent-encoded")
	}
	r.claim, err = sign.Parse(r.Request, r.q)
	r.obs = r.inOBS()
	r.ids()
	if err != nil {
		return err
	}
	if !utf8.ValidString(r.key) {
		return refuse("InvalidURI", fail.Invalid, "an object's name is UTF-8")
	}
	if strings.Contains(r.key, "\x00") || len(r.key) > maxKey {
		return refuse("KeyTooLongError", fail.Invalid, "an object's name has 1 to %d bytes and no zero byte", maxKey)
	}
	if r.isSite() {
		return r.site()
	}
	if err := r.absent(); err != nil {
		return err
	}
	if err := r.cors(); err != nil || r.wrote {
		return err
	}
	if r.op = r.api.find(r); r.op == nil {
		return refuse("MethodNotAllowed", fail.Unsupported, "%s is not possible here", r.Method)
	}
	if err := r.authenticate(); err != nil {
		return err
	}
	if err := r.expected(); err != nil {
		return err
	}
	return r.op.serve(r)
}

// expected refuses requests whose client takes the bucket for somebody else's.
func (r *request) expected() error {
	const ofBucket, ofSource = "X-Amz-Expected-Bucket-Owner", "X-Amz-Source-Expected-Bucket-Owner"
	if err := r.owned(r.bucket, ofBucket); err != nil || r.Header[ofSource] == nil {
		return err
	}
	source, _, _ := strings.Cut(strings.TrimPrefix(unescape(r.ext("Copy-Source")), "/"), "/")
	return r.owned(source, ofSource)
}

func (r *request) owned(name, header string) error {
	want := r.Header.Get(header)
	if want == "" || name == "" {
		return nil
	}
	row, err := r.api.Buckets.Bucket(r.Context(), r.caller, name, "")
	if err != nil {
		return err
	}
	if string(row.Domain) != want {
		return refuse("AccessDenied", fail.Denied, "the bucket is not owned by the account in %s", strings.ToLower(header))
	}
	return nil
}

// maxKey is the length of an object's name in bytes.
const maxKey = 1024

// inOBS decides in whose words to answer: the signature says it; without one, headers and the host do.
func (r *request) inOBS() bool {
	if r.claim != nil {
		return r.claim.Scheme == sign.OBS
	}
	if r.q.Has("AccessKeyId") && r.q.Has("Signature") || strings.HasPrefix(r.Header.Get("Authorization"), "OBS ") {
		return true
	}
	amz := false
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Obs-") {
			return true
		}
		amz = amz || strings.HasPrefix(name, "X-Amz-") || name == "Authorization"
	}
	return r.label == "obs" && !amz
}

// ids writes the headers every answer has.
func (r *request) ids() {
	h := r.w.Header()
	h.Set("Server", "Awan")
	if r.obs {
		h.Set("X-Obs-Request-Id", r.id)
		h.Set("X-Obs-Id-2", r.id)
		return
	}
	h.Set("X-Amz-Request-Id", r.id)
	h.Set("X-Amz-Id-2", r.id)
}

// extra is a header behind x-amz- or x-obs-.
type extra struct {
	name, value string
	obs         bool
}

// extras lists those of the request: an operation asks for a dozen that nobody sent.
func (r *request) extras() []extra {
	if r.found {
		return r.extra
	}
	for name, values := range r.Header {
		if len(name) > len("X-Amz-") && len(values) > 0 && (name[:6] == "X-Amz-" || name[:6] == "X-Obs-") {
			r.extra = append(r.extra, extra{name[6:], strings.TrimSpace(values[0]), name[:6] == "X-Obs-"})
		}
	}
	r.found = true
	return r.extra
}

// swap has the request read other headers.
func (r *request) swap(h http.Header) { r.Header, r.extra, r.found = h, nil, false }

// ext gives a header by what stands behind x-amz- or x-obs-, in the form of textproto ("Storage-Class").
func (r *request) ext(name string) string {
	other := ""
	for _, e := range r.extras() {
		if e.name == name {
			if e.obs == r.obs {
				return e.value
			}
			other = e.value
		}
	}
	return other
}

// set writes a header of the answer behind the dialect's prefix; nothing where the value is empty.
func (r *request) set(name, value string) {
	if value == "" {
		return
	}
	if r.obs {
		r.w.Header()["X-Obs-"+name] = []string{value}
	} else {
		r.w.Header()["X-Amz-"+name] = []string{value}
	}
}

// hoist takes the x- parameters of a presigned query for headers, as clients mean them; the signature covers them.
func (r *request) hoist() {
	for name, values := range r.q {
		key := textproto.CanonicalMIMEHeaderKey(name)
		if !strings.HasPrefix(key, "X-Amz-") && !strings.HasPrefix(key, "X-Obs-") || r.Header.Get(key) != "" || authParameter[key] {
			continue
		}
		r.Header[key] = values
	}
	r.extra, r.found = nil, false
}

var authParameter = map[string]bool{"X-Amz-Algorithm": true, "X-Amz-Credential": true, "X-Amz-Date": true, "X-Amz-Expires": true,
	"X-Amz-Signedheaders": true, "X-Amz-Signature": true}

// ok ends an answer without a body.
func (r *request) ok(status int) error {
	r.wrote = true
	if status != http.StatusNoContent {
		r.w.Header().Set("Content-Length", "0")
	}
	r.w.WriteHeader(status)
	return nil
}

// number reads a parameter of the query that is a number from 0 on.
func (r *request) number(name string, otherwise, most int) (int, error) {
	s := r.q.Get(name)
	if s == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > 1<<31-1 {
		return 0, refuse("InvalidArgument", fail.Invalid, "%s must be a number from 0 to 2147483647", name)
	}
	return min(n, most), nil
}

// version gives the version that is asked for.
func (r *request) version() string { return r.q.Get("versionId") }

func (r *request) newCaller() *bucket.Caller {
	info := front.From(r.Context())
	c := &bucket.Caller{Source: auth.Source(r.Request), Agent: r.UserAgent(), Dialect: "s3", RequestID: r.id, Facts: map[string][]string{}}
	if r.obs {
		c.Dialect = "obs"
	}
	if info.Peer.IsValid() {
		c.Source = info.Peer.String()
	}
	secure := "false"
	if info.Secure || r.TLS != nil {
		secure = "true"
	}
	c.Facts["SecureTransport"] = []string{secure}
	if v := r.Referer(); v != "" {
		c.Facts["Referer"] = []string{v}
	}
	for _, name := range []string{"prefix", "delimiter", "max-keys", "versionId"} {
		if v, ok := r.q[name]; ok {
			c.Facts[strings.ToLower(name)] = v
		}
	}
	for _, name := range facts {
		if v := r.ext(name); v != "" {
			c.Facts["x-obs-"+strings.ToLower(name)] = []string{v}
		}
	}
	if v := r.ext("Copy-Source"); v != "" {
		c.Facts["x-obs-copy-source"] = []string{strings.TrimPrefix(unescape(v), "/")}
	}
	return c
}

// facts are the headers that conditions of policies may ask for, by what stands behind x-amz- or x-obs-.
var facts = []string{"Acl", "Storage-Class", "Metadata-Directive", "Grant-Read", "Grant-Write", "Grant-Read-Acp", "Grant-Write-Acp", "Grant-Full-Control",
	"Server-Side-Encryption", "Server-Side-Encryption-Aws-Kms-Key-Id", "Server-Side-Encryption-Kms-Key-Id", "Server-Side-Encryption-Customer-Algorithm",
	"Website-Redirect-Location", "Object-Lock-Mode", "Object-Lock-Retain-Until-Date", "Object-Lock-Legal-Hold", "Content-Sha256"}

// tagFacts tell conditions of policies which tags a request sets.
func (r *request) tagFacts(tags map[string]string) {
	for k, v := range tags {
		r.caller.Facts["obs:RequestObjectTag/"+k] = []string{v}
		r.caller.Facts["obs:RequestObjectTagKeys"] = append(r.caller.Facts["obs:RequestObjectTagKeys"], k)
	}
}

func keyOf(escaped string) string { return unescape(strings.TrimPrefix(escaped, "/")) }

func unescape(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	plain, err := url.PathUnescape(s)
	if err != nil {
		return s
	}
	return plain
}
