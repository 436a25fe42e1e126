package networks

import (
	"maps"
	"net/http"
	"slices"

	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// Tag is a tag on the wire.
type Tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Tags prints a row's tags, by key.
func Tags(m *kind.Meta) []Tag {
	out := []Tag{}
	for _, k := range slices.Sorted(maps.Keys(m.Tags)) {
		out = append(out, Tag{k, m.Tags[k]})
	}
	return out
}

// TagRoutes are version 2.0's paths about the tags of one type of resource.
func TagRoutes(k *kind.Def, typ string) []wire.Route {
	all := "/v2.0/{project_id}/" + typ
	one := all + "/{resource_id}/tags"
	t := tags{k}
	return []wire.Route{
		{Method: "GET", Path: one, Kind: k, Verb: call.Get, Do: t.show},
		{Method: "POST", Path: one, Kind: k, Verb: call.Update, Do: t.add},
		{Method: "POST", Path: one + "/action", Kind: k, Verb: call.Update, Do: t.action},
		{Method: "DELETE", Path: one + "/{key}", Kind: k, Verb: call.Update, Do: t.remove},
		{Method: "GET", Path: all + "/tags", Kind: k, Verb: call.List, Do: t.all},
		{Method: "POST", Path: all + "/resource_instances/action", Kind: k, Verb: call.List, Do: t.search},
	}
}

type tags struct{ k *kind.Def }

func (t tags) show(x *wire.Exchange) error {
	r, err := x.Do(t.k, call.Get, x.Param("resource_id"), nil)
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"tags": Tags(r.M())})
	return nil
}

// change edits the tags of a row, as long as nobody else does at the same time.
func (t tags) change(x *wire.Exchange, f func(map[string]string) error) error {
	for try := 0; ; try++ {
		r, err := x.Do(t.k, call.Get, x.Param("resource_id"), nil)
		if err != nil {
			return err
		}
		now := maps.Clone(r.M().Tags)
		if now == nil {
			now = map[string]string{}
		}
		if err := f(now); err != nil {
			return err
		}
		_, err = x.Do(t.k, call.Update, x.Param("resource_id"), func(c *call.Call) { c.Tags, c.IfRevision = &now, r.M().Revision })
		if err == nil {
			return x.NoContent()
		}
		if !fail.Is(err, fail.Conflict) || try == 9 {
			return err
		}
	}
}

func (t tags) add(x *wire.Exchange) error {
	var b Tag
	if err := Body(x, "tag", &b); err != nil {
		return err
	}
	return t.change(x, func(now map[string]string) error { now[b.Key] = b.Value; return nil })
}

func (t tags) remove(x *wire.Exchange) error {
	return t.change(x, func(now map[string]string) error {
		if _, there := now[x.Param("key")]; !there {
			return fail.New(fail.NotFound, "there is no tag %q", x.Param("key"))
		}
		delete(now, x.Param("key"))
		return nil
	})
}

func (t tags) action(x *wire.Exchange) error {
	var b struct {
		Action string `json:"action"`
		Tags   []Tag  `json:"tags"`
	}
	if err := Body(x, "", &b); err != nil {
		return err
	}
	return t.change(x, func(now map[string]string) error {
		for _, tag := range b.Tags {
			switch b.Action {
			case "create":
				now[tag.Key] = tag.Value
			case "delete":
				delete(now, tag.Key)
			default:
				return fail.Field("action", "%q is neither create nor delete", b.Action)
			}
		}
		return nil
	})
}

func (t tags) rows(x *wire.Exchange, f kind.Filter) ([]kind.AnyRow, error) {
	f.Limit = call.MaxPage
	c := x.Call
	c.Kind, c.Verb, c.Filter = t.k, call.List, f
	r, err := x.API.Door.Do(x.R.Context(), &c)
	return r.Rows, err
}

// all lists every tag that some resource has, with its values.
func (t tags) all(x *wire.Exchange) error {
	rows, err := t.rows(x, kind.Filter{})
	if err != nil {
		return err
	}
	values := map[string]map[string]bool{}
	for _, r := range rows {
		for k, v := range r.M().Tags {
			if values[k] == nil {
				values[k] = map[string]bool{}
			}
			values[k][v] = true
		}
	}
	out := []any{}
	for _, k := range slices.Sorted(maps.Keys(values)) {
		out = append(out, map[string]any{"key": k, "values": slices.Sorted(maps.Keys(values[k]))})
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"tags": out})
	return nil
}

// search finds or counts resources by tags and name.
func (t tags) search(x *wire.Exchange) error {
	var b struct {
		Action string `json:"action"`
		Tags   []struct {
			Key    string   `json:"key"`
			Values []string `json:"values"`
		} `json:"tags"`
		Matches []Tag `json:"matches"`
	}
	if err := Body(x, "", &b); err != nil {
		return err
	}
	rows, err := t.rows(x, kind.Filter{Where: func(r kind.AnyRow) bool {
		for _, want := range b.Tags {
			v, there := r.M().Tags[want.Key]
			if !there || len(want.Values) > 0 && !slices.Contains(want.Values, v) {
				return false
			}
		}
		for _, m := range b.Matches {
			if m.Key == "resource_name" && m.Value != NameOf(r.M()) {
				return false
			}
		}
		return true
	}})
	if err != nil {
		return err
	}
	out := map[string]any{"total_count": len(rows)}
	if b.Action != "count" {
		items := []any{}
		for _, r := range rows {
			items = append(items, map[string]any{"resource_id": rest.ID(r.M().ID), "resource_name": NameOf(r.M()), "resource_detail": nil, "tags": Tags(r.M())})
		}
		out["resources"] = items
	}
	wire.Write(x.W, http.StatusOK, out)
	return nil
}
