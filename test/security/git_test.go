package security_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/awancloud/awan/internal/dialect/git"
)

// coverGit: nobody but those who may read and push a component's repository, with what git itself sends.
func (v *town) coverGit(t *testing.T) {
	v.t = t
	basic := func(user, password string) []string {
		return []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))}
	}
	for _, r := range git.Routes() {
		path := strings.NewReplacer("{project}", v.project, "{component}", "web").Replace(r.Path)
		try := func(person string, header []string, want int) {
			t.Helper()
			if got := v.ask(r.Method, path, "", header...); got.status != want {
				t.Errorf("%s %s as %s: %d, want %d\n  %s", r.Method, path, person, got.status, want, got.body)
			}
		}
		try(nobody, nil, 401)
		try("a guesser", basic("x", "awdt-0000"), 401)
		try("a guesser", []string{"Authorization", "Bearer awdt-0000"}, 401)
		try("a guesser", []string{"X-Gitlab-Token", "awdt-0000", "X-Gitlab-Event", "Push Hook"}, 401)
		if r.Verb == "" {
			continue
		}
		try(fresh, basic("token", v.token[fresh]), 403)
		try(mallory, basic("token", v.token[mallory]), 404)
		try(mallory, basic("elsewhere/"+mallory, "correct-horse"), 404)
		if r.Verb == git.Push {
			try(reader, basic("token", v.token[reader]), 403)
		}
	}
}
