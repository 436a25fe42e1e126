package console

import (
	"encoding/json"
	"io"
	"strings"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// ask calls an action that answers with one document, and reads that into out.
func (q *request) ask(fullName, verb, target string, in, out any) error {
	k := q.Door.KindOf(fullName)
	if k == nil || k.ActionOf(verb) == nil {
		return fail.New(fail.Unsupported, "this cloud has no %s of %s", verb, fullName)
	}
	c := q.newCall(k, verb, target)
	if in != nil {
		c.In = mustJSON(in)
	}
	c.Stream = kind.Stream{Body: strings.NewReader(""), Emit: func(v any) error { return json.Unmarshal(mustJSON(v), out) },
		Raw: func(string) (io.Writer, error) { return io.Discard, nil }}
	_, err := q.do(c)
	return err
}

// mayAsk tells whether the caller may use an action of a kind, and whether there is such a one.
func (q *request) mayAsk(fullName, verb string) bool {
	k := q.Door.KindOf(fullName)
	if k == nil || !has(k, verb) {
		return false
	}
	a := action{k.Service, k.Name, verb}
	return q.may([]action{a})[a]
}

// rowsOf lists the rows of a kind with an index at a value, at most a page; none when the caller may not.
func (q *request) rowsOf(fullName, index, value string) ([]kind.AnyRow, error) {
	if !q.mayAsk(fullName, call.List) {
		return nil, nil
	}
	c := q.newCall(q.Door.KindOf(fullName), call.List, "")
	c.Filter = kind.Filter{Limit: call.MaxPage, Index: index, Value: value}
	r, err := q.do(c)
	return r.Rows, err
}
