package console

import (
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// unusedPage is the report of rights that nobody uses.
type unusedPage struct {
	User, Days string
	Users      []string
	Report     []unusedOne
	Err        *fail.Error
}

type unusedOne struct {
	ident.UnusedRights
	Actions [][2]string // kind, and its verbs
}

func (q *request) unused() error {
	v := q.URL.Query()
	p := unusedPage{User: v.Get("user"), Days: v.Get("days"), Users: q.suggest("identity/user")}
	if p.Days == "" {
		p.Days = "90"
	}
	days, err := strconv.ParseInt(p.Days, 10, 64)
	if err != nil {
		p.Err = fail.Field("days", "%q is not a whole number", p.Days)
		return q.renderStatus(400, "unused", "Unused rights", p)
	}
	var ans struct{ Items []ident.UnusedRights }
	if err := q.ask(policyKind, "unused", "", ident.Unused{User: p.User, Days: days}, &ans); err != nil {
		return formError(err, func(e *fail.Error, status int) error {
			p.Err = e
			return q.renderStatus(status, "unused", "Unused rights", p)
		})
	}
	for _, u := range ans.Items {
		one := unusedOne{UnusedRights: u}
		for k, verbs := range kind.VerbsByKind(u.Actions) {
			one.Actions = append(one.Actions, [2]string{k, strings.Join(verbs, ", ")})
		}
		p.Report = append(p.Report, one)
	}
	return q.render("unused", "Unused rights", p)
}
