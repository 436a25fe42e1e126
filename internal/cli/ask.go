package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// ask reads one line. On a terminal it prompts, and hides what is typed when it is a secret; else it takes the next line
// of standard input, so that scripts can answer.
func (s *session) ask(prompt string, hidden bool) (string, error) {
	if t := terminal(s.Stdin); t != nil {
		fmt.Fprint(s.Stderr, prompt)
		if hidden {
			line, err := t.hidden()
			fmt.Fprintln(s.Stderr)
			if err != nil {
				return "", fail.Wrap(err, fail.Canceled, "nothing was typed")
			}
			return line, nil
		}
	}
	line, err := readLine(s.Stdin)
	if err != nil && line == "" {
		return "", usagef("no answer to %q on standard input", strings.TrimSpace(prompt))
	}
	return line, nil
}

// readLine reads byte by byte, so that nothing after the line is taken from whoever reads next.
func readLine(r io.Reader) (string, error) {
	var line []byte
	var b [1]byte
	for r != nil {
		n, err := r.Read(b[:])
		if n == 1 {
			if b[0] == '\n' {
				return strings.TrimSuffix(string(line), "\r"), nil
			}
			line = append(line, b[0])
			continue
		}
		if err != nil {
			return string(line), err
		}
	}
	return "", errors.New("no standard input")
}
