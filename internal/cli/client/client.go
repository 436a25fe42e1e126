// Package client speaks the native API for the command line: it finds the cloud, signs requests, and turns answers into
// documents or errors that people can act on. It may import kernel/{fail,duplex}, adminenv and dialect/huawei/sign.
package client

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/dialect/huawei/sign"
	"github.com/awancloud/awan/internal/kernel/duplex"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// Base is the path under which the native API lies.
const Base = "/awan/v1"

// Target is a cloud and a credential for it.
type Target struct {
	URL       string `json:"url"`
	CA        string `json:"ca,omitempty"` // PEM; empty: the system's CAs
	CAFile    string `json:"-"`            // where the PEM lies, if in a file
	Token     string `json:"token,omitempty"`
	User      string `json:"user,omitempty"`
	Password  string `json:"-"`
	Domain    string `json:"domain,omitempty"`
	Project   string `json:"project,omitempty"`
	AccessKey string `json:"access_key,omitempty"`
	SecretKey string `json:"secret_key,omitempty"`
	Origin    string `json:"-"` // where this was found, for messages
}

// Client sends requests to one cloud.
type Client struct {
	target Target
	agent  string
	http   *http.Client
	h1     *http.Client // for connections that become two-way streams

	// Code, where set, asks a person for the second factor's code, when the cloud wants it before it does something.
	Code func() (string, error)

	mu    sync.Mutex
	token string // of a log-in by password, made when first needed
}

// New makes a client; it connects with the first request.
func New(t Target, version string) (*Client, error) {
	u, err := url.Parse(t.URL)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return nil, fail.Field("url", "%q is not an address of a cloud", t.URL).Then("give it as https://HOST:PORT")
	}
	t.URL = u.Scheme + "://" + u.Host
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CA != "" {
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM([]byte(t.CA)) {
			return nil, fail.Field("ca", "holds no certificate").Then("it must be a PEM file, as `awan ca` prints it")
		}
	}
	transport := func() *http.Transport {
		return &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: conf.Clone(), TLSHandshakeTimeout: 10 * time.Second,
			IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true}
	}
	one := transport()
	one.ForceAttemptHTTP2, one.Protocols = false, new(http.Protocols)
	one.Protocols.SetHTTP1(true)
	return &Client{target: t, agent: "awan/" + version, http: &http.Client{Transport: transport()}, h1: &http.Client{Transport: one}, token: t.Token}, nil
}

// Target tells which cloud it speaks to.
func (c *Client) Target() Target { return c.target }

// Request is one request under Base.
type Request struct {
	Method, Path string
	Query        url.Values
	In           any       // sent as JSON
	Body         io.Reader // or these bytes, which the signature does not cover
	ContentType  string    // of Body
	Raw          io.Writer // Lines: what is no lines of JSON goes here as it is
	Header       http.Header
	Public       bool // sent without a credential
}

func (c *Client) send(ctx context.Context, client *http.Client, q Request) (*http.Response, error) {
	u := c.target.URL + Base + q.Path
	if len(q.Query) > 0 {
		u += "?" + q.Query.Encode()
	}
	body, contentType := q.Body, q.ContentType
	if q.In != nil {
		b, err := json.Marshal(q.In)
		if err != nil {
			return nil, fail.Wrap(err, fail.Internal, "the request cannot be written")
		}
		body, contentType = bytes.NewReader(b), "application/json"
	}
	r, err := http.NewRequestWithContext(ctx, q.Method, u, body)
	if err != nil {
		return nil, fail.Wrap(err, fail.Internal, "the request cannot be made")
	}
	for k, v := range q.Header {
		r.Header[k] = v
	}
	r.Header.Set("User-Agent", c.agent)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	if q.Body != nil {
		r.GetBody = nil // an upload is not read twice: it goes as UNSIGNED-PAYLOAD
	}
	if !q.Public {
		if err := c.authorize(ctx, r); err != nil {
			return nil, err
		}
	}
	resp, err := client.Do(r)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if resp.StatusCode >= 300 || resp.StatusCode < 200 && resp.StatusCode != http.StatusSwitchingProtocols {
		defer resp.Body.Close()
		return nil, failed(resp)
	}
	return resp, nil
}

// authorize adds the credential: a token, a signature, or a token from a log-in by password.
func (c *Client) authorize(ctx context.Context, r *http.Request) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.target
	switch {
	case c.token != "":
	case t.AccessKey != "" && t.SecretKey != "":
		return sign.Sign(r, t.AccessKey, t.SecretKey, time.Now())
	case t.User != "" && t.Password != "":
		token, _, err := c.LogIn(ctx, t)
		if err != nil {
			return err
		}
		c.token = token
	default:
		return fail.New(fail.Unauthenticated, "you are not logged in to %s", t.URL).Then("awan login %s", t.URL)
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	return nil
}

// LogIn gets a token by password, for the whole domain, so that --project may name any of it; the second result is the
// answer's document.
func (c *Client) LogIn(ctx context.Context, t Target) (string, json.RawMessage, error) {
	return c.LogInWithCode(ctx, t, "")
}

// LogInWithCode is LogIn with the code of a second factor.
func (c *Client) LogInWithCode(ctx context.Context, t Target, code string) (string, json.RawMessage, error) {
	var out json.RawMessage
	in := map[string]string{"domain": t.Domain, "user": t.User, "password": t.Password}
	if code != "" {
		in["code"] = code
	}
	err := c.Do(ctx, Request{Method: "POST", Path: "/login", Public: true, In: in}, &out)
	if err != nil {
		return "", nil, err
	}
	var s struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal(out, &s); err != nil || s.Token == "" {
		return "", nil, fail.New(fail.Internal, "the log-in answered no token")
	}
	return s.Token, out, nil
}

// callTime bounds a request that should answer at once; followers and streams bring their own deadline.
const callTime = 2 * time.Minute

// Do sends a request and reads its JSON answer into out (a *json.RawMessage gets it as it came).
func (c *Client) Do(ctx context.Context, q Request, out any) error {
	if q.Body == nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, callTime)
		defer cancel()
	}
	resp, err := c.send(ctx, c.http, q)
	if e := fail.From(err); err != nil && e.Field == unconfirmed && c.Code != nil && q.Body == nil {
		if verr := c.confirm(ctx); verr != nil {
			return verr
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTime) // typing took of the first one's
		defer cancel()
		resp, err = c.send(ctx, c.http, q)
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return c.unreachable(ctx, err)
	}
	if out == nil || len(bytes.TrimSpace(b)) == 0 {
		return nil
	}
	if raw, ok := out.(*json.RawMessage); ok {
		*raw = bytes.TrimSpace(b)
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fail.Wrap(err, fail.Internal, "the answer of %s cannot be read", c.target.URL).Then("is this awan as new as the cloud? see: awan version")
	}
	return nil
}

// unconfirmed is the field that a refusal names which the second factor's code turns.
const unconfirmed = "second_factor"

// confirm asks for the code and tells the cloud.
func (c *Client) confirm(ctx context.Context) error {
	code, err := c.Code()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTime)
	defer cancel()
	return c.Verify(ctx, code)
}

// Verify tells the cloud the second factor's code, for the critical operations of the next minutes.
func (c *Client) Verify(ctx context.Context, code string) error {
	return c.Do(ctx, Request{Method: "POST", Path: "/me/verify", In: map[string]string{"code": code}}, nil)
}

// Lines sends a request whose answer is lines of JSON and calls each for every one. The slice is valid during the call.
func (c *Client) Lines(ctx context.Context, q Request, each func(line []byte) error) error {
	resp, err := c.send(ctx, c.http, q)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch ct := resp.Header.Get("Content-Type"); {
	case strings.HasPrefix(ct, "application/x-ndjson"), strings.HasPrefix(ct, "application/json"):
	case q.Raw != nil: // bytes of another type, as they are
		_, err := io.Copy(q.Raw, &reading{resp.Body, func(err error) error { return c.unreachable(ctx, err) }})
		return err
	default:
		return c.copyLines(ctx, resp.Body, each)
	}
	sc := bufio.NewScanner(resp.Body)
	sc.Buffer(make([]byte, 64<<10), 16<<20)
	for sc.Scan() {
		b := bytes.TrimSpace(sc.Bytes())
		if len(b) == 0 {
			continue
		}
		if err := answered(b, resp.Header.Get("X-Request-Id")); err != nil {
			return err
		}
		if err := each(b); err != nil {
			return err
		}
	}
	if err := sc.Err(); err != nil {
		return c.unreachable(ctx, err)
	}
	return nil
}

// reading tells errors of the connection from those of where the bytes go.
type reading struct {
	io.Reader
	failed func(error) error
}

func (r *reading) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	if err != nil && err != io.EOF {
		err = r.failed(err)
	}
	return n, err
}

// copyLines hands over a stream of another type (text) as it is, line by line.
func (c *Client) copyLines(ctx context.Context, r io.Reader, each func([]byte) error) error {
	br := bufio.NewReader(r)
	for {
		b, err := br.ReadBytes('\n')
		if len(b) > 0 {
			if e := each(bytes.TrimRight(b, "\n")); e != nil {
				return e
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return c.unreachable(ctx, err)
		}
	}
}

// Duplex opens a two-way stream.
func (c *Client) Duplex(ctx context.Context, q Request) (*duplex.Conn, error) {
	q.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"awan-duplex"}}
	resp, err := c.send(ctx, c.h1, q)
	if err != nil {
		return nil, err
	}
	rw, ok := resp.Body.(io.ReadWriteCloser)
	if !ok || resp.StatusCode != http.StatusSwitchingProtocols {
		resp.Body.Close()
		return nil, fail.New(fail.Unsupported, "%s does not open a two-way stream", c.target.URL).Then("a proxy between may be in the way")
	}
	return duplex.NewConn(rw), nil
}

// Raw sends a request and gives its answer's bytes as they come; close them.
func (c *Client) Raw(ctx context.Context, q Request) (io.ReadCloser, error) {
	resp, err := c.send(ctx, c.http, q)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}
