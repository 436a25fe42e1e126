package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// Error is what the cloud answered to a failed request.
type Error struct {
	Fail      *fail.Error
	RequestID string
}

func (e *Error) Error() string { return e.Fail.Public() }

// Unwrap gives the fail error, so that fail.Is works on it.
func (e *Error) Unwrap() error { return e.Fail }

// errorBody is the JSON of a failed request.
type errorBody struct {
	Error *struct {
		Kind      fail.Kind `json:"kind"`
		Field     string    `json:"field"`
		Message   string    `json:"message"`
		Next      string    `json:"next"`
		RequestID string    `json:"request_id"`
	} `json:"error"`
}

// answered turns an error answer into an *Error; nil when b is none.
func answered(b []byte, requestID string) error {
	var body errorBody
	if json.Unmarshal(b, &body) != nil || body.Error == nil || body.Error.Kind == "" {
		return nil
	}
	e := body.Error
	if e.RequestID == "" {
		e.RequestID = requestID
	}
	return &Error{Fail: &fail.Error{Kind: e.Kind, Field: e.Field, Message: e.Message, Next: e.Next}, RequestID: e.RequestID}
}

// failed reads the error out of an answer whose status is not 2xx.
func failed(r *http.Response) error {
	b, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20)) // what did not arrive cannot be shown
	request := r.Header.Get("X-Request-Id")
	if err := answered(b, request); err != nil {
		return err
	}
	kind := fail.Internal
	switch {
	case r.StatusCode == http.StatusUnauthorized:
		kind = fail.Unauthenticated
	case r.StatusCode == http.StatusForbidden:
		kind = fail.Denied
	case r.StatusCode == http.StatusNotFound:
		kind = fail.NotFound
	case r.StatusCode == http.StatusBadGateway || r.StatusCode == http.StatusServiceUnavailable || r.StatusCode == http.StatusGatewayTimeout:
		kind = fail.Unavailable
	}
	e := fail.New(kind, "%s answered %s, which is no answer of Awan", r.Request.URL.Host, r.Status).Then("check the address: is it this cloud's?")
	if text := bytes.TrimSpace(b); len(text) > 0 && len(text) < 300 {
		e.Message += ": " + string(text)
	}
	return &Error{Fail: e, RequestID: request}
}

// unreachable turns an error of the connection into words.
func (c *Client) unreachable(ctx context.Context, err error) error {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return fail.New(fail.Canceled, "interrupted").Because(err)
	case ctx.Err() != nil:
		return fail.New(fail.Timeout, "%s did not answer in time", c.target.URL).Because(err)
	case errors.As(err, &unknown):
		return fail.New(fail.Unavailable, "the certificate of %s is signed by a CA that is not trusted here", c.target.URL).Because(err).
			Then("trust this cloud's CA: awan login %s, or set AWAN_CA to the file that `awan ca` prints where the cloud runs", c.target.URL)
	case errors.As(err, &host), errors.As(err, &invalid):
		return fail.New(fail.Unavailable, "the certificate of %s is not good: %v", c.target.URL, err).Because(err).
			Then("use the name or address that the cloud was started with")
	case errors.As(err, &record):
		return fail.New(fail.Unavailable, "what answers at %s does not speak TLS", c.target.URL).Because(err).Then("check the address and the port")
	case errors.As(err, &dns):
		return fail.New(fail.Unavailable, "the name %q is not known", dns.Name).Because(err).Then("check the address: awan login URL")
	case errors.As(err, &op) && op.Op == "dial":
		return fail.New(fail.Unavailable, "no cloud answers at %s", c.target.URL).Because(err).Then("start one with: awan up")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), strings.Contains(err.Error(), "connection reset"), errors.As(err, &op):
		return fail.New(fail.Unavailable, "the connection to %s broke off", c.target.URL).Because(err).Then("try again; is the cloud being restarted?")
	}
	return fail.New(fail.Unavailable, "the request to %s failed: %v", c.target.URL, plain(err)).Because(err)
}

// plain is the innermost reason: people need not read the chain.
func plain(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
