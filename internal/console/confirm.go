package console

import (
	"maps"
	"net/http"
	"slices"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
)

// codeField carries the second factor's code with a form that is sent again.
const codeField = "second-factor-code"

// confirmPage asks for the second factor's code, and keeps the form that was sent so that it is sent again with it.
type confirmPage struct {
	Action string
	Fields []kept
	Wrong  *fail.Error // what was wrong with the code before
	Reason *fail.Error
}

type kept struct{ Name, Value string }

// confirmable tells whether an error of a form is mended by the code of the user's second factor.
func (q *request) confirmable(e *fail.Error) bool {
	if q.Method != http.MethodPost || q.MultipartForm != nil || q.first != nil {
		return false
	}
	return e.Field == ident.Unconfirmed || e.Field == "code" && q.PostForm.Has(codeField)
}

func (q *request) askConfirmation(e *fail.Error) error {
	has, err := q.Door.Ident.HasFactor(q.Context(), q.who.User)
	if err != nil || !has {
		return fail.New(fail.Precondition, "there is no second factor").Because(err)
	}
	p := confirmPage{Action: q.URL.RequestURI(), Reason: e}
	if e.Field == "code" {
		p.Wrong = e
	}
	for _, name := range slices.Sorted(maps.Keys(q.PostForm)) {
		if name == codeField || name == "csrf" {
			continue
		}
		for _, v := range q.PostForm[name] {
			p.Fields = append(p.Fields, kept{name, v})
		}
	}
	return q.renderStatus(http.StatusForbidden, "secondfactor", "Confirm it is you", p)
}
