package console

import (
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/bucket"
)

// inline are the types that a browser may show by itself in the console's origin, with the preview each has. Nothing that
// can hold a script of its own is among them.
var inline = map[string]string{
	"image/png": "picture", "image/jpeg": "picture", "image/gif": "picture", "image/webp": "picture", "image/avif": "picture", "image/bmp": "picture", "image/x-icon": "picture", "image/vnd.microsoft.icon": "picture",
	"application/pdf": "document", "audio/mpeg": "sound", "audio/ogg": "sound", "audio/wav": "sound", "audio/x-wav": "sound", "audio/mp4": "sound", "audio/flac": "sound", "video/mp4": "film", "video/webm": "film",
}

// objectContent sends an object's bytes: as a file to be kept, or, of types that are safe, to be shown.
func (q *request) objectContent() error {
	api, err := q.store()
	if err != nil {
		return err
	}
	v := q.URL.Query()
	in := &bucket.GetInput{Bucket: q.PathValue("name"), Key: v.Get("key"), Version: v.Get("version"), Head: q.Method == http.MethodHead}
	if in.Range, err = rangeOf(q.Header.Get("Range")); err != nil {
		return err
	}
	if etag := q.Header.Get("If-Range"); etag != "" { // a download goes on only with the same bytes
		in.If.IfMatch = []string{strings.Trim(etag, `"`)}
	}
	got, err := api.Get(q.Context(), q.caller(), in)
	if len(in.If.IfMatch) > 0 && fail.Is(err, fail.Precondition) {
		in.If, in.Range = bucket.Conditions{}, nil
		got, err = api.Get(q.Context(), q.caller(), in)
	}
	if err != nil {
		return err
	}
	if got.Body != nil {
		defer func() { _ = got.Body.Close() }()
	}
	q.contentHeaders(&got.Object, v.Get("show") != "")
	h := q.w.Header()
	h.Set("Content-Length", strconv.FormatInt(got.Count, 10))
	h.Set("Accept-Ranges", "bytes")
	h.Set("ETag", `"`+got.ETag+`"`)
	h.Set("Last-Modified", got.Modified.UTC().Format(http.TimeFormat))
	status := http.StatusOK
	if got.Partial {
		status = http.StatusPartialContent
		h.Set("Content-Range", "bytes "+strconv.FormatInt(got.From, 10)+"-"+strconv.FormatInt(got.To, 10)+"/"+strconv.FormatInt(got.Size, 10))
	}
	q.began = true
	q.w.WriteHeader(status)
	if got.Body == nil {
		return nil
	}
	_, err = io.Copy(q.w, got.Body)
	return err
}

// contentHeaders keep what tenants uploaded from acting in the console's name: a type of our own choice, no sniffing, a
// sandbox, and, of all but a few types, a file to be kept and not a page.
func (q *request) contentHeaders(o *bucket.Object, show bool) {
	h := q.w.Header()
	typ, _, _ := mime.ParseMediaType(o.ContentType)
	if inline[typ] == "" {
		typ, _, _ = mime.ParseMediaType(mime.TypeByExtension(path.Ext(o.Key)))
	}
	name := path.Base(o.Key)
	kept := mime.FormatMediaType("attachment", map[string]string{"filename": name})
	if kept == "" {
		kept = "attachment"
	}
	h.Set("Content-Disposition", kept)
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox; frame-ancestors 'none'")
	h.Set("Content-Type", "application/octet-stream")
	switch {
	case !show:
	case inline[typ] == "document": // the browser's own viewer does not work within a sandbox
		h.Set("Content-Security-Policy", "default-src 'none'; object-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'self'")
		h.Set("X-Frame-Options", "SAMEORIGIN")
		fallthrough
	case inline[typ] != "":
		h.Set("Content-Type", typ)
		h.Set("Content-Disposition", strings.Replace(kept, "attachment", "inline", 1))
	case typ == "image/svg+xml": // as the source of a picture only, where no script of it runs
		h.Set("Content-Type", typ)
	}
}

// rangeOf reads the one range that browsers ask for; others are not taken.
func rangeOf(text string) (*bucket.Range, error) {
	spec, ok := strings.CutPrefix(text, "bytes=")
	if !ok || strings.Contains(spec, ",") {
		return nil, nil
	}
	from, to, ok := strings.Cut(strings.TrimSpace(spec), "-")
	r := &bucket.Range{From: -1, To: -1}
	var err error
	if from == "" {
		r.From, err = strconv.ParseInt(to, 10, 64)
		r.From = -r.From
	} else if r.From, err = strconv.ParseInt(from, 10, 64); err == nil && to != "" {
		r.To, err = strconv.ParseInt(to, 10, 64)
	}
	if !ok || err != nil || from == "" && r.From == 0 {
		return nil, nil
	}
	return r, nil
}

// How browsers send files: small ones in one piece, others in parts, so that a lost connection loses one part and an
// upload goes on where it stopped, even after the page was closed.
const (
	partSize  = 8 << 20
	pieceRoom = 5 << 30
)

// partSizeOf is the part size with which a file of that size needs no more parts than there may be.
func partSizeOf(size int64) int64 {
	part := int64(partSize)
	for size > part*9000 {
		part *= 2
	}
	return part
}

// scripted tells whether a request comes from a script of a page: with the form's token in a header, and a body that is
// not a form. No other site can send such a header.
func (q *request) scripted() bool {
	return (strings.HasPrefix(q.URL.Path, "/buckets/") || q.uploadsImage()) && q.Header.Get("X-Csrf") != ""
}

func (q *request) answerJSON(v any) error {
	q.began = true
	q.w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(q.w).Encode(v)
}

// uploaded is what scripts are told of an upload.
type uploaded struct {
	Upload   string        `json:"upload,omitempty"`
	PartSize int64         `json:"part_size,omitempty"`
	Parts    map[int]int64 `json:"parts,omitempty"` // sizes by number
	ETag     string        `json:"etag,omitempty"`
}

func (q *request) uploadTarget() (bucket.API, string, string, error) {
	api, err := q.store()
	key := q.URL.Query().Get("key")
	if err == nil && key == "" {
		err = fail.Field("key", "the upload has no name")
	}
	return api, q.PathValue("name"), key, err
}

// uploadPut takes a small file in one piece.
func (q *request) uploadPut() error {
	api, name, key, err := q.uploadTarget()
	if err != nil {
		return err
	}
	if q.ContentLength < 0 {
		return fail.New(fail.Invalid, "the upload does not say how long it is")
	}
	o, err := api.Put(q.Context(), q.caller(), &bucket.PutInput{Bucket: name, Key: key, Body: q.Body, Size: q.ContentLength, Attributes: bucket.Attributes{ContentType: q.typeOf(key)}})
	if err != nil {
		return err
	}
	return q.answerJSON(uploaded{ETag: o.ETag})
}

func (q *request) typeOf(key string) string {
	typ := q.URL.Query().Get("type")
	if typ == "" {
		typ = mime.TypeByExtension(path.Ext(key))
	}
	if typ == "" {
		typ = "application/octet-stream"
	}
	return typ
}

// uploadBegin begins an upload in parts.
func (q *request) uploadBegin() error {
	api, name, key, err := q.uploadTarget()
	if err != nil {
		return err
	}
	size, err := strconv.ParseInt(q.URL.Query().Get("size"), 10, 64)
	if err != nil || size < 0 {
		return fail.Field("size", "is no size")
	}
	in := &bucket.UploadInput{}
	in.Bucket, in.Key, in.ContentType = name, key, q.typeOf(key)
	up, err := api.Begin(q.Context(), q.caller(), in)
	if err != nil {
		return err
	}
	return q.answerJSON(uploaded{Upload: up.ID, PartSize: partSizeOf(size)})
}

func (q *request) uploadPart() error {
	api, name, key, err := q.uploadTarget()
	if err != nil {
		return err
	}
	v := q.URL.Query()
	n, err := strconv.Atoi(v.Get("number"))
	if err != nil || q.ContentLength < 0 {
		return fail.Field("number", "is no number of a part, or the part does not say how long it is")
	}
	p, err := api.PutPart(q.Context(), q.caller(), &bucket.PartInput{Bucket: name, Key: key, Upload: v.Get("upload"), Number: n, Body: q.Body, Size: q.ContentLength})
	if err != nil {
		return err
	}
	return q.answerJSON(uploaded{ETag: p.ETag})
}

// storedParts reads all parts that an upload has.
func (q *request) storedParts(api bucket.API, name, key, upload string) ([]bucket.Part, error) {
	var all []bucket.Part
	for after := 0; ; {
		_, parts, more, err := api.Parts(q.Context(), q.caller(), name, key, upload, after, 1000)
		if err != nil {
			return nil, err
		}
		all = append(all, parts...)
		if !more || len(parts) == 0 {
			return all, nil
		}
		after = parts[len(parts)-1].Number
	}
}

// uploadedParts tells a script which parts are there, so that it sends the others only.
func (q *request) uploadedParts() error {
	api, name, key, err := q.uploadTarget()
	if err != nil {
		return err
	}
	upload := q.URL.Query().Get("upload")
	parts, err := q.storedParts(api, name, key, upload)
	if err != nil {
		return err
	}
	out := uploaded{Upload: upload, Parts: map[int]int64{}}
	for _, p := range parts {
		out.Parts[p.Number] = p.Size
	}
	return q.answerJSON(out)
}

// uploadComplete makes the object when the parts are as many bytes as the file has.
func (q *request) uploadComplete() error {
	api, name, key, err := q.uploadTarget()
	if err != nil {
		return err
	}
	v := q.URL.Query()
	size, err := strconv.ParseInt(v.Get("size"), 10, 64)
	if err != nil {
		return fail.Field("size", "is no size")
	}
	parts, err := q.storedParts(api, name, key, v.Get("upload"))
	if err != nil {
		return err
	}
	o, err := api.Complete(q.Context(), q.caller(), &bucket.CompleteInput{Bucket: name, Key: key, Upload: v.Get("upload"), Parts: parts, Size: size})
	if err != nil {
		return err
	}
	return q.answerJSON(uploaded{ETag: o.ETag})
}

func (q *request) uploadAbort() error {
	api, name, key, err := q.uploadTarget()
	if err != nil {
		return err
	}
	if err := api.Abort(q.Context(), q.caller(), name, key, q.URL.Query().Get("upload")); err != nil && !fail.Is(err, fail.NotFound) {
		return err
	}
	return q.answerJSON(uploaded{})
}
