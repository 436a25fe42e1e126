package cloud

import (
	"crypto/subtle"
	"net/http"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/dialect/auth"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// repositories gives the registry's actions their names in policies and the audit log.
var repositories = kind.Kind[ident.None, ident.None]{Service: "registry", Name: "repository", Plural: "repositories", Scope: kind.InProject, ReadOnly: true,
	Doc: "Images of a project."}.Def()

// authorizeImages decides on a request to the registry from outside. Repositories are {project}/{name}; library/{name}
// is for all to read.
func (c *Cloud) authorizeImages(r *http.Request, repository string, actions []string) error {
	p, err := c.imageUser(r)
	if err != nil {
		return err
	}
	if p.Nobody() {
		return fail.New(fail.Unauthenticated, "the registry needs a log-in").Then("use an access key and its secret, or the word token and a token")
	}
	if repository == "" {
		return nil
	}
	project, name, _ := strings.Cut(repository, "/")
	write := slices.ContainsFunc(actions, func(a string) bool { return a != "pull" })
	if project == "library" && !write {
		return nil
	}
	verb := "pull"
	if write {
		verb = "push"
	}
	cl := &call.Call{Principal: p, Project: project, Source: auth.Source(r), Agent: r.UserAgent(), Dialect: "oci", RequestID: r.Header.Get("X-Request-Id")}
	_, id, err := c.Door.Permit(r.Context(), cl, repositories, verb, name)
	if err == nil && string(id) != project {
		return fail.New(fail.NotFound, "there is no repository %s", repository).Then("write the project's id, %s, not its name", id)
	}
	return err
}

// imageUser reads Basic credentials: access key and secret, "token" and a token, or user name and password; or a Bearer
// token.
func (c *Cloud) imageUser(r *http.Request) (ident.Principal, error) {
	user, password, ok := r.BasicAuth()
	if !ok {
		a := &auth.Authenticator{Ident: c.Ident, Now: c.Door.Now}
		return a.Principal(r)
	}
	if user == "token" {
		p, _, err := c.Ident.ByToken(r.Context(), password)
		return p, err
	}
	p, secretKey, err := c.Ident.ByKey(r.Context(), user)
	if err == nil {
		if subtle.ConstantTimeCompare([]byte(secretKey), []byte(password)) != 1 {
			return ident.Principal{}, fail.New(fail.Unauthenticated, "the secret of access key %s is wrong", user)
		}
		return p, nil
	}
	domain, name, two := strings.Cut(user, "/")
	if !two {
		domain, name = c.Account, user
	}
	return c.Ident.ByPassword(r.Context(), domain, name, password, auth.Source(r))
}
