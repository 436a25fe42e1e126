package openstack_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestScripts runs the files of testdata/cli: what the openstack command is told, a line each, and what must come of it.
//
//	COMMAND                          it succeeds
//	COMMAND => key=value key~part    and prints one thing that is so; !~ is not so
//	COMMAND => [Column=value]        and prints a list that has such a row; ![Column=value] has none
//	COMMAND => "text"                and prints that
//	! COMMAND => "text"              it fails, and says that
//	until COMMAND => …               again, until it is so
//	as PROJECT COMMAND               in another project
//	$name = COMMAND                  what it prints is called so from here on
//	same FILE FILE                   two files are alike
func TestScripts(t *testing.T) {
	if os.Getenv("AWAN_LONG") == "" {
		t.Skip("the scripts take minutes: set AWAN_LONG=1")
	}
	c, _ := servers(t)
	files, err := filepath.Glob("testdata/cli/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			in := func(project ...string) *cli { return start(t, c, c.Admin.User, c.Admin.Password, project...) }
			s := &script{cli: in(), in: in, elsewhere: map[string]*cli{}, words: map[string]string{"tmp": t.TempDir()}}
			if err := os.WriteFile(filepath.Join(s.words["tmp"], "disk.raw"), bytes.Repeat([]byte("awan"), 1<<18), 0o600); err != nil {
				t.Fatal(err)
			}
			for n, line := range strings.Split(string(b), "\n") {
				if s.at = fmt.Sprintf("%s:%d", f, n+1); line != "" && line[0] != '#' {
					s.line(line)
				}
			}
		})
	}
}

// script is a file that is being run.
type script struct {
	*cli
	in        func(project ...string) *cli
	elsewhere map[string]*cli // by project
	at        string
	words     map[string]string
}

var word = regexp.MustCompile(`\$[a-z]+`)

func (s *script) line(text string) {
	s.t.Helper()
	name := ""
	if before, of, ok := strings.Cut(text, " = "); ok && word.FindString(before) == before {
		name, text = before[1:], of
	}
	text = word.ReplaceAllStringFunc(text, func(w string) string {
		if v, ok := s.words[w[1:]]; ok {
			return v
		}
		return w
	})
	if name != "" {
		r := s.run(arguments(text)...)
		if r.RC != 0 || strings.TrimSpace(r.Out) == "" {
			s.t.Fatalf("%s: %s: exit %d\n%s%s", s.at, text, r.RC, r.Out, r.Err)
		}
		s.words[name] = strings.TrimSpace(r.Out)
		return
	}
	command, want, _ := strings.Cut(text, " => ")
	if files, ok := strings.CutPrefix(command, "same "); ok {
		s.same(strings.Fields(files))
		return
	}
	command, fails := strings.CutPrefix(command, "! ")
	command, again := strings.CutPrefix(command, "until ")
	c := s.cli
	if of, ok := strings.CutPrefix(command, "as "); ok {
		var project string
		project, command, _ = strings.Cut(of, " ")
		if c = s.elsewhere[project]; c == nil {
			c = s.in("OS_PROJECT_NAME="+project, "OS_PROJECT_DOMAIN_NAME=awan")
			s.elsewhere[project] = c
		}
	}
	args := arguments(command)
	shaped := want != "" && !strings.HasPrefix(want, `"`) && !fails
	if shaped {
		args = append(args, "-f", "json")
	}
	for begun := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		r := c.run(args...)
		wrong := ""
		switch {
		case (r.RC != 0) != fails && !again:
			wrong = fmt.Sprintf("exit %d", r.RC)
		case shaped:
			wrong = fits(r.Out, want)
		default:
			for _, w := range quoted.FindAllStringSubmatch(want, -1) {
				if !strings.Contains(r.Out+r.Err, w[1]) {
					wrong += "no " + w[0] + "\n"
				}
			}
		}
		if wrong == "" {
			return
		}
		if !again || time.Since(begun) > time.Minute {
			s.t.Errorf("%s: openstack %s: %s\n%s%s", s.at, command, wrong, r.Out, r.Err)
			return
		}
	}
}

var quoted = regexp.MustCompile(`"([^"]*)"`)

var argument = regexp.MustCompile(`"[^"]*"|\S+`)

// arguments splits a command.
func arguments(command string) []string {
	args := argument.FindAllString(command, -1)
	for i := range args {
		args[i] = strings.Trim(args[i], `"`)
	}
	return args
}

var clause = regexp.MustCompile(`(!?)\[([A-Za-z ]+)([=~])([^\]]*)\]|([a-zA-Z_:-]+)(!?[=~])(\S*)`)

// fits says what of an output is not as wanted; "" when all is.
func fits(out, want string) string {
	var v any
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		return "no JSON: " + err.Error()
	}
	wrong := ""
	for _, m := range clause.FindAllStringSubmatch(want, -1) {
		one, _ := v.(map[string]any)
		rows, _ := v.([]any)
		ok := false
		if m[2] != "" { // a row of a list
			for _, r := range rows {
				row, _ := r.(map[string]any)
				ok = ok || alike(row[m[2]], m[3], m[4])
			}
			ok = ok != (m[1] == "!")
		} else {
			ok = one != nil && alike(one[m[5]], strings.TrimPrefix(m[6], "!"), m[7]) != strings.HasPrefix(m[6], "!")
		}
		if !ok {
			wrong += "it is not so that " + m[0] + "\n"
		}
	}
	return wrong
}

func alike(is any, how, want string) bool {
	b, _ := json.Marshal(is) // it came as JSON
	text := strings.ToLower(strings.Trim(string(b), `"`))
	if how == "~" {
		return strings.Contains(text, strings.ToLower(want))
	}
	return text == strings.ToLower(want)
}

func (s *script) same(files []string) {
	s.t.Helper()
	a, err := os.ReadFile(files[0])
	if err != nil {
		s.t.Fatal(s.at, err)
	}
	b, err := os.ReadFile(files[1])
	if err != nil {
		s.t.Fatal(s.at, err)
	}
	if !bytes.Equal(a, b) {
		s.t.Errorf("%s: %s and %s differ: %d and %d bytes", s.at, files[0], files[1], len(a), len(b))
	}
}
