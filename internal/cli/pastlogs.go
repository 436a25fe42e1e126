package cli

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/awancloud/awan/internal/cli/client"
)

// pastLogs are the flags that search lines which are kept, also of instances that are gone.
type pastLogs struct {
	past                              bool
	grep, level, stream, until, after string
	release, limit                    int
}

var pastFlags = []string{"past", "grep", "level", "stream", "release", "until", "limit", "after"}

func (p *pastLogs) flags(f *pflag.FlagSet) {
	f.BoolVar(&p.past, "past", false, "also lines of instances that are gone")
	f.StringVar(&p.grep, "grep", "", "only lines that this regular `EXPRESSION` matches")
	f.StringVar(&p.level, "level", "", "only lines of this `LEVEL` or a worse one: debug, info, warning, error")
	f.StringVar(&p.stream, "stream", "", "only `stdout` or stderr")
	f.IntVar(&p.release, "release", 0, "only of instances of this release `N`")
	f.StringVar(&p.until, "until", "", "only lines up to this RFC 3339 `TIME`")
	f.IntVar(&p.limit, "limit", 0, "`N` lines of a page (1000; at most 10000)")
	f.StringVar(&p.after, "after", "", "go on after this `MARKER`, which the page before ended with")
}

func (p *pastLogs) wanted(f *pflag.FlagSet) bool {
	for _, name := range pastFlags {
		if f.Changed(name) {
			return true
		}
	}
	return false
}

// in adds the flags to what the command says anyway.
func (p *pastLogs) in(in map[string]any) map[string]any {
	for name, v := range map[string]string{"grep": p.grep, "level": p.level, "stream": p.stream, "until": p.until, "after": p.after} {
		if v != "" {
			in[name] = v
		}
	}
	for name, v := range map[string]int{"release": p.release, "limit": p.limit} {
		if v != 0 {
			in[name] = v
		}
	}
	return in
}

func (s *session) searchLogs(ctx context.Context, c *client.Client, path string, in map[string]any, output string, stamps bool) error {
	return c.Lines(ctx, client.Request{Method: "POST", Path: path + "/actions/search-logs", In: in}, func(line []byte) error {
		var l logLine
		if output != "table" {
			return s.streamLine(output, line)
		}
		if err := json.Unmarshal(line, &l); err != nil || l.Text == nil {
			var more struct {
				Next string `json:"next"`
			}
			if json.Unmarshal(line, &more) == nil && more.Next != "" {
				_, err := fmt.Fprintf(s.Stderr, "there are more: --after %s\n", clean(more.Next))
				return err
			}
			return s.streamLine(output, line)
		}
		text := l.Instance[max(0, len(l.Instance)-8):] + "  " + s.logText(*l.Text)
		if stamps {
			text = l.At + "  " + text
		}
		_, err := fmt.Fprintln(s.Stdout, text)
		return err
	})
}
