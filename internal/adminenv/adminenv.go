// Package adminenv reads and writes DIR/admin.env: the first administrator's credential and the cloud's address, as
// lines that a shell can source. The cloud writes it, the command line reads it. It imports kernel/fail only.
package adminenv

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// File is the name of the file in the data folder.
const File = "admin.env"

// The variables it may hold; the command line reads the same ones from its environment.
const (
	URL       = "AWAN_URL"
	CA        = "AWAN_CA" // path of a PEM file, or the PEM itself
	Token     = "AWAN_TOKEN"
	User      = "AWAN_USER"
	Password  = "AWAN_PASSWORD"
	Domain    = "AWAN_DOMAIN"
	Project   = "AWAN_PROJECT"
	AccessKey = "AWAN_ACCESS_KEY"
	SecretKey = "AWAN_SECRET_KEY"
)

// Names lists the variables.
func Names() []string {
	return []string{URL, CA, Token, User, Password, Domain, Project, AccessKey, SecretKey}
}

var line = regexp.MustCompile(`^(?:export\s+)?([A-Z_][A-Z0-9_]*)=(.*)$`)

// Write replaces the file at path in one step, readable by its owner only.
func Write(path string, vars map[string]string) error {
	var b bytes.Buffer
	b.WriteString("# The first administrator of this cloud. Keep it secret; use it with:  . " + Quote(filepath.Base(path)) + "\n")
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		if !line.MatchString(name + "=") {
			return fail.New(fail.Internal, "%q is not a name of a variable", name)
		}
		fmt.Fprintf(&b, "export %s=%s\n", name, Quote(vars[name]))
	}
	return replace(path, b.Bytes())
}

// replace writes beside the file and renames, so that a reader sees the old or the new one, also after a crash.
func replace(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // made with mode 0600
	if err != nil {
		return fail.Wrap(err, fail.Unavailable, "%s cannot be written", path)
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the error that matters is the one before
		return fail.Wrap(err, fail.Unavailable, "%s cannot be written", path)
	}
	return nil
}

// Read reads the file at path. It knows the lines that Write makes, and plain or double-quoted values that people edit
// in; it is no shell.
func Read(path string) (map[string]string, error) {
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fail.Wrap(err, fail.NotFound, "there is no %s", path)
	case err != nil:
		return nil, fail.Wrap(err, fail.Denied, "%s cannot be read", path).Then("it belongs to the user who started the cloud")
	}
	vars := map[string]string{}
	sc := bufio.NewScanner(bytes.NewReader(b))
	sc.Buffer(nil, 1<<20)
	for n := 1; sc.Scan(); n++ {
		text := strings.TrimSpace(sc.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		m := line.FindStringSubmatch(text)
		if m == nil {
			return nil, fail.New(fail.Invalid, "%s, line %d is not NAME='value'", path, n)
		}
		v, ok := unquote(m[2])
		if !ok {
			return nil, fail.New(fail.Invalid, "%s, line %d: the value's quotes do not end", path, n)
		}
		vars[m[1]] = v
	}
	return vars, sc.Err()
}

// Quote writes a value so that a shell reads it as it is.
func Quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func unquote(s string) (string, bool) {
	var b strings.Builder
	for s != "" {
		switch c := s[0]; c {
		case '\'', '"':
			i := strings.IndexByte(s[1:], c)
			if i < 0 {
				return "", false
			}
			b.WriteString(s[1 : 1+i])
			s = s[i+2:]
		case '\\':
			if len(s) > 1 {
				b.WriteByte(s[1])
			}
			s = s[min(2, len(s)):]
		default:
			b.WriteByte(c)
			s = s[1:]
		}
	}
	return b.String(), true
}
