package iam

import (
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// TestErrors: every kind of failure has a status and a code, in the form of the path.
func TestErrors(t *testing.T) {
	table := answers()
	for _, k := range fail.Kinds() {
		if a := table[k]; a.status < 400 || a.code == "" {
			t.Errorf("%s has no answer", k)
		}
	}
	for path, both := range map[string]bool{"/v3/users": true, "/v3": true, "/v3.0/OS-USER/users": false, "/v3-ext/projects/x": false, "/v1.0/enterprise-projects": false} {
		w := httptest.NewRecorder()
		Fail(w, httptest.NewRequest("GET", path, nil), fail.Wrap(errors.New("the cause"), fail.NotFound, "there is no such thing"))
		var v struct {
			Code  string `json:"error_code"`
			Msg   string `json:"error_msg"`
			Error *struct {
				Code    int
				Message string
			}
		}
		if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		if w.Code != 404 || v.Code != "IAM.0004" || v.Msg != "there is no such thing" || (v.Error != nil) != both {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	w := httptest.NewRecorder()
	Fail(w, httptest.NewRequest("GET", "/v3/users", nil), errors.New("a defect"))
	if w.Code != 500 || !json.Valid(w.Body.Bytes()) || strings.Contains(w.Body.String(), "a defect") {
		t.Errorf("a defect: %d %s", w.Code, w.Body)
	}
}

// TestOurs: by path alone, Huawei's clients are told from OpenStack's.
func TestOurs(t *testing.T) {
	for _, c := range []struct {
		header, value string
		ours          bool
	}{
		{"User-Agent", "python-keystoneclient", false},
		{"User-Agent", "huaweicloud-usdk-go/3.0", true},
		{"User-Agent", "terraform-provider-huaweicloud/1.70", true},
		{"Authorization", "SDK-HMAC-SHA256 Access=AK, SignedHeaders=x, Signature=y", true},
		{"Authorization", "Bearer t", false},
		{"X-Domain-Id", "d", true},
	} {
		r := httptest.NewRequest("GET", "/v3/projects", nil)
		r.Header.Set(c.header, c.value)
		if Ours(r) != c.ours {
			t.Errorf("%s: %s: ours %v", c.header, c.value, !c.ours)
		}
	}
}
