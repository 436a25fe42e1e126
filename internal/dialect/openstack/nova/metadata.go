package nova

import (
	"net/http"
	"strings"

	"github.com/awancloud/awan/internal/dialect/openstack/rest"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
)

func showMetadata(x *exchange) error {
	r, err := x.get()
	if err != nil {
		return err
	}
	return x.one(http.StatusOK, "metadata", words(r.Spec.Metadata))
}

// patch makes of the metadata wanted a merge patch; whole takes away what is not in it.
func patch(now, want map[string]string, whole bool) map[string]any {
	out := map[string]any{}
	for k := range now {
		if _, stays := want[k]; whole && !stays {
			out[k] = nil
		}
	}
	for k, v := range want {
		out[k] = v
	}
	return out
}

func (x *exchange) setMetadata(p map[string]any) (*serverRow, error) {
	return x.change(call.Update, func(c *call.Call) { c.Spec = rest.Spec{"metadata": p}.JSON() })
}

func putMetadata(x *exchange, whole bool) error {
	var in map[string]string
	o, err := rest.Read(x.Exchange)
	if err != nil {
		return err
	}
	if err := o.Into("metadata", &in); err != nil {
		return err
	}
	r, err := x.get()
	if err != nil {
		return err
	}
	if r, err = x.setMetadata(patch(r.Spec.Metadata, in, whole)); err != nil {
		return err
	}
	return x.one(http.StatusOK, "metadata", words(r.Spec.Metadata))
}

func noMetadatum(key string) error {
	return fail.New(fail.NotFound, "Metadata item was not found").Then("the server has no %q", key)
}

func showMetadatum(x *exchange) error {
	r, err := x.get()
	if err != nil {
		return err
	}
	key := x.Param("key")
	v, ok := r.Spec.Metadata[key]
	if !ok {
		return noMetadatum(key)
	}
	return x.one(http.StatusOK, "meta", map[string]string{key: v})
}

func putMetadatum(x *exchange) error {
	var in map[string]string
	if err := rest.Body(x.Exchange, "meta", &in); err != nil {
		return err
	}
	key := x.Param("key")
	v, ok := in[key]
	if !ok || len(in) != 1 {
		return fail.Field("meta", "it must hold the key of the path, %q, and no other", key)
	}
	if _, err := x.setMetadata(map[string]any{key: v}); err != nil {
		return err
	}
	return x.one(http.StatusOK, "meta", in)
}

func deleteMetadatum(x *exchange) error {
	r, err := x.get()
	if err != nil {
		return err
	}
	key := x.Param("key")
	if _, ok := r.Spec.Metadata[key]; !ok {
		return noMetadatum(key)
	}
	if _, err := x.setMetadata(map[string]any{key: nil}); err != nil {
		return err
	}
	return x.NoContent()
}

// tagMap reads Nova's tags; one with a value is "key=value".
func tagMap(tags []string) map[string]string {
	out := map[string]string{}
	for _, t := range tags {
		k, v, _ := strings.Cut(t, "=")
		out[k] = v
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
	return x.one(http.StatusOK, "tags", tagsOf(r))
}

func putTags(x *exchange) error {
	var in []string
	if err := rest.Body(x.Exchange, "tags", &in); err != nil {
		return err
	}
	r, err := x.setTags(tagMap(in))
	if err != nil {
		return err
	}
	return x.one(http.StatusOK, "tags", tagsOf(r))
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
