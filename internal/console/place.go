package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// sourceLine is a line of a text that has an error, for showing the place.
type sourceLine struct {
	Number int
	Text   string
	Wrong  bool
}

// snippet is the wrong line with those around it.
func snippet(text string, wrong int) []sourceLine {
	if wrong < 1 {
		return nil
	}
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	var out []sourceLine
	for n := max(1, wrong-2); n <= min(len(lines), wrong+2); n++ {
		out = append(out, sourceLine{n, lines[n-1], n == wrong})
	}
	return out
}

func lineAt(text string, offset int64) int {
	offset = min(max(0, offset), int64(len(text)))
	return 1 + strings.Count(text[:offset], "\n")
}

// lineOfSyntax is the line where text stops being JSON; 0 when it is JSON.
func lineOfSyntax(text string) int {
	var v any
	err := json.Unmarshal([]byte(text), &v)
	if e := new(json.SyntaxError); errors.As(err, &e) {
		return lineAt(text, e.Offset-1)
	}
	return 0
}

// badJSON says what is wrong with a text that should be JSON, and on which line; nil when nothing is.
func badJSON(name, text string) *fail.Error {
	var v any
	err := json.Unmarshal([]byte(text), &v)
	if err == nil {
		return nil
	}
	if e := new(json.SyntaxError); errors.As(err, &e) {
		return fail.Field(name, "line %d is not JSON: %s", lineOfSyntax(text), e.Error())
	}
	return fail.Field(name, "is not valid JSON")
}

// lineOfPath is the line of a value in a JSON text, by a path as errors have it: Statement[0].Action[1]. Of a path that
// is not there it is the line of the innermost value that is; 0 when text is no JSON.
func lineOfPath(text, path string) int {
	d := json.NewDecoder(strings.NewReader(text))
	best, line := -1, 0
	var walk func(at string) error
	walk = func(at string) error {
		before := d.InputOffset()
		tok, err := d.Token()
		if err != nil {
			return err
		}
		if at == "" || path == at || strings.HasPrefix(path, at+".") || strings.HasPrefix(path, at+"[") {
			if len(at) > best {
				rest := text[before:]
				best, line = len(at), lineAt(text, before+int64(len(rest)-len(strings.TrimLeft(rest, " \t\r\n:,"))))
			}
		}
		delim, ok := tok.(json.Delim)
		if !ok {
			return nil
		}
		for i := 0; d.More(); i++ {
			next := at + "[" + strconv.Itoa(i) + "]"
			if delim == '{' {
				key, err := d.Token()
				if err != nil {
					return err
				}
				next = strings.TrimPrefix(fmt.Sprintf("%s.%v", at, key), ".")
			}
			if err := walk(next); err != nil {
				return err
			}
		}
		_, err = d.Token()
		return err
	}
	if walk("") != nil && best < 0 {
		return 0
	}
	return line
}
