package console

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// logTail is how many lines a log page begins with.
const logTail = 500

func mustJSON(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // values that came from JSON
	}
	return b
}

func (q *request) appLogs() error { return q.logPage("logs") }

func (q *request) appBuild() error { return q.logPage("build") }

func (q *request) logPage(tab string) error {
	p, err := q.appPage(tab)
	if err != nil {
		return err
	}
	if tab == "logs" {
		p.Instances = q.instances(p)
	}
	return q.render("app_logs", p.Name+" "+tab, p)
}

// logInput fills those fields of a log action that it has.
func logInput(a *kind.AnyAction, follow bool, match, instance string) json.RawMessage {
	in := map[string]any{}
	for _, f := range a.In {
		switch f.Name {
		case "follow":
			in["follow"] = follow
		case "tail":
			in["tail"] = logTail
		case "match":
			if match != "" {
				in["match"] = match
			}
		case "instance":
			if instance != "" {
				in["instance"] = instance
			}
		}
	}
	return mustJSON(in)
}

// The app's actions that give its logs.
const (
	logVerb   = "logs"
	buildVerb = "build-log"
)

// streamLog sends a log action's lines to emit.
func (q *request) streamLog(verb string, follow bool, emit func(v any) error, raw func(string) (io.Writer, error)) error {
	k, row, err := q.component()
	if err != nil {
		return err
	}
	a := k.ActionOf(verb)
	if a == nil || !a.Stream {
		return fail.New(fail.Unsupported, "this cloud keeps no logs of apps")
	}
	c := q.newCall(k, verb, string(row.ID))
	c.In = logInput(a, follow, q.URL.Query().Get("match"), q.URL.Query().Get("instance"))
	c.Stream = kind.Stream{Body: strings.NewReader(""), Emit: emit, Raw: raw}
	_, err = q.do(c)
	return err
}

func (q *request) appLogStream() error { return q.logStream(logVerb) }

func (q *request) appBuildStream() error { return q.logStream(buildVerb) }

func (q *request) appLogText() error { return q.logText(logVerb) }

func (q *request) appBuildText() error { return q.logText(buildVerb) }

// logStream sends a log as lines of JSON, for the page's script.
func (q *request) logStream(verb string) error {
	rc := http.NewResponseController(q.w)
	enc := json.NewEncoder(q.w)
	begin := func(typ string) {
		if !q.began {
			q.began = true
			q.w.Header().Set("Content-Type", typ)
			q.w.WriteHeader(http.StatusOK)
		}
	}
	emit := func(v any) error {
		begin("application/x-ndjson")
		if err := enc.Encode(v); err != nil {
			return err
		}
		return rc.Flush()
	}
	err := q.streamLog(verb, q.URL.Query().Get("follow") != "", emit, nil)
	if err != nil && q.began && q.Context().Err() == nil {
		e := fail.From(err)
		return emit(map[string]any{"error": map[string]string{"message": e.Message, "next": e.Next}})
	}
	if err == nil {
		begin("application/x-ndjson")
	}
	return err
}

// logLine is what the log actions emit.
type logLine struct {
	At       string `json:"at"`
	Instance string `json:"instance"`
	Stream   string `json:"stream"`
	Text     string `json:"text"`
}

// logText is a log as it stands, for browsers without scripts and for saving.
func (q *request) logText(verb string) error {
	emit := func(v any) error {
		if !q.began {
			q.began = true
			q.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			q.w.WriteHeader(http.StatusOK)
		}
		var l logLine
		if json.Unmarshal(mustJSON(v), &l) != nil {
			return nil
		}
		if l.Instance != "" {
			l.Instance = shortID(id.ID(l.Instance)) + " "
		}
		_, err := fmt.Fprintf(q.w, "%s %s%s\n", l.At, l.Instance, l.Text)
		return err
	}
	err := q.streamLog(verb, false, emit, nil)
	if err == nil && !q.began {
		q.began = true
		q.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, err = io.WriteString(q.w, "no lines yet\n")
	}
	return err
}
