package build

import (
	"encoding/xml"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// Runtime is one version of a stack: what a recipe stands on.
type Runtime struct {
	Name    string // "node-24"
	Stack   string // "node"
	Version string // "24"
	Release string // "24.21.0": what constraints are held against; empty: Version
	Base    string // image that the recipe starts from: "library/node", or "PROJECT/name:tag"
	Doc     string
	End     time.Time // end of life; zero: none known
	Extend  bool      // may be used after its end of life
	Hidden  bool      // only used when it is named
}

// EndOfLifeNotice is how long before its end of life a deploy is told of it.
const EndOfLifeNotice = 180 * 24 * time.Hour

// release reads the version that constraints are held against.
func (r Runtime) release() *semver.Version {
	text := r.Release
	if text == "" {
		text = r.Version
	}
	v, err := semver.NewVersion(text)
	if err != nil {
		return semver.New(0, 0, 0, "", "")
	}
	return v
}

// want is the version that a source asks for.
type want struct {
	constraint string
	from       string // the file that says so
}

// choose picks the newest runtime of a stack that a source's wish allows; name, when given, is a runtime's own name.
// note is for people: which, why, and how long it lives.
func choose(all []Runtime, stack, name string, w want, now time.Time) (r Runtime, note string, err error) {
	var of []Runtime
	for _, r := range all {
		if r.Stack == stack && (name == r.Name || (name == "" || name == stack) && !r.Hidden) {
			of = append(of, r)
		}
	}
	if len(of) == 0 {
		return r, "", fail.Field("spec.source.stack", "no version of the stack %s may be used", stack).Then("see awan stack list, or add a Dockerfile; the operator enables and publishes stacks")
	}
	slices.SortStableFunc(of, func(a, b Runtime) int { return b.release().Compare(a.release()) })
	fits := of
	if w.constraint != "" && name != of[0].Name {
		c, err := semver.NewConstraint(w.constraint)
		if err != nil {
			return r, "", fail.New(fail.Invalid, "%s asks for version %q, which cannot be understood", w.from, w.constraint).Then("write it like 22 or >=20 <25")
		}
		fits = slices.DeleteFunc(slices.Clone(of), func(r Runtime) bool { return !c.Check(r.release()) })
		if len(fits) == 0 {
			var have []string
			for _, r := range of {
				have = append(have, r.Version)
			}
			return r, "", fail.New(fail.Invalid, "%s asks for version %s of %s; there is %s", w.from, w.constraint, stack, strings.Join(have, ", ")).
				Then("change %s, bring a Dockerfile, or ask the operator for the version (awan stack list)", w.from)
		}
	}
	for _, r := range fits { // one that still lives goes before a newer one that does not
		if !r.over(now) {
			return r, r.note(w, now), nil
		}
	}
	if r = fits[0]; !r.Extend {
		return r, "", fail.New(fail.Precondition, "the stack %s reached its end of life on %s", r.Name, r.End.Format(time.DateOnly)).
			Then("move to a newer version (awan stack list); the operator can allow it for longer: awan stack update %s --extended", r.Name)
	}
	return r, r.note(w, now), nil
}

func (r Runtime) over(now time.Time) bool { return !r.End.IsZero() && !now.Before(r.End) }

func (r Runtime) note(w want, now time.Time) string {
	s := "using " + r.Stack + " " + r.Version
	if w.constraint != "" {
		s += ", as " + w.from + " asks for " + w.constraint
	}
	switch {
	case r.over(now):
		s += "\nwarning: it reached its end of life on " + r.End.Format(time.DateOnly) + " and gets no security fixes; the operator allows it for now"
	case !r.End.IsZero() && r.End.Sub(now) < EndOfLifeNotice:
		s += "\nwarning: its end of life is " + r.End.Format(time.DateOnly) + "; after that it cannot be deployed: move to a newer version"
	}
	return s
}

var number = regexp.MustCompile(`\d+(\.\d+)*`)

// wanted reads which version a source asks for, as its language's own tools would.
func wanted(source fs.FS, stack string) want {
	switch stack {
	case "go":
		return want{} // any toolchain builds what is for older ones, and fetches the newer one that go.mod asks for
	case "node":
		for _, f := range []string{".nvmrc", ".node-version"} {
			if v := number.FindString(first(source, f)); v != "" {
				return want{"^" + major(v, 1), f}
			}
		}
		if v, _ := lookup(source, "package.json", "engines", "node"); v != nil {
			if s, _ := v.(string); s != "" && s != "*" {
				return want{s, "package.json (engines.node)"}
			}
		}
	case "python":
		for _, f := range []string{".python-version", "runtime.txt"} {
			if v := number.FindString(first(source, f)); v != "" {
				return want{"~" + major(v, 2), f}
			}
		}
		if v := assigned(source, "pyproject.toml", "requires-python"); v != "" {
			return want{strings.NewReplacer("~=", "~", "==", "", ".*", "").Replace(v), "pyproject.toml (requires-python)"}
		}
	case "java":
		if v := assigned(source, "system.properties", "java.runtime.version"); v != "" {
			return want{">=" + v, "system.properties"}
		}
		if v := pomVersion(source); v != "" {
			return want{">=" + strings.TrimPrefix(v, "1."), "pom.xml"}
		}
	case "php":
		if v, _ := lookup(source, "composer.json", "require", "php"); v != nil {
			if s, _ := v.(string); s != "" && s != "*" {
				return want{strings.ReplaceAll(strings.ReplaceAll(s, "||", "|"), "|", "||"), "composer.json (require.php)"}
			}
		}
	}
	return want{}
}

// major keeps the first n numbers of a version.
func major(v string, n int) string {
	parts := strings.Split(v, ".")
	return strings.Join(parts[:min(n, len(parts))], ".")
}

func first(source fs.FS, file string) string {
	text, _ := readSome(source, file)
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(l); l != "" && !strings.HasPrefix(l, "#") {
			return l
		}
	}
	return ""
}

// assigned gives the value of a line "name = value".
func assigned(source fs.FS, file, name string) string {
	text, _ := readSome(source, file)
	for l := range strings.Lines(text) {
		if k, v, ok := strings.Cut(l, "="); ok && strings.TrimSpace(k) == name {
			return strings.Trim(strings.TrimSpace(v), `"'`)
		}
	}
	return ""
}

// pomVersion reads the Java version that a Maven build is for.
func pomVersion(source fs.FS) string {
	text, err := readSome(source, "pom.xml")
	if err != nil {
		return ""
	}
	var pom struct {
		Properties struct {
			All []struct {
				XMLName xml.Name
				Text    string `xml:",chardata"`
			} `xml:",any"`
		} `xml:"properties"`
	}
	if xml.Unmarshal([]byte(text), &pom) != nil {
		return ""
	}
	for _, name := range []string{"maven.compiler.release", "java.version", "maven.compiler.target", "maven.compiler.source"} {
		for _, p := range pom.Properties.All {
			if v := strings.TrimSpace(p.Text); p.XMLName.Local == name && number.MatchString(v) && !strings.Contains(v, "$") {
				return v
			}
		}
	}
	return ""
}

// Runtimes are the versions that the catalogue's stacks come in.
func (s Stacks) Runtimes() []Runtime {
	var out []Runtime
	for _, st := range s {
		for _, v := range st.Versions {
			r := Runtime{Name: st.Name + "-" + strings.ReplaceAll(v.Version, ".", "-"), Stack: st.Name, Version: v.Version, Release: v.Release,
				Base: Shared + "/" + v.Base, Doc: st.Title + " " + v.Version}
			if v.End != "" {
				r.End, _ = time.Parse(time.DateOnly, v.End) // ReadStacks has checked it
			}
			out = append(out, r)
		}
	}
	return out
}

// Version is one of a stack's versions, as the catalogue has it.
type Version struct {
	Version, Release, Base string
	End                    string // YYYY-MM-DD
}

func (v Version) check() error {
	if v.Version == "" || v.Base == "" {
		return fail.New(fail.Invalid, "a version needs a number and a base")
	}
	if v.End != "" {
		if _, err := time.Parse(time.DateOnly, v.End); err != nil {
			return err
		}
	}
	return nil
}
