package keystone

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
)

const tagsPath = "/v3/projects/{project_id}/tags"

func (a *API) tagRoutes() []route {
	k := a.Kinds.Project.D
	return []route{
		{Method: "GET", Path: tagsPath, Kind: k, Verb: call.Get, Do: listTags},
		{Method: "PUT", Path: tagsPath, Kind: k, Verb: call.Update, Do: setTags},
		{Method: "DELETE", Path: tagsPath, Kind: k, Verb: call.Update, Do: clearTags},
		{Method: "GET", Path: tagsPath + "/{tag}", Kind: k, Verb: call.Get, Do: hasTag},
		{Method: "PUT", Path: tagsPath + "/{tag}", Kind: k, Verb: call.Update, Do: addTag},
		{Method: "DELETE", Path: tagsPath + "/{tag}", Kind: k, Verb: call.Update, Do: dropTag},
	}
}

// tagsOf prints tags as OpenStack has them: one word each, "key" or "key=value".
func tagsOf(tags map[string]string) []string {
	out := []string{}
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		if t := tags[k]; t != "" {
			k += "=" + t
		}
		out = append(out, k)
	}
	return out
}

func tagMap(words []string) map[string]string {
	tags := map[string]string{}
	for _, t := range words {
		k, v, _ := strings.Cut(t, "=")
		tags[k] = v
	}
	return tags
}

func (x *exchange) tags(status int, words []string) error {
	wire.Write(x.W, status, map[string]any{"tags": words, "links": x.Self(x.R.URL.Path)})
	return nil
}

func listTags(x *exchange) error {
	p, err := wire.Get(&x.Exchange, x.API.Kinds.Project, x.Param("project_id"))
	if err != nil {
		return err
	}
	return x.tags(http.StatusOK, tagsOf(p.Tags))
}

// retag changes the project's tags. Who may not read the project is told by the change itself that it is not allowed.
func (x *exchange) retag(edit func(map[string]string) error) (*ProjectRow, error) {
	tags := map[string]string{}
	p, err := wire.Get(&x.Exchange, x.API.Kinds.Project, x.Param("project_id"))
	if err != nil && !fail.Is(err, fail.Denied) {
		return nil, err
	}
	if p != nil {
		maps.Copy(tags, p.Tags)
		c := x.Call
		c.Domain = string(p.Domain)
		if _, _, err := x.API.Door.Permit(x.R.Context(), &c, x.API.Kinds.Project.D, call.Update, p.Name); err != nil {
			return nil, err
		}
	}
	if err := edit(tags); err != nil && p != nil {
		return nil, err
	}
	row, err := x.Do(x.API.Kinds.Project.D, call.Update, x.Param("project_id"), func(c *call.Call) {
		c.Tags = &tags
		if p != nil {
			c.IfRevision = p.Revision
		}
	})
	if err != nil {
		return nil, err
	}
	return row.(*ProjectRow), nil
}

func setTags(x *exchange) error {
	var words []string
	if err := x.list("tags", &words); err != nil {
		return err
	}
	p, err := x.retag(func(t map[string]string) error {
		clear(t)
		maps.Copy(t, tagMap(words))
		return nil
	})
	if err != nil {
		return err
	}
	return x.tags(http.StatusOK, tagsOf(p.Tags))
}

func clearTags(x *exchange) error {
	if _, err := x.retag(func(t map[string]string) error { clear(t); return nil }); err != nil {
		return err
	}
	return x.NoContent()
}

func noTag(x *exchange) error {
	return fail.New(fail.NotFound, "the project does not have the tag %q", x.Param("tag"))
}

func hasTag(x *exchange) error {
	p, err := wire.Get(&x.Exchange, x.API.Kinds.Project, x.Param("project_id"))
	if err != nil {
		return err
	}
	if !slices.Contains(tagsOf(p.Tags), x.Param("tag")) {
		return noTag(x)
	}
	return x.NoContent()
}

func addTag(x *exchange) error {
	if _, err := x.retag(func(t map[string]string) error { maps.Copy(t, tagMap([]string{x.Param("tag")})); return nil }); err != nil {
		return err
	}
	x.W.WriteHeader(http.StatusCreated)
	return nil
}

func dropTag(x *exchange) error {
	_, err := x.retag(func(t map[string]string) error {
		k, v, _ := strings.Cut(x.Param("tag"), "=")
		if had, ok := t[k]; !ok || had != v {
			return noTag(x)
		}
		delete(t, k)
		return nil
	})
	if err != nil {
		return err
	}
	return x.NoContent()
}

// tagged tells whether a project's tags fit the query: tags (all of them), tags-any, not-tags (not all), not-tags-any.
func (x *exchange) tagged(tags map[string]string) bool {
	count := func(name string) (n, of int, asked bool) {
		v := x.Query(name)
		if v == "" {
			return 0, 0, false
		}
		have, words := tagsOf(tags), strings.Split(v, ",")
		for _, w := range words {
			if slices.Contains(have, w) {
				n++
			}
		}
		return n, len(words), true
	}
	if n, of, ok := count("tags"); ok && n < of {
		return false
	}
	if n, _, ok := count("tags-any"); ok && n == 0 {
		return false
	}
	if n, of, ok := count("not-tags"); ok && n == of {
		return false
	}
	n, _, ok := count("not-tags-any")
	return !ok || n == 0
}

// nameFits tells whether a name fits the query's name__contains and its sisters.
func (x *exchange) nameFits(name string) bool { return x.textFits("name", name) }

// textFits is nameFits for a field of another name.
func (x *exchange) textFits(field, name string) bool {
	for asked, values := range x.Queries() {
		how, ok := strings.CutPrefix(asked, field+"__")
		if !ok || values[0] == "" {
			continue
		}
		has, want := name, values[0]
		if strings.HasPrefix(how, "i") {
			has, want, how = strings.ToLower(has), strings.ToLower(want), how[1:]
		}
		switch {
		case how == "contains" && !strings.Contains(has, want), how == "startswith" && !strings.HasPrefix(has, want),
			how == "endswith" && !strings.HasSuffix(has, want), how == "exact" && has != want:
			return false
		}
	}
	return true
}
