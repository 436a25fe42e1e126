package nova

import (
	"net/http"
	"strings"

	"github.com/awancloud/awan/internal/dialect/openstack/rest"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

func (a *API) metadataRoutes() (out []route) {
	m := rest.Metadata{D: a.o.Compute.Server.D, Param: "server_id", Of: func(r kind.AnyRow) map[string]string { return r.(*serverRow).Spec.Metadata }, Dropped: http.StatusNoContent}
	for _, r := range m.Routes() {
		out = append(out, route{r.Method, "/servers/{server_id}" + r.Path, m.D, r.Verb, func(x *exchange) error { return r.Do(x.Exchange) }})
	}
	return out
}

func (x *exchange) setTags(tags map[string]string) (*serverRow, error) {
	return x.change(call.Update, func(c *call.Call) { c.Tags = &tags })
}

func showTags(x *exchange) error {
	r, err := x.get()
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "tags", rest.Tags(&r.Meta))
}

func putTags(x *exchange) error {
	var in []string
	if err := rest.Body(x.Exchange, "tags", &in); err != nil {
		return err
	}
	r, err := x.setTags(rest.TagMap(in))
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "tags", rest.Tags(&r.Meta))
}

func deleteTags(x *exchange) error {
	if _, err := x.setTags(map[string]string{}); err != nil {
		return err
	}
	return x.NoContent()
}

// tag finds the tag that the path names among the server's.
func (x *exchange) tag() (r *serverRow, key, value string, has bool, err error) {
	if r, err = x.get(); err != nil {
		return nil, "", "", false, err
	}
	key, value, valued := strings.Cut(x.Param("tag"), "=")
	got, has := r.Tags[key]
	return r, key, value, has && (!valued || got == value), nil
}

func noTag(t string) error { return fail.New(fail.NotFound, "the server has no tag %q", t) }

func hasTag(x *exchange) error {
	_, _, _, has, err := x.tag()
	if err != nil {
		return err
	}
	if !has {
		return noTag(x.Param("tag"))
	}
	return x.NoContent()
}

// withTag is a copy of the server's tags.
func withTag(r *serverRow) map[string]string {
	out := map[string]string{}
	for k, v := range r.Tags {
		out[k] = v
	}
	return out
}

func putTag(x *exchange) error {
	r, key, value, has, err := x.tag()
	if err != nil {
		return err
	}
	if has {
		return x.NoContent()
	}
	tags := withTag(r)
	tags[key] = value
	if _, err := x.setTags(tags); err != nil {
		return err
	}
	x.W.Header().Set("Location", x.API.Base(x.R)+x.R.URL.Path)
	x.W.WriteHeader(http.StatusCreated)
	return nil
}

func deleteTag(x *exchange) error {
	r, key, _, has, err := x.tag()
	if err != nil {
		return err
	}
	if !has {
		return noTag(x.Param("tag"))
	}
	tags := withTag(r)
	delete(tags, key)
	if _, err := x.setTags(tags); err != nil {
		return err
	}
	return x.NoContent()
}
