package console

import (
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/image"
	"github.com/awancloud/awan/internal/service/volume"
)

// need is a kind that a page stands on; clouds without it have no such page.
func (q *request) need(fullName, what string) (*kind.Def, error) {
	if k := q.Door.KindOf(fullName); k != nil {
		return k, nil
	}
	return nil, fail.New(fail.NotFound, "this cloud has no %s", what)
}

// firstRows are the first rows of a kind that the caller may see, for a page to choose from.
func (q *request) firstRows(fullName string) []kind.AnyRow {
	if q.Door.KindOf(fullName) == nil || !q.mayAsk(fullName, call.List) {
		return nil
	}
	c := q.newCall(q.Door.KindOf(fullName), call.List, "")
	c.Filter.Limit = call.MaxPage
	r, err := q.do(c)
	if err != nil {
		return nil // something to choose from, not an answer: the door checks what is sent
	}
	return r.Rows
}

// options are rows to choose from, by id, with a word more about each.
func (q *request) options(fullName string, more func(kind.AnyRow) string) []option {
	var out []option
	for _, r := range q.firstRows(fullName) {
		if r.M().State == kind.Trashed || r.M().State == kind.Deleting {
			continue
		}
		o := option{string(r.M().ID), nameOr(r.M())}
		if w := more(r); w != "" {
			o.Text += " (" + w + ")"
		}
		out = append(out, o)
	}
	return out
}

func nameOr(m *kind.Meta) string {
	if m.Name == "" {
		return cut(string(m.ID), 13)
	}
	return m.Name
}

// rowExtra is what the page of a row has beyond what its kind says.
type rowExtra struct {
	Picture string     // of a VPC
	Attach  *attachBox // of a volume
	Upload  *uploadBox // of an image that waits for its content
}

func (q *request) extraOf(k *kind.Def, row kind.AnyRow) (rowExtra, error) {
	var x rowExtra
	switch r := row.(type) {
	case *volume.Row:
		x.Attach = q.attachBox(r)
	case *image.Row:
		x.Upload = q.uploadBox(k, r)
	default:
		if k.FullName() == vpcKind && q.Console.World != nil {
			x.Picture = rowPath(k, row.M()) + "/picture"
		}
	}
	return x, nil
}
