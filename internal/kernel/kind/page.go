package kind

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// page gathers what a list gives.
type page struct {
	Filter
	rows []AnyRow
	seen int // rows that match, those skipped among them
	more bool
}

// take sees the next row; false: no further one is needed.
func (p *page) take(r AnyRow) bool {
	if !p.match(r) {
		return true
	}
	if p.seen++; p.seen <= p.Skip {
		return true
	}
	if p.Limit > 0 && len(p.rows) == p.Limit {
		p.more = true
		return p.Total != nil
	}
	p.rows = append(p.rows, r)
	return true
}

// passes tells whether the next row is only counted, so that its state is all that must be read of it.
func (p *page) passes() bool {
	return (p.seen < p.Skip || p.more) && p.Name == "" && p.Exact == "" && p.Enterprise == "" && len(p.Tags) == 0 && p.Where == nil
}

// pass counts a stored row without reading it whole.
func (p *page) pass(stored []byte) error {
	state, err := stateOf(stored)
	if err != nil {
		return err
	}
	if p.State == "" && state != Trashed || p.State != "" && p.State == state {
		p.seen++
	}
	return nil
}

// stateOf reads a stored row's state, which stands near its beginning. A quote within a value is written with a backslash
// before it, so what looks like the field is the field, unless there are tags, whose names are free.
func stateOf(stored []byte) (State, error) {
	const field, tags = `,"state":"`, `,"tags":{`
	if i := bytes.Index(stored, []byte(field)); i > 0 && !bytes.Contains(stored[:i], []byte(tags)) {
		rest := stored[i+len(field):]
		if end := bytes.IndexByte(rest, '"'); end > 0 {
			return State(rest[:end]), nil
		}
	}
	d := jsontext.NewDecoder(bytes.NewBuffer(stored))
	if _, err := d.ReadToken(); err != nil {
		return "", err
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return "", err
		}
		if name.String() == "state" {
			v, err := d.ReadToken()
			return State(v.String()), err
		}
		if err := d.SkipValue(); err != nil {
			return "", err
		}
	}
	return "", nil
}
