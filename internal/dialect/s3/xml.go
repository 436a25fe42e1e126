package s3

import (
	"bytes"
	"encoding/xml"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/dialect/s3/sign"
	"github.com/awancloud/awan/internal/kernel/fail"
)

const (
	maxXML    = 2 << 20
	namespace = "http://s3.amazonaws.com/doc/2006-03-01/"
	obsSpace  = "http://obs.myhwclouds.com/doc/2015-06-30/"
)

var pages = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// answer writes v as XML, with the dialect's namespace on the root where v has an Xmlns of type space.
func (r *request) answer(status int, v any) error {
	b := pages.Get().(*bytes.Buffer)
	defer pages.Put(b)
	b.Reset()
	b.WriteString(xml.Header)
	if err := xml.NewEncoder(b).Encode(v); err != nil {
		return err
	}
	return r.send(status, "application/xml", b.Bytes())
}

func (r *request) send(status int, contentType string, body []byte) error {
	h := r.w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	r.wrote = true
	r.w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = r.w.Write(body) // the client may be gone
	}
	return nil
}

// space is the namespace of an answer's root.
func (r *request) space() string {
	if r.obs {
		return obsSpace
	}
	return namespace
}

// content gives the body, decoded and verified while it is read.
func (r *request) content() (*sign.Body, error) {
	return r.api.verify.Content(r.Request, r.claim, r.secret)
}

// document reads a small body whole, and checks the sums that were sent with it.
func (r *request) document() ([]byte, error) {
	c, err := r.content()
	if err != nil {
		return nil, err
	}
	if c.Size > maxXML {
		return nil, refuse("MaxMessageLengthExceeded", fail.Invalid, "the document is over %d bytes", maxXML)
	}
	b, err := io.ReadAll(io.LimitReader(c, maxXML+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxXML {
		return nil, refuse("MaxMessageLengthExceeded", fail.Invalid, "the document is over %d bytes", maxXML)
	}
	sums, err := r.sums()
	if err != nil {
		return nil, err
	}
	for _, s := range append(sums, trailing(c)...) {
		if !holds(s, b) {
			return nil, refuse("BadDigest", fail.Invalid, "the document has another %s than the one sent with it", s.Kind).Then("send it again")
		}
	}
	return b, nil
}

// read reads a small body of XML into v.
func (r *request) read(v any) error {
	b, err := r.document()
	if err != nil {
		return err
	}
	return decode(b, v)
}

func decode(b []byte, v any) error {
	if err := xml.Unmarshal(b, v); err != nil {
		return refuse("MalformedXML", fail.Invalid, "the XML is not well-formed, or not what is expected here")
	}
	return nil
}

// stamp is a time as XML has it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// parseStamp reads a time of an XML document.
func parseStamp(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, refuse("MalformedXML", fail.Invalid, "%q is no time like 2030-01-31T00:00:00Z", s)
}

type owner struct {
	ID          string `xml:"ID"`
	DisplayName string `xml:"DisplayName,omitempty"`
}
