package cloud

import (
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/dialect/auth"
	"github.com/awancloud/awan/internal/dialect/huawei/swr"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/registry"
)

// authorizeImages decides on a request to the registry from outside. Repositories are {project}/{name} or
// {organisation}/{name}; library/{name} is for all to read. What being a member, a share or a public repository gives
// is looked at first, then the policies.
func (c *Cloud) authorizeImages(r *http.Request, repository string, actions []string) (ident.Principal, error) {
	p, err := c.imageUser(r)
	if err != nil {
		return p, err
	}
	if p.Nobody() {
		return p, fail.New(fail.Unauthenticated, "the registry needs a log-in").Then("use an access key and its secret, or the word token and a token")
	}
	verb := registry.Pull
	for _, a := range actions {
		if a != registry.Pull {
			verb = a
		}
	}
	ns, _, _ := strings.Cut(repository, "/")
	if repository == "" && verb != registry.List || ns == registry.Shared && verb == registry.Pull {
		return p, nil
	}
	var place *registry.Place
	err = c.Store.View(r.Context(), func(tx store.Tx) (err error) {
		if verb == registry.List {
			return c.Ident.MarkCloud(tx, &p)
		}
		place, err = c.Images.Place(tx, repository)
		return err
	})
	if err != nil {
		return p, err
	}
	if verb == registry.List {
		if !p.Cloud() {
			return p, fail.New(fail.Denied, "only an operator of the cloud lists all repositories").Then("awan repository list lists those of your project")
		}
		return p, nil
	}
	if place != nil && place.Granted(p, verb, c.Door.Now()) {
		return p, nil
	}
	cl := &call.Call{Principal: p, Project: ns, Source: auth.Source(r), Agent: r.UserAgent(), Dialect: "oci", RequestID: r.Header.Get("X-Request-Id")}
	path := strings.TrimPrefix(repository, ns+"/")
	if place != nil {
		cl.Project, path = string(place.Project), place.Name
	}
	// To push is to delete what a tag named before; deleting for good is asked for by its own name.
	_, id, err := c.Door.Permit(r.Context(), cl, c.Images.Repository.D, verb, path)
	if err == nil && place == nil {
		return p, fail.New(fail.NotFound, "there is no repository %s", repository).Then("write the project's id, %s, or an organisation's name", id)
	}
	if fail.Is(err, fail.NotFound) {
		err = fail.New(fail.NotFound, "there is no repository %s that you may use", repository).Then("an image's name begins with a project's id or an organisation's name")
	}
	return p, err
}

// imageUser reads Basic credentials: access key and secret, "token" and a token, or user name and password; or a Bearer
// token.
// A log-in that lacks something, or that is confined to other requests, is refused: here nothing can be made up for.
func (c *Cloud) imageUser(r *http.Request) (ident.Principal, error) {
	p, err := c.basicUser(r)
	if err == nil && p.Restricted != "" {
		return ident.Principal{}, ident.Unfinished(p)
	}
	return p, err
}

func (c *Cloud) basicUser(r *http.Request) (ident.Principal, error) {
	user, password, ok := r.BasicAuth()
	if !ok {
		a := &auth.Authenticator{Ident: c.Ident, Now: c.Door.Now}
		return a.Principal(r)
	}
	user = strings.TrimPrefix(user, c.Region+"@") // as log-ins to SWR are written
	if user == "token" {
		p, _, err := c.Ident.ByToken(r.Context(), password)
		return p, err
	}
	p, secretKey, err := c.Ident.ByKey(r.Context(), user)
	if err == nil {
		if !equal(secretKey, password) && !equal(swr.LongTermPassword(user, secretKey), password) {
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

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// imageToken answers docker's request for a token (https://distribution.github.io/distribution/spec/auth/token/): one of
// this cloud's, for as long as a push takes. What it may do is decided at each request, so it names no repositories.
func (c *Cloud) imageToken(w http.ResponseWriter, r *http.Request) {
	p, err := c.imageUser(r)
	if err == nil && p.Nobody() {
		err = fail.New(fail.Unauthenticated, "the registry needs a log-in").Then("use an access key and its secret, or the word token and a token")
	}
	if err != nil {
		c.Registry.Refuse(w, r, err)
		return
	}
	t := ident.TokenFor(p, p.Project, "registry") // it may what p may, no more
	t.Expires = p.Expires
	text, t, err := c.Ident.IssueToken(r.Context(), t, imageTokenLife)
	if err != nil {
		c.Registry.Refuse(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(map[string]any{"token": text, "access_token": text, "expires_in": int(t.Expires.Sub(t.Issued).Seconds()),
		"issued_at": t.Issued.Format(time.RFC3339)})
}

const imageTokenLife = 15 * time.Minute
