package sign

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// Kinds of payloads that come in chunks.
const (
	chunked         = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	chunkedTrailer  = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	unsignedTrailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
)

// Body is a request's content, decoded and verified while it is read: the read that would give io.EOF fails instead
// when the content is not what was signed.
type Body struct {
	io.Reader
	Size    int64 // of the content; -1 unknown
	SHA256  []byte
	trailer *chunks
}

// Trailer gives what came behind the content, names in lower case; only after io.EOF.
func (b *Body) Trailer() map[string]string {
	if b.trailer == nil {
		return nil
	}
	return b.trailer.fields
}

// Trailing tells whether a trailer was announced.
func (b *Body) Trailing() bool { return b.trailer != nil && b.trailer.trailing }

// Content makes the Body of a request whose claim has been checked (nil: not signed). secret is the key's.
func (v *Verifier) Content(r *http.Request, c *Claim, secret string) (*Body, error) {
	payload := r.Header.Get("X-Amz-Content-Sha256")
	if c != nil && c.Scheme == V4 {
		payload = c.Payload
	}
	b := &Body{Reader: heard{r.Body}, Size: r.ContentLength}
	if r.Body == nil || r.Body == http.NoBody {
		b.Reader = http.NoBody
	}
	switch {
	case strings.HasPrefix(payload, "STREAMING-"):
		return v.chunks(r, c, secret, payload, b)
	case payload == "" || payload == Unsigned || c == nil || c.Scheme != V4:
		return b, nil
	}
	sum, err := hex.DecodeString(payload)
	if err != nil || len(sum) != sha256.Size {
		return nil, Refuse("InvalidArgument", fail.Invalid, "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, a STREAMING- form, or a valid SHA-256")
	}
	if payload == EmptySum && r.ContentLength == 0 {
		return b, nil
	}
	b.SHA256 = sum
	b.Reader = &summed{r: b.Reader, hash: sha256.New(), want: sum}
	return b, nil
}

// summed fails at the end of a content that has another sum.
type summed struct {
	r    io.Reader
	hash hash.Hash
	want []byte
}

func (s *summed) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.hash.Write(p[:n])
	if err == io.EOF && !hmac.Equal(s.hash.Sum(nil), s.want) {
		return n, Refuse("XAmzContentSHA256Mismatch", fail.Invalid, "the content's SHA-256 is not the signed x-amz-content-sha256").Then("send it again")
	}
	return n, err
}

func (v *Verifier) chunks(r *http.Request, c *Claim, secret, payload string, b *Body) (*Body, error) {
	size, err := strconv.ParseInt(r.Header.Get("X-Amz-Decoded-Content-Length"), 10, 64)
	if err != nil || size < 0 {
		return nil, Refuse("MissingContentLength", fail.Invalid, "a chunked upload needs the header x-amz-decoded-content-length")
	}
	d := &chunks{left: size, trailing: payload != chunked}
	switch payload {
	case unsignedTrailer:
	case chunked, chunkedTrailer:
		if c == nil || c.Scheme != V4 || c.Query {
			return nil, Refuse("InvalidRequest", fail.Invalid, "signed chunks need an Authorization header of version 4")
		}
		d.key, d.previous, d.date, d.scope = v.key(c.Access, secret, c.scope), c.Signature, c.date, c.scope.String()
		d.hash = sha256.New()
	default:
		return nil, Refuse("InvalidArgument", fail.Invalid, "the payload form %q is not known here", payload)
	}
	d.r = readers.Get().(*bufio.Reader)
	d.r.Reset(b.Reader)
	b.Reader, b.Size, b.trailer = d, size, d
	return b, nil
}

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 16<<10) }}

// chunks decodes aws-chunked: SIZE;chunk-signature=…\r\n DATA \r\n, a last chunk of 0, and perhaps a trailer.
type chunks struct {
	r        *bufio.Reader // of the pool, until done
	left     int64         // of the content
	chunk    int64         // of the current chunk
	inside   bool
	trailing bool
	fields   map[string]string
	done     error

	key                   []byte // nil: chunks are not signed
	hash                  hash.Hash
	previous, date, scope string
	signature             string // the current chunk's
}

func (d *chunks) Read(p []byte) (int, error) {
	if d.done != nil {
		return 0, d.done
	}
	n, err := d.read(p)
	if d.done != nil {
		d.r.Reset(nil)
		readers.Put(d.r)
		d.r = nil
	}
	return n, err
}

func (d *chunks) read(p []byte) (int, error) {
	for d.done == nil && !d.inside {
		d.done = d.begin()
	}
	if d.done != nil {
		return 0, d.done
	}
	if len(p) == 0 {
		return 0, nil
	}
	if int64(len(p)) > d.chunk {
		p = p[:d.chunk]
	}
	n, err := d.r.Read(p)
	d.chunk -= int64(n)
	d.left -= int64(n)
	if d.hash != nil {
		d.hash.Write(p[:n])
	}
	switch {
	case d.chunk == 0:
		if d.done = d.end(); d.done == nil {
			d.inside = false
		}
	case err == io.EOF:
		d.done = incomplete()
	case err != nil:
		d.done = err
	}
	if n > 0 && d.done == nil {
		return n, nil
	}
	return n, d.done
}

func incomplete() error {
	return Refuse("IncompleteBody", fail.Invalid, "the content ended before the length that was said").Then("send it again")
}

func badChunk(why string) error {
	return Refuse("InvalidRequest", fail.Invalid, "the chunked content is malformed: %s", why)
}

func (d *chunks) line() (string, error) {
	b, err := d.r.ReadSlice('\n')
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return "", incomplete()
	}
	var refused *Refusal
	switch {
	case errors.As(err, &refused):
		return "", err
	case err != nil || len(b) > 4096:
		return "", badChunk("a line is too long")
	}
	return string(bytes.TrimRight(b, "\r\n")), nil
}

// begin reads a chunk's first line; at the last chunk it ends the content.
func (d *chunks) begin() error {
	line, err := d.line()
	if err != nil {
		return err
	}
	number, extension, _ := strings.Cut(line, ";")
	if d.chunk, err = strconv.ParseInt(strings.TrimSpace(number), 16, 64); err != nil || d.chunk < 0 {
		return badChunk("a chunk's size is no hexadecimal number")
	}
	if d.chunk > d.left {
		return Refuse("InvalidRequest", fail.Invalid, "the content is longer than x-amz-decoded-content-length says")
	}
	d.signature = strings.TrimPrefix(extension, "chunk-signature=")
	if d.chunk > 0 {
		d.inside = true
		return nil
	}
	if d.left > 0 {
		return incomplete()
	}
	if err := d.verify(); err != nil {
		return err
	}
	if err := d.tail(); err != nil {
		return err
	}
	return io.EOF
}

// end checks a chunk's signature and eats the line end behind it.
func (d *chunks) end() error {
	if err := d.verify(); err != nil {
		return err
	}
	line, err := d.line()
	if err == nil && line != "" {
		err = badChunk("a chunk is longer than its size")
	}
	return err
}

func (d *chunks) verify() error {
	if d.key == nil {
		return nil
	}
	sum := d.hash.Sum(nil)
	d.hash.Reset()
	return d.signed("AWS4-HMAC-SHA256-PAYLOAD", EmptySum+"\n"+hex.EncodeToString(sum), d.signature)
}

// signed checks one link of the chain of signatures.
func (d *chunks) signed(what, rest, signature string) error {
	want := hex.EncodeToString(mac(d.key, what+"\n"+d.date+"\n"+d.scope+"\n"+d.previous+"\n"+rest))
	if !hmac.Equal([]byte(want), []byte(signature)) {
		return mismatch()
	}
	d.previous = signature
	return nil
}

// tail reads the trailer and what ends the body.
func (d *chunks) tail() error {
	rest, err := io.ReadAll(io.LimitReader(d.r, 16<<10))
	if err != nil {
		return err
	}
	d.fields = map[string]string{}
	signature := ""
	var canonical strings.Builder
	for line := range strings.Lines(string(rest)) {
		line = strings.TrimRight(line, "\r\n")
		name, value, ok := strings.Cut(line, ":")
		switch name = strings.ToLower(strings.TrimSpace(name)); {
		case line == "":
		case !ok || !d.trailing:
			return Refuse("MalformedTrailerError", fail.Invalid, "the trailer is malformed")
		case name == "x-amz-trailer-signature":
			signature = strings.TrimSpace(value)
		default:
			d.fields[name] = strings.TrimSpace(value)
			canonical.WriteString(name + ":" + strings.TrimSpace(value) + "\n")
		}
	}
	if d.key == nil || !d.trailing {
		return nil
	}
	sum := sha256.Sum256([]byte(canonical.String()))
	return d.signed("AWS4-HMAC-SHA256-TRAILER", hex.EncodeToString(sum[:]), signature)
}
