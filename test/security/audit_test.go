package security_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/dialect/huawei/sign"
)

// entry is an audit entry as an auditor reads it.
type entry struct {
	At       time.Time
	Actor    string
	Source   string
	Dialect  string
	Action   string
	Outcome  string
	Reason   string
	Name     string
	Resource string
}

// proveS11 makes every kind of remote access that the API has, in every dialect, and looks for its trace.
func proveS11(t *testing.T) {
	w := boot(t, t.TempDir())
	root := w.root()
	account := w.admin["AWAN_DOMAIN"]
	w.make(root, "/domains/-/identity/users", "alice", `{"password":"correct-horse"}`)

	keystone := func(password string) answer {
		return w.ask("POST", "/identity/v3/auth/tokens", `{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"alice","domain":{"name":"`+
			account+`"},"password":"`+password+`"}}}}}`)
	}
	iam := func(password string) answer {
		return w.ask("POST", "/iam/v3/auth/tokens", `{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"alice","domain":{"name":"`+
			account+`"},"password":"`+password+`"}}}}}`)
	}
	native := func(password string) answer {
		return w.ask("POST", "/awan/v1/login", `{"domain":"`+account+`","user":"alice","password":"`+password+`"}`)
	}
	token := func(a answer) string {
		if s := a.header.Get("X-Subject-Token"); s != "" {
			return s
		}
		var s struct{ Token string }
		_ = json.Unmarshal([]byte(a.body), &s) // a wrong answer fails the step that uses it
		return s.Token
	}
	const logIn, logOut, list, create = "identity:token:create", "identity:token:delete", "identity:user:list", "identity:group:create"

	for _, c := range []struct {
		what string
		do   func() answer
		want int
		seen entry
	}{
		{"a log-in", func() answer { return native("correct-horse") }, 201, entry{Dialect: "native", Action: logIn, Outcome: "succeeded", Actor: "user alice"}},
		{"a log-in", func() answer { return keystone("correct-horse") }, 201, entry{Dialect: "openstack", Action: logIn, Outcome: "succeeded", Actor: "user alice"}},
		{"a log-in", func() answer { return iam("correct-horse") }, 201, entry{Dialect: "huawei", Action: logIn, Outcome: "succeeded", Actor: "user alice"}},
		{"a wrong password", func() answer { return native("guess") }, 401, entry{Dialect: "native", Action: logIn, Outcome: "failed", Actor: "user alice"}},
		{"a wrong password", func() answer { return keystone("guess") }, 401, entry{Dialect: "openstack", Action: logIn, Outcome: "failed", Actor: "user alice"}},
		{"a wrong password", func() answer { return iam("guess") }, 401, entry{Dialect: "huawei", Action: logIn, Outcome: "failed", Actor: "user alice"}},
		{"a denied call", func() answer {
			return w.ask("GET", "/awan/v1/domains/-/identity/users", "", "X-Auth-Token", token(native("correct-horse")))
		}, 403, entry{Dialect: "native", Action: list, Outcome: "denied", Actor: "user alice"}},
		{"a denied call", func() answer {
			return w.ask("GET", "/identity/v3/users", "", "X-Auth-Token", token(keystone("correct-horse")))
		}, 403, entry{Dialect: "openstack", Action: list, Outcome: "denied", Actor: "user alice"}},
		{"a denied call", func() answer {
			return w.ask("GET", "/iam/v3/users", "", "X-Auth-Token", token(iam("correct-horse")))
		}, 403, entry{Dialect: "huawei", Action: list, Outcome: "denied", Actor: "user alice"}},
		{"a change", func() answer {
			return w.ask("POST", "/awan/v1/domains/-/identity/groups", `{"name":"one"}`, "X-Auth-Token", root)
		}, 201, entry{Dialect: "native", Action: create, Outcome: "succeeded", Actor: "user admin", Name: "one"}},
		{"a change", func() answer {
			return w.ask("POST", "/identity/v3/groups", `{"group":{"name":"two"}}`, "X-Auth-Token", root)
		}, 201, entry{Dialect: "openstack", Action: create, Outcome: "succeeded", Actor: "user admin", Name: "two"}},
		{"a signed change", func() answer { return w.signed("POST", "/iam/v3/groups", `{"group":{"name":"three"}}`) }, 201,
			entry{Dialect: "huawei", Action: create, Outcome: "succeeded", Actor: "user admin (key " + w.admin["AWAN_ACCESS_KEY"] + ")", Name: "three"}},
		{"a log-out", func() answer {
			return w.ask("POST", "/awan/v1/logout", "", "X-Auth-Token", token(native("correct-horse")))
		}, 204, entry{Dialect: "native", Action: logOut, Outcome: "succeeded", Actor: "user alice"}},
		{"a log-out", func() answer {
			s := token(keystone("correct-horse"))
			return w.ask("DELETE", "/identity/v3/auth/tokens", "", "X-Auth-Token", s, "X-Subject-Token", s)
		}, 204, entry{Dialect: "openstack", Action: logOut, Outcome: "succeeded", Actor: "user alice"}},
		{"a denied log-out of another", func() answer {
			return w.ask("DELETE", "/identity/v3/auth/tokens", "", "X-Auth-Token", token(keystone("correct-horse")), "X-Subject-Token", root)
		}, 403, entry{Dialect: "openstack", Action: "identity:user:update", Outcome: "denied", Actor: "user alice"}},
		{"a wrong old password", func() answer {
			s := keystone("correct-horse")
			var v struct {
				Token struct{ User struct{ ID string } }
			}
			_ = json.Unmarshal([]byte(s.body), &v)
			return w.ask("POST", "/identity/v3/users/"+v.Token.User.ID+"/password", `{"user":{"original_password":"guess","password":"staple-battery"}}`, "X-Auth-Token", token(s))
		}, 401, entry{Dialect: "openstack", Action: "identity:user:update", Outcome: "failed", Actor: "user alice"}},
	} {
		before := time.Now().Add(-time.Second)
		got := c.do()
		if got.status != c.want {
			t.Errorf("%s (%s): %d, want %d: %s", c.what, c.seen.Dialect, got.status, c.want, got.body)
			continue
		}
		if !w.trace(root, c.seen, before, 5*time.Second) {
			t.Errorf("%s (%s) left no trace like %+v within 5 s", c.what, c.seen.Dialect, c.seen)
		}
	}
	w.timeBoxed(t, token(keystone("correct-horse")))
	if strings.Contains(w.audit(root), "correct-horse") || strings.Contains(w.audit(root), "guess") {
		t.Error("the audit log holds a password")
	}
}

// trace looks for an entry that has what want says, until the time is over.
func (w *whole) trace(token string, want entry, after time.Time, within time.Duration) bool {
	w.t.Helper()
	deadline := time.Now().Add(within)
	for {
		var page struct{ Items []entry }
		if err := json.Unmarshal([]byte(w.audit(token)), &page); err != nil {
			w.t.Fatal(err)
		}
		for _, e := range page.Items {
			if e.At.After(after) && e.Dialect == want.Dialect && e.Action == want.Action && e.Outcome == want.Outcome && e.Actor == want.Actor &&
				(want.Name == "" || e.Name == want.Name) && e.Source == "127.0.0.1" {
				return true
			}
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

func (w *whole) audit(token string) string {
	w.t.Helper()
	a := w.ask("GET", "/awan/v1/domains/-/audit?limit=100", "", "X-Auth-Token", token)
	if a.status != http.StatusOK {
		w.t.Fatalf("the audit log: %d %s", a.status, a.body)
	}
	return a.body
}

// signed sends a request signed with the administrator's key.
func (w *whole) signed(method, path, body string) answer {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.URL()+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader([]byte(body))), nil }
	if err := sign.Sign(r, w.admin["AWAN_ACCESS_KEY"], w.admin["AWAN_SECRET_KEY"], time.Now()); err != nil {
		w.t.Fatal(err)
	}
	return w.send(r)
}

// timeBoxed: a session ends within a day by itself.
func (w *whole) timeBoxed(t *testing.T, token string) {
	a := w.ask("GET", "/identity/v3/auth/tokens", "", "X-Auth-Token", token, "X-Subject-Token", token)
	var v struct {
		Token struct {
			Expires time.Time `json:"expires_at"`
		}
	}
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatal(err)
	}
	if left := time.Until(v.Token.Expires); left <= 0 || left > 24*time.Hour {
		t.Errorf("the session ends at %s", v.Token.Expires)
	}
}
