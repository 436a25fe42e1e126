package console

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
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

func (q *request) appLogs() error {
	p, err := q.appPage("logs")
	if err != nil {
		return err
	}
	p.Instances = q.instances(p)
	return q.render("app_logs", p.Name+" logs", p)
}

// logInput fills those fields of the log action that it has.
func logInput(k *kind.Def, follow bool, match, instance string) json.RawMessage {
	in := map[string]any{}
	for _, f := range k.ActionOf(logVerb).In {
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

const logVerb = "logs"

// streamLog sends the log action's lines to emit.
func (q *request) streamLog(follow bool, emit func(v any) error, raw func(string) (io.Writer, error)) error {
	k, row, err := q.component()
	if err != nil {
		return err
	}
	if a := k.ActionOf(logVerb); a == nil || !a.Stream {
		return fail.New(fail.Unsupported, "this cloud keeps no logs of apps")
	}
	c := q.newCall(k, logVerb, string(row.ID))
	c.In = logInput(k, follow, q.URL.Query().Get("match"), q.URL.Query().Get("instance"))
	c.Stream = kind.Stream{Body: strings.NewReader(""), Emit: emit, Raw: raw}
	_, err = q.do(c)
	return err
}

// appLogStream sends the log as lines of JSON, for the page's script.
func (q *request) appLogStream() error {
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
	err := q.streamLog(q.URL.Query().Get("follow") != "", emit, nil)
	if err != nil && q.began && q.Context().Err() == nil {
		e := fail.From(err)
		return emit(map[string]any{"error": map[string]string{"message": e.Message, "next": e.Next}})
	}
	if err == nil {
		begin("application/x-ndjson")
	}
	return err
}

// logLine is what the log action emits.
type logLine struct {
	At       string `json:"at"`
	Instance string `json:"instance"`
	Stream   string `json:"stream"`
	Text     string `json:"text"`
}

// appLogText is the log as it stands, for browsers without scripts and for saving.
func (q *request) appLogText() error {
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
		_, err := fmt.Fprintf(q.w, "%s %s %s\n", l.At, l.Instance, l.Text)
		return err
	}
	err := q.streamLog(false, emit, nil)
	if err == nil && !q.began {
		q.began = true
		q.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, err = io.WriteString(q.w, "no lines yet\n")
	}
	return err
}
