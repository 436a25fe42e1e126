package app

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/log"
)

// SearchLogsIn selects lines among all that are kept, also of instances that are gone.
type SearchLogsIn struct {
	Since    kind.Span `json:"since" doc:"only lines of this last time; 0: all that are kept"`
	From     time.Time `json:"from" doc:"or only lines from this time on (RFC 3339)"`
	Until    time.Time `json:"until" doc:"only lines up to this time (RFC 3339)"`
	Match    string    `json:"match" doc:"only lines that contain this" max:"1024"`
	Grep     string    `json:"grep" doc:"only lines that this regular expression (RE2) matches" max:"1024"`
	Level    string    `json:"level" doc:"only lines that say this level or a worse one" enum:",debug,info,warning,error"`
	Stream   string    `json:"stream" doc:"only this stream" enum:",stdout,stderr"`
	Instance string    `json:"instance" doc:"only this instance: its id or the end of it" max:"32"`
	Release  int       `json:"release" doc:"only instances of this release" min:"0"`
	Limit    int       `json:"limit" doc:"lines of a page" min:"1" max:"10000" default:"1000"`
	After    string    `json:"after" doc:"the marker that the page before ended with" max:"64"`
}

// serveSearchLogs answers with lines and, where there are more, the marker of the next page.
func (s *Service) serveSearchLogs(ctx context.Context, row *componentRow, in any, st kind.Stream) error {
	if s.Logs == nil {
		return fail.New(fail.Unsupported, "logs are not kept here").Then("awan logs %s shows those of the instances that run", row.Name)
	}
	x := in.(*SearchLogsIn)
	q := log.Query{Since: x.From, Until: x.Until, Limit: x.Limit, After: x.After}
	if x.Since > 0 {
		q.Since = s.Now().Add(-time.Duration(x.Since))
	}
	if q.Limit == 0 {
		q.Limit = 1000
	}
	var re *regexp.Regexp
	if x.Grep != "" {
		var err error
		if re, err = regexp.Compile(x.Grep); err != nil {
			return fail.Field("grep", "is not a regular expression: %v", err)
		}
	}
	least := slices.Index(log.Levels, x.Level)
	q.Match = func(l log.Line) bool {
		return (x.Match == "" || strings.Contains(l.Text, x.Match)) && (re == nil || re.MatchString(l.Text)) &&
			(least < 0 || slices.Index(log.Levels, log.LevelOf(l.Text)) >= least) && (x.Stream == "" || l.Stream == x.Stream) &&
			strings.HasSuffix(string(l.Instance), x.Instance) && (x.Release == 0 || l.Release == x.Release)
	}
	lines, next, err := s.Logs.Search(ctx, row.Project, row.ID, q)
	if err != nil {
		return err
	}
	for _, l := range lines {
		if err := st.Emit(l); err != nil {
			return err
		}
	}
	if next != "" {
		return st.Emit(map[string]string{"next": next})
	}
	return nil
}
