// Package servicestage_test drives a whole cloud on simulated engines through Huawei Cloud's ServiceStage API: by plain
// HTTP, and with Huawei Cloud's Terraform provider, unmodified.
package servicestage_test

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/adminenv"
	"github.com/awancloud/awan/internal/cloud"
	"github.com/awancloud/awan/internal/engine/workload/sim"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/build"
)

// images builds every upload to the same image and finds every image.
type images struct{}

func (images) Build(_ context.Context, r build.Request, _ build.Progress) (build.Output, error) {
	return build.Output{Result: build.Result{Image: r.Project + "/" + r.Name + "@sha256:" + strings.Repeat("1", 64)}, Stack: cmp.Or(r.Stack, "static")}, nil
}

func (images) Resolve(_ context.Context, _ id.ID, image string) (string, error) {
	name, _, _ := strings.Cut(image, "@")
	return name + "@sha256:" + strings.Repeat("0", 64), nil
}

type stage struct {
	*cloud.Cloud
	t       *testing.T
	http    *http.Client
	dir     string
	admin   map[string]string
	token   string
	project string
}

func open(t *testing.T) *stage {
	t.Helper()
	return openWith(t, func(*cloud.Options) {})
}

func openWith(t *testing.T, edit func(*cloud.Options)) *stage {
	t.Helper()
	dir := t.TempDir()
	o := cloud.Options{PasswordOnAPIs: true, Data: dir, Listen: "127.0.0.1:0", Domain: cloud.DefaultDomain, Region: cloud.DefaultRegion,
		Account: cloud.DefaultAccount, Version: "test", Log: slog.New(slog.DiscardHandler), Engines: func(context.Context, *cloud.Cloud) (cloud.Engines, error) {
			e := sim.New(sim.Options{})
			return cloud.Engines{Workload: e, Builder: images{}, Close: e.Close}, nil
		}}
	edit(&o)
	c, err := cloud.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &stage{Cloud: c, t: t, dir: dir}
	if s.admin, err = adminenv.Read(filepath.Join(dir, adminenv.File)); err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.CA.Pool()}}
	t.Cleanup(tr.CloseIdleConnections)
	s.http = &http.Client{Transport: tr, Timeout: time.Minute}
	in := s.ask("POST", "/awan/v1/login", object{"domain": s.admin[adminenv.Domain], "user": s.admin[adminenv.User], "password": s.admin[adminenv.Password],
		"project": s.admin[adminenv.Project]}, 201)
	s.token = in["token"].(string)
	s.project = s.ask("GET", "/awan/v1/whoami", nil, 200)["project_id"].(string)
	return s
}

// ca writes the cloud's authority to a file, for programs.
func (s *stage) ca() string {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, s.CA.Certificate(), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return file
}

type (
	object = map[string]any
	list   = []any
)

// ask sends a request and checks the status of the answer.
func (s *stage) ask(method, path string, in any, want int) object {
	s.t.Helper()
	var body io.Reader
	if text, ok := in.(string); ok {
		body = strings.NewReader(text)
	} else if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			s.t.Fatal(err)
		}
		body = strings.NewReader(string(b))
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.URL()+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	if s.token != "" {
		r.Header.Set("X-Auth-Token", s.token)
	}
	res, err := s.http.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if res.StatusCode != want {
		s.t.Fatalf("%s %s: %d, want %d: %s", method, path, res.StatusCode, want, text)
	}
	out := object{}
	if len(text) > 0 && text[0] == '[' {
		text = append(append([]byte(`{"items":`), text...), '}')
	}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &out); err != nil {
			s.t.Fatalf("%s %s: %v in %s", method, path, err, text)
		}
	}
	return out
}

// list reads a bare list.
func (s *stage) list(path string) list {
	s.t.Helper()
	return s.ask("GET", path, nil, 200)["items"].(list)
}

// cas sends a request to ServiceStage.
func (s *stage) cas(method, path string, in any) object {
	s.t.Helper()
	want := 200
	if strings.HasSuffix(path, "!") {
		path, want = strings.TrimSuffix(path, "!"), 204
	}
	return s.ask(method, "/v3/"+s.project+"/cas/"+path, in, want)
}

// refused sends one that must be refused, with ServiceStage's code and a message that says all of these words.
func (s *stage) refused(method, path string, in any, status int, words ...string) {
	s.t.Helper()
	e := s.ask(method, "/v3/"+s.project+"/cas/"+path, in, status)
	message, _ := e["error_msg"].(string)
	if e["error_code"] != "SVCSTG.00100"+itoa(status) || e["request_id"] == "" {
		s.t.Errorf("%s %s: %v", method, path, e)
	}
	for _, w := range words {
		if !strings.Contains(message, w) {
			s.t.Errorf("%s %s: %q does not say %q", method, path, message, w)
		}
	}
}

// finish waits for the job that an answer names.
func (s *stage) finish(answer object, status string) {
	s.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		job := s.cas("GET", "jobs/"+answer["job_id"].(string), nil)["job"].(object)
		if is := job["execution_status"]; is != "RUNNING" {
			if is != status {
				s.t.Fatalf("job: %v, want %s", job, status)
			}
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("job still runs: %v", job)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// has checks fields of an object; want is pairs of names and values as JSON has them.
func (s *stage) has(is object, want ...any) {
	s.t.Helper()
	for i := 0; i < len(want); i += 2 {
		got, err := json.Marshal(is[want[i].(string)])
		if err != nil {
			s.t.Fatal(err)
		}
		expected, err := json.Marshal(want[i+1])
		if err != nil {
			s.t.Fatal(err)
		}
		if string(got) != string(expected) {
			s.t.Errorf("%s is %s, want %s", want[i], got, expected)
		}
	}
}

// spec reads a row's spec from the native API.
func (s *stage) spec(path string) object {
	s.t.Helper()
	return s.ask("GET", path, nil, 200)["resource"].(object)["spec"].(object)
}

// until waits for what must come to be.
func (s *stage) until(what string, holds func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("no %s", what)
		}
	}
}
