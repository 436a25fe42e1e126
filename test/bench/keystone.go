package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/awancloud/awan/internal/adminenv"
)

// keystone compares tokens with OpenStack's own identity service, from Debian, on the same machine in the same run:
// SQLite, Fernet tokens, memcached, two workers under uWSGI. It speaks clear text, we TLS.
func keystone(b *bench) {
	p := b.cloud()
	env, err := adminenv.Read(filepath.Join(p.Data, adminenv.File))
	if err != nil {
		b.Fatalf("%v", err)
	}
	c := p.HTTPClient(1)
	ours := subject{base: "https://" + p.Addr(), http: c}
	ours.logIn(b, env[adminenv.User], env[adminenv.Password], env[adminenv.Domain], env[adminenv.Project])
	peer, why := b.keystonePeer()
	if why != "" {
		b.Logf("bench: Keystone is not beside us: %s", why)
	} else {
		peer.logIn(b, "admin", "secret-word", "Default", "admin")
	}
	for _, m := range []struct {
		name    string
		request func(s *subject) []byte
	}{
		{"token validate, 32 clients", func(s *subject) []byte {
			return get("127.0.0.1", "/v3/auth/tokens", "X-Auth-Token", s.token, "X-Subject-Token", s.token)
		}},
		{"token re-scope, 32 clients", func(s *subject) []byte {
			body := fmt.Sprintf(`{"auth":{"identity":{"methods":["token"],"token":{"id":%q}},"scope":{"project":{"id":%q}}}}`, s.token, s.other)
			return send("POST", "127.0.0.1", "/v3/auth/tokens", []byte(body))
		}},
		{"list of projects, 32 clients", func(s *subject) []byte { return get("127.0.0.1", "/v3/projects", "X-Auth-Token", s.token) }},
	} {
		before := processTime(p.Pid())
		r := b.load(at(p, fixed(m.request(&ours))), 32, 0)
		cost := float64((processTime(p.Pid()) - before).Microseconds()) / float64(r.n)
		b.add(m.name+": server CPU", "µs", cost)
		row := b.add(m.name, "/s", r.rate)
		if why != "" {
			continue
		}
		other := b.load(target{strings.TrimPrefix(peer.base, "http://"), nil, fixed(m.request(peer))}, 32, 0)
		row.beside(other.rate, "(Keystone, 2 workers, memcached)")
		b.add(m.name+": times Keystone", "x", r.rate/other.rate).aim(">= 50")
	}
}

// subject is an identity service with somebody logged in.
type subject struct {
	base         string
	http         *http.Client
	token, other string // a token, and another project to have one for
}

func (s *subject) logIn(b *bench, user, password, domain, project string) {
	body := fmt.Sprintf(`{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":%q,"domain":{"name":%q},"password":%q}}},"scope":{"project":{"name":%q,"domain":{"name":%q}}}}}`,
		user, domain, password, project, domain)
	header, _ := s.post(b, "/v3/auth/tokens", body)
	s.token = header.Get("X-Subject-Token")
	for i := range 10 { // of a list that is as long on both sides
		_, answer := s.post(b, "/v3/projects", fmt.Sprintf(`{"project":{"name":"bench-%d"}}`, i))
		var v struct{ Project struct{ ID string } }
		if err := json.Unmarshal(answer, &v); err != nil || v.Project.ID == "" {
			b.Fatalf("a project of %s: %v %s", s.base, err, answer)
		}
		s.other = v.Project.ID
	}
	s.grant(b)
}

// grant gives the administrator its role in the other project, where that is not so by itself.
func (s *subject) grant(b *bench) {
	if !strings.HasPrefix(s.base, "http:") {
		return
	}
	var me struct {
		Token struct {
			User  struct{ ID string }
			Roles []struct{ ID string }
		}
	}
	req, _ := http.NewRequest("GET", s.base+"/v3/auth/tokens", nil)
	req.Header.Set("X-Auth-Token", s.token)
	req.Header.Set("X-Subject-Token", s.token)
	_, answer := s.do(b, req)
	if err := json.Unmarshal(answer, &me); err != nil || len(me.Token.Roles) == 0 {
		b.Fatalf("the token of %s: %v %s", s.base, err, answer)
	}
	req, _ = http.NewRequest("PUT", s.base+"/v3/projects/"+s.other+"/users/"+me.Token.User.ID+"/roles/"+me.Token.Roles[0].ID, nil)
	req.Header.Set("X-Auth-Token", s.token)
	s.do(b, req)
}

func (s *subject) post(b *bench, path, body string) (http.Header, []byte) {
	req, _ := http.NewRequest("POST", s.base+path, strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Auth-Token", s.token)
	if s.token == "" {
		req.Header.Del("X-Auth-Token")
	}
	return s.do(b, req)
}

func (s *subject) do(b *bench, req *http.Request) (http.Header, []byte) {
	resp, err := s.http.Do(req)
	if err != nil {
		b.Fatalf("%v", err)
	}
	answer, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || resp.StatusCode >= 300 {
		b.Fatalf("%s %s: %s %s %v", req.Method, req.URL, resp.Status, answer, err)
	}
	return resp.Header, answer
}

const keystoneConf = `[DEFAULT]
log_file=DIR/keystone.log
[database]
connection=sqlite:///DIR/keystone.db
[token]
provider=fernet
[fernet_tokens]
key_repository=DIR/fernet
[credential]
key_repository=DIR/credential
[cache]
enabled=true
backend=dogpile.cache.memcached
memcache_servers=127.0.0.1:CACHE
`

// keystonePeer starts Debian's Keystone in a folder of its own; why says what is missing.
func (b *bench) keystonePeer() (s *subject, why string) {
	for _, program := range []string{"keystone-manage", "keystone-wsgi-public", "uwsgi", "memcached"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, program + " is not installed (Debian: keystone, uwsgi, uwsgi-plugin-python3, memcached)"
		}
	}
	wsgi, _ := exec.LookPath("keystone-wsgi-public")
	dir, err := os.MkdirTemp(b.dir, "keystone-")
	if err != nil {
		b.Fatalf("%v", err)
	}
	cache, port := freePort(b), freePort(b)
	conf := strings.NewReplacer("DIR", dir, "CACHE", cache).Replace(keystoneConf)
	if err := os.WriteFile(filepath.Join(dir, "keystone.conf"), []byte(conf), 0o600); err != nil {
		b.Fatalf("%v", err)
	}
	for _, d := range []string{"fernet", "credential"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			b.Fatalf("%v", err)
		}
	}
	who, err := user.Current()
	if err != nil {
		b.Fatalf("%v", err)
	}
	base := "http://127.0.0.1:" + port
	for _, args := range [][]string{{"db_sync"}, {"fernet_setup", "--keystone-user", who.Username, "--keystone-group", who.Username},
		{"credential_setup", "--keystone-user", who.Username, "--keystone-group", who.Username},
		{"bootstrap", "--bootstrap-password", "secret-word", "--bootstrap-public-url", base + "/v3", "--bootstrap-region-id", "bench"}} {
		out, err := exec.Command("keystone-manage", append([]string{"--config-file", filepath.Join(dir, "keystone.conf")}, args...)...).CombinedOutput()
		if err != nil {
			return nil, fmt.Sprintf("keystone-manage %s: %v %.300s", args[0], err, bytes.TrimSpace(out))
		}
	}
	b.background(nil, "memcached", "-u", who.Username, "-l", "127.0.0.1", "-p", cache)
	b.background([]string{"OS_KEYSTONE_CONFIG_DIR=" + dir, "OS_KEYSTONE_CONFIG_FILES=keystone.conf"}, "uwsgi", "--plugin", "python3", "--plugin", "http",
		"--http11-socket", "127.0.0.1:"+port, "--wsgi-file", wsgi, "--processes", strconv.Itoa(2), "--master", "--die-on-term", "--listen", "100",
		"--logto", filepath.Join(dir, "uwsgi.log"))
	s = &subject{base: base, http: &http.Client{Timeout: time.Minute}}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if resp, err := s.http.Get(base + "/v3"); err == nil {
			_ = resp.Body.Close()
			return s, ""
		}
	}
	out, _ := os.ReadFile(filepath.Join(dir, "uwsgi.log"))
	return nil, fmt.Sprintf("it does not answer: %.300s", out)
}

// background runs a program until the section ends.
func (b *bench) background(env []string, name string, args ...string) {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		b.Fatalf("%s: %v", name, err)
	}
	b.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		_ = cmd.Wait()
	})
}

func freePort(b *bench) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatalf("%v", err)
	}
	defer func() { _ = l.Close() }()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}
