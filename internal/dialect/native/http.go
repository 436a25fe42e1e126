package native

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// status is the one table from kinds of failure to HTTP.
var status = map[fail.Kind]int{
	fail.Invalid: 400, fail.Unauthenticated: 401, fail.Denied: 403, fail.NotFound: 404, fail.Exists: 409, fail.Conflict: 409,
	fail.Precondition: 412, fail.Quota: 403, fail.TooLarge: 413, fail.RateLimited: 429, fail.NoSpace: 507, fail.Unavailable: 503,
	fail.Timeout: 504, fail.Canceled: 499, fail.Gone: 410, fail.Unsupported: 501, fail.DataLoss: 500, fail.Internal: 500,
}

// StatusOf gives the HTTP status of an error.
func StatusOf(err error) int { return status[fail.KindOf(err)] }

// ErrorBody is what a failed request answers.
type ErrorBody struct {
	Error struct {
		Kind      fail.Kind `json:"kind"`
		Field     string    `json:"field,omitempty"`
		Message   string    `json:"message"`
		Next      string    `json:"next,omitempty"`
		RequestID string    `json:"request_id,omitempty"`
	} `json:"error"`
}

// WriteError answers with the public half of err.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	e := fail.From(err)
	var b ErrorBody
	b.Error.Kind, b.Error.Field, b.Error.Message, b.Error.Next = e.Kind, e.Field, e.Message, e.Next
	b.Error.RequestID = w.Header().Get("X-Request-Id")
	if e.Kind == fail.Unauthenticated {
		w.Header().Set("WWW-Authenticate", `Bearer realm="awan"`)
	}
	_ = writeJSON(w, status[e.Kind], b) // the client went away: nobody to tell
}

func writeJSON(w http.ResponseWriter, code int, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	err := json.NewEncoder(w).Encode(v)
	if err != nil && isDefect(err) {
		return err
	}
	return nil
}

func isDefect(err error) bool {
	var ue *json.UnsupportedTypeError
	var me *json.MarshalerError
	return errors.As(err, &ue) || errors.As(err, &me)
}

func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var big *http.MaxBytesError
	if errors.As(err, &big) {
		return nil, fail.New(fail.TooLarge, "the body is larger than %d bytes", limit)
	}
	if err != nil {
		return nil, fail.Wrap(err, fail.Invalid, "the body could not be read to its end")
	}
	return b, nil
}

// stream answers calls whose answer is a stream: lines of JSON (application/x-ndjson), bytes of another type, or, after an
// Upgrade: awan-duplex, a two-way pipe. The action's input is the query parameter "in" (JSON), or the body when the
// action takes no stream in.
func (a *API) stream(w http.ResponseWriter, r *http.Request, c *call.Call) error {
	if in := r.URL.Query().Get("in"); in != "" {
		c.In = json.RawMessage(in)
	} else if ct := r.Header.Get("Content-Type"); strings.HasPrefix(ct, "application/json") {
		b, err := readBody(w, r, MaxBody)
		if err != nil {
			return err
		}
		c.In = b
	}
	s := &streamer{w: w, rc: http.NewResponseController(w)}
	c.Stream.Body, c.Stream.Emit, c.Stream.Raw = r.Body, s.emit, s.raw
	if strings.EqualFold(r.Header.Get("Upgrade"), "awan-duplex") {
		c.Stream.Duplex = s.duplex
	}
	_, err := a.Door.Do(r.Context(), c)
	return s.end(w, r, err)
}

type streamer struct {
	w       http.ResponseWriter
	rc      *http.ResponseController
	began   bool
	hijack  bool
	bytes   bool // what goes out is neither JSON nor text: nothing may be said in it
	encoder *json.Encoder
}

func (s *streamer) begin(contentType string) {
	if !s.began {
		s.began = true
		s.w.Header().Set("Content-Type", contentType)
		s.w.Header().Set("Cache-Control", "no-store")
		s.w.WriteHeader(http.StatusOK)
		s.encoder = json.NewEncoder(s.w)
	}
}

func (s *streamer) emit(v any) error {
	s.begin("application/x-ndjson")
	if err := s.encoder.Encode(v); err != nil {
		return err
	}
	return s.rc.Flush()
}

func (s *streamer) raw(contentType string) (io.Writer, error) {
	s.begin(contentType)
	s.bytes = !strings.HasPrefix(contentType, "text/") && contentType != "application/x-ndjson"
	return flusher{s}, nil
}

type flusher struct{ s *streamer }

func (f flusher) Write(p []byte) (int, error) {
	n, err := f.s.w.Write(p)
	if err == nil {
		err = f.s.rc.Flush()
	}
	return n, err
}

func (s *streamer) duplex() (io.ReadWriteCloser, error) {
	conn, buf, err := s.rc.Hijack()
	if err != nil {
		return nil, fail.Wrap(err, fail.Unsupported, "this connection cannot become a two-way stream").Then("use HTTP/1.1")
	}
	s.began, s.hijack = true, true
	if _, err := io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: awan-duplex\r\n\r\n"); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return pipe{conn, buf.Reader}, nil
}

// pipe reads first what the server had buffered already.
type pipe struct {
	net.Conn
	r *bufio.Reader
}

func (p pipe) Read(b []byte) (int, error) { return p.r.Read(b) }

// end closes a stream. An error after the first byte goes as a last line; where there are no lines, the connection breaks off.
func (s *streamer) end(w http.ResponseWriter, r *http.Request, err error) error {
	switch {
	case err == nil && !s.began:
		s.begin("application/x-ndjson")
		return nil
	case err == nil || s.hijack:
		return nil
	case !s.began:
		return err
	case r.Context().Err() != nil:
		return nil
	case s.bytes:
		panic(http.ErrAbortHandler) // net/http's way: the client must not take what came for the whole
	}
	e := fail.From(err)
	var b ErrorBody
	b.Error.Kind, b.Error.Field, b.Error.Message, b.Error.Next = e.Kind, e.Field, e.Message, e.Next
	return s.emit(b)
}
