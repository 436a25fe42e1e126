package rest

import (
	"maps"
	"net/http"
	"slices"
	"strings"

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

// Tags prints tags in the order of their keys.
func Tags(tags map[string]string) []Tag {
	out := []Tag{}
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, Tag{k, tags[k]})
	}
	return out
}

// Pairs prints tags as "key=value".
func Pairs(tags map[string]string) []string {
	out := []string{}
	for _, t := range Tags(tags) {
		out = append(out, t.Key+"="+t.Value)
	}
	return out
}

// TagMap reads tags.
func TagMap(tags []Tag) map[string]string {
	out := map[string]string{}
	for _, t := range tags {
		out[t.Key] = t.Value
	}
	return out
}

// ShowTags answers with the tags of a row.
func ShowTags(k *kind.Def, param string) func(*Exchange) error {
	return func(x *Exchange) error {
		r, err := x.Do(k, call.Get, x.Param(param), nil)
		if err != nil {
			return err
		}
		return OK(x, map[string]any{"tags": Tags(r.M().Tags), "sys_tags": []Tag{}})
	}
}

// ActOnTags adds tags to a row or takes them away: {"action": "create" | "delete", "tags": […]}.
func ActOnTags(k *kind.Def, param string) func(*Exchange) error {
	return func(x *Exchange) error {
		var b struct {
			Action string `json:"action"`
			Tags   []Tag  `json:"tags"`
		}
		if err := Body(x, &b); err != nil {
			return Refuse(x, k, call.Update, x.Param(param), err)
		}
		if b.Action != "create" && b.Action != "delete" && b.Action != "update" {
			return Refuse(x, k, call.Update, x.Param(param), fail.Field("action", "%q is neither create nor delete", b.Action))
		}
		err := ChangeTags(x, k, x.Param(param), func(tags map[string]string) error {
			for _, t := range b.Tags {
				if b.Action == "delete" {
					delete(tags, t.Key)
				} else {
					tags[t.Key] = t.Value
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		return x.NoContent()
	}
}

// AddTag puts a tag on a row: {"tag": {"key", "value"}}.
func AddTag(k *kind.Def, param string) func(*Exchange) error {
	return func(x *Exchange) error {
		var b struct {
			Tag Tag `json:"tag"`
		}
		if err := Body(x, &b); err != nil {
			return Refuse(x, k, call.Update, x.Param(param), err)
		}
		if err := ChangeTags(x, k, x.Param(param), func(tags map[string]string) error { tags[b.Tag.Key] = b.Tag.Value; return nil }); err != nil {
			return err
		}
		return x.NoContent()
	}
}

// RemoveTag takes the tag of the path's key off a row.
func RemoveTag(k *kind.Def, param string) func(*Exchange) error {
	return func(x *Exchange) error {
		err := ChangeTags(x, k, x.Param(param), func(tags map[string]string) error {
			if _, there := tags[x.Param("key")]; !there {
				return fail.New(fail.NotFound, "there is no tag %q", x.Param("key"))
			}
			delete(tags, x.Param("key"))
			return nil
		})
		if err != nil {
			return err
		}
		return x.NoContent()
	}
}

// ChangeTags edits the tags of a row, again where somebody else changed the row meanwhile.
func ChangeTags(x *Exchange, k *kind.Def, target string, edit func(map[string]string) error) error {
	for try := 0; ; try++ {
		r, err := x.Do(k, call.Get, target, nil)
		if err != nil {
			return err
		}
		tags := maps.Clone(r.M().Tags)
		if tags == nil {
			tags = map[string]string{}
		}
		if err := edit(tags); err != nil {
			return Refuse(x, k, call.Update, target, err)
		}
		sent, err := Send(x, k, call.Update, target, func(c *call.Call) { c.Tags, c.IfRevision = &tags, r.M().Revision })
		if err == nil {
			return Settle(x, sent)
		}
		if !fail.Is(err, fail.Conflict) || try == 5 {
			return err
		}
	}
}

// ProjectTags answers with every tag that the project's rows have, each key with all its values.
func ProjectTags[S, T any](t kind.Table[S, T]) func(*Exchange) error {
	return func(x *Exchange) error {
		rows, _, err := wire.Rows(x, t, "", kind.Filter{})
		if err != nil {
			return err
		}
		values := map[string][]string{}
		for _, r := range rows {
			for k, v := range r.Tags {
				if !slices.Contains(values[k], v) {
					values[k] = append(values[k], v)
				}
			}
		}
		out := []any{}
		for _, k := range slices.Sorted(maps.Keys(values)) {
			slices.Sort(values[k])
			out = append(out, map[string]any{"key": k, "values": values[k]})
		}
		return OK(x, map[string]any{"tags": out})
	}
}

// tagQuery is a condition of a search by tags.
type tagQuery struct {
	Key    string   `json:"key"`
	Values []string `json:"values"`
}

func (q tagQuery) fits(tags map[string]string) bool {
	v, ok := tags[q.Key]
	return ok && (len(q.Values) == 0 || slices.Contains(q.Values, v))
}

// SearchByTags answers a search by tags: {"action": "filter" | "count", "tags", "tags_any", "not_tags", "not_tags_any", "matches"}.
// Without detail, what is found is named only.
func SearchByTags[S, T any](t kind.Table[S, T], detail func(*Exchange, *kind.Row[S, T]) any) func(*Exchange) error {
	return func(x *Exchange) error {
		var b struct {
			Action  string     `json:"action"`
			Tags    []tagQuery `json:"tags"`
			Any     []tagQuery `json:"tags_any"`
			Not     []tagQuery `json:"not_tags"`
			NotAny  []tagQuery `json:"not_tags_any"`
			Matches []Tag      `json:"matches"`
			Limit   any        `json:"limit"`
			Offset  any        `json:"offset"`
		}
		if err := Body(x, &b); err != nil {
			return Refuse(x, t.D, call.List, "*", err)
		}
		if b.Action != "filter" && b.Action != "count" {
			return Refuse(x, t.D, call.List, "*", fail.Field("action", "%q is neither filter nor count", b.Action))
		}
		some := func(qs []tagQuery, tags map[string]string) bool {
			return slices.ContainsFunc(qs, func(q tagQuery) bool { return q.fits(tags) })
		}
		all := func(qs []tagQuery, tags map[string]string) bool {
			return !slices.ContainsFunc(qs, func(q tagQuery) bool { return !q.fits(tags) })
		}
		rows, _, err := wire.Rows(x, t, "", kind.Filter{Where: func(r kind.AnyRow) bool {
			m := r.M()
			for _, f := range b.Matches {
				if f.Key == "resource_name" && !strings.Contains(m.Name, f.Value) {
					return false
				}
			}
			return all(b.Tags, m.Tags) && (len(b.Any) == 0 || some(b.Any, m.Tags)) && (len(b.Not) == 0 || !all(b.Not, m.Tags)) && !some(b.NotAny, m.Tags)
		}})
		if err != nil {
			return err
		}
		total := len(rows)
		if b.Action == "count" {
			return OK(x, map[string]any{"total_count": total})
		}
		offset, limit := number(b.Offset, 0), number(b.Limit, 1000)
		rows = rows[min(offset, total):]
		rows = rows[:min(limit, len(rows))]
		out := []any{}
		for _, r := range rows {
			v := map[string]any{"resource_id": ID(r.ID), "resource_name": NameOf(&r.Meta), "resource_detail": nil, "tags": Tags(r.Tags), "sys_tags": []Tag{}}
			if detail != nil {
				v["resource_detail"] = detail(x, r)
			}
			out = append(out, v)
		}
		wire.Write(x.W, http.StatusOK, map[string]any{"resources": out, "total_count": total})
		return nil
	}
}
