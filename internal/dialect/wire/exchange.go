package wire

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// Exchange is one request on its way to the door.
type Exchange struct {
	W    http.ResponseWriter
	R    *http.Request
	API  *API
	Who  ident.Principal
	Call call.Call // what every call of this request has

	at    string     // the API's base, once it was asked for
	query url.Values // once it was asked for: lists ask for every row
}

// Param is a placeholder's value.
func (x *Exchange) Param(name string) string { return x.R.PathValue(name) }

// Query is a query parameter.
func (x *Exchange) Query(name string) string { return x.Queries().Get(name) }

// Queries are the query's parameters; they must not be changed.
func (x *Exchange) Queries() url.Values {
	if x.query == nil {
		x.query = x.R.URL.Query()
	}
	return x.query
}

// Number reads a number of the query from least to most; none when it is not there. Most may be math.MaxInt.
func (x *Exchange) Number(name string, none, least, most int) (int, error) {
	s := x.Query(name)
	if s == "" {
		return none, nil
	}
	n, err := strconv.Atoi(s)
	switch {
	case err == nil && n >= least && n <= most:
		return n, nil
	case most == math.MaxInt:
		return 0, fail.Field(name, "%q is not a whole number of %d or more", s, least)
	}
	return 0, fail.Field(name, "%q is not a number from %d to %d", s, least, most)
}

// NoContent answers 204.
func (x *Exchange) NoContent() error {
	x.W.WriteHeader(http.StatusNoContent)
	return nil
}

// One answers with one thing under its singular name.
func (x *Exchange) One(status int, singular string, item any) error {
	Write(x.W, status, map[string]any{singular: item})
	return nil
}

// Base is the address under which the client reached the API, found once: lists print it with every row.
func (x *Exchange) Base() string {
	if x.at == "" {
		x.at = x.API.Base(x.R)
	}
	return x.at
}

// Write answers with v in JSON.
func Write(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	WriteBody(w, status, body, err)
}

// WriteBody answers with a body in JSON; err says that it could not be made.
func WriteBody(w http.ResponseWriter, status int, body []byte, err error) {
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":{"code":500,"message":"the answer could not be written","title":"Internal Server Error"}}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may be gone
}

// Body reads a body {singular: {…}} into v. No body, and no such object in it, read as an empty one: what is then
// missing is found by the kind's own rules, after the question whether the caller may do this at all.
func (x *Exchange) Body(singular string, v any) error {
	b, err := x.Bytes()
	if err != nil || len(b) == 0 {
		return err
	}
	var outer map[string]json.RawMessage
	if err := json.Unmarshal(b, &outer); err != nil {
		return fail.New(fail.Invalid, "the body is not a JSON object").Then(`send {%q: {…}}`, singular)
	}
	inner, ok := outer[singular]
	if !ok && len(outer) > 0 {
		return fail.Field(singular, "it is missing").Then(`send {%q: {…}}`, singular)
	}
	return kind.DecodeStrict(inner, v, singular, kind.FieldsOf(v))
}

// Plain reads a body that is not wrapped in a name into v; no body reads as an empty one.
func (x *Exchange) Plain(v any) error {
	b, err := x.Bytes()
	if err != nil {
		return err
	}
	return kind.DecodeStrict(b, v, "", kind.FieldsOf(v))
}

// Bytes reads the body, which is bounded.
func (x *Exchange) Bytes() ([]byte, error) {
	b, err := io.ReadAll(http.MaxBytesReader(x.W, x.R.Body, MaxBody))
	var big *http.MaxBytesError
	if errors.As(err, &big) {
		return nil, fail.New(fail.TooLarge, "the body is larger than %d bytes", MaxBody)
	}
	if err != nil {
		return nil, fail.Wrap(err, fail.Invalid, "the body could not be read to its end")
	}
	return b, nil
}
