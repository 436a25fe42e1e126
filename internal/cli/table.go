package cli

import (
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// table prints aligned columns. On a terminal the widest columns give way until a line fits.
func (s *session) table(header []string, rows [][]string) error {
	widths := make([]int, len(header))
	for i, h := range header {
		widths[i] = utf8.RuneCountInString(h)
	}
	for _, r := range rows {
		for i := range r {
			r[i] = clean(strings.ReplaceAll(r[i], "\n", " "))
			widths[i] = max(widths[i], utf8.RuneCountInString(r[i]))
		}
	}
	if total := terminalWidth(s.Stdout); total > 0 {
		fit(widths, total-2*(len(widths)-1))
	}
	var out strings.Builder
	for _, cells := range append([][]string{header}, rows...) {
		var line strings.Builder
		for i, c := range cells {
			c = cut(c, widths[i])
			line.WriteString(c + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c)+2))
		}
		out.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(s.Stdout, out.String())
	return err
}

// fit takes from the widest column until the sum is at most total; no column goes below 6.
func fit(widths []int, total int) {
	sum := 0
	for _, w := range widths {
		sum += w
	}
	for sum > total {
		i := slices.Index(widths, slices.Max(widths))
		if widths[i] <= 6 {
			return
		}
		widths[i]--
		sum--
	}
}

func cut(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:max(width-1, 0)]) + "…"
}

var escapes = regexp.MustCompile("\x1b(\\[[0-9;?]*[ -/]*[@-~]|\\][^\x07\x1b]*(\x07|\x1b\\\\)?|.)?")

// clean takes out what could steer the terminal: texts of programs and names of others are only text.
func clean(s string) string {
	if strings.IndexFunc(s, control) < 0 {
		return s
	}
	s = escapes.ReplaceAllString(s, "")
	return strings.Map(func(r rune) rune {
		if control(r) {
			return -1
		}
		return r
	}, s)
}

func control(r rune) bool {
	return r < ' ' && r != '\t' && r != '\n' || r == 0x7f || r >= 0x80 && r < 0xa0
}
