package cloudtest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/awancloud/awan/internal/adminenv"
)

// Client talks to a cloud's own API.
type Client struct {
	URL     string // https://HOST:PORT
	Token   string
	Project string // id
	HTTP    *http.Client
	T       T
	login   [3]string // domain, user, password
}

// Components is the collection of the client's project.
func (c *Client) Components() string { return "/projects/" + c.Project + "/app/components" }

// HTTPClient trusts the cloud's CA and keeps up to n connections open.
func (p *Process) HTTPClient(n int) *http.Client {
	pool := x509.NewCertPool()
	b, err := os.ReadFile(filepath.Join(p.Data, "ca.pem"))
	if err != nil || !pool.AppendCertsFromPEM(b) {
		p.t.Fatalf("the cloud's CA: %v", err)
	}
	tr := &http.Transport{Proxy: nil, TLSClientConfig: &tls.Config{RootCAs: pool}, MaxIdleConnsPerHost: n, MaxConnsPerHost: n}
	p.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 5 * time.Minute}
}

// Admin logs in as the first administrator.
func (p *Process) Admin() *Client {
	p.t.Helper()
	env, err := adminenv.Read(filepath.Join(p.Data, adminenv.File))
	if err != nil {
		p.t.Fatalf("%v", err)
	}
	c := &Client{URL: "https://" + p.addr, HTTP: p.HTTPClient(64), T: p.t}
	if p.Before != nil {
		c.HTTP = p.Inside(c.HTTP)
	}
	return c.LogIn(env[adminenv.Domain], env[adminenv.User], env[adminenv.Password], env[adminenv.Project])
}

// LogIn gives a client with a token for a project.
func (c *Client) LogIn(domain, user, password, project string) *Client {
	c.T.Helper()
	var s struct {
		Token string
		Who   struct {
			ProjectID string `json:"project_id"`
		}
	}
	c.Do("POST", "/login", map[string]any{"domain": domain, "user": user, "password": password, "project": project}, &s)
	out := *c
	out.Token, out.Project, out.login = s.Token, s.Who.ProjectID, [3]string{domain, user, password}
	return &out
}

// In gives a client of the same user that is logged in to another project.
func (c *Client) In(project string) *Client {
	c.T.Helper()
	return c.LogIn(c.login[0], c.login[1], c.login[2], project)
}

// Refused is an answer that says no.
type Refused struct {
	Status int
	Body   string
}

func (e *Refused) Error() string { return fmt.Sprintf("%d %s", e.Status, e.Body) }

// Try sends a request and gives its id; err is *Refused when an answer came that says no.
func (c *Client) Try(ctx context.Context, method, path string, in, out any) (request string, err error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return "", err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.URL+"/awan/v1"+path, body)
	if err != nil {
		return "", err
	}
	req.Header.Set("X-Auth-Token", c.Token)
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	request = resp.Header.Get("X-Request-Id")
	switch {
	case err != nil:
		return request, err
	case resp.StatusCode >= 300:
		return request, &Refused{resp.StatusCode, string(b)}
	case out == nil:
		return request, nil
	}
	return request, json.Unmarshal(b, out)
}

// Do sends a request that must succeed.
func (c *Client) Do(method, path string, in, out any) {
	c.T.Helper()
	if _, err := c.Try(context.Background(), method, path, in, out); err != nil {
		c.T.Fatalf("%s %s: %v", method, path, err)
	}
}

// Component is an app as the API shows it.
type Component struct {
	ID, Name, State, Reason string
	Spec                    struct {
		Replicas, CPU, Memory int64
		Stopped               bool
		Source                struct{ Image string }
	}
	Status struct {
		URL, Address string
		Ready        int
		Release      int
		Instances    []struct {
			ID, Phase, Address string
			Restarts           int
		}
	}
}

// Job is an operation.
type Job struct {
	ID, State string
	Error     *struct{ Message string }
}

// Done tells whether it ended.
func (j Job) Done() bool { return j.State == "succeeded" || j.State == "failed" }

// Finish sends a call that starts a job and waits for its end.
func (c *Client) Finish(method, path string, in any) Job {
	c.T.Helper()
	var r struct{ Job *Job }
	c.Do(method, path, in, &r)
	if r.Job == nil {
		return Job{State: "succeeded"}
	}
	j, err := c.WaitJob(context.Background(), r.Job.ID)
	if err != nil {
		c.T.Fatalf("job %s: %v", r.Job.ID, err)
	}
	return j
}

// Must is Finish of a job that must succeed.
func (c *Client) Must(method, path string, in any) {
	c.T.Helper()
	if j := c.Finish(method, path, in); j.State != "succeeded" {
		c.T.Fatalf("%s %s: %+v %v", method, path, j, j.Error)
	}
}

// WaitJob waits until a job ended.
func (c *Client) WaitJob(ctx context.Context, id string) (j Job, err error) {
	for range 20 {
		if _, err = c.Try(ctx, "GET", "/jobs/"+id+"?wait=30s", nil, &j); err != nil || j.Done() {
			return j, err
		}
	}
	return j, errors.New("it does not end")
}

// Component reads an app.
func (c *Client) Component(name string) (out Component) {
	c.T.Helper()
	var r struct{ Resource Component }
	c.Do("GET", c.Components()+"/"+name, nil, &r)
	return r.Resource
}

// List reads every app of the project.
func (c *Client) List() []Component {
	c.T.Helper()
	var r struct{ Items []Component }
	c.Do("GET", c.Components()+"?limit=1000", nil, &r)
	return r.Items
}

// Get asks an app.
func (c *Client) Get(url string) (int, string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err.Error()
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(drain(resp.Body))
}

// LogInAs gives a client that uses somebody's token, if the cloud takes it.
func (c *Client) LogInAs(token string) (*Client, error) {
	out := *c
	out.Token = token
	_, err := out.Try(context.Background(), "GET", "/whoami", nil, nil)
	return &out, err
}
