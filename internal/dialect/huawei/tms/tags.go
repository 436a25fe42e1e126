package tms

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/dialect/huawei/resources"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// next is the marker of the page behind one that ends at to; "" at the end.
func next(to, n int) string {
	if to >= n {
		return ""
	}
	return strconv.Itoa(to)
}

// batch is a change of the tags of several resources.
type batch struct {
	Project   string `json:"project_id"`
	Resources []struct {
		ID   string `json:"resource_id"`
		Type string `json:"resource_type"`
	} `json:"resources"`
	Tags []struct {
		Key   string  `json:"key"`
		Value *string `json:"value"`
	} `json:"tags"`
}

type failed struct {
	ID   string `json:"resource_id"`
	Type string `json:"resource_type"`
	Code string `json:"error_code"`
	Msg  string `json:"error_msg"`
}

func createTags(x *wire.Exchange) error {
	return change(x, func(tags map[string]string, key string, value *string) {
		tags[key] = ""
		if value != nil {
			tags[key] = *value
		}
	})
}

func deleteTags(x *wire.Exchange) error {
	return change(x, func(tags map[string]string, key string, value *string) {
		if value == nil || *value == "" || tags[key] == *value {
			delete(tags, key)
		}
	})
}

// change edits the tags of each resource; those that it could not change are the answer.
func change(x *wire.Exchange, edit func(tags map[string]string, key string, value *string)) error {
	var b batch
	if err := x.Plain(&b); err != nil {
		return err
	}
	if len(b.Resources) == 0 || len(b.Tags) == 0 {
		return fail.Field("resources", "give resources and tags")
	}
	out := []failed{}
	for _, r := range b.Resources {
		err := retag(x, r.Type, b.Project, r.ID, func(tags map[string]string) {
			for _, t := range b.Tags {
				edit(tags, t.Key, t.Value)
			}
		})
		if e := fail.From(err); e != nil {
			if e.Kind == fail.Internal || e.Kind == fail.Unavailable {
				return err
			}
			out = append(out, failed{r.ID, r.Type, "TMS." + string(e.Kind), e.Public()})
		}
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"failed_resources": out})
	return nil
}

// retag edits the tags of one resource, again where somebody else changed it meanwhile.
func retag(x *wire.Exchange, of, project, row string, edit func(map[string]string)) error {
	for try := 0; ; try++ {
		k, r, err := resources.Get(x, of, project, row)
		if err != nil {
			return err
		}
		tags := maps.Clone(r.M().Tags)
		if tags == nil {
			tags = map[string]string{}
		}
		edit(tags)
		_, err = x.Do(k, call.Update, string(r.M().ID), func(c *call.Call) {
			resources.In(c, project)
			c.IfRevision, c.Tags = r.M().Revision, &tags
		})
		if !fail.Is(err, fail.Conflict) || try == 5 {
			return err
		}
	}
}

func tagsOf(m *kind.Meta) []tag {
	out := []tag{}
	for _, k := range slices.Sorted(maps.Keys(m.Tags)) {
		out = append(out, tag{k, m.Tags[k]})
	}
	return out
}

func showTags(x *wire.Exchange) error {
	_, r, err := resources.Get(x, x.Query("resource_type"), x.Query("project_id"), x.Param("resource_id"))
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"tags": tagsOf(r.M())})
	return nil
}

// filter lists resources by their tags: each key with one of its values, any where none is given.
func filter(x *wire.Exchange) error {
	var b struct {
		Project string   `json:"project_id"`
		Types   []string `json:"resource_types"`
		Tags    []struct {
			Key    string   `json:"key"`
			Values []string `json:"values"`
		} `json:"tags"`
		Without bool `json:"without_any_tag"`
		Offset  int  `json:"offset"`
		Limit   int  `json:"limit"`
	}
	if err := x.Plain(&b); err != nil {
		return err
	}
	f := kind.Filter{Where: func(r kind.AnyRow) bool {
		tags := r.M().Tags
		if b.Without {
			return len(tags) == 0
		}
		for _, t := range b.Tags {
			if v, ok := tags[t.Key]; !ok || len(t.Values) > 0 && !slices.Contains(t.Values, v) {
				return false
			}
		}
		return true
	}}
	found, refused, err := resources.Search(x, projects(b.Project), b.Types, f)
	if err != nil {
		return err
	}
	from, to := resources.Slice(len(found), b.Offset, b.Limit, 200)
	items := make([]any, 0, to-from)
	for _, r := range found[from:to] {
		m := r.Row.M()
		items = append(items, map[string]any{"project_id": m.Project, "project_name": r.Project, "resource_id": m.ID, "resource_name": m.Name,
			"resource_type": resources.TypeOf(r.Kind), "resource_detail": nil, "tags": tagsOf(m)})
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"resources": items, "errors": refused, "total_count": len(found)})
	return nil
}

func projects(one string) []string {
	if one == "" {
		return nil
	}
	return []string{one}
}

// used gathers the tags that resources have.
func used(x *wire.Exchange, projects, types []string) (map[string][]string, []resources.Refused, error) {
	found, refused, err := resources.Search(x, projects, types, kind.Filter{Where: func(r kind.AnyRow) bool { return len(r.M().Tags) > 0 }})
	out := map[string][]string{}
	for _, r := range found {
		for k, v := range r.Row.M().Tags {
			if !slices.Contains(out[k], v) {
				out[k] = append(out[k], v)
			}
		}
	}
	for _, values := range out {
		slices.Sort(values)
	}
	return out, refused, err
}

func listTags(x *wire.Exchange) error {
	var types []string
	if t := x.Query("resource_types"); t != "" {
		types = strings.Split(t, ",")
	}
	tags, refused, err := used(x, projects(x.Query("project_id")), types)
	if err != nil {
		return err
	}
	items := []any{}
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		items = append(items, map[string]any{"key": k, "values": tags[k]})
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"tags": items, "errors": refused})
	return nil
}

// listKeys lists the keys that resources of the account have.
func listKeys(x *wire.Exchange) error {
	tags, _, err := used(x, nil, nil)
	if err != nil {
		return err
	}
	return names(x, "keys", slices.Sorted(maps.Keys(tags)))
}

func listValues(x *wire.Exchange) error {
	tags, _, err := used(x, nil, nil)
	if err != nil {
		return err
	}
	return names(x, "values", tags[x.Query("key")])
}

func names(x *wire.Exchange, plural string, all []string) error {
	from, to, err := part(x, len(all))
	if err != nil {
		return err
	}
	items := append([]string{}, all[from:to]...)
	wire.Write(x.W, http.StatusOK, map[string]any{plural: items, "page_info": map[string]any{"next_marker": next(to, len(all)), "current_count": len(items)}})
	return nil
}
